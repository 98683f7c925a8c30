/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * For steps: the operation waits for an activation in its slot, goes on with next when the goal is
 * reached, looks again for a while when something is away or in use, and fails otherwise. Ends in a
 * verb.
 */

#include "core/host/activation.h"

struct operation;

void activation_step(struct operation *operation, enum activation_goal goal, unsigned parts,
		     const struct device *device);
/* The same with an end of the caller's own: done gets the operation, which waits for it to speak
 * its verb. */
void activation_step_then(struct operation *operation, enum activation_goal goal, unsigned parts,
			  const struct device *device, activation_done_fn done);
/* What activation_step() does with an answer that is an error. */
void activation_step_failed(struct operation *operation, const struct err *err);
/* Another program has the disk to itself, so that no name can lead to it, and that has lasted:
 * looking again is over. */
bool activation_disk_is_taken(const struct operation *operation, const struct err *err);

/* What this process has brought to which disk; part of a context, and not stored. */
struct activation_ensured {
	uint64_t disk;      /* device.seen of the disk that the parts lead to */
	unsigned parts;     /* enum activation_part */
	unsigned under_way; /* parts on their way to it */
};

/* Begins with this disk: what was brought to another one is not there. True: it is another one than
 * before. */
bool activation_ensured_begin(struct activation_ensured *ensured, const struct device *device);
/*
 * True: this process has brought these parts, as far as they are turned on, to the disk it has
 * begun with. False: they are on their way, and done gets the operation and speaks the verb;
 * activation_ensured_add() notes that it worked.
 */
bool activation_ensure_or_wait(struct operation *operation, struct activation_ensured *ensured,
			       unsigned parts, const struct device *device,
			       activation_done_fn done);
void activation_ensured_add(struct activation_ensured *ensured);
