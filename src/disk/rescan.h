/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Makes the kernel read the size of a SCSI disk anew. A virtio disk tells the kernel when it has
 * grown; SCSI disks of some hypervisors (VMware, Xen) do not.
 *
 * The kernel asks the disk, which may never answer, so each rescan is made on a thread. A rescan
 * that does not end within its deadline is given up (ERR_TIMEOUT) and its thread is replaced; while
 * RESCAN_STUCK_MAX threads are stuck, rescans are refused (ERR_UNAVAILABLE).
 */

#include "base/err.h"
#include "io/loop.h"

struct rescanner;
struct rescan;

#define RESCAN_STUCK_MAX 4

/*
 * ERR_FORBIDDEN: this process has no right to it; ERR_NOT_FOUND: the disk cannot be rescanned, or
 * is gone. Never inside rescan_start().
 */
typedef void (*rescan_done_fn)(void *arg, const struct err *err);

struct rescanner *rescanner_new(struct loop *loop, const char *sysfs_root, int64_t timeout_ms,
				const char *setting);
/* pending ones are dropped; takes and returns NULL */
struct rescanner *rescanner_free(struct rescanner *rescanner);
/* name is the kernel's ("sdb"), and is copied. */
struct rescan *rescan_start(struct rescanner *rescanner, const char *name, rescan_done_fn done,
			    void *arg);
void rescan_cancel(struct rescan *rescan); /* done will not run; not from inside done */
