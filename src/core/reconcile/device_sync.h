/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Mappings follow the kernel. */

struct content_probe;
struct device_sync;
struct engine;
struct env;
struct model;

struct device_sync *device_sync_new(struct env *env, struct model *model, struct engine *engine,
				    struct content_probe *content_probe);
struct device_sync *device_sync_free(struct device_sync *sync); /* returns NULL, takes NULL */
/* On the next turn: compares every mapping on this VM with the kernel and commits the differences -
 * another name after a reboot, a device that is gone or is back. */
void device_sync_soon(struct device_sync *sync);
