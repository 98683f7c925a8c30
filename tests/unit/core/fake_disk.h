/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is on a disk and who uses it, behind the functions of disk/probe.h, disk/usage.h,
 * disk/flush.h, disk/rescan.h and disk/opener.h but without their workers: answers come after a
 * while of the test's own time. Who uses a disk is really looked up, in the fake kernel.
 */

#include "disk/flush.h"
#include "disk/opener.h"
#include "disk/probe.h"
#include "disk/rescan.h"
#include "disk/usage.h"

struct fake_disk {
	struct probe_result contents; /* of every disk */
	int opener;                   /* a process that has every disk open; 0: none has */
	/* nothing is ever answered but, in the end, that it took too long */
	bool hangs;
	int64_t usage_ms;             /* that each look for users takes; 0: a short time */
	size_t usage_checks, flushes; /* begun */
	struct err flush_err;         /* of every flush */
	char flushed[200];            /* "on-vdb vdb ": what stands on it, itself */
	size_t rescans;               /* begun */
	struct err rescan_err;        /* of every rescan */
	char opened[64];              /* the last disk: "vdb", "vdb read-only" */
	struct err open_err;          /* of every disk that is opened */
};
extern struct fake_disk fake_disk;

void fake_disk_init(void);
