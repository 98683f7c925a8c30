/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hand-turned clock, and times as text in both directions. */
#include "unit.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"

static void stands_still_until_turned(void **state)
{
	assert_false(clock_is_test());
	assert_true(clock_mono_ms() > 0);
	clock_test_start(1000, 5000000);
	assert_true(clock_is_test());
	assert_true(clock_mono_ms() == 1000 && clock_wall_ms() == 5000000);
	clock_test_advance(250);
	assert_true(clock_mono_ms() == 1250 && clock_wall_ms() == 5000250);
}

static void formats(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 1, "1970-01-01T00:00:00.001Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ INT64_C(1795384203123), "2026-11-22T21:50:03.123Z" },
		{ INT64_C(253402300799999), "9999-12-31T23:59:59.999Z" },
		{ INT64_MAX, "9999-12-31T23:59:59.999Z" },
		{ INT64_MIN, "0000-01-01T00:00:00.000Z" },
	};
	char text[TIME_TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		time_format(rows[i].ms, text);
		assert_string_equal(text, rows[i].text);
	}
}

/* Each day of 801 years, and of the first and last ones, as the C library has it. */
static void knows_the_calendar(void **state)
{
	static const struct {
		int64_t begin, end;
	} spans[] = { { -719528, -719000 }, { -150000, 143000 }, { 2932000, 2932896 } };
	char text[TIME_TEXT_SIZE], expected[64];
	struct tm tm;

	for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
		for (int64_t day = spans[i].begin; day <= spans[i].end; day++) {
			time_t seconds = day * 86400 + 86399;

			time_format(seconds * 1000 + 7, text);
			assert_non_null(gmtime_r(&seconds, &tm));
			snprintf(expected, sizeof(expected), "%04d-%02d-%02dT23:59:59.007Z",
				 (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday);
			assert_string_equal(text, expected);
		}
	}
}

static void parses(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "2026-11-22T21:50:03.123Z", INT64_C(1795384203123) },
		{ "2026-11-22T21:50:03Z", INT64_C(1795384203000) },
		{ "2026-11-22T21:50:03.1Z", INT64_C(1795384203100) },
		{ "2026-11-22T21:50:03.123999999Z", INT64_C(1795384203123) },
		{ "2026-11-22T22:50:03+0100", INT64_C(1795384203000) }, /* CloudStack's form */
		{ "2026-11-22T16:20:03-05:30", INT64_C(1795384203000) },
		{ "2024-02-29T00:00:00Z", INT64_C(1709164800000) },
		{ "1969-12-31T23:59:59.999Z", -1 },
		{ "2016-12-31T23:59:60Z", INT64_C(1483228800000) },
	};
	int64_t ms;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(time_parse(rows[i].text, &ms), 0);
		assert_true(ms == rows[i].ms);
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = {
		"",
		"2026-11-22",
		"2026-11-22T21:50:03",
		"2026-11-22 21:50:03Z",
		"2026-11-22T21:50:03.Z",
		"2026-11-22T21:50:03.1234567890Z",
		"2026-11-22T21:50:03Zx",
		"2026-11-22T21:50:03+01",
		"2026-11-22T21:50:03+24:00",
		"2026-11-22T21:50:03+01:60",
		"2026-13-22T21:50:03Z",
		"2026-00-22T21:50:03Z",
		"2026-11-31T21:50:03Z",
		"2023-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2026-11-22T24:00:00Z",
		"2026-11-22T21:60:00Z",
		"2026-11-22T21:50:61Z",
		"26-11-22T21:50:03Z",
		"2026-11-22T21:50:3Z",
		" 2026-11-22T21:50:03Z",
	};
	int64_t ms = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(time_parse(bad[i], &ms), -1);
	assert_true(ms == 7);
}

static void there_and_back(void **state)
{
	char text[TIME_TEXT_SIZE];
	int64_t back;

	for (int64_t ms = -INT64_C(62167219200000); ms < INT64_C(253402300800000);
	     ms += INT64_C(98765432101)) {
		time_format(ms, text);
		assert_int_equal(time_parse(text, &back), 0);
		assert_true(back == ms);
	}
}

static void records_never_go_back(void **state)
{
	clock_test_start(1000, 50000);
	assert_true(clock_record_ms() == 50000);
	clock_test_advance(7);
	assert_true(clock_record_ms() == 50007);
	/* Half pace, and no millisecond is lost between two calls. */
	clock_test_set_wall(40000);
	assert_true(clock_record_ms() == 50007);
	for (int i = 0; i < 10; i++) {
		clock_test_advance(1);
		clock_record_ms();
	}
	assert_true(clock_record_ms() == 50012);
	clock_test_advance(10000);
	assert_true(clock_wall_ms() == 50010 && clock_record_ms() == 55012);
	/* Caught up. */
	clock_test_advance(5010);
	assert_true(clock_wall_ms() == 55020 && clock_record_ms() == 55020);
}

static void records_go_on_from_those_that_are_stored(void **state)
{
	clock_test_start(1000, 50000);
	clock_record_after(20000);
	assert_true(clock_record_ms() == 50000);
	clock_record_after(90000);
	clock_record_after(80000);
	assert_true(clock_record_ms() == 90000);
	clock_test_advance(1000);
	assert_true(clock_record_ms() == 90500);
	/* A clock of another age still gives a time that has a text. */
	clock_record_after(INT64_MAX);
	clock_test_advance(1000);
	assert_true(clock_record_ms() == TIME_MAX_MS);
}

RUN_TESTS(cmocka_unit_test(stands_still_until_turned), cmocka_unit_test(records_never_go_back),
	  cmocka_unit_test(records_go_on_from_those_that_are_stored), cmocka_unit_test(formats),
	  cmocka_unit_test(knows_the_calendar), cmocka_unit_test(parses), cmocka_unit_test(refuses),
	  cmocka_unit_test(there_and_back))
