/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which device is this volume: each rule by a row, then all of them against random worlds. */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/rules/match.h"

#define GIB (1ull << 30)
#define VOLUME "0c8f5a1e-3b7d-4e2f-9a6c-1d2e3f4a5b6c"
#define SAME "0c8f5a1e3b7d4e2f9a6c"
#define OTHER "1111111122223333aaaa"
#define OTHER_VOLUME "11111111-2222-3333-aaaa-bbbbbbbbbbbb"

/* A device in a row: identity NULL = says nothing, "" = says something that is nobody's. */
struct row_device {
	const char *identity;
	uint64_t size;
	uint64_t diskseq;
	uint64_t seen;
	const char *mapped;
};

struct row {
	const char *what;
	struct row_device devices[3];
	uint64_t size;
	uint64_t after_diskseq, after_seen;
	bool crowded;
	bool rivals;
	enum match_verdict verdict;
	int found;
	enum matched_by by;
	const char *reason; /* a part of it */
};

#define NEW .after_diskseq = 10, .after_seen = 10
#define FOUND(INDEX, BY) .verdict = MATCH_FOUND, .found = (INDEX), .by = (BY)
#define NONE .verdict = MATCH_NONE, .reason = "has appeared yet"
#define AMBIGUOUS(REASON) .verdict = MATCH_AMBIGUOUS, .reason = (REASON)

