/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Large answers, which a thread reads while the loop goes on. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <time.h>

#include "base/json.h"
#include "cloud/cloud_call.h"
#include "cloud/cloud_reader.h"
#include "cloud_fixture.h"

#define ROWS 1000
#define WAIT_S 120

static int64_t cpu_us(clockid_t clock)
{
	struct timespec spent;

	clock_gettime(clock, &spent);
	return (int64_t)spent.tv_sec * 1000000 + spent.tv_nsec / 1000;
}

static bool is_in_time(void)
{
	static time_t begun;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!begun)
		begun = now.tv_sec;
	return now.tv_sec - begun < WAIT_S;
}

static struct cloud_call *list(struct fixture *fixture, struct seen *seen)
{
	const struct cloud_volume_filter filter = { .id = VOLUME_ID };

	return cloud_list_volumes(fixture->cloud, &filter, on_done, seen);
}

static void answer_with(struct fixture *fixture, struct web_row *row, const struct buf *body)
{
	*row = (struct web_row){ .status = 200, .body = body->data };
	assert_true(body->length >= CLOUD_LARGE_MIN);
	web_server_script(&fixture->server, row, 1);
}

/* A list of nothing that has as many values as an answer may have. */
static void put_values(struct buf *body)
{
	buf_printf(body, "{\"listvolumesresponse\":{\"x\":[0");
	for (int i = 4; i < JSON_VALUES_LENIENT_MAX; i++)
		buf_printf(body, ",0");
	buf_printf(body, "]}}");
}

/* Turns the loop until then, and lets the thread run; how long the longest turn has computed. */
static int64_t turn_until(struct fixture *fixture, const size_t *runs, struct cloud_reading **read)
{
	int64_t longest_us = 0;

	while (*runs == 0 && !*read && is_in_time()) {
		int64_t before_us = cpu_us(CLOCK_THREAD_CPUTIME_ID), turn_us;

		loop_turn(fixture->loop);
		turn_us = cpu_us(CLOCK_THREAD_CPUTIME_ID) - before_us;
		if (turn_us > longest_us)
			longest_us = turn_us;
		sched_yield();
	}
	return longest_us;
}

static void test_all_rows_are_there(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = BUF_NULL;
	struct cloud_reading *never = NULL;
	struct seen seen = { 0 };
	struct web_row row;

	buf_printf(&body, "{\"listvolumesresponse\":{\"count\":%d,\"volume\":[", ROWS);
	for (int i = 0; i < ROWS; i++)
		buf_printf(&body,
			   "%s{\"id\":\"774fd83e-147a-4cc1-a8cc-%012d\",\"name\":\"volume number "
			   "%d\",\"size\":1073741824}",
			   i ? "," : "", i, i);
	buf_printf(&body, "]}}");
	answer_with(fixture, &row, &body);
	list(fixture, &seen);
	turn_until(fixture, &seen.runs, &never);
	assert_int_equal(seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_int_equal(seen.count, ROWS);
	assert_string_equal(seen.first_id, "774fd83e-147a-4cc1-a8cc-000000000000");
}

static void test_the_loop_goes_on(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = BUF_NULL;
	int64_t loop_us, all_us, longest_us;
	struct cloud_reading *never = NULL;
	struct seen seen = { 0 };
	struct web_row row;

	put_values(&body);
	answer_with(fixture, &row, &body);
	list(fixture, &seen);
	loop_us = cpu_us(CLOCK_THREAD_CPUTIME_ID);
	all_us = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
	longest_us = turn_until(fixture, &seen.runs, &never);
	loop_us = cpu_us(CLOCK_THREAD_CPUTIME_ID) - loop_us;
	all_us = cpu_us(CLOCK_PROCESS_CPUTIME_ID) - all_us;
	assert_int_equal(seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	/* The thread has computed longer than any turn of the loop. */
	assert_true(all_us - loop_us > longest_us);
}

static void test_cancelled_while_it_is_read(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = BUF_NULL;
	struct seen seen = { 0 }, next = { 0 };
	struct cloud_call *call;
	struct web_row row;

	put_values(&body);
	answer_with(fixture, &row, &body);
	call = list(fixture, &seen);
	turn_until(fixture, &seen.runs, &call->reading);
	assert_int_equal(seen.runs, 0);
	cloud_call_cancel(call);
	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES });
	list(fixture, &next);
	run_until(fixture, &next.runs, 1);
	/* The thread reads in turn, so it is through with the other answer after this one. */
	answer_with(fixture, &row, &body);
	next.runs = 0;
	list(fixture, &next);
	turn_until(fixture, &next.runs, &(struct cloud_reading *){ NULL });
	assert_int_equal(next.runs, 1);
	assert_int_equal(seen.runs, 0);
}

/* The daemon ends while the thread still reads for nobody. */
static void test_closed_while_it_is_read(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = BUF_NULL;
	struct seen seen = { 0 };
	struct cloud_call *call;
	struct web_row row;

	put_values(&body);
	answer_with(fixture, &row, &body);
	call = list(fixture, &seen);
	turn_until(fixture, &seen.runs, &call->reading);
	cloud_call_cancel(call);
	fixture_use_project(fixture, NULL);
	assert_int_equal(seen.runs, 0);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_rows_are_there),
		TEST(test_the_loop_goes_on),
		TEST(test_cancelled_while_it_is_read),
		TEST(test_closed_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
