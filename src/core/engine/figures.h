/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many operations there were since the start, how long they took, and where the time went. */

#include "base/metric.h"
#include "spec/records.h"

struct engine;
struct engine_figures;
struct operation;

/* Each moment of an operation, from its acceptance to its end, is of exactly one of these. */
enum time_part {
	TIME_OWN,        /* the daemon works, or its store does */
	TIME_WAITING,    /* behind other operations on the volume or the VM */
	TIME_CLOUDSTACK, /* CloudStack's answers, its queue and its jobs */
	TIME_KERNEL,     /* CloudStack is done, and the kernel does not show it yet */
	TIME_PART_COUNT
};

struct engine_figures *engine_figures_new(void);
struct engine_figures *engine_figures_free(struct engine_figures *figures); /* returns NULL */

/* The time from now on is of this part. */
void operation_time_is(struct operation *operation, enum time_part part);
/* A step begins; NULL: the last one has ended. */
void operation_step_begins(struct operation *operation, const char *name);
void operation_has_ended(const struct operation *operation);

void engine_put_metrics(const struct engine *engine, struct buf *out);
