/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The search for CloudStack's clock, against a server that is a function. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "cloud/cloud_clock.h"

#define MONO_MS INT64_C(5000000)
#define WALL_MS INT64_C(1893553445678)
#define MINUTE_MS INT64_C(60000)
#define DAY_MS (24 * 60 * MINUTE_MS)
/* The way there, and the way back. */
#define TRIP_MS 40

static int setup(void **state)
{
	clock_test_start(MONO_MS, WALL_MS);
	return 0;
}

/* Asks a server whose clock is so far ahead of ours; returns the number of reads. */
static unsigned measure_of(struct cloud_clock *clock, int64_t ahead_ms, bool near_only)
{
	unsigned reads = 0;
	int64_t second;

	cloud_clock_begin(clock, near_only);
	while ((second = cloud_clock_next(clock))) {
		int64_t sent_ms = clock_mono_ms();
		bool accepted;

		clock_test_advance(TRIP_MS);
		accepted = clock_wall_ms() + ahead_ms <= second * 1000;
		if (near_only && clock_wall_ms() + ahead_ms + 15 * MINUTE_MS < second * 1000)
			accepted = false;
		clock_test_advance(TRIP_MS);
		cloud_clock_note(clock, accepted, sent_ms, clock_mono_ms());
		reads++;
	}
	return reads;
}

static unsigned measure(struct cloud_clock *clock, int64_t ahead_ms)
{
	return measure_of(clock, ahead_ms, false);
}

static void test_finds_a_clock_nearby(void **state)
{
	const int64_t ahead_ms[] = { 0,
				     10 * MINUTE_MS,
				     -35 * MINUTE_MS,
				     160 * MINUTE_MS,
				     -160 * MINUTE_MS,
				     14 * 60 * MINUTE_MS + 90000,
				     -14 * 60 * MINUTE_MS - 90000 };

	for (size_t i = 0; i < ARRAY_SIZE(ahead_ms); i++) {
		struct cloud_clock clock = { 0 };

		assert_in_range(measure_of(&clock, ahead_ms[i], true), 2, 64);
		assert_true(clock.found);
		assert_in_range(clock.high_ms - clock.low_ms, 0, 2500 + 4 * TRIP_MS);
		assert_true(clock.low_ms <= WALL_MS - MONO_MS + ahead_ms[i]);
		assert_true(clock.high_ms >= WALL_MS - MONO_MS + ahead_ms[i]);
		setup(NULL);
	}
}

static void test_finds_the_clock(void **state)
{
	const int64_t ahead_ms[] = { 0,
				     300,
				     -300,
				     4000,
				     -4000,
				     35 * MINUTE_MS,
				     -35 * MINUTE_MS,
				     11 * 60 * MINUTE_MS + 17,
				     -DAY_MS + 5000,
				     DAY_MS - 5000 };

	for (size_t i = 0; i < ARRAY_SIZE(ahead_ms); i++) {
		struct cloud_clock clock = { 0 };
		unsigned reads = measure(&clock, ahead_ms[i]);

		assert_true(clock.measured);
		assert_in_range(clock.high_ms - clock.low_ms, 0, 2500 + 4 * TRIP_MS);
		assert_true(clock.low_ms <= WALL_MS - MONO_MS + ahead_ms[i]);
		assert_true(clock.high_ms >= WALL_MS - MONO_MS + ahead_ms[i]);
		assert_in_range(reads, 2, 40);
		/* Once it is known, a few reads confirm it. */
		clock_test_advance(60 * MINUTE_MS);
		assert_in_range(measure(&clock, ahead_ms[i]), 2, 5);
		setup(NULL);
	}
}

static void test_what_is_promised_of_it(void **state)
{
	struct cloud_clock clock = { 0 };
	int64_t until_ms, second, passed_ms;

	measure(&clock, 35 * MINUTE_MS);
	until_ms = clock_mono_ms() + 30000;
	second = cloud_clock_second(&clock, until_ms);
	passed_ms = cloud_clock_passed_ms(&clock, second);
	assert_false(cloud_clock_may_have_passed(&clock, second, until_ms));
	assert_true(cloud_clock_may_have_passed(&clock, second, passed_ms));
	assert_in_range(passed_ms - until_ms, 0, 6000);
	assert_in_range(cloud_clock_skew_ms(&clock) - 35 * MINUTE_MS + 1500, 0, 3000);

	/* At that moment CloudStack has passed the second, and at until_ms it has not. */
	assert_true(second * 1000 >= until_ms + WALL_MS - MONO_MS + 35 * MINUTE_MS);
	assert_true(second * 1000 < passed_ms + WALL_MS - MONO_MS + 35 * MINUTE_MS);
}

static void test_unknown_clock(void **state)
{
	struct cloud_clock clock = { 0 };
	int64_t second = cloud_clock_second(&clock, MONO_MS + 30000);

	assert_int_equal(second, (WALL_MS + 30000 + 999) / 1000);
	assert_in_range(cloud_clock_passed_ms(&clock, second) - MONO_MS, 30000 + 15 * MINUTE_MS,
			32000 + 15 * MINUTE_MS);
	assert_int_equal(cloud_clock_skew_ms(&clock), 0);
}

/* What was known stays known. */
static void test_a_clock_that_cannot_be_found(void **state)
{
	struct cloud_clock clock = { 0 };
	int64_t low_ms, high_ms;

	measure(&clock, MINUTE_MS);
	low_ms = clock.low_ms;
	high_ms = clock.high_ms;
	assert_in_range(measure(&clock, 3 * DAY_MS), 2, 64);
	assert_false(clock.found);
	assert_true(clock.measured);
	assert_int_equal(clock.low_ms, low_ms);
	assert_int_equal(clock.high_ms, high_ms);
}

/* Two servers answer in turn, and their clocks are an hour apart. */
static void test_two_clocks(void **state)
{
	struct cloud_clock clock = { 0 };
	int64_t second;
	bool first = true;

	cloud_clock_begin(&clock, false);
	while ((second = cloud_clock_next(&clock))) {
		int64_t ahead_ms = (first = !first) ? 60 * MINUTE_MS : 0;

		cloud_clock_note(&clock, clock_wall_ms() + ahead_ms <= second * 1000,
				 clock_mono_ms(), clock_mono_ms());
	}
	assert_true(!clock.measured || clock.high_ms >= clock.low_ms);
}

#define TEST(FUNCTION) cmocka_unit_test_setup(FUNCTION, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_finds_a_clock_nearby),         TEST(test_finds_the_clock),
		TEST(test_what_is_promised_of_it),       TEST(test_unknown_clock),
		TEST(test_a_clock_that_cannot_be_found), TEST(test_two_clocks),
	};

	return cmocka_run_group_tests_name("cloud_clock", tests, NULL, NULL);
}
