/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the daemon says on the bus: answers and errors of methods, and objects with their
 * properties. The values themselves are written by their fields. */

#include "api/bus/encode.h"

#include <errno.h>

#include "api/bus/vtable.h"
#include "io/bus_codec.h"

/*
 * What a value takes besides its text: the key's length, zero and padding, the signature of its
 * variant, its own length, zero and padding, or a number. A member of a JSON object has a colon,
 * and an item of an array has a comma or is the only one; each of them takes no more than this, and
 * the text of a key or value in JSON is never shorter than on the bus.
 */
#define WEIGHT_OF_VALUE 32
#define WEIGHT_OF_PATH 256 /* path and name of the interface, with their lengths and paddings */

char *bus_object_path(enum method_scope scope, const char *id)
{
	char *path = NULL;

	/* Fails only if memory is short: the prefix is constant and every id can be encoded. */
	if (sd_bus_path_encode(scopes[scope].path, id, &path) < 0)
		abort();
	return path;
}

int bus_copy_head(sd_bus_message *m, sd_bus_message **out)
{
	sd_bus_message *copy = NULL;
	uint64_t cookie = 0;
	int r;

	r = sd_bus_message_new_method_call(sd_bus_message_get_bus(m), &copy, NULL,
					   sd_bus_message_get_path(m),
					   sd_bus_message_get_interface(m),
					   sd_bus_message_get_member(m));
	if (r >= 0)
		r = sd_bus_message_set_sender(copy, sd_bus_message_get_sender(m));
	if (r >= 0)
		r = sd_bus_message_set_expect_reply(copy, sd_bus_message_get_expect_reply(m));
	if (r >= 0)
		r = sd_bus_message_set_allow_interactive_authorization(
			copy, sd_bus_message_get_allow_interactive_authorization(m));
	if (r >= 0)
		r = sd_bus_message_get_cookie(m, &cookie);
	if (r >= 0)
		r = sd_bus_message_seal(copy, cookie, 0);
	if (r < 0)
		copy = sd_bus_message_unref(copy);
	*out = copy;
	return r;
}

int bus_reply_error(sd_bus_message *m, const struct err *err)
{
	_cleanup_free_ char *name =
		xasprintf("%s%s", ERR_BUS_PREFIX, err_view(err->code)->bus_name);

	return sd_bus_reply_method_errorf(m, name, "%s", err->text);
}

const char *bus_answer_id(enum method_scope scope, const struct answer *answer)
{
	const struct field *field = record_find(answer->record, scopes[scope].id);

	return field ? *(char *const *)field_of_const(field, answer_item(answer, 0)) : NULL;
}

static int append_path(sd_bus_message *reply, enum method_scope scope, const struct answer *answer)
{
	const char *id = bus_answer_id(scope, answer);
	_cleanup_free_ char *path = str_empty(id) ? NULL : bus_object_path(scope, id);

	return path ? sd_bus_message_append_basic(reply, 'o', path) : -ENOENT;
}

int bus_append_answer(sd_bus_message *reply, const struct method *method,
		      const struct answer *answer)
{
	enum method_scope scope = method_answer_scope(method);
	int r;

	if (scope != SCOPE_MANAGER)
		return append_path(reply, scope, answer);
	/* A message has a copy of the descriptor. */
	if (method->answer == ANSWER_DESCRIPTOR)
		return bus_append_field(reply, &answer->record->fields[0], answer_item(answer, 0));
	if (method->answer != ANSWER_MANY)
		return bus_append_record(reply, answer->record, answer_item(answer, 0));
	r = sd_bus_message_open_container(reply, 'a', "a{sv}");
	for (size_t i = 0; i < answer->count && r >= 0; i++)
		r = bus_append_record(reply, answer->record, answer_item(answer, i));
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 || !method_has_pages(method) ? r : bus_append_text(reply, answer->next_cursor);
}

/* --- objects --- */

static int append_property(sd_bus_message *m, const struct field *field, const void *values)
{
	char name[BUS_PROPERTY_SIZE];
	int r = sd_bus_message_open_container(m, 'e', "sv");

	method_bus_property(field->name, name);
	if (r >= 0)
		r = bus_append_plain(m, name);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', field_type_view(field->type)->bus);
	if (r >= 0)
		r = bus_append_field(m, field, values);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_properties(sd_bus_message *m, enum method_scope scope, const void *values)
{
	const struct record *record = scopes[scope].record;
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (size_t i = 0; i < record->count && r >= 0; i++) {
		if (bus_property_is_told(&record->fields[i]))
			r = append_property(m, &record->fields[i], values);
	}
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", BUS_VERSION_PROPERTY, "u", BUS_VERSION);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_interfaces(sd_bus_message *m, enum method_scope scope, const void *values)
{
	int r = sd_bus_message_open_container(m, 'a', "{sa{sv}}");

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'e', "sa{sv}");
	if (r >= 0)
		r = sd_bus_message_append_basic(m, 's', scopes[scope].interface);
	if (r >= 0)
		r = append_properties(m, scope, values);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_changed(sd_bus_message *m, enum method_scope scope, const void *values,
		       uint64_t fields)
{
	const struct record *record = scopes[scope].record;
	int r = sd_bus_message_append_basic(m, 's', scopes[scope].interface);

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "{sv}");
	for (size_t i = 0; i < record->count && r >= 0; i++) {
		if (fields & UINT64_C(1) << i)
			r = append_property(m, &record->fields[i], values);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_append(m, "as", 0);
}

static size_t json_weight(const char *text)
{
	size_t weight = WEIGHT_OF_VALUE;

	for (const char *p = text; *p; p++)
		weight += *p == ':' || *p == ',' || *p == '[' ? 1 + WEIGHT_OF_VALUE : 1;
	return weight;
}

size_t bus_object_weight(enum method_scope scope, const void *values)
{
	const struct record *record = scopes[scope].record;
	size_t weight = WEIGHT_OF_PATH;

	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		const char *text = NULL;

		if (!bus_property_is_told(field))
			continue;
		weight += strlen(field->name) + WEIGHT_OF_VALUE;
		if (field->type == FIELD_TEXT || field->type == FIELD_UUID ||
		    field->type == FIELD_OBJECT)
			text = *(char *const *)field_of_const(field, values);
		if (text && field->type == FIELD_OBJECT)
			weight += json_weight(text);
		else if (text)
			weight += strlen(text);
	}
	return weight;
}
