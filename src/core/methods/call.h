/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A call under way: its arguments, its caller, and the awaited object of its answer. */

#include "base/queue.h"
#include "core/call.h"
#include "io/loop.h"

struct call {
	TAILQ_ENTRY(call) entry;
	struct calls *calls;
	const struct method *method;
	void *args;           /* of method->args */
	struct caller caller; /* its texts are copies, see caller.h */
	/* JSON: the caller, for the history; only of a method that changes something, and from the
	 * look-up of the user's name on */
	char *asked_by;
	char *owner; /* operation_owner() of asked_by */
	call_done_fn done;
	void *arg;
	struct loop_task begin;
	void (*list)(struct call *call); /* of call_list() */
	/* the wait slot: the object that the answer waits for, NULL: none */
	void *awaited;
	void (*cancel)(void *awaited);
	/* answers what is known when the asker waits no longer; NULL: the call goes on */
	void (*hurry)(void *awaited);
	bool hurried;
	/* the plan that is being made; NULL: the call is a real one (plan.h) */
	struct plan *plan;
	void (*free_plan)(void *plan);
	/* takes an answer in place of the asker; false: the asker gets it. NULL: there is none. */
	bool (*instead)(struct call *call, const struct answer *answer);
	/* the method's own data, until the call is answered or cancelled */
	void *state;
	void (*free_state)(void *state);
};

struct call *call_new(struct calls *calls, enum method_id id, const void *args,
		      const struct caller *caller, call_done_fn done, void *arg);

/* list() runs on a later turn, some turns after the list before it: a list of 1000 volumes costs
 * some milliseconds. */
void call_list(struct call *call, void (*list)(struct call *call));
/* The call waits for one object, whose callback comes on a later turn; the wait is cancelled if the
 * asker leaves before that. */
void call_wait(struct call *call, void *awaited, void (*cancel)(void *awaited));
/* The wait may also end early: hurry() runs, at once or later, if the asker waits no longer. It
 * brings the answer forward to a later turn. */
void call_wait_may_end(struct call *call, void (*hurry)(void *awaited));
/* The callback of the awaited object has come. */
void call_waited(struct call *call);
/* Freed after the wait slot has been emptied. */
void call_keep(struct call *call, void *state, void (*free_state)(void *state));

/* Each answers and frees the call. Items are shown as they are, and stay the caller's. */
void call_answer(struct call *call, const void *item);
void call_answer_many(struct call *call, const void *items, size_t count, const char *next_cursor);
void call_answer_as(struct call *call, const struct answer *answer);
void call_fail(struct call *call, const struct err *err);
void call_failf(struct call *call, enum err_code code, const char *format, ...) _printf_(3, 4);

/* The key of a call that asks for a change, NULL if the client gave none. */
const char *request_id_of(const struct call *call);
