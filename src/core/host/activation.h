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
/*
 * While a claim is held, only its holder changes the volume's map or export: others see it busy, wait, and ask again.
 * volume_id is copied.
 */
struct activation_claim *activation_claim(struct core *core, const char *volume_id);
struct activation_claim *activation_release(struct activation_claim *claim); /* returns NULL, takes NULL */
/* An activation of the volume is under way, or a claim is held. */
bool serving_is_busy(struct core *core, const char *volume_id);
void servings_free(struct core *core);
