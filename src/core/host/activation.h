/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The layers between a volume's disk and its users: the stable name (dm/devmap) and the NBD export
 * on top of it (nbd/exporter). A request names the desired state, so a repeated request changes
 * nothing, and a step may simply run again. If stable names or exports are turned off, that part is
 * done at once.
 */

#include "base/err.h"

struct host;
struct device;
struct activation;

enum activation_part {
	ACTIVATION_MAP = 1 << 0,
	ACTIVATION_EXPORT = 1 << 1,
	ACTIVATION_ALL = ACTIVATION_MAP | ACTIVATION_EXPORT,
};

enum activation_goal {
	ACTIVATION_UP, /* the name leads to the disk, the export answers an NBD client */
	/* no name and no export is left; ERR_CONFLICT, and no change, while a program uses them */
	ACTIVATION_DOWN,
	/* the same by force: clients are disconnected, and a name that is open gives errors only */
	ACTIVATION_FORCED_DOWN,
	/* the name stays, and its users wait for the volume: host/suspended says how long */
	ACTIVATION_SUSPENDED,
};

typedef void (*activation_done_fn)(void *arg, const struct err *err);
/*
 * Each activation looks for the users of a disk before it exports the disk. True: the export was
 * not made, because the disk has users (the error names them), or its users are not known, or
 * another program listens on the address of the exports; the other parts were made. An export that
 * is served already stays.
 */
bool activation_export_waits(const struct err *err);

/* One volume on its way to a goal. done runs exactly once, on a later turn, unless cancelled.
 * device for ACTIVATION_UP. */
struct activation *activation_start(struct host *host, const char *volume_id,
				    enum activation_goal goal, unsigned parts,
				    const struct device *device, activation_done_fn done,
				    void *arg);
/* An activation that has begun may still take effect; the reconciler finds its result. Not from
 * inside done. */
void activation_cancel(struct activation *activation);
/* While a claim is held, only its holder changes the volume's map or export: other callers find the
 * volume busy, wait, and ask again. volume_id is copied. */
struct activation_claim *activation_claim(struct host *host, const char *volume_id);
/* returns NULL, takes NULL */
struct activation_claim *activation_release(struct activation_claim *claim);
/* An activation of the volume is under way, or a claim is held. */
bool activation_is_busy(struct host *host, const char *volume_id);
void activations_free(struct host *host);
