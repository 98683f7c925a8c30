/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Operations that are disturbed in every way there is. A scenario is one operation with what must
 * be there before and what must be true afterwards, however often somebody pulled the plug in
 * between.
 */

#include "fixture.h"

struct scenario {
	const char *name;
	void (*prepare)(struct world *world);
	struct reply *(*begin)(struct world *world);
	void (*meddle)(struct world *world); /* before each turn; NULL: nobody does */
	enum operation_status status;        /* how it must end */
	size_t volumes;                      /* that exist when it has ended so … */
	size_t volumes_before;               /* … and when it was never accepted */
	bool attached, attached_before;      /* the same for VOLUME(1) */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* A new world with a core, prepared. */
struct world *scenario_start(const struct scenario *scenario);
/* Lets time pass. */
void scenario_pass(struct world *world, const struct scenario *scenario, int64_t ms);
/* Until nothing is under way, here and in CloudStack. */
void scenario_finish(struct world *world, const struct scenario *scenario);
/* The operation, if it was ever accepted, has ended as it must, and the world shows it. */
void scenario_check(struct world *world, const struct scenario *scenario);
