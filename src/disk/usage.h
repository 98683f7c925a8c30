/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who uses a disk, asked before it is taken away from under somebody: mounts of it and of whatever
 * stands on it, in every mount namespace that a process shows; swap; the kernel's devices stacked
 * on top; file descriptors.
 *
 * The scan is made on a worker of its own, since a file system or a disk that does not answer may
 * hold it up. A scan that does not end within its deadline is given up (ERR_TIMEOUT) and its worker
 * replaced, at most USAGE_STUCK_MAX times while the stuck ones stay stuck.
 */

#include "base/err.h"
#include "io/loop.h"

struct usage_checker;
struct usage_check;

#define USAGE_STUCK_MAX 4

enum usage_kind {
	USAGE_NONE,
	USAGE_HELD, /* mounted, swap, held, open: may be forced */
	USAGE_ROOT  /* this system depends on it: never touched */
};

struct usage_options {
	const char *proc_root;  /* "/proc" */
	const char *sysfs_root; /* "/sys" */
	const char *dev_root;   /* "/dev" */
	int64_t timeout_ms;     /* for one scan */
};

/* What is ours on top of the disk and is no use of it. */
struct usage_ignore {
	/* of our own map in device mapper: that it is there; what uses it counts. NULL: none */
	const char *map_uuid;
	int pid; /* what this process has open, the NBD engine; 0: none */
};

struct usage_result {
	/* when something could not be read; then nothing is known, and it is not "unused" */
	struct err err;
	enum usage_kind kind;
	bool only_open; /* nothing but descriptors that somebody has open */
	/* not all of them use it by our own map, and so would not wait with that */
	bool beside;
	const char *what; /* "mounted at /mnt/x, held by dm-3"; valid during the callback */
};
typedef void (*usage_done_fn)(void *arg, const struct usage_result *result);

struct usage_checker *usage_checker_new(struct loop *loop, const struct usage_options *options);
/* pending checks are dropped; returns NULL */
struct usage_checker *usage_checker_free(struct usage_checker *checker);
/*
 * name is the kernel name ("vdb"); it and ignore are copied. Programs that only open a disk for a
 * moment, as udev's do, are no users: where nothing but open descriptors is found, the scan is
 * repeated for USAGE_PATIENCE_MS.
 */
struct usage_check *usage_check_start(struct usage_checker *checker, const char *name,
				      const struct usage_ignore *ignore, usage_done_fn done,
				      void *arg);
void usage_check_cancel(struct usage_check *check); /* not from inside done */

#define USAGE_PATIENCE_MS 2000
