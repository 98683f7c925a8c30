/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Questions about operations. Unfinished operations are answered from memory, ended ones by the
 * store; a caller can wait for the end of an operation, and a cancellation is answered when it is
 * durable.
 */

#include "core/methods/operation_methods.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/event.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/plan.h"
#include "core/model/event.h"
#include "store/store.h"

/* The present work of a cancelled operation is not always interrupted at once. */
#define CANCEL_PATIENCE_MS 10000

/* A call that waits for an operation to end. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;
	struct call *call;
	const char *operation_id; /* in the call's arguments */
	bool undo_will_do;        /* the begin of the undo is an answer, too */
	struct loop_timer patience;
};

/* ---- waiting ---- */

static void waiter_free(void *awaited)
{
	struct waiter *waiter = awaited;
	struct calls *calls = waiter->call->calls;

	TAILQ_REMOVE(&calls->waiters, waiter, entry);
	loop_timer_clear(calls->env->loop, &waiter->patience);
	free(waiter);
}

static struct waiter *find_waiter(struct calls *calls, const char *operation_id, bool undoing)
{
	struct waiter *waiter;

	TAILQ_FOREACH(waiter, &calls->waiters, entry) {
		if (streq(waiter->operation_id, operation_id) && (!undoing || waiter->undo_will_do))
			return waiter;
	}
	return NULL;
}

/* Each round begins with the first call, since a caller that is answered may cancel any other
 * call. */
static void answer_waiters(struct calls *calls, const struct operation_record *record, bool undoing)
{
	struct waiter *waiter;

	while ((waiter = find_waiter(calls, record->id, undoing)))
		call_answer(waiter->call, record);
}

static void on_patience_over(struct loop_timer *timer)
{
	const struct waiter *waiter = container_of(timer, struct waiter, patience);
	const struct operation *operation =
		operation_find(waiter->call->calls->engine, waiter->operation_id);

	if (operation)
		call_answer(waiter->call, operation_shown(operation));
	else
		call_failf(waiter->call, ERR_NOT_FOUND, "operation %s does not exist",
			   waiter->operation_id);
}

static void on_hurry(void *awaited)
{
	struct waiter *waiter = awaited;

	loop_deadline_set(waiter->call->calls->env->loop, &waiter->patience, 0);
}

static void await(struct call *call, const char *operation_id, bool undo_will_do,
		  int64_t patience_ms)
{
	struct waiter *waiter = xnew(struct waiter);

	waiter->call = call;
	waiter->operation_id = operation_id;
	waiter->undo_will_do = undo_will_do;
	waiter->patience.fire = on_patience_over;
	TAILQ_INSERT_TAIL(&call->calls->waiters, waiter, entry);
	loop_deadline_set(call->calls->env->loop, &waiter->patience, patience_ms);
	call_wait(call, waiter, waiter_free);
}

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	struct calls *calls = container_of(listener, struct calls, listener);

	if (event->type == EVENT_OPERATION_CHANGED && event->operation->undoing)
		answer_waiters(calls, event->operation, true);
	else if (event->type == EVENT_OPERATION_ENDED)
		answer_waiters(calls, event->operation, false);
}

void operation_methods_begin(struct calls *calls)
{
	TAILQ_INIT(&calls->waiters);
	calls->listener.on_event = on_event;
	events_listen(calls->model, &calls->listener);
}

void operation_methods_end(struct calls *calls)
{
	events_unlisten(calls->model, &calls->listener);
}

/* ---- the methods ---- */

static int find_word(const char *word, const char *const *names, const char *field, int *out,
		     struct err *err)
{
	*out = -1;
	if (!word)
		return 0;
	for (int i = 0; names[i]; i++) {
		if (streq(names[i], word)) {
			*out = i;
			return 0;
		}
	}
	return err_set_field(err, field, ERR_INVALID, "%s \"%s\" is not known", field, word);
}

/* The store does not know these. */
static void show_present(struct operation_record *shown, const struct operation_record *present)
{
	str_set(&shown->waits_for, present->waits_for);
	shown->progress = present->progress;
	shown->expected_end = present->expected_end;
}

