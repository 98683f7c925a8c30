/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One disk as the kernel shows it, and the identity that it gives. */

#include "base/util.h"
#include "spec/names.h"

#define DEVICE_NAME_SIZE 32 /* DISK_NAME_LEN of the kernel */
/* room for another root than /dev; sysblock_open() refuses one that is too long */
#define DEVICE_PATH_SIZE 256
#define DEVICE_SERIAL_SIZE 128
/*
 * The shortest identity that counts as proof: CloudStack gives the first 20 hex digits of the
 * volume's UUID.
 */
#define DEVICE_IDENTITY_MIN 20

struct device {
	char name[DEVICE_NAME_SIZE]; /* "vdb" */
	char path[DEVICE_PATH_SIZE]; /* "/dev/vdb" */
	enum device_bus bus;
	uint64_t inode;   /* of its directory: a new disk under an old name has another inode */
	uint64_t diskseq; /* /sys/block/X/diskseq; 0 before Linux 5.15 */
	uint64_t seen;    /* counts appearances since the program started, 1, 2, … */
	uint64_t size;    /* bytes */
	char number[24];  /* "254:16"; "" if sysfs does not tell */
	bool read_only;
	/* as the device gives it, trimmed; "" if it gives none */
	char serial[DEVICE_SERIAL_SIZE];
	/*
	 * The serial as lower-case hex digits without hyphens if there are 20 to 32 of them,
	 * otherwise "". A device with "" has either an identity that is no volume's (has_identity
	 * is set), or no identity at all.
	 */
	char identity[33];
	bool has_identity; /* the device gives an identity, of any kind */
};

enum device_identity { IDENTITY_NONE, IDENTITY_SAME, IDENTITY_OTHER };
/*
 * Compares the device's identity with a volume's UUID: a prefix of at least DEVICE_IDENTITY_MIN hex
 * digits.
 */
enum device_identity device_identity(const struct device *device, const char *volume_uuid);
