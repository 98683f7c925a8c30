/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which device is this volume? A pure function of the query and the present devices.
 *
 * The rules, in order; the first that applies decides:
 *
 *  1. Two or more devices carry the volume's identity: ambiguous. They may be two paths to one
 *     disk, or a copy of it.
 *  2. One device carries the identity: that device is the volume, unless it is mapped to another
 *     volume or its size does not fit. Then there is a fault that the rules cannot guess, and the
 *     answer is ambiguous.
 *  3. A device that carries any other identity is never taken; nor is a device that is mapped to
 *     another volume, nor a device that was there before the operation began.
 *  4. Among the devices left (no identity, new, not mapped), those of exactly the volume's size are
 *     candidates. None: nothing yet. Two or more: ambiguous. One candidate is ambiguous, too, if
 *     - some disk here identifies itself: then the hypervisor gives serials, and a disk without a
 *       serial is no volume;
 *     - the operation did not begin alone: another operation may have left the disk behind;
 *     - another operation waits for a disk like this one.
 *     Otherwise the candidate is the volume, and the answer says that size and time decided.
 *
 * If the device has an identity, its size fits if it is at least CloudStack's size and less than
 * MATCH_SIZE_SLACK larger: some storages round up to their own units, but CloudStack's sizes are
 * whole GiB, so a difference of a GiB means another volume. By size alone, the sizes must be equal.
 * If CloudStack told no size (0), any size fits a disk with an identity, and no disk matches by
 * size.
 */

#include "disk/device.h"
#include "spec/records.h"

#define MATCH_SIZE_SLACK (1ULL << 30)

/* Compares the size of a disk that has an identity with CloudStack's. */
static inline bool match_size_fits(uint64_t expected, uint64_t size)
{
	return expected == 0 || (size >= expected && size - expected < MATCH_SIZE_SLACK);
}

struct match_query {
	const char *volume_id;
	uint64_t size; /* CloudStack's, in bytes */
	/*
	 * The highest diskseq and the highest `seen` when the operation began. diskseq decides if
	 * both the device and the query have one (0 and UINT64_MAX: none), otherwise `seen`
	 * decides. `seen` starts anew in each process and diskseq in each boot; after such a change
	 * give UINT64_MAX, and no device counts as new.
	 */
	uint64_t after_diskseq;
	uint64_t after_seen;
	/* the operation did not begin alone: disks that other operations attach, or leave behind,
	 * are new to this operation, too */
	bool crowded;
	bool rivals; /* another operation on this VM waits for a disk that could look the same */
	/* The volume that a device is mapped to, NULL if none. A mapping to the queried volume is
	 * no obstacle. */
	const char *(*mapped_to)(void *arg, const struct device *device);
	void *arg;
};

enum match_verdict { MATCH_NONE, MATCH_FOUND, MATCH_AMBIGUOUS };

struct match_result {
	const struct device *device; /* MATCH_FOUND only: one of those given */
	enum matched_by matched_by;  /* MATCHED_NOT unless found */
	/* the obstacle, in words for the user; "" if found */
	char reason[ERR_TEXT_SIZE];
};

/* The disk that identifies itself as the volume and came after the operation began; NULL if there
 * is none. */
const struct device *match_new_identity(const struct match_query *query,
					const struct device *devices, size_t count);
enum match_verdict match_device(const struct match_query *query, const struct device *devices,
				size_t count, struct match_result *result);
