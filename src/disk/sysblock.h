/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kernel's disks, read from /sys/block.
 *
 * Every scan_ms the directory is listed, names and inodes only; attributes are read for new
 * entries, and sizes of the others again in slices, since not every change raises an event. A
 * kernel uevent only makes the next scan early. Only the scan counts, and the scan alone is enough.
 * Partitions, empty drives and zero-sized disks are not listed, nor are devices that stand for
 * something else (dm, md, nbd, ram, zram, CD drives, …) and loop devices without a file.
 *
 * A disk whose bus can give an identity, but which has not given it yet, is held back for
 * SYSBLOCK_HELD_MS and read again in each scan (SYSBLOCK_SETTLE_MS apart, or sooner) before it is
 * taken for a disk without identity. Disks that the first scan finds are the exception: they are
 * listed at once, and if such a disk gives its identity in that time, it is removed() and added()
 * again, now with its identity and the same `seen`. Later, a disk without identity is read again
 * only if sysblock_ask_identities() asks for that. An identity is final.
 *
 * A new inode under an old name or another diskseq is another disk: removed() and added(). All
 * callbacks of a scan come at its end, first those for removed disks, then for changed sizes, then
 * for added disks; a callback may query and wake, but neither scan nor close.
 *
 * If the directory cannot be read, nothing is known: the devices stay as they were, health says
 * why, and every tick tries again.
 */

#include "base/err.h"
#include "disk/device.h"
#include "io/loop.h"

#define SYSBLOCK_HELD_MS 300
#define SYSBLOCK_SETTLE_MS 100
#define SYSBLOCK_ENTRIES_MAX 65536 /* a directory with more of them counts as unreadable */

struct sysblock;

struct sysblock_options {
	const char *sysfs_root; /* "/sys"; the scan reads <root>/block */
	const char *dev_root;   /* "/dev" */
	int64_t scan_ms;
	unsigned buses; /* bits (1 << enum device_bus) of the buses to look at */
	bool uevents;   /* listen for kernel uevents too */
};

struct sysblock_listener {
	void *arg;
	void (*added)(void *arg, const struct device *device);
	void (*removed)(void *arg, const struct device *device);
	void (*resized)(void *arg, const struct device *device, uint64_t old_size);
	/* The kernel has sent an event about a block device of any kind. Never during a scan. */
	void (*stirred)(void *arg);
};

/* Makes the first scan before it returns (callbacks are not called for it). */
struct sysblock *sysblock_open(struct loop *loop, const struct sysblock_options *options,
			       const struct sysblock_listener *listener, struct err *err);
struct sysblock *sysblock_close(struct sysblock *sysblock); /* returns NULL, takes NULL */

/* What the options need of this machine: the folder of its disks, and short names. */
int sysblock_check(const char *sysfs_root, const char *dev_root, struct err *err);
/* How often the directory is read, from now on. */
void sysblock_set_interval(struct sysblock *sysblock, int64_t scan_ms);
/* Looks now; callbacks run before it returns. -1 if the directory can't be read. */
int sysblock_scan(struct sysblock *sysblock, struct err *err);
/*
 * Brings the next scan forward to the next turn of the loop, or to 50 ms after the last scan that
 * was brought forward, so that many calls cost few scans.
 */
void sysblock_wake(struct sysblock *sysblock);
/*
 * For an operation that waits for a disk: the next scan, brought forward, asks the listed disks
 * that gave no identity once more, since a disk may be slow to tell it. A disk that gives its
 * identity then is removed() and added() again, with the same `seen`.
 */
void sysblock_ask_identities(struct sysblock *sysblock);

size_t sysblock_count(const struct sysblock *sysblock);
/*
 * Valid until the next scan. The devices lie one behind the other, sorted by name: at(0) is the
 * whole array.
 */
const struct device *sysblock_at(const struct sysblock *sysblock, size_t index);
/* NULL if not there */
const struct device *sysblock_find(const struct sysblock *sysblock, const char *name);
/*
 * Re-reads inode, identity, diskseq and size of one device right now: true if it is still the very
 * same disk. A value that cannot be read counts as different.
 */
bool sysblock_verify(struct sysblock *sysblock, const struct device *device);
/*
 * The last scan found a disk that is held back: it is there, but listed only by one of the next
 * scans.
 */
bool sysblock_is_settling(const struct sysblock *sysblock);
/* The highest diskseq ever seen, 0 if the kernel has none. */
uint64_t sysblock_last_diskseq(const struct sysblock *sysblock);
uint64_t sysblock_last_seen(const struct sysblock *sysblock);

struct sysblock_health {
	bool ok;
	bool uevents; /* a uevent socket is open */
	char reason[ERR_TEXT_SIZE];
	uint64_t scans;
	uint64_t changes; /* devices that came, went or changed size */
};
void sysblock_health(const struct sysblock *sysblock, struct sysblock_health *out);
