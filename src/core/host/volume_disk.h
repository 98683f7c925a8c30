/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The disks here that are the volume, mapped or not, or that could be the volume. If disks do not
 * identify themselves, no disk can be told from another after a boot; then every disk of the right
 * size that belongs to no other volume could be the volume.
 */

#include "disk/device.h"

struct host;

/* The first of these disks that appeared after `seen` (device.seen; 0: the first of all); NULL if
 * there is none. guessed (may be NULL) tells whether the disk only could be the volume. */
const struct device *volume_disk_after(const struct host *host, const char *volume_id,
				       uint64_t seen, bool *guessed);
