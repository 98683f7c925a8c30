/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One scan: the pile of devices that stands on the disk, then the users of each. Open descriptors
 * come after the other users, because they alone may be gone in a moment. The claim is tried last,
 * so that it covers the time of the scan, and only if no user was found, since a claim opens the
 * disk.
 */

#include "disk/usage_scan.h"

#include "disk/usage_mounts.h"
#include "disk/usage_open.h"
#include "disk/usage_stack.h"

static int find_users(struct usage_report *report)
{
	_cleanup_free_ int *pids = NULL;
	size_t count = 0;

	if (usage_climb(report) < 0 || usage_list_processes(report, &pids, &count) < 0 ||
	    usage_find_mounts(report, pids, count) < 0 || usage_find_swaps(report) < 0)
		return -1;
	report->passing = report->kind == USAGE_NONE;
	if (!report->openers && usage_find_openers(report, pids, count) < 0)
		return -1;
	report->only_open = report->passing && report->kind == USAGE_HELD;
	if (report->kind == USAGE_NONE && usage_find_claim(report) < 0)
		return -1;
	if (report->users > USAGE_USERS_SHOWN)
		buf_printf(&report->what, " and %zu more", report->users - USAGE_USERS_SHOWN);
	return 0;
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
