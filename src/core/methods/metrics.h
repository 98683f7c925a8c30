/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many operations there were, counted from the store. */

struct call;
struct calls;
struct metrics;

struct metrics *metrics_new(struct calls *calls);
/* No call waits any more. Returns NULL, takes NULL. */
struct metrics *metrics_free(struct metrics *metrics);
void metrics_get(struct call *call);
