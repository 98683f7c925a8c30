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
	return cloud_attach_volume(fixture->cloud, VOLUME_ID, VM_ID, -1, JOB_ID, clock_mono_ms(),
				   on_done, seen);
}

static struct cloud_call *list(struct fixture *fixture, struct seen *seen)
{
	const struct cloud_volume_filter filter = { .id = VOLUME_ID };

	return cloud_list_volumes(fixture->cloud, &filter, on_done, seen);
}

/* ---- the clock, and the causes of a 401 ---- */

#define DENIED                                                                                     \
	{                                                                                          \
		.status = 401, .body = WEB_DENIED                                                  \
	}

static int64_t skew_ms(struct fixture *fixture)
{
	struct cloud_health health;

	cloud_health(fixture->cloud, &health);
	return health.skew_ms;
}

static void assert_measured(struct fixture *fixture, int64_t ahead_ms)
{
	assert_in_range(skew_ms(fixture) - ahead_ms + 1500, 0, 3000);
}

/* A change expires one time-out after it was asked for, by CloudStack's clock, which was never
 * told. */
static void test_changes_expire_by_the_servers_clock(void **state)
{
	struct fixture *fixture = *state;
	const int64_t ahead_ms[] = { 0, 2100000, -2100000, 80000000, 0, -80000000 };

	for (size_t i = 0; i < ARRAY_SIZE(ahead_ms); i++) {
		struct seen seen = { 0 };
		int64_t until_ms, left_ms;

		SCRIPT(fixture, { .status = 200, .body = ACCEPTED });
		fixture->server.ahead_ms = ahead_ms[i];
		fixture->server.probes = 0;
		clock_test_advance(3600000); /* measured anew once an hour */
		run_idle(fixture);
		attach(fixture, &seen);
		run_until(fixture, &seen.runs, 1);
		run_idle(fixture);
		SCRIPT(fixture, { .status = 200, .body = ACCEPTED });
		attach(fixture, &seen);
		run_until(fixture, &seen.runs, 2);
		assert_int_equal(seen.outcome, CLOUD_OK);
		assert_measured(fixture, ahead_ms[i]);
		assert_int_equal(time_parse(param(fixture, 0, "expires"), &until_ms), 0);
		left_ms = until_ms - clock_wall_ms() - ahead_ms[i];
		assert_in_range(left_ms, FIXTURE_TIMEOUT_MS, FIXTURE_TIMEOUT_MS + 4000);
		assert_in_range(fixture->server.probes, 2, 64);
	}
}

/* Once the clock is known, this machine's may be set as anybody likes. */
static void test_a_step_of_our_clock_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };
	int64_t until_ms;

	SCRIPT(fixture, { .status = 200, .body = ACCEPTED });
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	clock_test_start(clock_mono_ms(), clock_wall_ms() + 7200000);
	fixture->server.ahead_ms = -7200000;
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 2);
	assert_measured(fixture, -7200000);
	assert_int_equal(time_parse(param(fixture, 1, "expires"), &until_ms), 0);
	assert_in_range(until_ms - FIXTURE_WALL_MS, FIXTURE_TIMEOUT_MS, FIXTURE_TIMEOUT_MS + 4000);
}

static void test_reads_do_not_wait_for_the_clock(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES });
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(fixture->server.probes, 0);
	assert_string_equal(param(fixture, 0, "expires"), "2030-01-02T03:14:05+0000");
}

static void test_wrong_keys(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen seen = { 0 };
	size_t probes;

	SCRIPT(fixture, DENIED);
	fixture->server.denies = true;
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_AWAY);
	assert_int_equal(seen.err.code, ERR_UNAVAILABLE);
	assert_int_equal(seen.err.cloud_code, 401);
	assert_non_null(strstr(seen.err.text, "API key or the secret key is wrong"));
	assert_null(strstr(seen.err.text, "clock"));
	assert_non_null(strstr(seen.err.text, "unable to verify"));
	cloud_health(fixture->cloud, &health);
	assert_false(health.usable);
	assert_non_null(strstr(health.reason, "API key or the secret key is wrong"));

	/* Not each request is followed by others, and the clock is not searched each time. */
	probes = fixture->server.probes;
	assert_in_range(probes, 2, 64);
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 2);
	assert_int_equal(fixture->server.probes, probes);
	clock_test_advance(5000);
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 3);
	assert_int_equal(fixture->server.probes, probes + 2);

	/* The keys are right again. */
	clock_test_advance(5000);
	fixture->server.denies = false;
	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES });
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 4);
	cloud_health(fixture->cloud, &health);
	assert_true(health.usable);
}

