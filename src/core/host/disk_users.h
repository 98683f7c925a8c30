/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who uses a disk of a volume on this machine? */

#include "disk/usage.h"

struct host;
struct device;

/* Who uses this disk of a volume, but for our own map and NBD engine? done runs once, on a later turn, unless cancelled. */
struct usage_check *usage_start(struct host *host, const char *volume_id, const struct device *device,
				usage_done_fn done, void *arg);
