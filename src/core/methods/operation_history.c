/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The history is in the store alone, also of an operation that is under way: each transition is
 * durable before anything follows from it. A transition that a caller asked for names the caller;
 * those after it follow from it, so the words of the caller stand with them, too. These words must
 * not end with a page: its cursor names the last transition that is shown and, behind a slash, the
 * last one that a caller asked for, which the store shows once more before the next page.
 */

#include "core/methods/operation_history.h"

#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/caller.h"
#include "core/methods/calls.h"
#include "store/store.h"

static const char *cursor_of(const struct call *call)
{
	const struct operation_history_args *args = call->args;

	return str_empty(args->cursor) ? NULL : args->cursor;
}

/* NULL: there is none. */
static const char *also_in(const char *cursor)
{
	const char *slash = cursor ? strchr(cursor, '/') : NULL;

	return slash && slash[1] ? slash + 1 : NULL;
}

static void show(struct history_record *shown, const struct history_record *row, struct buf *words)
{
	_cleanup_json_ struct json *details =
		row->details ? json_parse(row->details, strlen(row->details), NULL) : NULL;

	record_copy(&history_record, shown, row);
	str_set(&shown->step, json_text(json_get(details, "step")));
	if (row->caller) {
		buf_reset(words);
		caller_words(row->caller, words);
	}
	if (words->length)
		str_set(&shown->asked_by, words->data);
}

static void answer(struct call *call, const struct store_history *history)
{
	const char *also_id = also_in(cursor_of(call));
	bool is_also_there = history->count > 0 && also_id && streq(history->items[0].id, also_id);
	struct history_record *shown = xcalloc(history->count, sizeof(*shown));
	_cleanup_buf_ struct buf words = BUF_NULL;
	_cleanup_free_ char *cursor = NULL;
	const char *asked = "";

	for (size_t i = 0; i < history->count; i++) {
		show(&shown[i], &history->items[i], &words);
		if (history->items[i].caller)
			asked = history->items[i].id;
	}
	if (history->more)
		cursor = xasprintf("%s/%s", history->items[history->count - 1].id, asked);
	call_answer_many(call, shown + is_also_there, history->count - is_also_there, cursor);
	for (size_t i = 0; i < history->count; i++)
		record_clear(&history_record, &shown[i]);
	free(shown);
}

static void on_operation(void *arg, const struct store_operations *result)
{
	struct call *call = arg;
	const struct operation_history_args *args = call->args;

	call_waited(call);
	if (result->err.code)
		call_fail(call, &result->err);
	else if (result->count == 0)
		call_failf(call, ERR_NOT_FOUND, "operation %s does not exist", args->operation_id);
	else
		call_answer_many(call, NULL, 0, NULL);
}

/* An operation of an earlier daemon may have no history. */
static void on_history(void *arg, const struct store_history *history)
{
	struct call *call = arg;
	const struct operation_history_args *args = call->args;
	struct store *store = call->calls->env->store;

	call_waited(call);
	if (history->err.code)
		call_fail(call, &history->err);
	else if (history->count == 0)
		call_wait_read(call,
			       store_find_operation(store, args->operation_id, on_operation, call));
	else
		answer(call, history);
}

void operation_history(struct call *call)
{
	const struct operation_history_args *args = call->args;
	const char *cursor = cursor_of(call);
	_cleanup_free_ char *after_id = cursor ? xstrndup(cursor, strcspn(cursor, "/")) : NULL;
	const struct store_history_filter filter = {
		.operation_id = args->operation_id,
		.after_id = after_id,
		.also_id = also_in(cursor),
		.limit = (size_t)args->limit,
	};

	call_wait_read(call,
		       store_list_history(call->calls->env->store, &filter, on_history, call));
}
