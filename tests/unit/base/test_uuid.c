/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ids: their form, their order within one standing millisecond, and when the clock steps back. */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/uuid.h"

static void forms(void **state)
{
	char id[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

	/* The process never goes back in time, so the tests go forward in theirs, from long ago. */
	clock_test_start(0, INT64_C(1000000000000));
	for (int i = 0; i < 1000; i++) {
		uuid_make_v4(id);
		assert_true(uuid_is_valid(id));
		assert_int_equal(id[14], '4');
		assert_non_null(strchr("89ab", id[19]));
		uuid_make_v4(other);
		assert_string_not_equal(id, other);
		uuid_make_v7(id);
		assert_true(uuid_is_valid(id));
		assert_int_equal(id[14], '7');
		assert_non_null(strchr("89ab", id[19]));
	}
}

static void validity(void **state)
{
	assert_true(uuid_is_valid("0d9ef9f6-3f7e-4b2a-9c8d-3f1f6f0f2a11"));
	assert_true(uuid_is_valid("0D9EF9F6-3F7E-4B2A-9C8D-3F1F6F0F2A11"));
	assert_false(uuid_is_valid(NULL));
	assert_false(uuid_is_valid(""));
	assert_false(uuid_is_valid("0d9ef9f6-3f7e-4b2a-9c8d-3f1f6f0f2a1"));
	assert_false(uuid_is_valid("0d9ef9f6-3f7e-4b2a-9c8d-3f1f6f0f2a111"));
	assert_false(uuid_is_valid("0d9ef9f6-3f7e-4b2a-9c8d-3f1f6f0f2a1g"));
	assert_false(uuid_is_valid("0d9ef9f63-f7e-4b2a-9c8d-3f1f6f0f2a11"));
	assert_false(uuid_is_valid("{0d9ef9f6-3f7e-4b2a-9c8d-3f1f6f0f2a1"));
}

/* More than the 12 bits of counting hold, without the clock moving. */
static void sorts_within_a_millisecond(void **state)
{
	char last[UUID_TEXT_SIZE] = "", id[UUID_TEXT_SIZE];

	clock_test_start(0, INT64_C(1795384203123));
	for (int i = 0; i < 20000; i++) {
		uuid_make_v7(id);
		assert_true(strcmp(id, last) > 0);
		memcpy(last, id, sizeof(last));
	}
}

static void begins_with_the_time(void **state)
{
	char id[UUID_TEXT_SIZE], wanted[14];
	uint64_t ms = UINT64_C(1795384299999);

	clock_test_start(0, (int64_t)ms);
	uuid_make_v7(id);
	snprintf(wanted, sizeof(wanted), "%08x-%04x", (unsigned)(ms >> 16),
		 (unsigned)(ms & 0xffff));
	assert_memory_equal(id, wanted, 13);
}

static void sorts_when_the_clock_steps_back(void **state)
{
	char before[UUID_TEXT_SIZE], after[UUID_TEXT_SIZE];

	clock_test_start(0, INT64_C(1795384300000));
	uuid_make_v7(before);
	clock_test_start(0, INT64_C(1795384200000));
	uuid_make_v7(after);
	assert_true(strcmp(after, before) > 0);
}

static void sorts_behind_stored_ids(void **state)
{
	static const char *const stored[] = {
		"01a20569-0000-7fff-bfff-ffffffffffff", /* the count is full */
		"01a20569-0000-7000-8000-000000000000", /* older */
		"03a20569-0000-7123-8000-000000000000", /* in the year 2096 */
	};
	char last[UUID_TEXT_SIZE] = "", id[UUID_TEXT_SIZE];

	clock_test_start(0, INT64_C(1795384400000));
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		uuid_continue_after(stored[i]);
		for (int n = 0; n < 5000; n++) {
			uuid_make_v7(id);
			assert_true(strcmp(id, stored[i]) > 0 && strcmp(id, last) > 0);
			memcpy(last, id, sizeof(last));
		}
	}
}

static void only_version_7_tells_a_time(void **state)
{
	assert_true(uuid_is_v7("03a20569-0000-7123-8000-000000000000"));
	assert_false(uuid_is_v7("f3a20569-0000-4123-8000-000000000000"));
	assert_false(uuid_is_v7("op-03a20569-0000-7123-8000-0000000000"));
	assert_false(uuid_is_v7(""));
}

static void names_its_maker(void **state)
{
	char maker[UUID_MAKER_SIZE], other[UUID_MAKER_SIZE], id[UUID_TEXT_SIZE];
	char last[UUID_TEXT_SIZE] = "";

	clock_test_start(0, INT64_C(1795384500000));
	uuid_make_maker(maker);
	uuid_make_maker(other);
	assert_true(uuid_is_maker(maker));
	assert_string_not_equal(maker, other);
	uuid_set_maker(maker);
	for (int i = 0; i < 5000; i++) {
		uuid_make_v7(id);
		assert_true(uuid_is_v7(id));
		assert_string_equal(id + 24, maker);
		assert_true(uuid_is_made_by(id, maker));
		assert_false(uuid_is_made_by(id, other));
		assert_true(strcmp(id, last) > 0);
		memcpy(last, id, sizeof(last));
	}
	assert_false(uuid_is_made_by("f3a20569-0000-4123-8000-0123456789ab", "0123456789ab"));
	assert_false(uuid_is_made_by("op-1", maker));
	assert_false(uuid_is_maker("0123456789AB"));
	assert_false(uuid_is_maker("0123456789a"));
	assert_false(uuid_is_maker("0123456789abc"));
	assert_false(uuid_is_maker(NULL));
	uuid_make_v4(id);
	assert_string_not_equal(id + 24, maker);
}

#define IDS 5000

static void *make_ids(void *arg)
{
	char(*ids)[UUID_TEXT_SIZE] = arg;

	for (int i = 0; i < IDS; i++)
		uuid_make_v7(ids[i]);
	return NULL;
}

static void threads_keep_order_each(void **state)
{
	static char ids[3][IDS][UUID_TEXT_SIZE];
	pthread_t threads[3];

	for (int t = 0; t < 3; t++)
		pthread_create(&threads[t], NULL, make_ids, ids[t]);
	for (int t = 0; t < 3; t++)
		pthread_join(threads[t], NULL);
	for (int t = 0; t < 3; t++) {
		for (int i = 1; i < IDS; i++)
			assert_true(strcmp(ids[t][i], ids[t][i - 1]) > 0);
	}
}

static void swapped_groups(void **state)
{
	char out[UUID_TEXT_SIZE];

	uuid_swap("00112233-4455-6677-8899-aabbccddeeff", out);
	assert_string_equal(out, "33221100-5544-7766-8899-aabbccddeeff");
	uuid_swap("33221100-5544-7766-8899-aabbccddeeff", out);
	assert_string_equal(out, "00112233-4455-6677-8899-aabbccddeeff");
}

RUN_TESTS(cmocka_unit_test(swapped_groups), cmocka_unit_test(forms), cmocka_unit_test(validity),
	  cmocka_unit_test(sorts_within_a_millisecond), cmocka_unit_test(begins_with_the_time),
	  cmocka_unit_test(sorts_when_the_clock_steps_back),
	  cmocka_unit_test(threads_keep_order_each), cmocka_unit_test(only_version_7_tells_a_time),
	  cmocka_unit_test(sorts_behind_stored_ids), cmocka_unit_test(names_its_maker))