static void test_a_wrong_clock_is_found_and_allowed_for(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen seen = { 0 };

	/* A read lives for ten minutes, and CloudStack is 35 ahead. */
	SCRIPT(fixture, DENIED, { .status = 200, .body = NO_VOLUMES });
	fixture->server.ahead_ms = 2100000;
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_measured(fixture, 2100000);
	cloud_health(fixture->cloud, &health);
	assert_true(health.usable);
	assert_string_equal(health.reason, "");
}

static void test_a_clock_beyond_reason(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, DENIED);
	fixture->server.ahead_ms = INT64_C(30) * 86400 * 1000;
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_AWAY);
	assert_non_null(strstr(seen.err.text, "Set this machine's clock"));
	assert_null(strstr(seen.err.text, "API key"));
	assert_int_equal(skew_ms(fixture), 0);
}

static void test_a_command_that_the_server_does_not_know(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen seen = { 0 };

	SCRIPT(fixture, DENIED);
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_REFUSED);
	assert_int_equal(seen.err.code, ERR_CLOUD);
	assert_non_null(strstr(seen.err.text, "does not know the command attachVolume"));
	assert_int_equal(fixture->server.asked, 2);
	cloud_health(fixture->cloud, &health);
	assert_true(health.usable);
}

static void test_a_401_that_passes(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, DENIED, { .status = 200, .body = ACCEPTED });
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
}

/* The process stood still between its commit and the request. */
static void test_a_late_change_is_refused(void **state)
{
	struct fixture *fixture = *state;
	int64_t asked_ms = clock_mono_ms();
	struct cloud_health health;
	struct seen seen = { 0 };

	SCRIPT(fixture, DENIED);
	clock_test_advance(FIXTURE_TIMEOUT_MS + 5000);
	cloud_attach_volume(fixture->cloud, VOLUME_ID, VM_ID, -1, JOB_ID, asked_ms, on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_AWAY);
	assert_non_null(strstr(seen.err.text, "after its time"));
	assert_int_equal(fixture->server.asked, 1);
	cloud_health(fixture->cloud, &health);
	assert_null(strstr(health.reason, "API key"));
}

/* Until then a request may arrive, and not for much longer. */
static void test_how_long_a_request_can_be_late(void **state)
{
	struct fixture *fixture = *state;
	int64_t asked_ms = clock_mono_ms();
	struct seen seen = { 0 };

	/* The clock is not known yet, and ours may be wrong. */
	assert_in_range(cloud_late_until_ms(fixture->cloud, asked_ms) - asked_ms,
			FIXTURE_TIMEOUT_MS + 900000, FIXTURE_TIMEOUT_MS + 903000);
	SCRIPT(fixture, { .status = 200, .body = ACCEPTED });
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_in_range(cloud_late_until_ms(fixture->cloud, asked_ms) - asked_ms,
			FIXTURE_TIMEOUT_MS, FIXTURE_TIMEOUT_MS + 6000);
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
		cloud_job_watch(fixture->cloud, &(struct cloud_watch){ .job_id = JOB_ID }, on_done,
				&job);
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
	const int64_t waits[] = { 700, 1400, 2800, 4000, 4000 };
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
		TEST(test_changes_expire_by_the_servers_clock),
		TEST(test_a_step_of_our_clock_changes_nothing),
		TEST(test_reads_do_not_wait_for_the_clock),
		TEST(test_wrong_keys),
		TEST(test_a_wrong_clock_is_found_and_allowed_for),
		TEST(test_a_clock_beyond_reason),
		TEST(test_a_command_that_the_server_does_not_know),
		TEST(test_a_401_that_passes),
		TEST(test_a_late_change_is_refused),
		TEST(test_how_long_a_request_can_be_late),
		TEST(test_durations_ignore_the_wall_clock),
		TEST(test_rate_limit_slows_everything_down),
		TEST(test_rate_limit_again_and_again_waits_longer),
		TEST(test_after_a_rate_limit_one_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
