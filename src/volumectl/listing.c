/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lists to their end. The daemon answers with a page and with the cursor of what follows. Only an
 * empty cursor tells the end: a page of large items is shorter than its limit.
 */

#include "volumectl/listing.h"

#include <stdio.h>

#define PAGE 1000 /* the most that the daemon gives */

/* next gets the cursor of what follows; "": nothing does. */
static int read_page(struct ctl *ctl, const struct request *request,
		     struct volume_client_value **list, char **next, struct err *err)
{
	struct volume_client_error error;
	sd_bus_message *reply = NULL;
	const char *cursor = "";
	int r;

	if (request_call(ctl, request, &reply, err) < 0)
		return -1;
	r = volume_client_read(reply, list, &error);
	if (r == 0 && method_has_pages(request->method))
		sd_bus_message_read(reply, "s", &cursor);
	str_set(next, cursor);
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

static int read_pages(struct ctl *ctl, struct request *request, size_t limit, size_t cursor,
		      listing_page_fn on_page, void *arg, struct err *err)
{
	size_t wanted = items_wanted(request, limit);
	_cleanup_free_ char *next = NULL, *end = NULL;
	bool more = true;

	while (more) {
		struct volume_client_value *list = NULL;
		char page[24];

		snprintf(page, sizeof(page), "%zu", wanted < PAGE ? wanted : PAGE);
		set(request, limit, page);
		if (read_page(ctl, request, &list, &next, err) < 0)
			return -1;
		on_page(arg, list);
		wanted -= list->count < wanted ? list->count : wanted;
		volume_client_value_free(list);
		/* A daemon that does not go on behind the cursor would never come to an end. */
		more = !str_empty(next) && !streq(next, end) && wanted > 0;
		if (more)
			set(request, cursor, next);
		str_set(&end, next);
	}
	return 0;
}

int listing_read(struct ctl *ctl, struct request *request, listing_page_fn on_page, void *arg,
		 struct err *err)
{
	size_t limit = request_field(request, "limit"), cursor = request_field(request, "cursor");
	struct volume_client_value *list = NULL;
	_cleanup_free_ char *next = NULL;

	if (cursor != SIZE_MAX)
		return read_pages(ctl, request, limit, cursor, on_page, arg, err);
	if (read_page(ctl, request, &list, &next, err) < 0)
		return -1;
	on_page(arg, list);
	volume_client_value_free(list);
	return 0;
}

int listing_operations(struct ctl *ctl, enum operation_status status, listing_page_fn on_page,
		       void *arg, struct err *err)
{
	struct request request;
	int r;

	request_init(&request, &methods[METHOD_OPERATION_LIST]);
	request_set(&request, request_field(&request, "status"), "status",
		    operation_status_names[status]);
	r = listing_read(ctl, &request, on_page, arg, err);
	request_clear(&request);
	return r;
}