static const struct row rows[] = {
	{ "no device", { { 0 } }, 5 * GIB, NEW, NONE },
	/* identity */
	{ "identity", { { SAME, 5 * GIB, 11, 11 } }, 5 * GIB, NEW, FOUND(0, MATCHED_BY_IDENTITY) },
	{ "identity of one that was there before",
	  { { SAME, 5 * GIB, 3, 3 } },
	  5 * GIB,
	  NEW,
	  FOUND(0, MATCHED_BY_IDENTITY) },
	{ "identity with rivals",
	  { { SAME, 5 * GIB, 11, 11 } },
	  5 * GIB,
	  NEW,
	  .rivals = true,
	  FOUND(0, MATCHED_BY_IDENTITY) },
	{ "identity among others",
	  { { OTHER, 5 * GIB, 11, 11 }, { NULL, 5 * GIB, 12, 12 }, { SAME, 5 * GIB, 13, 13 } },
	  5 * GIB,
	  NEW,
	  FOUND(2, MATCHED_BY_IDENTITY) },
	{ "identity, first of several",
	  { { SAME, 5 * GIB, 11, 11 }, { "", 5 * GIB, 12, 12 } },
	  5 * GIB,
	  NEW,
	  FOUND(0, MATCHED_BY_IDENTITY) },
	{ "identity, mapped to us already",
	  { { SAME, 5 * GIB, 11, 11, VOLUME } },
	  5 * GIB,
	  NEW,
	  FOUND(0, MATCHED_BY_IDENTITY) },
	{ "identity, mapped to another",
	  { { SAME, 5 * GIB, 11, 11, OTHER_VOLUME } },
	  5 * GIB,
	  NEW,
	  AMBIGUOUS(OTHER_VOLUME) },
	{ "identity, mapped to another; a fitting one beside it",
	  { { SAME, 5 * GIB, 11, 11, OTHER_VOLUME }, { NULL, 5 * GIB, 12, 12 } },
	  5 * GIB,
	  NEW,
	  AMBIGUOUS(OTHER_VOLUME) },
	{ "twice",
	  { { SAME, 5 * GIB, 11, 11 }, { SAME, 5 * GIB, 12, 12 } },
	  5 * GIB,
	  NEW,
	  AMBIGUOUS("both carry") },
	{ "twice, one does not fit",
	  { { SAME, 5 * GIB, 11, 11 }, { SAME, 9 * GIB, 12, 12 } },
	  5 * GIB,
	  NEW,
	  AMBIGUOUS("both carry") },
	{ "twice, one mapped to us",
	  { { SAME, 5 * GIB, 11, 11, VOLUME }, { SAME, 5 * GIB, 12, 12 } },
	  5 * GIB,
	  NEW,
	  AMBIGUOUS("both carry") },
	/* sizes with identity */
	{ "a little larger",
	  { { SAME, 5 * GIB + 4096, 11, 11 } },
	  5 * GIB,
	  NEW,
	  FOUND(0, MATCHED_BY_IDENTITY) },
	{ "the last that fits",
	  { { SAME, 6 * GIB - 1, 11, 11 } },
	  5 * GIB,
	  NEW,
	  FOUND(0, MATCHED_BY_IDENTITY) },
	{ "a GiB larger", { { SAME, 6 * GIB, 11, 11 } }, 5 * GIB, NEW, AMBIGUOUS("bytes") },
	{ "a byte smaller", { { SAME, 5 * GIB - 1, 11, 11 } }, 5 * GIB, NEW, AMBIGUOUS("bytes") },
	{ "wrong size; a fitting one beside it",
	  { { SAME, 7 * GIB, 11, 11 }, { NULL, 5 * GIB, 12, 12 } },
	  5 * GIB,
	  NEW,
	  AMBIGUOUS("bytes") },
	{ "size not told", { { SAME, 7 * GIB, 11, 11 } }, 0, NEW, FOUND(0, MATCHED_BY_IDENTITY) },
	{ "as large as can be",
	  { { SAME, UINT64_MAX, 11, 11 } },
	  UINT64_MAX,
	  NEW,
	  FOUND(0, MATCHED_BY_IDENTITY) },
	/* never another's */
	{ "another's", { { OTHER, 5 * GIB, 11, 11 } }, 5 * GIB, NEW, NONE },
	{ "nobody's", { { "", 5 * GIB, 11, 11 } }, 5 * GIB, NEW, NONE },
	{ "mapped to another", { { NULL, 5 * GIB, 11, 11, OTHER_VOLUME } }, 5 * GIB, NEW, NONE },
	/* by size */
	{ "by size", { { NULL, 5 * GIB, 11, 11 } }, 5 * GIB, NEW, FOUND(0, MATCHED_BY_SIZE) },
	{ "by size, mapped to us",
	  { { NULL, 5 * GIB, 11, 11, VOLUME } },
	  5 * GIB,
	  NEW,
	  FOUND(0, MATCHED_BY_SIZE) },
	{ "by size, old ones beside it",
	  { { NULL, 5 * GIB, 10, 10 }, { NULL, 5 * GIB, 11, 11 }, { NULL, 5 * GIB, 9, 9 } },
	  5 * GIB,
	  NEW,
	  FOUND(1, MATCHED_BY_SIZE) },
	{ "by size, where another says who it is",
	  { { NULL, 5 * GIB, 11, 11 }, { OTHER, 2 * GIB, 1, 1 } },
	  5 * GIB,
	  NEW,
	  AMBIGUOUS("every volume here would") },
	{ "by size, where another says it is nobody's",
	  { { "", 2 * GIB, 1, 1, OTHER_VOLUME }, { NULL, 5 * GIB, 11, 11 } },
	  5 * GIB,
	  NEW,
	  AMBIGUOUS("every volume here would") },
	{ "not by size, where another says who it is",
	  { { NULL, 6 * GIB, 11, 11 }, { OTHER, 2 * GIB, 1, 1 } },
	  5 * GIB,
	  NEW,
	  NONE },
	{ "by size, one mapped elsewhere",
	  { { NULL, 5 * GIB, 11, 11, OTHER_VOLUME }, { NULL, 5 * GIB, 12, 12 } },
	  5 * GIB,
	  NEW,
	  FOUND(1, MATCHED_BY_SIZE) },
	{ "by size, another size beside it",
	  { { NULL, 6 * GIB, 11, 11 }, { NULL, 5 * GIB, 12, 12 } },
	  5 * GIB,
	  NEW,
	  FOUND(1, MATCHED_BY_SIZE) },
	{ "by size, a byte more", { { NULL, 5 * GIB + 1, 11, 11 } }, 5 * GIB, NEW, NONE },
	{ "by size, a byte less", { { NULL, 5 * GIB - 1, 11, 11 } }, 5 * GIB, NEW, NONE },
	{ "by size, not told", { { NULL, 0, 11, 11 } }, 0, NEW, NONE },
	{ "two by size",
	  { { NULL, 5 * GIB, 11, 11 }, { NULL, 5 * GIB, 12, 12 } },
	  5 * GIB,
	  NEW,
	  AMBIGUOUS("both new") },
	{ "by size with rivals",
	  { { NULL, 5 * GIB, 11, 11 } },
	  5 * GIB,
	  NEW,
	  .rivals = true,
	  AMBIGUOUS("another attachment") },
	{ "by size, not begun alone",
	  { { NULL, 5 * GIB, 11, 11 } },
	  5 * GIB,
	  NEW,
	  .crowded = true,
	  AMBIGUOUS("left behind") },
	{ "identity, not begun alone",
	  { { SAME, 5 * GIB, 11, 11 } },
	  5 * GIB,
	  NEW,
	  .crowded = true,
	  FOUND(0, MATCHED_BY_IDENTITY) },
	{ "rivals and nothing there",
	  { { OTHER, 5 * GIB, 11, 11 } },
	  5 * GIB,
	  NEW,
	  .rivals = true,
	  NONE },
	/* what counts as new */
	{ "as old as the operation", { { NULL, 5 * GIB, 10, 11 } }, 5 * GIB, NEW, NONE },
	{ "older, seen later", { { NULL, 5 * GIB, 9, 99 } }, 5 * GIB, NEW, NONE },
	{ "no diskseq, seen later",
	  { { NULL, 5 * GIB, 0, 11 } },
	  5 * GIB,
	  NEW,
	  FOUND(0, MATCHED_BY_SIZE) },
	{ "no diskseq, seen before", { { NULL, 5 * GIB, 0, 10 } }, 5 * GIB, NEW, NONE },
	{ "query without diskseq",
	  { { NULL, 5 * GIB, 3, 11 } },
	  5 * GIB,
	  .after_diskseq = 0,
	  .after_seen = 10,
	  FOUND(0, MATCHED_BY_SIZE) },
	{ "query without diskseq, seen before",
	  { { NULL, 5 * GIB, 99, 10 } },
	  5 * GIB,
	  .after_diskseq = UINT64_MAX,
	  .after_seen = 10,
	  NONE },
	{ "query without diskseq (0), seen before",
	  { { NULL, 5 * GIB, 3, 10 } },
	  5 * GIB,
	  .after_diskseq = 0,
	  .after_seen = 10,
	  NONE },
	{ "query without diskseq (max), seen later",
	  { { NULL, 5 * GIB, 3, 11 } },
	  5 * GIB,
	  .after_diskseq = UINT64_MAX,
	  .after_seen = 10,
	  FOUND(0, MATCHED_BY_SIZE) },
	{ "nothing to compare with",
	  { { NULL, 5 * GIB, 99, 99 } },
	  5 * GIB,
	  .after_diskseq = UINT64_MAX,
	  .after_seen = UINT64_MAX,
	  NONE },
	{ "another process, same boot",
	  { { NULL, 5 * GIB, 11, 1 } },
	  5 * GIB,
	  .after_diskseq = 10,
	  .after_seen = UINT64_MAX,
	  FOUND(0, MATCHED_BY_SIZE) },
};

