/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * For steps: the operation waits for an activation in its slot. The operation goes on with its next
 * step when the goal is reached, runs the step again for a while if a part is away or in use, and
 * fails otherwise. Ends in a verb.
 */

#include "core/host/activation.h"

struct operation;

void activation_step(struct operation *operation, enum activation_goal goal, unsigned parts,
		     const struct device *device);
/* The same with the caller's own end: done gets the operation as its argument, and must speak a
 * verb. */
void activation_step_then(struct operation *operation, enum activation_goal goal, unsigned parts,
			  const struct device *device, activation_done_fn done);
/* The error may pass: activation_step() runs the step again for it. */
bool activation_step_is_passing(const struct operation *operation, const struct err *err);
/* Handles an error the way activation_step() does. */
void activation_step_failed(struct operation *operation, const struct err *err);
/* True if another program has the disk to itself, so that no name can lead to it, and has had it
 * for so long that running the step again does not help. */
bool activation_disk_is_taken(const struct operation *operation, const struct err *err);

/* Which parts this process has brought to which disk; part of a context, and not stored. */
struct activation_ensured {
	uint64_t disk;      /* device.seen of the disk that the parts lead to */
	unsigned parts;     /* enum activation_part */
	unsigned under_way; /* parts on their way to the disk */
};

/* Begins with this disk, and forgets the parts that were brought to another disk. True: the disk is
 * not the same as before. */
bool activation_ensured_begin(struct activation_ensured *ensured, const struct device *device);
/*
 * True: this process has brought these parts, as far as they are turned on, to the disk it has
 * begun with. False: the parts are on their way, and done gets the operation and speaks a verb; on
 * success done calls activation_ensured_add().
 */
bool activation_ensure_or_wait(struct operation *operation, struct activation_ensured *ensured,
			       unsigned parts, const struct device *device,
			       activation_done_fn done);
void activation_ensured_add(struct activation_ensured *ensured);
