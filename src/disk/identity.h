/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a disk proves that it is a certain volume: one row per bus. Only disk/ uses this. */

#include "disk/device.h"

#define IDENTITY_ATTRIBUTES_MAX 2

struct identity_attribute {
	const char *path; /* below the disk's directory in sysfs */
	/* Fills serial, identity and has_identity; leaves them empty if the bytes hold none. */
	void (*parse)(const char *bytes, size_t length, struct device *device);
};

struct identity_bus {
	/* of the kernel's name, followed by one or more characters of tail and nothing else */
	const char *prefix;
	const char *tail;
	/* where device/subsystem, if there is one, must lead; NULL: not asked */
	const char *subsystem;
	bool required; /* without an identity there is no disk (a loop device without a file) */
	/* the first attribute with an identity counts */
	struct identity_attribute attributes[IDENTITY_ATTRIBUTES_MAX];
};

/* By bus; the row of BUS_OTHER is empty. */
extern const struct identity_bus identity_buses[BUS_COUNT];

/*
 * Finds the bus of the disk in block_fd (a directory like /sys/block); -1 if it is not a disk of
 * its own.
 */
int identity_find_bus(int block_fd, const char *name, enum device_bus *out);
/* True if disks on this bus can give an identity. */
bool identity_can_have(enum device_bus bus);
/* Reads the identity anew. device->name and bus are given. */
void identity_read(int block_fd, struct device *device);
