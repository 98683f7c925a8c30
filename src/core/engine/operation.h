/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The operation engine.
 *
 * An operation is a table of steps and a context. The engine alone moves it: it commits the step
 * number and the context, then runs the step (a step with no effect outside needs no commit, see
 * at_once), and the step ends in exactly one verb - next, back, fail, again or wait. Every step is
 * written to be run twice, because after a crash the engine simply runs the stored step again. When
 * a step fails, is cancelled or is overdue (the same path), the engine undoes the steps from there
 * backwards, the failed step included, by their undo functions and the same verbs.
 *
 * Operations on one volume queue first-in first-out; the others run side by side. All operations
 * end through one exit, which commits, frees the queue and tells all listeners once.
 */

#include "core/engine/operation_table.h"

/* ---- verbs: for steps and for the callbacks they wait for ---- */

void operation_next(struct operation *operation);
void operation_fail(struct operation *operation, const struct err *err);
void operation_failf(struct operation *operation, enum err_code code, const char *format, ...)
	_printf_(3, 4);
/*
 * The operation has failed with err, which is copied, and a callback will come that fails it with
 * words that help more. It comes in its own time: the step has no deadline any more, and a cancel
 * comes too late. awaited and kind are those of operation_wait().
 */
void operation_fail_after(struct operation *operation, const struct err *err, void *awaited,
			  const struct wait_kind *kind);
/* Run this step again after delay_ms or when woken. The text names the event that the step waits
 * for; if the step becomes overdue, the error shows the text. */
void operation_again(struct operation *operation, int64_t delay_ms, const char *format, ...)
	_printf_(3, 4);
/*
 * Goes back by so many steps, 0 for this step: commits the context as the step has changed it, then
 * runs the earlier step anew. The new run has its whole time again, so the caller bounds the number
 * of runs.
 */
void operation_back(struct operation *operation, size_t steps);
/*
 * Commits the context as the step has changed it, then runs the step again. Unlike after
 * operation_back(operation, 0), the step may have had its effect before, and its time goes on.
 */
void operation_store(struct operation *operation);
/*
 * A callback will come, once and on a later turn, and use one of these verbs; the wait is cancelled
 * if the operation is interrupted before. kind describes the awaited object, and outlives the
 * operation.
 */
void operation_wait(struct operation *operation, void *awaited, const struct wait_kind *kind);

/*
 * For the first step, while nothing has been done: the step has found out that the operation
 * changes this VM, NULL: none. True: the operation has the turn of that VM, or needs none. False:
 * the step has ended, and the operation is pending and begins anew when it has the turn.
 */
bool operation_on_vm_or_queued(struct operation *operation, const char *vm_id);
/* No verb. For a step that needs no turn of a VM: the steps from the next one on, or their undo,
 * change this VM. */
void operation_go_to_vm(struct operation *operation, const char *vm_id);
/* No verb. The operation changes its volume no more, and is not undone: others on the volume, and
 * all that keeps its mapping, name and export up to date, need not wait for its end. */
void operation_leave_volume(struct operation *operation);
/* Also for the first step, which ends: the operation is pending, and begins anew when the other
 * operation on the same VM, which has begun, has ended. */
void operation_queue_behind(struct operation *operation, struct operation *other);
/* No verb. In the first step: other operations may have the VM's turn until the step runs again. In
 * a later step this has no effect. */
void operation_give_way(struct operation *operation);

/* ---- for steps ---- */

/* Changes of the volume that become true with the next commit, which ends this step; dropped if the
 * step fails. */
struct change *operation_change(struct operation *operation);
/* The same, without the changes that an earlier run of this step has put there. */
struct change *operation_change_anew(struct operation *operation);

/* JSON: the caller of what the daemon does on its own. */
#define OPERATION_CALLER_DAEMON "{\"surface\":\"daemon\"}"

/* ERR_CONFLICT if the operation has ended or can only go forward. */
int operation_may_cancel(const struct operation *operation, struct err *err);
/* The same, and cancels it. caller: JSON, who asks. */
int operation_cancel(struct operation *operation, const char *caller, struct err *err);

/* ---- for the engine ---- */

void operation_init_wakers(struct operation *operation);
/* Commits the operation as it is, with its staged change; the end of the commit decides the next
 * move. */
void operation_commit(struct operation *operation, const char *previous_status);
/*
 * If the operation waits and is at the head of its queues or in none: starts the operation, or
 * resumes it where it stood when the daemon stopped. An operation that is still being accepted, or
 * was cancelled while it stood still, comes back by its own commit. NULL changes nothing.
 */
void operation_begin_if_turn(struct operation *operation);
/* A pending operation ends with this error. */
void operation_end_queued(struct operation *operation, const struct err *err);
/* Cancels the operation or ends its time, in any phase. */
void operation_interrupt(struct operation *operation, const struct err *err);
void operation_on_deadline(struct loop_timer *timer); /* operation->deadline is over */
int64_t operation_step_deadline_ms(const struct operation *operation);
/* The present step, or a step before it, is marked no_return. */
bool operation_is_past_return(const struct operation *operation);
