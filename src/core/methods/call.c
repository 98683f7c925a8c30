/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one door for every method and every surface. A call begins on a turn of its own and is
 * answered exactly once; if the asker leaves, the call stops waiting. */

#include "core/methods/call.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "core/call.h"
#include "core/env.h"
#include "core/methods/caller.h"
#include "core/methods/calls.h"

/*
 * In the turns between two lists another client is accepted, its request is read, and the call is
 * made. They cost microseconds if there is no such client.
 */
#define LIST_EVERY_TURNS 3
/* Half of the largest answer that surfaces send. */
#define PAGE_WEIGHT_MAX (ANSWER_SIZE_MAX / 2)

static void call_free(struct call *call)
{
	struct calls *calls = call->calls;

	loop_task_cancel(calls->env->loop, &call->begin);
	if (call->awaited)
		call->cancel(TAKE_PTR(call->awaited));
	if (call->state)
		call->free_state(TAKE_PTR(call->state));
	if (call->plan)
		call->free_plan(call->plan);
	TAILQ_REMOVE(&calls->calls, call, entry);
	record_clear(call->method->args, call->args);
	free(call->args);
	caller_clear(&call->caller);
	free(call->asked_by);
	free(call->owner);
	free(call);
}

const char *request_id_of(const struct call *call)
{
	const struct field *field = record_find(call->method->args, "request_id");

	return field ? *(char *const *)field_of_const(field, call->args) : NULL;
}

/*
 * Ends a page where it would be too large for a message. Lists with a cursor are in the order of
 * the field that names an object.
 */
static void cut_page(const struct call *call, struct answer *answer)
{
	enum method_scope scope = SCOPE_MANAGER;
	size_t weight = 0;

	while (scope < SCOPE_COUNT && scopes[scope].record != answer->record)
		scope++;
	if (scope == SCOPE_COUNT || !method_has_pages(call->method))
		return;
	for (size_t i = 0; i < answer->count; i++) {
		weight += record_weight(answer->record, answer_item(answer, i));
		if (i == 0 || weight <= PAGE_WEIGHT_MAX)
			continue;
		answer->count = i;
		answer->next_cursor = scope_id_of(scope, answer_item(answer, i - 1));
	}
}

void call_answer_as(struct call *call, const struct answer *answer)
{
	struct answer cut = *answer;

	if (call->instead && call->instead(call, answer))
		return;
	if (call->method->answer == ANSWER_MANY)
		cut_page(call, &cut);
	call->done(call->arg, &cut);
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
	struct answer answer = { .err = err, .record = call->method->result };

	log_debug("%s by %s: %s", call->method->name, call->caller.surface, err->text);
	call_answer_as(call, &answer);
}

void call_failf(struct call *call, enum err_code code, const char *format, ...)
{
	struct err err;
	va_list args;

	va_start(args, format);
	err_vset(&err, code, format, args);
	va_end(args);
	call_fail(call, &err);
}

struct call *call_new(struct calls *calls, enum method_id id, const void *args,
		      const struct caller *caller, call_done_fn done, void *arg)
{
	struct call *call = xnew(struct call);

	call->calls = calls;
	call->method = &methods[id];
	call->args = xcalloc(1, call->method->args->size);
	record_copy(call->method->args, call->args, args);
	caller_copy(&call->caller, caller);
	call->done = done;
	call->arg = arg;
	TAILQ_INSERT_TAIL(&calls->calls, call, entry);
	return call;
}

static void on_list_turn(struct loop_task *task)
{
	struct call *call = container_of(task, struct call, begin);
	struct loop *loop = call->calls->env->loop;

	if (loop_turns(loop) - call->calls->list_turn < LIST_EVERY_TURNS) {
		loop_task_queue(loop, task);
		return;
	}
	call->calls->list_turn = loop_turns(loop);
	call->list(call);
}

void call_list(struct call *call, void (*list)(struct call *call))
{
	call->list = list;
	call->begin.run = on_list_turn;
	loop_task_queue(call->calls->env->loop, &call->begin);
}

void call_wait(struct call *call, void *awaited, void (*cancel)(void *awaited))
{
	assert(!call->awaited && awaited);
	call->awaited = awaited;
	call->cancel = cancel;
}

void call_wait_may_end(struct call *call, void (*hurry)(void *awaited))
{
	assert(call->awaited);
	call->hurry = hurry;
	if (call->hurried)
		hurry(call->awaited);
}

void call_hurry(struct call *call)
{
	call->hurried = true;
	if (call->awaited && call->hurry)
		call->hurry(call->awaited);
}

void call_waited(struct call *call)
{
	call->awaited = NULL;
	call->hurry = NULL;
}

void call_keep(struct call *call, void *state, void (*free_state)(void *state))
{
	assert(!call->state);
	call->state = state;
	call->free_state = free_state;
}

void call_cancel(struct call *call)
{
	call_free(call);
}
