/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A call under way: what was asked, by which caller, and what the answer waits for.
 */

#include <sys/queue.h>

#include "core/call.h"
#include "core/methods/detach_precheck.h"
#include "io/loop.h"

struct call {
	TAILQ_ENTRY(call) entry;
	struct core *core;
	const struct method *method;
	void *args; /* of method->args */
	struct caller caller;
	call_done_fn done;
	void *arg;
	struct loop_task begin;
	/* what it waits for, at most one of these */
	struct cloud_call *cloud_call;
	struct store_read *store_read;
	struct serving *serving;
	struct export_call *export_call;
	struct export_commit *export_commit;
	struct usage_check *usage_check;
	const char *about;                  /* the volume that is looked whether it is in use; in args */
	enum in_use_leave leave;            /* even then */
	bool looked;                        /* once already, for clients of its export */
	void (*proceed)(struct call *call); /* when it is not */
	bool was_wished;                    /* the export was to be there before it was asked for */
	struct sweep *sweep;                /* several exports are being removed for it */
	const char *serves; /* the volume whose export it changes: whoever else wants to waits; in args */
	struct operation *accepting;
	struct operation
		*joined;    /* another call's operation that is being accepted: it was asked for under the same key */
	const char *awaits; /* id of an operation whose end is awaited; in args */
	bool awaits_undo;   /* its turning back will do */
	bool awaits_sync;   /* a comparison that begins after the question */
	bool in_sync;       /* the comparison under way is for it */
	struct loop_timer patience;
};

/* Each answers and frees the call. Items are shown as they are, and stay the caller's. */
void call_answer(struct call *call, const void *item);
void call_answer_many(struct call *call, const void *items, size_t count, const char *next_cursor);
void call_answer_as(struct call *call, const struct answer *answer);
void call_fail(struct call *call, const struct err *err);
void call_failf(struct call *call, enum err_code code, const char *format, ...) _printf_(3, 4);

/* The key of a call that asks for a change, NULL when it gave none. */
const char *request_id_of(const struct call *call);
void calls_free(struct core *core);
