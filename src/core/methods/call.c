/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The one door: what is the same for every method and every surface. A call begins on a turn of its own and is answered
 * exactly once; whatever it waits for is let go when the asker leaves.
 */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "core/host/activation.h"
#include "core/internal.h"

static void call_free(struct call *call)
{
	struct core *core = call->core;

	loop_task_cancel(core->loop, &call->begin);
	loop_timer_clear(core->loop, &call->patience);
	if (call->cloud_call)
		cloud_call_cancel(call->cloud_call);
	if (call->store_read)
		store_read_cancel(call->store_read);
	if (call->usage_check)
		usage_check_cancel(call->usage_check);
	if (call->serving)
		serving_cancel(call->serving);
	if (call->export_call)
		export_cancel(call->export_call);
	if (call->export_commit)
		export_commit_forget(call->export_commit);
	if (call->sweep)
		sweep_free(call->sweep);
	if (call->accepting)
		operation_forget_asker(call->accepting);
	TAILQ_REMOVE(&core->calls, call, entry);
	record_clear(call->method->args, call->args);
	free(call->args);
	free(call);
}

void call_answer_as(struct call *call, const struct answer *answer)
{
	call->done(call->arg, answer);
	call_free(call);
}

void call_answer(struct call *call, const void *item)
{
	call_answer_many(call, item, 1, NULL);
}

void call_answer_many(struct call *call, const void *items, size_t count, const char *next_cursor)
{
	struct answer answer = {
		.record = call->method->result,
		.items = items,
		.count = count,
		.next_cursor = next_cursor,
	};

	call_answer_as(call, &answer);
}

void call_fail(struct call *call, const struct err *err)
{
	struct answer answer = { .err = *err, .record = call->method->result };

	log_debug("%s by %s: %s", call->method->name, call->caller.surface, err->text);
	call_answer_as(call, &answer);
}

void call_failf(struct call *call, enum err_code code, const char *format, ...)
{
	struct err err = { .code = code };
	va_list args;

	va_start(args, format);
	vsnprintf(err.text, sizeof(err.text), format, args);
	va_end(args);
	call_fail(call, &err);
}

static int check(struct call *call, struct err *err)
{
	const struct method *method = call->method;

	if (method->access > call->caller.access)
		return err_set(err, ERR_FORBIDDEN, "%s needs more rights than this caller has", method->name);
	return record_check_required(method->args, call->args, err);
}

void call_admit(struct call *call)
{
	struct err err = { 0 };

	if (call->method->answer == ANSWER_OPERATION && health_check_changes(call->core, &err) < 0)
		call_fail(call, &err);
	else
		impls[call->method - methods](call);
}

static void on_begin(struct loop_task *task)
{
	struct call *call = container_of(task, struct call, begin);
	struct err err = { 0 };

	if (check(call, &err) < 0)
		call_fail(call, &err);
	else if (request_id_of(call))
		request_begin(call);
	else
		call_admit(call);
}

struct call *call_start(struct core *core, enum method_id id, const void *args, const struct caller *caller,
			call_done_fn done, void *arg)
{
	struct call *call = xnew(struct call);

	assert(id < METHOD_COUNT);
	call->core = core;
	call->method = &methods[id];
	call->args = xcalloc(1, call->method->args->size);
	record_copy(call->method->args, call->args, args);
	call->caller = *caller;
	call->done = done;
	call->arg = arg;
	call->begin.run = on_begin;
	TAILQ_INSERT_TAIL(&core->calls, call, entry);
	loop_task_queue(core->loop, &call->begin);
	return call;
}

void call_cancel(struct call *call)
{
	call_free(call);
}

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

static struct call *find_joined(struct core *core, const struct operation *operation)
{
	struct call *call;

	TAILQ_FOREACH(call, &core->calls, entry) {
		if (call->joined == operation)
			return call;
	}
	return NULL;
}

void calls_on_accepted(struct operation *operation, const struct err *err)
{
	struct call *call;

	while ((call = find_joined(operation->core, operation))) {
		if (err->code)
			call_fail(call, err);
		else
			call_answer(call, &operation->record);
	}
}

void calls_on_changed(struct core *core, const struct operation_record *record)
{
	if (record->undoing)
		answer_awaiting(core, record, true);
}

void calls_on_ended(struct core *core, const struct operation_record *record)
{
	answer_awaiting(core, record, false);
}

void calls_free(struct core *core)
{
	struct call *call;

	while ((call = TAILQ_FIRST(&core->calls)))
		call_free(call);
}
