/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Questions about operations. Living ones are answered from memory, ended ones by the store; a caller can wait for the
 * end of an operation, and a cancellation is answered when it is durable.
 */

#include "core/methods/operation_methods.h"

#include "core/core_parts.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/event.h"
#include "core/methods/call.h"
#include "core/model/event.h"
#include "store/store.h"

/* What a cancelled operation is doing just now is not always interrupted at once. */
#define CANCEL_PATIENCE_MS 10000

static struct call *find_awaiting(struct core *core, const char *operation_id, bool undoing)
{
	struct call *call;

	TAILQ_FOREACH(call, &core->calls, entry) {
		if (call->awaits && streq(call->awaits, operation_id) && (!undoing || call->awaits_undo))
			return call;
	}
	return NULL;
}

/* From the start each time: whoever is answered may cancel any other call. */
static void answer_awaiting(struct core *core, const struct operation_record *record, bool undoing)
{
	struct call *call;

	while ((call = find_awaiting(core, record->id, undoing)))
		call_answer(call, record);
}

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	struct core *core = container_of(listener, struct core, waiters_listener);

	if (event->type == EVENT_OPERATION_CHANGED && event->operation->undoing)
		answer_awaiting(core, event->operation, true);
	else if (event->type == EVENT_OPERATION_ENDED)
		answer_awaiting(core, event->operation, false);
}

void operation_methods_begin(struct core *core)
{
	core->waiters_listener.on_event = on_event;
	events_listen(core, &core->waiters_listener);
}

void operation_methods_end(struct core *core)
{
	events_unlisten(core, &core->waiters_listener);
}

static int find_word(const char *word, const char *const *names, const char *field, int *out, struct err *err)
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

static void on_operations(void *arg, const struct store_operations *result)
{
	struct call *call = arg;
	const char *cursor = NULL;

	call->store_read = NULL;
	if (result->err.code) {
		call_fail(call, &result->err);
		return;
	}
	if (result->more && result->count > 0)
		cursor = result->items[result->count - 1].id;
	call_answer_many(call, result->items, result->count, cursor);
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
	call->store_read = store_list_operations(call->core->store, &filter, on_operations, call);
}

static void on_operation(void *arg, const struct store_operations *result)
{
	struct call *call = arg;
	const struct operation_args *args = call->args;

	call->store_read = NULL;
	if (result->err.code)
		call_fail(call, &result->err);
	else if (result->count == 0)
		call_failf(call, ERR_NOT_FOUND, "operation %s does not exist", args->operation_id);
	else if (call->method == &methods[METHOD_OPERATION_CANCEL])
		call_failf(call, ERR_CONFLICT, "operation %s has already ended: %s", args->operation_id,
			   operation_status_names[result->items[0].status]);
	else
		call_answer(call, &result->items[0]);
}

static void on_patience_over(struct loop_timer *timer)
{
	struct call *call = container_of(timer, struct call, patience);
	const struct operation *operation = operation_find(call->core, call->awaits);

	if (operation)
		call_answer(call, &operation->record);
	else
		call_failf(call, ERR_NOT_FOUND, "operation %s does not exist", call->awaits);
}

/* Operations that are in memory but not yet durable have been promised to nobody and do not exist. */
static struct operation *find_living(struct call *call, const char *id)
{
	struct operation *operation = operation_find(call->core, id);

	return operation && !operation->accepting ? operation : NULL;
}

static void await(struct call *call, const char *operation_id, int64_t patience_ms)
{
	call->awaits = operation_id;
	call->patience.fire = on_patience_over;
	loop_timer_set(call->core->loop, &call->patience, patience_ms);
}

void operation_get(struct call *call)
{
	const struct operation_get_args *args = call->args;
	const struct operation *operation = find_living(call, args->operation_id);

	if (!operation) {
		call->store_read = store_find_operation(call->core->store, args->operation_id, on_operation, call);
	} else if (args->wait > 0 && operation->phase != PHASE_ENDED) {
		await(call, args->operation_id, args->wait * 1000);
	} else {
		call_answer(call, &operation->record);
	}
}

void operation_cancel_asked(struct call *call)
{
	const struct operation_args *args = call->args;
	struct operation *operation = find_living(call, args->operation_id);
	struct err err = { 0 };

	if (!operation) {
		call->store_read = store_find_operation(call->core->store, args->operation_id, on_operation, call);
	} else if (operation_cancel(operation, &err) < 0) {
		call_fail(call, &err);
	} else {
		/* Answered when the store knows of it: a cancellation that was granted survives a crash. */
		call->awaits_undo = true;
		await(call, args->operation_id, CANCEL_PATIENCE_MS);
	}
}
