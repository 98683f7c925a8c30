/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who uses a device: mounts (of it and its partitions), swap, and kernel devices stacked on top (sysfs holders). Used
 * before anything is taken away from under somebody.
 */

#include "base/buf.h"
#include "base/err.h"

enum usage_kind {
	USAGE_NONE,
	USAGE_HELD, /* mounted, swap, held: may be forced */
	USAGE_ROOT  /* the root file system depends on it: never touched */
};

/*
 * name is the kernel name ("vdb"). what receives the users in words: "mounted at /mnt/x, held by dm-3". proc_root is
 * "/proc", sysfs_root "/sys". When something cannot be read the answer is -1 with err, not "unused".
 */
int usage_of(const char *proc_root, const char *sysfs_root, const char *name, enum usage_kind *kind, struct buf *what,
	     struct err *err);
