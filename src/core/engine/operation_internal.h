/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two halves of the engine share: operation.c moves operations, operation_life.c makes and keeps them. */

#include "core/internal.h"

static inline const struct step *operation_step(const struct operation *operation)
{
	return &operation->kind->steps[operation->step];
}

/* ---- operation.c ---- */

void operation_init_wakers(struct operation *operation);
/* Commits the operation as it is, with what is staged; what comes next is decided when that has landed. */
void operation_commit(struct operation *operation, const char *previous_status);
/*
 * One that waits, and is now at the head of its queue or in none: start it, or go on where it stood when the daemon
 * stopped. One that is still being accepted, or has been cancelled where it stood, comes back by its own commit. NULL
 * is no operation.
 */
void operation_begin_if_turn(struct operation *operation);
/* Cancel and time-out, in whatever phase it is. */
/* Keeps a copy in *slot; NULL empties it. */
void operation_keep_err(struct err **slot, const struct err *err);
void operation_interrupt(struct operation *operation, const struct err *err);

/* ---- operation_stage.c: into the batch, into the model after it has landed, or forgotten ---- */

void operation_stage_put(struct operation *operation, struct store_batch *batch);
void operation_stage_apply(struct operation *operation);
void operation_stage_drop(struct operation *operation);

/* ---- operation_life.c ---- */

void operation_drop_ended(struct operation *operation);
/* Stops everything the operation waits for; none of its callbacks will run. */
void operation_stop_waiting(struct operation *operation);
bool operation_has_turn(const struct operation *operation);
void operation_leave_queue(struct operation *operation);
/* Into the hashes, by id and by the request's key. */
void operation_link(struct operation *operation);
/* From the hashes and whichever list it is in: unfinished, or ended. */
void operation_unlink(struct operation *operation);
void operation_free(struct operation *operation);
