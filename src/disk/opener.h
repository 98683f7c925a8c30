/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Opens the disk of a volume, and checks by the open descriptor that it is this disk and no other
 * (disk/proof.h).
 *
 * Opening a disk and reading its serial may hang without end, so both are done on a thread. Work
 * that does not end within its deadline is given up (ERR_TIMEOUT) and its thread is replaced; while
 * OPENER_STUCK_MAX threads are stuck, or one with the same disk, requests are refused
 * (ERR_UNAVAILABLE).
 */

#include "base/err.h"
#include "disk/device.h"
#include "io/loop.h"

struct disk_opener;
struct disk_opening;

#define OPENER_AT_ONCE 2
#define OPENER_STUCK_MAX 8

/*
 * fd is valid during the callback, and -1 if err says why there is none. ERR_CONFLICT: the name has
 * passed to another disk, or the disk has changed. ERR_FORBIDDEN: the kernel does not let us.
 */
typedef void (*disk_opened_fn)(void *arg, int fd, const struct err *err);

/* setting: as blocking_options.setting */
struct disk_opener *disk_opener_new(struct loop *loop, const char *sysfs_root, int64_t timeout_ms,
				    const char *setting);
/* pending requests are dropped; takes and returns NULL */
struct disk_opener *disk_opener_free(struct disk_opener *opener);
/* disk: the volume's, as the last scan has shown it; it and volume_id are copied. done runs once,
 * on a later turn, unless cancelled. */
struct disk_opening *disk_open_start(struct disk_opener *opener, const struct device *disk,
				     const char *volume_id, bool read_only, disk_opened_fn done,
				     void *arg);
void disk_open_cancel(struct disk_opening *opening); /* not from inside done */
