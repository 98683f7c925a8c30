/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The parts are told apart by what the operation does: it waits for its turn, it runs a step that
 * waits for CloudStack or for the kernel, or none of these. The commit before a step counts as own
 * work, also while a job of CloudStack goes on.
 *
 * In the store, the time and the begin are members of the context that no kind of operation knows.
 */

#include "core/engine/time_spent.h"

#include "base/clock.h"
#include "base/json.h"
#include "core/engine/estimate.h"
#include "core/engine/figures.h"
#include "core/engine/operation_table.h"

#define MEMBER "time_spent"
#define BEGIN_MEMBER "started_at" /* milliseconds */

/* Each commit writes them, so they are not put together anew. */
static const char *const members[TIME_PART_COUNT] = {
	[TIME_OWN] = "own_ms",
	[TIME_WAITING] = "waiting_ms",
	[TIME_CLOUDSTACK] = "cloudstack_ms",
	[TIME_KERNEL] = "kernel_ms",
};

void operation_time_is(struct operation *operation, enum time_part part)
{
	int64_t now = clock_mono_ms();

	if (operation->part_since_ms) {
		int64_t ms = now - operation->part_since_ms;

		operation->spent_ms[operation->part] += ms;
		figures_note_time(operation, operation->part, ms);
	}
	operation->part = part;
	operation->part_since_ms = now;
}

static void put_time(const struct operation *operation, struct json_writer *w)
{
	json_begin_object(w);
	for (int part = 0; part < TIME_PART_COUNT; part++) {
		json_put_name(w, members[part]);
		json_put_int(w, operation->spent_ms[part]);
	}
	json_end_object(w);
}

void operation_show_time(const struct operation *operation, struct operation_record *record)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	put_time(operation, &writer);
	free(record->time_spent);
	record->time_spent = buf_take(&out);
}

char *operation_context_to_json(const struct operation *operation)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	record_members_to_json(operation->kind->context, operation->context, true, &writer);
	json_put_name(&writer, MEMBER);
	put_time(operation, &writer);
	if (operation->record.started_at) {
		json_put_name(&writer, BEGIN_MEMBER);
		json_put_int(&writer, operation->record.started_at);
	}
	json_end_object(&writer);
	return buf_take(&out);
}

static void take_time(struct operation *operation, const struct json *json)
{
	const struct json *time = json_get(json, MEMBER);

	for (int part = 0; part < TIME_PART_COUNT; part++)
		(void)json_integer(json_get(time, members[part]), &operation->spent_ms[part]);
	(void)json_integer(json_get(json, BEGIN_MEMBER), &operation->record.started_at);
}

/* A start reads thousands of contexts, so each is parsed once. of: goes on from the time; or NULL.
 */
static int read_context(const struct record *shape, const char *text, void *context,
			struct operation *of, struct err *err)
{
	_cleanup_json_ struct json *json = NULL;

	text = str_or(text, "{}");
	json = json_parse(text, strlen(text), err);
	if (!json)
		return -1;
	if (of)
		take_time(of, json);
	json_drop(json, MEMBER);
	json_drop(json, BEGIN_MEMBER);
	return record_from_json(shape, context, json, err);
}

int operation_context_from_json(const struct record *shape, const char *text, void *context,
				struct err *err)
{
	return read_context(shape, text, context, NULL, err);
}

int operation_restore_context(struct operation *operation, const char *text, struct err *err)
{
	return read_context(operation->kind->context, text, operation->context, operation, err);
}

void operation_show_stored(struct operation_record *record)
{
	const char *context = record->context;
	_cleanup_json_ struct json *json =
		context ? json_parse(context, strlen(context), NULL) : NULL;
	const struct json *time = json_get(json, MEMBER);
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	estimate_show_status(record);
	(void)json_integer(json_get(json, BEGIN_MEMBER), &record->started_at);
	if (!time)
		return; /* of an earlier version */
	json_put_node(&writer, time);
	free(record->time_spent);
	record->time_spent = buf_take(&out);
}
