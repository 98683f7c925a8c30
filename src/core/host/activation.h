/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What stands between a volume's disk and those who use it: the stable name (disk/devmap) and the NBD export on top of
 * it (disk/export). Both say how things shall be, so whatever is asked for twice is there once, and a step may simply
 * run again. Where stable names or exports are turned off, that part is there at once.
 */

#include "base/err.h"

struct core;
struct device;
struct operation;
struct serving;

enum serving_part {
	SERVING_NAME = 1 << 0,
	SERVING_EXPORT = 1 << 1,
	SERVING_ALL = SERVING_NAME | SERVING_EXPORT,
};

enum serving_goal {
	SERVING_THERE,   /* the name leads to the disk, the export answers an NBD client */
	SERVING_GONE,    /* neither is left; ERR_CONFLICT, and nothing done, while somebody uses it */
	SERVING_CUT,     /* the same by force: clients are disconnected, and a name still open is all errors */
	SERVING_ON_HOLD, /* the name stays, and whoever uses it waits for the volume: core/hold says how long */
};

typedef void (*serving_done_fn)(void *arg, const struct err *err);

/* One volume on its way to a goal. done runs exactly once, on a later turn, unless cancelled. device for SERVING_THERE. */
struct serving *serving_start(struct core *core, const char *volume_id, enum serving_goal goal, unsigned parts,
			      const struct device *device, serving_done_fn done, void *arg);
/* What has been begun may still happen; tidying looks what has become of it. Not from inside done. */
void serving_cancel(struct serving *serving);
/* Somebody is at it: wait, and ask again. */
bool serving_is_busy(struct core *core, const char *volume_id);
void servings_free(struct core *core);

/* Where the volume's users find it: under its name, or, where there are no names, at the kernel's. The caller frees it. */
char *served_path(struct core *core, const char *volume_id, const struct device *device);

/*
 * For steps: the operation waits in its slot, goes on with next when the goal is reached, looks again for a while when
 * something is away or in use, and fails otherwise. Ends in a verb.
 */
void serving_step(struct operation *operation, enum serving_goal goal, unsigned parts, const struct device *device);
/* The same with an end of the caller's own: done gets the operation, which waits for it to speak its verb. */
void serving_step_then(struct operation *operation, enum serving_goal goal, unsigned parts, const struct device *device,
		       serving_done_fn done);
/* What serving_step() does with an answer that is an error. */
void serving_step_failed(struct operation *operation, const struct err *err);
/* Another program has the disk to itself, so that no name can lead to it, and that has lasted: looking again is over. */
bool serving_disk_is_taken(const struct operation *operation, const struct err *err);
