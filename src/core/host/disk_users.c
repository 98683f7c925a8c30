/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who uses a disk of a volume? The kernel is asked on a worker; our own map and NBD engine are not counted.
 */

#include "core/host/disk_users.h"

#include "core/env.h"
#include "core/host/host.h"
#include "disk/device.h"
#include "disk/usage.h"
#include "dm/devmap.h"
#include "nbd/exporter.h"

struct usage_check *usage_start(struct host *host, const char *volume_id, const struct device *device,
				usage_done_fn done, void *arg)
{
	_cleanup_free_ char *map = xasprintf(DEVMAP_UUID_PREFIX "%s", volume_id);
	struct usage_ignore ours = { .map_uuid = map };
	struct export_health engine = { 0 };

	/* The engine's clients are asked about where the export is closed. */
	if (host->env->options.exporter)
		exporter_health(host->env->options.exporter, &engine);
	ours.pid = engine.pid;
	return usage_check_start(host->env->usage_checker, device->name, &ours, done, arg);
}