struct mappings {
	const struct device *devices;
	const char *volumes[8];
};

static const char *mapped_to(void *arg, const struct device *device)
{
	const struct mappings *mappings = arg;

	return mappings->volumes[device - mappings->devices];
}

static size_t build(const struct row *row, struct device devices[3], struct mappings *mappings)
{
	size_t count = 0;

	mappings->devices = devices;
	for (; count < 3 && row->devices[count].seen; count++) {
		const struct row_device *from = &row->devices[count];
		struct device *device = &devices[count];

		*device = (struct device){ .size = from->size,
					   .diskseq = from->diskseq,
					   .seen = from->seen };
		snprintf(device->name, sizeof(device->name), "vd%c", (char)('b' + (int)count));
		snprintf(device->path, sizeof(device->path), "/dev/vd%c", (char)('b' + (int)count));
		device->has_identity = from->identity != NULL;
		snprintf(device->identity, sizeof(device->identity), "%s",
			 str_or(from->identity, ""));
		mappings->volumes[count] = from->mapped;
	}
	return count;
}

static void test_rows(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct device devices[3];
		struct mappings mappings = { 0 };
		size_t count = build(row, devices, &mappings);
		struct match_query query = {
			.volume_id = VOLUME,
			.size = row->size,
			.after_diskseq = row->after_diskseq,
			.after_seen = row->after_seen,
			.crowded = row->crowded,
			.rivals = row->rivals,
			.mapped_to = mapped_to,
			.arg = &mappings,
		};
		struct match_result result;
		enum match_verdict verdict = match_device(&query, devices, count, &result);

		if (verdict != row->verdict)
			fail_msg("%s: verdict %u, reason \"%s\"", row->what, verdict,
				 result.reason);
		if (verdict == MATCH_FOUND) {
			if (result.device != &devices[row->found] || result.matched_by != row->by ||
			    result.reason[0])
				fail_msg("%s: %s by %u (%s)", row->what, result.device->name,
					 result.matched_by, result.reason);
		} else if (result.device || result.matched_by != MATCHED_NOT ||
			   !strstr(result.reason, row->reason) ||
			   !(strstr(result.reason, VOLUME) || strstr(result.reason, "/dev/vd"))) {
			fail_msg("%s: reason \"%s\"", row->what, result.reason);
		}
	}
}

static void test_nobody_asked(void **state)
{
	struct device device = { .size = GIB, .seen = 1 };
	struct match_query query = { .volume_id = VOLUME, .size = GIB };
	struct match_result result;

	/* Without mappings nothing is mapped; no devices need no array. */
	assert_int_equal(match_device(&query, &device, 1, &result), MATCH_FOUND);
	assert_int_equal(match_device(&query, NULL, 0, &result), MATCH_NONE);
	assert_null(result.device);
}

