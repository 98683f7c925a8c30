/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What CloudStack's clock and its rate limit do to everything that is asked. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cloud_fixture.h"

static const char *param(const struct fixture *fixture, size_t request, const char *name)
{
	return str_or(web_server_param(&fixture->server, request, name), "(none)");
}

static struct cloud_call *attach(struct fixture *fixture, struct seen *seen)
{
	return cloud_attach_volume(fixture->cloud, VOLUME_ID, VM_ID, JOB_ID, on_done, seen);
}

static struct cloud_call *list(struct fixture *fixture, struct seen *seen)
{
	const struct cloud_volume_filter filter = { .id = VOLUME_ID };

	return cloud_list_volumes(fixture->cloud, &filter, on_done, seen);
}

static void test_unauthorized_with_skewed_clock(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen change = { 0 };

	SCRIPT(fixture,
	       { .status = 401,
		 .date = "Wed, 02 Jan 2030 03:24:05 GMT",
		 .body = "{\"errorresponse\":{\"uuidList\":[],\"errorcode\":401,\"errortext\":\"unable to verify user "
			 "credentials and/or request signature\"}}" });
	attach(fixture, &change);
	run_until(fixture, &change.runs, 1);
	assert_int_equal(change.outcome, CLOUD_AWAY);
	assert_int_equal(change.err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(change.err.text, "clock is 20 min behind"));
	cloud_health(fixture->cloud, &health);
	assert_false(health.usable);
	assert_int_equal(health.skew_ms, 1200000);
	assert_non_null(strstr(health.reason, "Set this machine's clock"));
}

static void expect_expires(struct fixture *fixture, int64_t skew_ms, const char *date,
			   const char *expires)
{
	struct web_row row = { .status = 200, .date = date, .body = NO_VOLUMES };
	struct cloud_health health;
	struct seen seen = { 0 };

	web_server_script(&fixture->server, &row, 1);
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	cloud_health(fixture->cloud, &health);
	assert_int_equal(health.skew_ms, skew_ms);
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 2);
	assert_string_equal(param(fixture, 1, "expires"), expires);
}

/* A wrong clock on our side is no reason not to work: CloudStack's is what requests expire by. */
static void test_expires_by_the_servers_clock(void **state)
{
	struct fixture *fixture = *state;

	expect_expires(fixture, 3600000, "Wed, 02 Jan 2030 04:04:05 GMT",
		       "2030-01-02T04:14:05+0000");
	expect_expires(fixture, -3600000, "Wed, 02 Jan 2030 02:04:05 GMT",
		       "2030-01-02T02:14:05+0000");
	/* Small differences are the way's. */
	expect_expires(fixture, 60000, "Wed, 02 Jan 2030 03:05:05 GMT", "2030-01-02T03:14:05+0000");
	/* No forged Date makes a request that lives for years. */
	expect_expires(fixture, INT64_C(365) * 86400 * 1000, "Thu, 02 Jan 2031 03:04:05 GMT",
		       "2030-01-02T03:14:05+0000");
}

/* The wall clock jumps by years: what lasts a second lasts a second. */
static void test_durations_ignore_the_wall_clock(void **state)
{
	struct fixture *fixture = *state;
	const int64_t jumps[] = { INT64_C(-3000000000), INT64_C(3000000000) };
	struct seen held = { 0 }, late = { 0 }, job = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		size_t runs = i + 1;

		/* A hold. */
		SCRIPT(fixture,
		       { .status = 429,
			 .body = "{\"x\":{\"errorcode\":429,\"errortext\":\"[700] ms\"}}" },
		       { .status = 200, .body = NO_VOLUMES });
		list(fixture, &held);
		run_until(fixture, &held.runs, 2 * runs - 1);
		list(fixture, &held);
		clock_test_start(clock_mono_ms(), clock_wall_ms() + jumps[i]);
		clock_test_advance(699);
		run_idle(fixture);
		assert_int_equal(fixture->server.asked, 1);
		clock_test_advance(1);
		run_until(fixture, &held.runs, 2 * runs);

		/* The wait before a look at a job. */
		SCRIPT(fixture, { .status = 200, .body = SUCCEEDED });
		cloud_job_watch(fixture->cloud, JOB_ID, on_done, &job);
		clock_test_start(clock_mono_ms(), clock_wall_ms() - jumps[i]);
		clock_test_advance(FIXTURE_POLL_MIN_MS * 3 / 4 - 1);
		run_idle(fixture);
		assert_int_equal(fixture->server.asked, 0);
		clock_test_advance(FIXTURE_POLL_MIN_MS / 4 + 1);
		run_until(fixture, &job.runs, runs);

		/* A request's time. */
		SCRIPT(fixture, { .action = WEB_HOLD });
		list(fixture, &late);
		run_until(fixture, &fixture->server.held_count, 1);
		clock_test_start(clock_mono_ms(), clock_wall_ms() + jumps[i]);
		clock_test_advance(FIXTURE_TIMEOUT_MS - 1);
		run_idle(fixture);
		assert_int_equal(late.runs, runs - 1);
		clock_test_advance(1);
		run_until(fixture, &late.runs, runs);
		assert_int_equal(late.err.code, ERR_TIMEOUT);
	}
}

