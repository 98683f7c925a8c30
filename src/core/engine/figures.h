/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many operations there were since the start, how long they took, and where the time went. */

#include "base/metric.h"
#include "core/engine/time_spent.h"

struct engine;
struct engine_figures;
struct operation;

extern const char *const time_part_names[TIME_PART_COUNT];

struct engine_figures *engine_figures_new(void);
struct engine_figures *engine_figures_free(struct engine_figures *figures); /* returns NULL */

void figures_note_time(const struct operation *operation, enum time_part part, int64_t ms);
/* A step begins; NULL: the last one has ended. */
void operation_step_begins(struct operation *operation, const char *name);
void operation_has_ended(const struct operation *operation);

void engine_put_metrics(const struct engine *engine, struct buf *out);
