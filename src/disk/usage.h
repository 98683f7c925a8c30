/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The users of a disk, looked for before the disk is taken away: mounts of it and of all devices on
 * top of it, in every mount namespace that a process shows; swap; the kernel's devices stacked on
 * top; file descriptors.
 *
 * The scan is made on a worker of its own, since a file system or a disk that does not answer may
 * hold it up. A scan that does not end within its deadline is given up (ERR_TIMEOUT) and its worker
 * is replaced; while USAGE_STUCK_MAX workers are stuck, scans are refused (ERR_UNAVAILABLE).
 */

#include "base/err.h"
#include "io/loop.h"

/*
 * No user of the machine can make the users unknown: device numbers decide, and not names that any
 * user may choose; the scan has a table of descriptors of its own, which the daemon's connections
 * cannot fill; and the lists that a user can make long are read up to these bounds.
 */
#define USAGE_OTHER_MOUNTS_MIB 64 /* mounts in other namespaces; the claim covers the others */
/*
 * Open files that are looked at: of one process, and of all processes of a user together, each of
 * which costs as much as some open files. The second bound does not hold for root. A user who has
 * more can hide only that user's own use of a disk.
 */
#define USAGE_DESCRIPTORS_MAX 65536

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
	const char *setting;    /* as blocking_options.setting */
};

/* Our own users of the disk, which do not count. */
struct usage_ignore {
	/* of our own map in device mapper: the map does not count, its users do. NULL: none */
	const char *map_uuid;
	int pid; /* the NBD engine's process, whose open files do not count; 0: none */
	/* programs that only have the disk open do not count; a program that has claimed the disk
	 * counts */
	bool openers;
};

/* A use of a disk, or of a device on top of it. */
struct usage_user {
	char *path; /* of the disk or device: "/dev/vdb1" */
	char *what; /* "mounted at /mnt/x" */
	enum usage_kind kind;
};

#define USAGE_USERS_SHOWN 16 /* named; the others are counted */

struct usage_result {
	/* set if the scan was not completed: the users are unknown, the disk may be in use */
	struct err err;
	enum usage_kind kind;
	bool only_open; /* nothing but open descriptors */
	/* some users reach the disk beside our own map, and would not wait with the map */
	bool beside;
	/* "mounted at /mnt/x, held by mpatha"; valid during the callback, as the two below */
	const char *what;
	const struct usage_user *users; /* the first user_count, at most USAGE_USERS_SHOWN */
	size_t user_count;
	size_t users_more; /* who are not named */
	/* "the open files of user 1000 behind the first 65536", "": nothing; likewise */
	const char *left_out;
};
typedef void (*usage_done_fn)(void *arg, const struct usage_result *result);

struct usage_checker *usage_checker_new(struct loop *loop, const struct usage_options *options);
/* pending checks are dropped; returns NULL */
struct usage_checker *usage_checker_free(struct usage_checker *checker);
/*
 * name is the kernel name ("vdb"); it and ignore are copied. Programs that only open a disk for a
 * moment, as udev's do, are no users: if nothing but open descriptors is found, the scan is
 * repeated for USAGE_PATIENCE_MS.
 */
struct usage_check *usage_check_start(struct usage_checker *checker, const char *name,
				      const struct usage_ignore *ignore, usage_done_fn done,
				      void *arg);
void usage_check_cancel(struct usage_check *check); /* not from inside done */

#define USAGE_PATIENCE_MS 2000