static void answer_operations(struct call *call, const struct store_operations *result,
			      const char *cursor)
{
	struct operation_record *shown = xcalloc(result->count + 1, sizeof(*shown));
	const struct operation *operation;

	for (size_t i = 0; i < result->count; i++) {
		record_copy(&operation_record, &shown[i], &result->items[i]);
		operation_show_stored(&shown[i]);
		operation = operation_find(call->calls->engine, shown[i].id);
		if (operation && operation_shown(operation)->status == shown[i].status)
			show_present(&shown[i], operation_shown(operation));
	}
	call_answer_many(call, shown, result->count, cursor);
	for (size_t i = 0; i < result->count; i++)
		record_clear(&operation_record, &shown[i]);
	free(shown);
}

static void on_operations(void *arg, const struct store_operations *result)
{
	struct call *call = arg;
	const char *cursor = NULL;

	call_waited(call);
	if (result->err.code) {
		call_fail(call, &result->err);
		return;
	}
	if (result->more && result->count > 0)
		cursor = result->items[result->count - 1].id;
	answer_operations(call, result, cursor);
}

void operation_list(struct call *call)
{
	const struct operation_list_args *args = call->args;
	struct err err = { 0 };
	struct store_operation_filter filter = {
		.volume_id = args->volume_id,
		.vm_id = args->vm_id,
		.since_ms = args->since,
		.until_ms = args->until,
		.before_id = args->cursor,
		.limit = (size_t)args->limit,
	};

	if (find_word(args->type, operation_type_names, "type", &filter.type, &err) < 0 ||
	    find_word(args->status, operation_status_names, "status", &filter.status, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	call_wait_read(call, store_list_operations(call->calls->env->store, &filter, on_operations,
						   call));
}

void operation_answer_stored(struct call *call, const struct operation_record *stored)
{
	struct operation_record shown = { 0 };

	record_copy(&operation_record, &shown, stored);
	operation_show_stored(&shown);
	call_answer(call, &shown);
	record_clear(&operation_record, &shown);
}

static void on_operation(void *arg, const struct store_operations *result)
{
	struct call *call = arg;
	const struct operation_args *args = call->args;

	call_waited(call);
	if (result->err.code)
		call_fail(call, &result->err);
	else if (result->count == 0)
		call_failf(call, ERR_NOT_FOUND, "operation %s does not exist", args->operation_id);
	else if (call->method == &methods[METHOD_OPERATION_CANCEL])
		call_failf(call, ERR_CONFLICT, "operation %s has already ended: %s",
			   args->operation_id, operation_status_names[result->items[0].status]);
	else
		operation_answer_stored(call, &result->items[0]);
}

/* An operation that is in memory but not yet durable has been promised to no client and does not
 * exist for clients. */
static struct operation *find_living(struct call *call, const char *id)
{
	struct operation *operation = operation_find(call->calls->engine, id);

	return operation && !operation->accepting ? operation : NULL;
}

void operation_get(struct call *call)
{
	const struct operation_get_args *args = call->args;
	const struct operation *operation = find_living(call, args->operation_id);

	if (!operation) {
		call_wait_read(call, store_find_operation(call->calls->env->store,
							  args->operation_id, on_operation, call));
	} else if (args->wait > 0 && operation->phase != PHASE_ENDED) {
		await(call, args->operation_id, false, args->wait * 1000);
		call_wait_may_end(call, on_hurry);
	} else {
		call_answer(call, operation_shown(operation));
	}
}

void operation_cancel_asked(struct call *call)
{
	const struct operation_cancel_args *args = call->args;
	struct operation *operation = find_living(call, args->operation_id);
	struct err err = { 0 };

	if (!operation) {
		call_wait_read(call, store_find_operation(call->calls->env->store,
							  args->operation_id, on_operation, call));
	} else if (operation_may_cancel(operation, &err) < 0) {
		call_fail(call, &err);
	} else if (plan_ends(call, "Stop operation %s (%s), and undo its steps so far.",
			     operation->record.id, operation_type_names[operation->record.type])) {
		return;
	} else if (operation_cancel(operation, call->asked_by, &err) < 0) {
		call_fail(call, &err);
	} else {
		/* The answer comes when the cancellation is durable: a granted cancellation
		 * survives a crash. */
		await(call, args->operation_id, true, CANCEL_PATIENCE_MS);
	}
}
