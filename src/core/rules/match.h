/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which device is this volume? A pure function: what is asked, and the devices there are, give the
 * answer.
 *
 * The rules, in order; the first that applies decides:
 *
 *  1. Two or more devices carry the volume's identity: ambiguous. They may be two paths to one
 *     disk, or a copy of it.
 *  2. One device carries it. It is the one, unless it is mapped to another volume or its size does
 *     not fit: then something is wrong that nobody can guess, and the answer is ambiguous.
 *  3. A device that carries another identity, whoever's, is never taken; nor is one mapped to
 *     another volume, nor one that was there before the operation began.
 *  4. Among the devices left (no identity, new, nobody's), those of exactly the volume's size are
 *     candidates. None: nothing yet. Two or more: ambiguous. One, but some disk here does say who
 *     it is: then the hypervisor gives serials and a disk without one is no volume; ambiguous. One,
 *     but the operation did not begin alone, so that it may be what another one has left behind, or
 *     another one waits for a disk like it: ambiguous. Otherwise it is the one, and the answer says
 *     that size and time decided.
 *
 * With an identity the size fits when it is not smaller than CloudStack's and less than
 * MATCH_SIZE_SLACK larger: some storages round up to units of theirs, but CloudStack's sizes are
 * whole GiB, so that a GiB more is another volume. By size alone, it must be equal. A size
 * CloudStack did not tell (0) fits any identity and matches nothing by itself.
 */

#include "disk/device.h"
#include "spec/records.h"

#define MATCH_SIZE_SLACK (1ULL << 30)

/* The size of a disk that has an identity, beside CloudStack's. */
static inline bool match_size_fits(uint64_t expected, uint64_t size)
{
	return expected == 0 || (size >= expected && size - expected < MATCH_SIZE_SLACK);
}

struct match_query {
	const char *volume_id;
	uint64_t size; /* CloudStack's, in bytes */
	/*
	 * When the operation began, this was the highest diskseq and this the highest `seen`.
	 * diskseq decides where the device and the query have one (0 and UINT64_MAX: none), `seen`
	 * otherwise. `seen` counts anew in each process and diskseq in each boot; after such a
	 * change give UINT64_MAX, and no device counts as new.
	 */
	uint64_t after_diskseq;
	uint64_t after_seen;
	/* the operation did not begin alone: what others attach, or leave behind, is new to it,
	 * too */
	bool crowded;
	bool rivals; /* another operation on this VM waits for a disk that could look the same */
	/* The volume a device is mapped to, NULL when none. The mapping to the volume asked for is
	 * no obstacle. */
	const char *(*mapped_to)(void *arg, const struct device *device);
	void *arg;
};

enum match_verdict { MATCH_NONE, MATCH_FOUND, MATCH_AMBIGUOUS };

struct match_result {
	const struct device *device; /* MATCH_FOUND only: one of those given */
	enum matched_by matched_by;  /* MATCHED_NOT unless found */
	/* what stands in the way, in the user's words; "" when found */
	char reason[320];
};

enum match_verdict match_device(const struct match_query *query, const struct device *devices,
				size_t count, struct match_result *result);
