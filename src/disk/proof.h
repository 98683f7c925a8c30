/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is an open disk the disk that was meant? Only disk/ uses this. */

#include "base/err.h"
#include "disk/device.h"

/*
 * disk: the volume's disk, as a scan has shown it. 0: the descriptor is of this very disk, and the
 * disk still has this size and this identity. -1 and ERR_CONFLICT: it is of another disk, or the
 * kernel cannot tell. May block.
 */
int disk_prove(int fd, const struct device *disk, const char *volume_id, const char *sysfs_root,
	       struct err *err);
