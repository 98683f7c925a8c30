/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The rules that decide which device a volume became; match.h lists them. They read no file and no
 * clock, so every rule can be tested with a table alone.
 *
 * The order of the questions makes the answer safe: identity comes before size, because a disk that
 * identifies itself leaves no doubt, and on each path every reason for "no" is checked before the
 * only "yes". A new rule is added as a refusal.
 */

#include "core/rules/match.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "disk/device.h"

static enum match_verdict undecided(enum match_verdict verdict, struct match_result *result,
				    const char *format, ...) _printf_(3, 4);

static enum match_verdict undecided(enum match_verdict verdict, struct match_result *result,
				    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	err_text_vformat(result->reason, sizeof(result->reason), format, args);
	va_end(args);
	return verdict;
}

static enum match_verdict found(const struct device *device, enum matched_by by,
				struct match_result *result)
{
	result->device = device;
	result->matched_by = by;
	return MATCH_FOUND;
}

/* The other volume that a device is mapped to, NULL if it is free or mapped to the queried
 * volume. */
static const char *other_volume(const struct match_query *query, const struct device *device)
{
	const char *volume_id = query->mapped_to ? query->mapped_to(query->arg, device) : NULL;

	return streq(volume_id, query->volume_id) ? NULL : volume_id;
}

/* ---- by identity ---- */

static enum match_verdict match_by_identity(const struct match_query *query,
					    const struct device *device,
					    struct match_result *result)
{
	const char *other = other_volume(query, device);

	if (other)
		return undecided(MATCH_AMBIGUOUS, result,
				 "%s carries the serial of volume %s but is mapped to volume %s",
				 device->path, query->volume_id, other);
	if (!match_size_fits(query->size, device->size))
		return undecided(MATCH_AMBIGUOUS, result,
				 "%s carries the serial of volume %s but has %" PRIu64
				 " bytes where CloudStack says %" PRIu64,
				 device->path, query->volume_id, device->size, query->size);
	return found(device, MATCHED_BY_IDENTITY, result);
}

/* ---- by size and time ---- */

static bool is_new(const struct match_query *query, const struct device *device)
{
	if (device->diskseq != 0 && query->after_diskseq != 0 && query->after_diskseq != UINT64_MAX)
		return device->diskseq > query->after_diskseq;
	return device->seen > query->after_seen;
}

const struct device *match_new_identity(const struct match_query *query,
					const struct device *devices, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (device_identity(&devices[i], query->volume_id) == IDENTITY_SAME &&
		    is_new(query, &devices[i]))
			return &devices[i];
	}
	return NULL;
}

static bool is_candidate(const struct match_query *query, const struct device *device)
{
	return !device->has_identity && !other_volume(query, device) && is_new(query, device) &&
	       query->size != 0 && device->size == query->size;
}

static enum match_verdict match_by_size(const struct match_query *query,
					const struct device *devices, size_t count,
					struct match_result *result)
{
	const struct device *candidate = NULL;

	for (size_t i = 0; i < count; i++) {
		if (!is_candidate(query, &devices[i]))
			continue;
		if (candidate)
			return undecided(
				MATCH_AMBIGUOUS, result,
				"%s and %s are both new, have the size of volume %s and do not identify themselves",
				candidate->path, devices[i].path, query->volume_id);
		candidate = &devices[i];
	}
	if (!candidate)
		return undecided(MATCH_NONE, result, "no disk of volume %s has appeared yet",
				 query->volume_id);
	for (size_t i = 0; i < count; i++) {
		if (devices[i].has_identity)
			return undecided(
				MATCH_AMBIGUOUS, result,
				"%s is new and has the size of volume %s but does not identify itself, as %s "
				"does and every volume here would",
				candidate->path, query->volume_id, devices[i].path);
	}
	if (query->crowded)
		return undecided(
			MATCH_AMBIGUOUS, result,
			"%s does not identify itself, and other disks did when the attachment began: it may "
			"be a disk that another attachment left behind",
			candidate->path);
	if (query->rivals)
		return undecided(
			MATCH_AMBIGUOUS, result,
			"%s does not identify itself, and another attachment to this VM waits for a disk "
			"like it",
			candidate->path);
	return found(candidate, MATCHED_BY_SIZE, result);
}

enum match_verdict match_device(const struct match_query *query, const struct device *devices,
				size_t count, struct match_result *result)
{
	const struct device *same = NULL;

	assert(query && query->volume_id && (devices || count == 0) && result);
	*result = (struct match_result){ .matched_by = MATCHED_NOT };
	for (size_t i = 0; i < count; i++) {
		if (device_identity(&devices[i], query->volume_id) != IDENTITY_SAME)
			continue;
		if (same)
			return undecided(MATCH_AMBIGUOUS, result,
					 "%s and %s both carry the serial of volume %s", same->path,
					 devices[i].path, query->volume_id);
		same = &devices[i];
	}
	return same ? match_by_identity(query, same, result)
		    : match_by_size(query, devices, count, result);
}
