/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keeps maps and exports as desired. */

#include "base/util.h"

struct device;
struct engine;
struct env;
struct host;
struct host_sync;
struct model;

struct host_sync *host_sync_new(struct env *env, struct model *model, struct host *host,
				struct engine *engine);
struct host_sync *host_sync_free(struct host_sync *sync); /* returns NULL, takes NULL */
/* Compares the present maps and exports with the desired ones, and repairs them. Several causes
 * within a moment lead to one comparison. */
void host_sync_soon(struct host_sync *sync);
/* A disk has come, perhaps under the name of another one: mappings that are not trusted do not tell
 * of that. */
void host_sync_on_disk(struct host_sync *sync);
/* The kernel has told of a block device: a disk that an export waits for may be free. */
void host_sync_on_kernel_event(struct host_sync *sync);
/* The daemon is stopping: no comparison begins any more. */
void host_sync_drain(struct host_sync *sync);
/* The comparison under way is given up, too. */
void host_sync_stop(struct host_sync *sync);
/* The name of an export of ours whose volume is provably not attached here. */
bool host_sync_is_orphan(const struct host_sync *sync, const char *name);
/* The disk of a volume has another size than in CloudStack: the kernel is made to look. */
void host_sync_outgrown(struct host_sync *sync, const struct device *device);
