/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where the time of an operation went. It is kept in the stored context, so it survives a restart;
 * the time in which no daemon ran is of no part. */

#include "base/err.h"
#include "spec/records.h"

struct operation;

/* Each moment of an operation, from its acceptance to its end, is of exactly one of these. */
enum time_part {
	TIME_OWN,        /* the daemon works, or its store does */
	TIME_WAITING,    /* behind other operations on the volume or the VM */
	TIME_CLOUDSTACK, /* CloudStack's answers, its queue and its jobs */
	TIME_KERNEL,     /* CloudStack is done, and the kernel does not show it yet */
	TIME_PART_COUNT
};

/* The time from now on is of this part. */
void operation_time_is(struct operation *operation, enum time_part part);
/* Shows the time up to now in this record of the operation. */
void operation_show_time(const struct operation *operation, struct operation_record *record);
/* Shows in a record that comes from the store what has no column: the time, the begin, and what
 * follows from the status. */
void operation_show_stored(struct operation_record *record);

/* The kind's context and the time, as the store keeps them; to be freed. */
char *operation_context_to_json(const struct operation *operation);
/* Reads a stored context (NULL: an empty one) into an initialised struct of this shape, without the
 * time. */
int operation_context_from_json(const struct record *shape, const char *text, void *context,
				struct err *err);
/* The same for the initialised context of an operation, which goes on from the time and the begin
 * in the stored one. */
int operation_restore_context(struct operation *operation, const char *text, struct err *err);
