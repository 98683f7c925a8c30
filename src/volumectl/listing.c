/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lists to their end. The daemon answers with a page and goes on behind a cursor, which is the id
 * of the page's last item. Only an empty page tells the end: a page of large items is shorter than
 * its limit.
 */

#include "volumectl/listing.h"

#include <stdio.h>

#define PAGE 1000 /* the most that the daemon gives */

/* The member of an item that is the cursor of what follows. */
static const char *cursor_member(const struct method *method)
{
	for (size_t i = 0; i < SCOPE_COUNT; i++) {
		if (scopes[i].record == method->result)
			return scopes[i].id;
	}
	return "id";
}

static int read_page(struct ctl *ctl, const struct request *request,
		     struct volume_client_value **list, struct err *err)
{
	struct volume_client_error error;
	sd_bus_message *reply = NULL;
	int r;

	if (request_call(ctl, request, &reply, err) < 0)
		return -1;
	r = volume_client_read(reply, list, &error);
	sd_bus_message_unref(reply);
	return r < 0 ? ctl_client_error(&error, err) : 0;
}

static void set(struct request *request, size_t index, const char *text)
{
	struct err err = { 0 };

	if (field_from_text(&request->method->args->fields[index], request->args, text, &err) == 0)
		request->given |= UINT64_C(1) << index;
}

/* The items that may still come; SIZE_MAX: all. */
static size_t items_wanted(const struct request *request, size_t limit)
{
	const struct field *field = &request->method->args->fields[limit];

	if (!(request->given & UINT64_C(1) << limit))
		return SIZE_MAX;
	return (size_t) * (const int64_t *)field_of_const(field, request->args);
}

static const char *last_id(const struct request *request, const struct volume_client_value *list)
{
	return list->count == 0
		       ? ""
		       : volume_client_text(volume_client_get(&list->items[list->count - 1],
							      cursor_member(request->method)));
}

static int read_pages(struct ctl *ctl, struct request *request, size_t limit, size_t cursor,
		      listing_page_fn on_page, void *arg, struct err *err)
{
	size_t wanted = items_wanted(request, limit);
	_cleanup_free_ char *end = NULL;
	bool more = true;

	while (more) {
		struct volume_client_value *list = NULL;
		char page[24];

		snprintf(page, sizeof(page), "%zu", wanted < PAGE ? wanted : PAGE);
		set(request, limit, page);
		if (read_page(ctl, request, &list, err) < 0)
			return -1;
		/* A daemon that does not go on behind the cursor would never come to an end. */
		more = list->count > 0 && !streq(last_id(request, list), end);
		if (!end || more)
			on_page(arg, list);
		str_set(&end, last_id(request, list));
		set(request, cursor, end);
		wanted -= list->count < wanted ? list->count : wanted;
		more = more && wanted > 0;
		volume_client_value_free(list);
	}
	return 0;
}

int listing_read(struct ctl *ctl, struct request *request, listing_page_fn on_page, void *arg,
		 struct err *err)
{
	size_t limit = request_field(request, "limit"), cursor = request_field(request, "cursor");
	struct volume_client_value *list = NULL;

	if (cursor != SIZE_MAX)
		return read_pages(ctl, request, limit, cursor, on_page, arg, err);
	if (read_page(ctl, request, &list, err) < 0)
		return -1;
	on_page(arg, list);
	volume_client_value_free(list);
	return 0;
}
