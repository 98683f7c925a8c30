/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The device or file behind a path at this moment. It is not opened: no call waits for a device. */

#include "base/err.h"

#define BACKING_IDENTITY_SIZE 64

struct backing {
	uint64_t size; /* bytes */
	bool is_block;
	bool read_only;
	/*
	 * Letters, digits and hyphens. Two devices that came under one path one after the other
	 * have different identities; a resized device, or a map with another table, keeps its
	 * identity.
	 */
	char identity[BACKING_IDENTITY_SIZE];
};

/* A block device or a regular file. ERR_NOT_FOUND, ERR_INVALID, ERR_UNAVAILABLE. */
int backing_query(const char *sysfs_root, const char *path, struct backing *out, struct err *err);
