/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Jobs of a kind are looked at around their expected end: soon after it, and with few looks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "cloud/cloud_pace.h"

#define ANSWER_MS 6 /* from a question to CloudStack's answer */

struct watched {
	unsigned looks;
	int64_t late_ms; /* from the job's end to the answer that shows it */
};

/* Looks at a job until it has ended. The first job of all is looked at after 500 ms, 1.5 s, … */
static struct watched watch(struct cloud_pace *pace, int64_t length_ms)
{
	int64_t at_ms = cloud_pace_is_known(pace) ? cloud_pace_first_ms(pace) : 500;
	int64_t gap_ms = cloud_pace_is_known(pace) ? cloud_pace_gap_ms(pace) : 1000;
	struct watched watched = { .looks = 1 };
	int64_t ran_ms = 0;

	while (at_ms + ANSWER_MS / 2 < length_ms) {
		ran_ms = at_ms;
		at_ms += gap_ms;
		gap_ms = cloud_pace_is_known(pace) ? cloud_pace_wider_ms(gap_ms) : 2 * gap_ms;
		watched.looks++;
	}
	watched.late_ms = at_ms + ANSWER_MS - length_ms;
	cloud_pace_learn(pace, ran_ms, at_ms + ANSWER_MS);
	return watched;
}

static void test_first_job(void **state)
{
	struct cloud_pace pace = { 0 };

	assert_false(cloud_pace_is_known(&pace));
	cloud_pace_learn(&pace, 500, 1500);
	assert_true(cloud_pace_is_known(&pace));
	/* The end was somewhere in between, and the next job is looked at from the begin of that
	 * time on. */
	assert_int_equal(cloud_pace_first_ms(&pace), 500);
	assert_in_range(cloud_pace_gap_ms(&pace), 40, 500);
}

/* An end that was seen at once is an end, too. */
static void test_shortest_job(void **state)
{
	struct cloud_pace pace = { 0 };

	for (int i = 0; i < 50; i++) {
		cloud_pace_learn(&pace, 0, 0);
		assert_true(cloud_pace_is_known(&pace));
		assert_in_range(cloud_pace_first_ms(&pace), 0, 1);
	}
}

static void test_same_length(void **state)
{
	static const int64_t lengths[] = { 50, 200, 1000, 3000, 12000 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct cloud_pace pace = { 0 };
		unsigned looks = 0;

		for (int job = 0; job < 20; job++)
			watch(&pace, lengths[i]);
		for (int job = 0; job < 100; job++) {
			struct watched watched = watch(&pace, lengths[i] + job % 15);

			assert_in_range(watched.late_ms, 0, 100);
			assert_in_range(watched.looks, 1, 4);
			looks += watched.looks;
		}
		assert_in_range(looks, 100, 220);
	}
}

/* A few jobs of one length are enough, although the first looks of all were seconds apart. */
static void test_learned_soon(void **state)
{
	struct cloud_pace pace = { 0 };
	int64_t late_ms = 0;

	for (int job = 0; job < 4; job++)
		watch(&pace, 12000);
	for (int job = 0; job < 4; job++)
		late_ms += watch(&pace, 12000).late_ms;
	assert_in_range(late_ms / 4, 0, 250);
}

/* Lengths between 0.7 and 1.3 of 2 s: few looks, and none comes very late. */
static void test_scattered_lengths(void **state)
{
	struct cloud_pace pace = { 0 };
	unsigned looks = 0, number = 1;
	int64_t late_ms = 0;

	for (int job = 0; job < 1000; job++) {
		struct watched watched;

		number = number * 1103515245 + 12345;
		watched = watch(&pace, 1400 + number / 65536 % 1200);
		looks += watched.looks;
		late_ms += watched.late_ms;
	}
	assert_in_range(looks, 1000, 4500);
	assert_in_range(late_ms / 1000, 0, 250);
}

/* CloudStack becomes slower, or quicker, and the looks follow. */
static void test_changed_length(void **state)
{
	struct cloud_pace pace = { 0 };
	struct watched watched = { 0 };

	for (int job = 0; job < 20; job++)
		watch(&pace, 200);
	watched = watch(&pace, 12000);
	assert_in_range(watched.looks, 1, 25);
	for (int job = 0; job < 30; job++)
		watched = watch(&pace, 12000);
	assert_in_range(watched.late_ms, 0, 300);
	for (int job = 0; job < 40; job++)
		watched = watch(&pace, 200);
	assert_in_range(watched.late_ms, 0, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_job),         cmocka_unit_test(test_shortest_job),
		cmocka_unit_test(test_same_length),       cmocka_unit_test(test_learned_soon),
		cmocka_unit_test(test_scattered_lengths), cmocka_unit_test(test_changed_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
