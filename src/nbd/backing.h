/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What stands under a path at this moment, without opening it: nothing here waits for a device. */

#include "base/err.h"

#define BACKING_IDENTITY_SIZE 64

struct backing {
	uint64_t size; /* bytes */
	bool is_block;
	bool read_only;
	/*
	 * Letters, digits and hyphens. Two devices that came under one path one after the other
	 * differ in it; one that was resized, or a map that was swapped, does not.
	 */
	char identity[BACKING_IDENTITY_SIZE];
};

/* A block device or a regular file. ERR_NOT_FOUND, ERR_INVALID, ERR_UNAVAILABLE. */
int backing_query(const char *sysfs_root, const char *path, struct backing *out, struct err *err);