/* ---- random worlds ---- */

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static size_t make_random(struct device devices[8], struct mappings *mappings)
{
	static const char *const identities[] = {
		NULL, NULL, NULL, SAME, OTHER, "", "0c8f5a1e3b7d4e2f9a6d"
	};
	static const char *const volumes[] = { NULL, NULL, NULL, VOLUME, OTHER_VOLUME };
	size_t count = random_below(8);

	mappings->devices = devices;
	for (size_t i = 0; i < count; i++) {
		const char *identity = identities[random_below(ARRAY_SIZE(identities))];

		devices[i] = (struct device){
			.size = (1 + random_below(3)) * GIB + random_below(2) * 512,
			.diskseq = random_below(6),
			.seen = 1 + random_below(6),
			.has_identity = identity != NULL,
		};
		snprintf(devices[i].path, sizeof(devices[i].path), "/dev/vd%c",
			 (char)('a' + (int)i));
		snprintf(devices[i].identity, sizeof(devices[i].identity), "%s",
			 str_or(identity, ""));
		mappings->volumes[i] = volumes[random_below(ARRAY_SIZE(volumes))];
	}
	return count;
}

/* What must hold for a device that was found, whatever the world. */
static void check_found(const struct match_query *query, const struct mappings *mappings,
			const struct device *devices, size_t count,
			const struct match_result *result)
{
	const struct device *device = result->device;
	size_t same = 0, alike = 0, speaking = 0;

	assert_true(device >= devices && device < devices + count);
	for (size_t i = 0; i < count; i++) {
		same += device_identity(&devices[i], VOLUME) == IDENTITY_SAME;
		speaking += devices[i].has_identity;
		alike += !devices[i].has_identity && devices[i].size == query->size &&
			 !streq(mappings->volumes[i], OTHER_VOLUME) &&
			 (devices[i].diskseq ? devices[i].diskseq > query->after_diskseq
					     : devices[i].seen > query->after_seen);
	}
	assert_int_not_equal(device_identity(device, VOLUME), IDENTITY_OTHER);
	assert_false(streq(mappings->volumes[device - devices], OTHER_VOLUME));
	assert_true(device->size >= query->size && device->size - query->size < MATCH_SIZE_SLACK);
	if (result->matched_by == MATCHED_BY_IDENTITY) {
		assert_int_equal(device_identity(device, VOLUME), IDENTITY_SAME);
		assert_int_equal(same, 1);
	} else {
		assert_int_equal(result->matched_by, MATCHED_BY_SIZE);
		assert_false(device->has_identity);
		assert_int_equal(device->size, query->size);
		assert_int_equal(speaking, 0);
		assert_int_equal(alike, 1);
		assert_false(query->crowded);
		assert_false(query->rivals);
	}
}

static void test_random_worlds(void **state)
{
	size_t verdicts[3] = { 0 }, by_size = 0;

	for (int i = 0; i < 200000; i++) {
		struct device devices[8];
		struct mappings mappings = { 0 };
		size_t count = make_random(devices, &mappings);
		struct match_query query = {
			.volume_id = VOLUME,
			.size = (1 + random_below(3)) * GIB,
			.after_diskseq = 1 + random_below(5),
			.after_seen = random_below(6),
			.crowded = random_below(4) == 0,
			.rivals = random_below(4) == 0,
			.mapped_to = mapped_to,
			.arg = &mappings,
		};
		struct match_result result;
		enum match_verdict verdict = match_device(&query, devices, count, &result);

		verdicts[verdict]++;
		if (verdict == MATCH_FOUND) {
			by_size += result.matched_by == MATCHED_BY_SIZE;
			check_found(&query, &mappings, devices, count, &result);
		} else {
			assert_null(result.device);
			assert_true(result.reason[0] != '\0');
		}
	}
	/* The worlds were not all of one kind. */
	assert_true(verdicts[MATCH_NONE] > 1000 && verdicts[MATCH_AMBIGUOUS] > 1000);
	assert_true(by_size > 1000 && verdicts[MATCH_FOUND] - by_size > 1000);
}

/* Size does not matter here, and neither does a disk that was there before. */
static void test_new_identity(void **state)
{
	const struct match_query query = {
		.volume_id = VOLUME, .size = 5 * GIB, .after_diskseq = 10, .after_seen = 10
	};
	struct device devices[] = {
		{ .identity = OTHER, .has_identity = true, .diskseq = 12, .seen = 12 },
		{ .diskseq = 13, .seen = 13, .size = 5 * GIB },
		{ .identity = SAME, .has_identity = true, .diskseq = 10, .seen = 10 },
	};

	assert_null(match_new_identity(&query, devices, ARRAY_SIZE(devices)));
	devices[2].diskseq = 11;
	assert_ptr_equal(match_new_identity(&query, devices, ARRAY_SIZE(devices)), &devices[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_nobody_asked),
		cmocka_unit_test(test_random_worlds),
		cmocka_unit_test(test_new_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
