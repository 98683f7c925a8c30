/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A person at a terminal knows a volume by its name, or copies the beginning of its UUID from a
 * table. A text may be both, and the command may destroy data, so all objects that it can mean
 * count: if there is more than one, nothing is done and each is shown.
 */

#include "volumectl/names.h"

#include "base/uuid.h"
#include "volumectl/listing.h"
#include "volumectl/terminal.h"

#define PREFIX_MIN 4 /* a shorter beginning of a UUID is more likely a mistake */
#define ELLIPSIS "…" /* the end of a UUID that a table has cut */

struct search {
	const char *id_member, *text;
	char *prefix; /* NULL: the text cannot be the beginning of a UUID */
	char *id;     /* of the first object found */
	size_t found;
	struct buf shown; /* a line for each object found */
};

const struct method *names_lister(const struct record *kind)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].answer == ANSWER_MANY && methods[i].result == kind &&
		    method_has_pages(&methods[i]))
			return &methods[i];
	}
	return NULL;
}

/* In lower case, as UUIDs are, without the mark of a cut; NULL: it is no beginning. */
static char *prefix_of(const char *text)
{
	size_t length = strlen(text);
	char *prefix;

	if (length > strlen(ELLIPSIS) && streq(text + length - strlen(ELLIPSIS), ELLIPSIS))
		length -= strlen(ELLIPSIS);
	if (length < PREFIX_MIN || strspn(text, "0123456789abcdefABCDEF-") < length)
		return NULL;
	prefix = xstrndup(text, length);
	for (char *p = prefix; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'F' ? *p - 'A' + 'a' : *p);
	return prefix;
}

static const char *member(const struct volume_client_value *item, const char *name)
{
	return volume_client_text(volume_client_get(item, name));
}

static bool is_meant(const struct search *search, const struct volume_client_value *item)
{
	return streq(member(item, "name"), search->text) ||
	       streq(member(item, "display_name"), search->text) ||
	       (search->prefix && str_has_prefix(member(item, search->id_member), search->prefix));
}

static void on_page(void *arg, const struct volume_client_value *list)
{
	struct search *search = arg;

	for (size_t i = 0; i < list->count; i++) {
		const struct volume_client_value *item = &list->items[i];
		const char *state = member(item, "state");

		if (!is_meant(search, item))
			continue;
		if (search->found++ == 0)
			search->id = xstrdup(member(item, search->id_member));
		buf_printf(&search->shown, "\n  %s  ", member(item, search->id_member));
		text_add_clean(&search->shown, member(item, "name"));
		if (*state)
			buf_printf(&search->shown, "  %s", state);
	}
}

/* The daemon finds an exact name itself, but neither the beginning of a UUID nor a second name. */
static void ask_for_name(struct request *request, const struct search *search)
{
	const struct record *record = request->method->result;

	if (!search->prefix && !record_find(record, "display_name"))
		request_set(request, request_field(request, "name"), "name", search->text);
}

static int judge(struct search *search, const struct record *kind, char **id, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	if (search->found == 1) {
		*id = TAKE_PTR(search->id);
		return 0;
	}
	text_add_clean(&text, search->text);
	if (search->found)
		return err_set(err, ERR_CONFLICT,
			       "'%s' can be each of these; give more of the UUID:%s", text.data,
			       search->shown.data);
	return err_set(err, ERR_NOT_FOUND,
		       "there is no %s with the name '%s', and no UUID of one that begins so "
		       "with at least %d digits; see 'volumectl %s'",
		       kind == &vm_record ? "VM" : kind->name, text.data, PREFIX_MIN,
		       names_lister(kind)->command);
}

int names_find(struct ctl *ctl, const struct record *kind, const char *text, char **id,
	       struct err *err)
{
	const char *id_member = kind == &volume_record ? "volume_id" : "id";
	struct search search = { .id_member = id_member, .text = text, .prefix = prefix_of(text) };
	struct request request;
	int r;

	request_init(&request, names_lister(kind));
	ask_for_name(&request, &search);
	r = listing_read(ctl, &request, on_page, &search, err);
	request_clear(&request);
	if (r == 0)
		r = judge(&search, kind, id, err);
	free(search.prefix);
	free(search.id);
	buf_clear(&search.shown);
	return r;
}

int names_resolve(struct ctl *ctl, struct request *request, struct err *err)
{
	for (size_t i = 0; i < request->method->args->count; i++) {
		const struct field *field = &request->method->args->fields[i];
		_cleanup_free_ char *id = NULL;

		if (!request->names[i])
			continue;
		if (names_find(ctl, field->refers_to, request->names[i], &id, err) < 0 ||
		    field_from_text(field, request->args, id, err) < 0)
			return -1;
		request->names[i] = NULL;
	}
	return 0;
}
