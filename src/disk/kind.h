/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kind of device that a name stands for, also if disk/sysblock does not list the device. */

#include "disk/device.h"

enum device_kind {
	DEVICE_KIND_NONE,    /* the kernel has no block device of this name */
	DEVICE_KIND_DISK,    /* a disk, or a partition of one */
	DEVICE_KIND_VIRTUAL, /* it stands for other devices (maps, arrays), for memory, … */
};

struct device_kind_info {
	enum device_kind kind;
	char disk[DEVICE_NAME_SIZE]; /* the device itself, or the disk that it is a partition of */
	enum device_bus bus;         /* of the disk */
};

/* name as in /sys/block ("vdb", "vdb1"); any other text is the name of no device. */
void device_kind_find(const char *sysfs_root, const char *name, struct device_kind_info *out);
