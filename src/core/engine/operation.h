/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The operation engine.
 *
 * An operation is a table of steps and a context. The engine alone moves it: it commits the step
 * number and the context, then runs the step, and the step ends in exactly one verb - next, fail,
 * again or wait. Every step is written to be run twice, because after a crash the engine simply
 * runs the stored step again. When a step fails, is cancelled or overdue (the same path), the steps
 * are taken back from there, the failed one included, by their undo functions and the same verbs.
 *
 * Operations on one volume queue first-in first-out; the others run side by side. There is one
 * exit, which commits, frees the queue and tells everybody once.
 */

#include "core/engine/operation_table.h"

/* ---- verbs: for steps and for the callbacks they wait for ---- */

void operation_next(struct operation *operation);
void operation_fail(struct operation *operation, const struct err *err);
void operation_failf(struct operation *operation, enum err_code code, const char *format, ...)
	_printf_(3, 4);
/* Run this step again after delay_ms or when woken; the text says what it waits for and is shown
 * when it is overdue. */
void operation_again(struct operation *operation, int64_t delay_ms, const char *format, ...)
	_printf_(3, 4);
/*
 * A callback will come, once and on a later turn, and say one of these verbs; it is cancelled if
 * the operation is interrupted before. Whoever has something to wait for brings its kind, which
 * outlives the operation.
 */
void operation_wait(struct operation *operation, void *awaited, const struct wait_kind *kind);

/* ---- for steps ---- */

/* What becomes true of the volume with the next commit, which ends this step; dropped if the step
 * fails. */
struct change *operation_change(struct operation *operation);
/* The same, and what an earlier run of this step has put there is dropped. */
struct change *operation_change_anew(struct operation *operation);

/* ERR_CONFLICT when it has ended or can only go forward. */
int operation_cancel(struct operation *operation, struct err *err);

/* ---- for the engine ---- */

void operation_init_wakers(struct operation *operation);
/* Commits the operation as it is, with what is staged; what comes next is decided when that has
 * landed. */
void operation_commit(struct operation *operation, const char *previous_status);
/*
 * One that waits, and is now at the head of its queue or in none: start it, or go on where it stood
 * when the daemon stopped. One that is still being accepted, or has been cancelled where it stood,
 * comes back by its own commit. NULL is no operation.
 */
void operation_begin_if_turn(struct operation *operation);
/* Cancel and time-out, in whatever phase it is. */
void operation_interrupt(struct operation *operation, const struct err *err);
