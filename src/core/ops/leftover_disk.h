/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Asks the kernel whether the disk of a volume is still here, before a volume that CloudStack does
 * not have at this VM is attached or destroyed. */

#include "base/util.h"
#include "core/host/disk_users.h"
#include "disk/device.h"

struct operation;

/* Part of an operation's context, and not stored. */
struct leftover_disk {
	struct operation *operation;
	void (*then)(struct operation *operation);
	bool must_go;
	int64_t give_up_ms; /* clock_waking_ms(); 0: no disk has been waited for */
	char path[DEVICE_PATH_SIZE];
};

/* For disk_users_check(); arg: the operation. */
int leftover_disk_may_stay(void *arg, const struct disk_use *use, struct err *err);
/*
 * Goes on with `then` if no disk of this VM is the volume, or if its disk is unused and must_go is
 * false. Otherwise the step ends: a disk in use fails the operation with ERR_CONFLICT; for an
 * unused disk the step runs again, until the disk is gone or the time of a device step has passed.
 */
void leftover_disk_gone_then(struct leftover_disk *leftover, struct operation *operation,
			     bool must_go, void (*then)(struct operation *operation));
