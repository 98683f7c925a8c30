/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The users of a volume's disks on this machine. Our own map and NBD engine are not counted. */

#include "disk/usage.h"

struct device;
struct disk_users;
struct export_seen;
struct host;

/* The users of this one disk of a volume. done runs once, on a later turn, unless cancelled. */
struct usage_check *usage_start(struct host *host, const char *volume_id,
				const struct device *device, usage_done_fn done, void *arg);

/*
 * The same before the disk is exported or handed over open: two writers that do not know of each
 * other destroy the contents of a disk. A program that only has the disk open does not count, since
 * it may know of the other.
 */
struct usage_check *usage_start_for_sharing(struct host *host, const char *volume_id,
					    const struct device *device, usage_done_fn done,
					    void *arg);
/* -1 with ERR_CONFLICT: the disk has users and is not to be shared with them; with another error:
 * its users are not known. doing: "exported", for the error. */
int usage_allows_sharing(const char *volume_id, const struct usage_result *result,
			 const char *doing, struct err *err);

/* Why a volume with these NBD clients is not detached. */
void export_clients_refuse(const char *volume_id, const struct export_seen *seen, struct err *err);

/* The findings about one disk of the volume. */
struct disk_use {
	const char *path;
	bool guessed; /* the disk could be the volume's, but need not be */
	const struct usage_result *result;
};

/* May the volume be taken away from the users of this disk? -1 with an error ends the check. */
typedef int (*disk_users_judge_fn)(void *arg, const struct disk_use *use, struct err *err);
/* No error: every disk was checked, and each may be taken away. */
typedef void (*disk_users_done_fn)(void *arg, const struct err *err);

/*
 * Checks all disks of the volume, each as the kernel shows it at that moment, until judge refuses
 * one. NULL: the answer is in *err already, and done does not run. Otherwise done runs once, on a
 * later turn, unless cancelled.
 */
struct disk_users *disk_users_check(struct host *host, const char *volume_id,
				    disk_users_judge_fn judge, disk_users_done_fn done, void *arg,
				    struct err *err);
void disk_users_cancel(struct disk_users *check); /* not from inside done */
