/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One scan: the pile of devices that stands on the disk, then the users of each. The claim is tried
 * if no user was found, since a claim opens the disk, and an open may wait for a disk that is in
 * trouble. It is tried after the open descriptors, so that it covers the time of the scan. If the
 * kernel refuses it, or if the disk has users anyway, the mounts in other namespaces are read for
 * the rest of the users.
 */

#include "disk/usage_scan.h"

#include "disk/usage_mounts.h"
#include "disk/usage_open.h"
#include "disk/usage_stack.h"

static int find_in(struct usage_report *report, struct usage_mounts *mounts, const int *pids,
		   size_t count)
{
	size_t opened;

	if (usage_find_own_mounts(mounts, pids, count) < 0 || usage_find_swaps(report) < 0)
		return -1;
	report->passing = report->kind == USAGE_NONE;
	if (!report->openers && usage_find_openers(report, pids, count) < 0)
		return -1;
	if (report->kind == USAGE_NONE && usage_can_be_claimed(report))
		return 0;
	opened = report->users;
	if (usage_find_other_mounts(mounts, pids, count) < 0)
		return -1;
	report->passing = report->passing && report->users == opened;
	report->only_open = report->passing && report->kind == USAGE_HELD;
	return report->kind == USAGE_NONE ? usage_find_claim(report) : 0;
}

static int find_users(struct usage_report *report)
{
	_cleanup_free_ int *pids = NULL;
	struct usage_mounts *mounts;
	size_t count = 0;
	int r;

	if (usage_climb(report) < 0 || usage_list_processes(report, &pids, &count) < 0)
		return -1;
	mounts = usage_mounts_new(report);
	r = find_in(report, mounts, pids, count);
	usage_mounts_free(mounts);
	if (r == 0 && report->users > USAGE_USERS_SHOWN)
		buf_printf(&report->what, " and %zu more", report->users - USAGE_USERS_SHOWN);
	return r;
}

void usage_scan(struct usage_report *report)
{
	const char *name = report->name;

	if (str_empty(name) || strlen(name) >= DEVICE_NAME_SIZE || strchr(name, '/') ||
	    name[0] == '.') {
		err_set(&report->err, ERR_INVALID, "\"%s\" is not the name of a disk",
			str_or(name, ""));
		return;
	}
	if (find_users(report) < 0)
		report->kind = USAGE_NONE;
}