#define LIMITED                                                                                    \
	{                                                                                          \
		.status = 429,                                                                     \
		.body = "{\"x\":{\"errorcode\":429,\"errortext\":\"retry after [700] ms\"}}"       \
	}

static void expect_held_for(struct fixture *fixture, int64_t wait_ms)
{
	struct cloud_health health;

	cloud_health(fixture->cloud, &health);
	assert_int_equal(health.throttled_until_ms, clock_mono_ms() + wait_ms);
	assert_non_null(strstr(health.reason, "limits"));
	clock_test_advance(wait_ms);
	cloud_health(fixture->cloud, &health);
	assert_int_equal(health.throttled_until_ms, 0);
	assert_true(health.usable);
}

static void test_rate_limit_again_and_again_waits_longer(void **state)
{
	struct fixture *fixture = *state;
	const int64_t waits[] = { 700, 1400, 2800, 5600, 11200, 22400, 44800, 60000, 60000 };
	struct cloud_health health;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES }, LIMITED);
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		list(fixture, &seen);
		run_until(fixture, &seen.runs, i + 2);
		assert_int_equal(seen.err.code, ERR_TOO_MANY);
		expect_held_for(fixture, waits[i]);
	}
	cloud_health(fixture->cloud, &health);
	assert_int_equal(health.throttled, ARRAY_SIZE(waits));

	/* One good answer makes it forget. */
	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES }, LIMITED);
	for (size_t i = 1; i <= 2; i++) {
		list(fixture, &seen);
		run_until(fixture, &seen.runs, ARRAY_SIZE(waits) + 1 + i);
	}
	expect_held_for(fixture, 700);
}

/* All that has gathered during the hold would hit the limit again if it were sent at once. */
static void test_after_a_rate_limit_one_goes_first(void **state)
{
	struct fixture *fixture = *state;
	const struct web_row accepted = { .status = 200, .body = ACCEPTED };
	struct seen seen = { 0 };

	SCRIPT(fixture, LIMITED, { .action = WEB_HOLD });
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	for (int i = 0; i < 4; i++)
		attach(fixture, &seen);
	clock_test_advance(700);
	run_until(fixture, &fixture->server.asked, 2);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 2);
	web_server_release(&fixture->server, &accepted);
	run_until(fixture, &fixture->server.asked, 4);
	for (size_t i = 2; i <= 4; i++) {
		run_until(fixture, &fixture->server.held_count, i < 4 ? 2 : 1);
		web_server_release(&fixture->server, &accepted);
		run_until(fixture, &seen.runs, i + 1);
	}
	run_idle(fixture);
	assert_int_equal(seen.runs, 5 - fixture->server.held_count);
	while (fixture->server.held_count > 0)
		web_server_release(&fixture->server, &accepted);
	run_until(fixture, &seen.runs, 5);
}

static void test_rate_limit_slows_everything_down(void **state)
{
	struct fixture *fixture = *state;
	struct seen first = { 0 }, second = { 0 }, third = { 0 };

	SCRIPT(fixture,
	       { .status = 429,
		 .body = "{\"x\":{\"errorcode\":429,\"errortext\":\"The given user has reached his/her account api "
			 "limit, please "
			 "retry after [700] ms.\"}}" },
	       { .status = 200, .body = NO_VOLUMES });
	attach(fixture, &first);
	run_until(fixture, &first.runs, 1);
	assert_int_equal(first.outcome, CLOUD_AWAY);
	assert_int_equal(first.err.code, ERR_TOO_MANY);

	list(fixture, &second);
	cloud_find_job(fixture->cloud, JOB_ID, on_done, &third);
	run_idle(fixture);
	clock_test_advance(699);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 1);
	clock_test_advance(1);
	run_until(fixture, &second.runs, 1);
	run_until(fixture, &third.runs, 1);
	assert_int_equal(second.outcome, CLOUD_OK);
	assert_string_equal(param(fixture, 1, "command"), "listVolumes");
	assert_string_equal(param(fixture, 2, "command"), "queryAsyncJobResult");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unauthorized_with_skewed_clock),
		TEST(test_expires_by_the_servers_clock),
		TEST(test_durations_ignore_the_wall_clock),
		TEST(test_rate_limit_slows_everything_down),
		TEST(test_rate_limit_again_and_again_waits_longer),
		TEST(test_after_a_rate_limit_one_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
