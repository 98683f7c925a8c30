/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Watching jobs. The clock is turned by hand, so every look can be counted. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cloud_fixture.h"

#define UNKNOWN_JOB                                                                                                   \
	{                                                                                                             \
		.status = 431,                                                                                        \
		.body = "{\"x\":{\"errorcode\":431,\"errortext\":\"Invalid parameter jobid value=U due to incorrect " \
			"long "                                                                                       \
			"value format, or entity does not exist\"}}",                                                 \
	}

static struct cloud_job *watch(struct fixture *fixture, struct seen *seen)
{
	return cloud_job_watch(fixture->cloud, &(struct cloud_watch){ .job_id = JOB_ID }, on_done,
			       seen);
}

/* No look in the first three quarters of the wait, one at its end. */
static void expect_look_after(struct fixture *fixture, int64_t wait_ms)
{
	size_t asked = fixture->server.asked;

	run_idle(fixture);
	clock_test_advance(wait_ms * 3 / 4 - 1);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, asked);
	clock_test_advance(wait_ms - (wait_ms * 3 / 4 - 1));
	run_until(fixture, &fixture->server.asked, asked + 1);
	run_idle(fixture);
}

static void test_looks_less_and_less_often(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, JOB_PENDING, JOB_PENDING, JOB_PENDING, JOB_PENDING, JOB_SUCCEEDED);
	watch(fixture, &seen);
	expect_look_after(fixture, 1000);
	expect_look_after(fixture, 2000);
	expect_look_after(fixture, 4000);
	expect_look_after(fixture, 4000);
	assert_int_equal(seen.runs, 0);
	expect_look_after(fixture, 4000);
	assert_int_equal(seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_int_equal(seen.job_status, CLOUD_JOB_SUCCEEDED);
	assert_string_equal(seen.first_id, VOLUME_ID);
	assert_int_equal(seen.device_id, 4);
	assert_string_equal(web_server_param(&fixture->server, 0, "jobid"), JOB_ID);

	clock_test_advance(60000);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 5);
}

static void test_failed(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture,
	       { .status = 200,
		 .body = "{\"x\":{\"jobstatus\":2,\"jobresult\":{\"errorcode\":530,\"errortext\":\"no room\"}}}" });
	watch(fixture, &seen);
	clock_test_advance(1000);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_int_equal(seen.job_status, CLOUD_JOB_FAILED);
	assert_int_equal(seen.err.code, ERR_CLOUD);
	assert_string_equal(seen.err.cloud_text, "no room");
}

static void test_unknown(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, UNKNOWN_JOB);
	watch(fixture, &seen);
	clock_test_advance(1000);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_REFUSED);
	assert_int_equal(seen.err.code, ERR_NOT_FOUND);
}

static void expect_seen(const struct cloud_job *job, const char *begins, const char *holds)
{
	_cleanup_free_ char *text = cloud_job_seen(job);

	assert_true(str_has_prefix(text, begins));
	assert_non_null(strstr(text, holds));
}

static void test_says_what_it_has_seen(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };
	struct cloud_job *job;

	SCRIPT(fixture, JOB_PENDING, HTML_502, JOB_PENDING);
	job = watch(fixture, &seen);
	expect_seen(job, "CloudStack has not told yet whether job " JOB_ID " runs", "");
	expect_look_after(fixture, 1000);
	expect_seen(job, "job " JOB_ID " in progress, 0 s ago", "");
	expect_look_after(fixture, 2000);
	clock_test_advance(1000);
	expect_seen(job, "job " JOB_ID " in progress, 3 s ago; since then: ", "HTTP 502");
	clock_test_advance(3000);
	run_until(fixture, &fixture->server.asked, 3);
	run_idle(fixture);
	expect_seen(job, "job " JOB_ID " in progress, 0 s ago", "");
	cloud_job_cancel(job);
}

static void test_trouble_only_delays(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, HTML_502, { .action = WEB_CUT }, { .status = 200, .body = "" }, HTML_502,
	       HTML_502, HTML_502, HTML_502, JOB_PENDING, JOB_SUCCEEDED);
	watch(fixture, &seen);
	expect_look_after(fixture, 1000);
	expect_look_after(fixture, 2000);
	expect_look_after(fixture, 4000);
	expect_look_after(fixture, 8000);
	expect_look_after(fixture, 16000);
	expect_look_after(fixture, 30000);
	expect_look_after(fixture, 30000);
	expect_look_after(fixture, 30000);
	assert_int_equal(seen.runs, 0);
	/* That was an answer: back to the usual waits. */
	expect_look_after(fixture, 4000);
	assert_int_equal(seen.runs, 1);
	assert_int_equal(seen.job_status, CLOUD_JOB_SUCCEEDED);
}

/* A limit of requests is kept by the throttle, so the looks need not become seldom as well. */
static void test_a_limit_delays_little(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };
	int64_t begun_ms = clock_mono_ms(), over_ms;

	SCRIPT(fixture,
	       { .status = 429, .body = "{\"x\":{\"errorcode\":429,\"errortext\":\"[50] ms\"}}" });
	watch(fixture, &seen);
	while (clock_mono_ms() - begun_ms < 120000) {
		clock_test_advance(250);
		run_idle(fixture);
	}
	SCRIPT(fixture, JOB_SUCCEEDED);
	over_ms = clock_mono_ms();
	while (seen.runs == 0) {
		clock_test_advance(250);
		run_idle(fixture);
	}
	assert_in_range(clock_mono_ms() - over_ms, 1, 2 * FIXTURE_POLL_MAX_MS + 1000);
	assert_int_equal(seen.job_status, CLOUD_JOB_SUCCEEDED);
}

#define REFUSED_SAYING(WORDS)                                                                      \
	{                                                                                          \
		.status = 530, .body = "{\"x\":{\"errorcode\":530,\"errortext\":\"" WORDS "\"}}"   \
	}

/* Looks until the watch ends. */
static void watch_to_its_end(struct fixture *fixture, struct seen *seen)
{
	for (int i = 0; i < 100 && seen->runs == 0; i++) {
		clock_test_advance(30000);
		run_idle(fixture);
	}
	assert_int_equal(seen->runs, 1);
}

static void test_refused_again_and_again(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };
	struct cloud_health health;

	SCRIPT(fixture, REFUSED_SAYING("SQL"), REFUSED_SAYING("SQL"), JOB_PENDING,
	       REFUSED_SAYING("SQL"), REFUSED_SAYING("SQL"), REFUSED_SAYING("SQL"),
	       REFUSED_SAYING("SQL"), REFUSED_SAYING("SQL"), REFUSED_SAYING("SQL"),
	       REFUSED_SAYING("SQL"), REFUSED_SAYING("SQL"), REFUSED_SAYING("SQL"),
	       REFUSED_SAYING("SQL"), JOB_SUCCEEDED);
	watch(fixture, &seen);
	watch_to_its_end(fixture, &seen);
	assert_int_equal(fixture->server.asked, 13);
	assert_int_equal(seen.outcome, CLOUD_REFUSED);
	assert_string_equal(seen.err.cloud_text, "SQL");
	/* This job is not shown; CloudStack is there for all else. */
	cloud_health(fixture->cloud, &health);
	assert_true(health.usable);
}

static void test_poke_looks_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };
	struct cloud_job *job;

	SCRIPT(fixture, JOB_PENDING, JOB_PENDING, JOB_PENDING, JOB_SUCCEEDED);
	job = watch(fixture, &seen);
	expect_look_after(fixture, 1000);
	expect_look_after(fixture, 2000);
	cloud_job_poke(job);
	assert_int_equal(seen.runs, 0);
	run_until(fixture, &fixture->server.asked, 3);
	/* Not quite done yet, but soon. */
	expect_look_after(fixture, 1000);
	assert_int_equal(seen.runs, 1);
	assert_int_equal(fixture->server.asked, 4);
}

static void test_poke_during_a_look_looks_again(void **state)
{
	struct fixture *fixture = *state;
	const struct web_row pending = JOB_PENDING;
	struct seen seen = { 0 };
	struct cloud_job *job;

	SCRIPT(fixture, { .action = WEB_HOLD }, JOB_PENDING, JOB_SUCCEEDED);
	job = watch(fixture, &seen);
	cloud_job_poke(job);
	run_until(fixture, &fixture->server.held_count, 1);
	cloud_job_poke(job);
	cloud_job_poke(job);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 1);
	web_server_release(&fixture->server, &pending);
	run_until(fixture, &fixture->server.asked, 2);
	/* Many pokes are one. */
	expect_look_after(fixture, 1000);
	assert_int_equal(seen.runs, 1);
}

static void test_cancel(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };
	struct cloud_job *idle, *looking, *again;

	SCRIPT(fixture, { .action = WEB_HOLD }, { .action = WEB_HOLD });
	idle = watch(fixture, &seen);
	looking = watch(fixture, &seen);
	again = watch(fixture, &seen);
	cloud_job_poke(looking);
	cloud_job_poke(again);
	run_until(fixture, &fixture->server.held_count, 2);
	cloud_job_poke(again);
	cloud_job_cancel(idle);
	cloud_job_cancel(looking);
	cloud_job_cancel(again);
	clock_test_advance(60000);
	run_idle(fixture);
	assert_int_equal(seen.runs, 0);
	assert_int_equal(fixture->server.asked, 2);
}

static void watch_kind(struct fixture *fixture, const char *kind, struct seen *seen)
{
	seen->runs = 0;
	cloud_job_watch(fixture->cloud, &(struct cloud_watch){ .job_id = JOB_ID, .kind = kind },
			on_done, seen);
}

static void run_until_ended(struct fixture *fixture, const struct seen *seen)
{
	for (int i = 0; i < 3000 && seen->runs == 0; i++) {
		run_idle(fixture);
		clock_test_advance(10);
	}
	assert_int_equal(seen->runs, 1);
}

static void expect_no_look(struct fixture *fixture, int64_t ms)
{
	size_t asked = fixture->server.asked;

	run_idle(fixture);
	clock_test_advance(ms);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, asked);
}

static void expect_look(struct fixture *fixture, int64_t ms)
{
	size_t asked = fixture->server.asked;

	run_idle(fixture);
	clock_test_advance(ms);
	run_until(fixture, &fixture->server.asked, asked + 1);
	run_idle(fixture);
}

/* The first job of a kind is looked at after a second; it had ended before, so the next one is
 * looked at earlier. */
static void test_learns_when_to_look(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen, other;

	SCRIPT(fixture, JOB_SUCCEEDED);
	watch_kind(fixture, "attached", &seen);
	expect_no_look(fixture, 749);
	run_until_ended(fixture, &seen);
	watch_kind(fixture, "attached", &seen);
	expect_look(fixture, 250);
	assert_int_equal(seen.runs, 1);
	/* That says nothing about jobs of other kinds, or about those that may be old. */
	watch_kind(fixture, "detached", &seen);
	watch_kind(fixture, NULL, &other);
	expect_no_look(fixture, 749);
	run_until_ended(fixture, &seen);
	run_until_ended(fixture, &other);
}

/* It may fail early, so it is looked at after the longest ordinary wait, too. */
static void test_looks_seldom_at_a_long_job(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen;

	SCRIPT(fixture, JOB_PENDING, JOB_PENDING, JOB_PENDING, JOB_PENDING, JOB_PENDING,
	       JOB_PENDING, JOB_SUCCEEDED, JOB_PENDING, JOB_SUCCEEDED);
	watch_kind(fixture, "attached", &seen);
	run_until_ended(fixture, &seen);
	watch_kind(fixture, "attached", &seen);
	expect_no_look(fixture, FIXTURE_POLL_MAX_MS - 1);
	expect_look(fixture, 1);
	expect_no_look(fixture, FIXTURE_POLL_MAX_MS);
	run_until_ended(fixture, &seen);
	assert_int_equal(fixture->server.asked, 9);
}

static void test_learns_nothing_of_a_failure(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen;

	SCRIPT(fixture, { .status = 200, .body = "{\"x\":{\"jobstatus\":2}}" }, JOB_SUCCEEDED);
	watch_kind(fixture, "attached", &seen);
	run_until_ended(fixture, &seen);
	watch_kind(fixture, "attached", &seen);
	expect_no_look(fixture, 749);
	run_until_ended(fixture, &seen);
}

/* The daemon stood still for hours, before its first look at a job of this kind and before a later
 * one. */
static void test_learns_nothing_of_a_late_look(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen;

	SCRIPT(fixture, JOB_SUCCEEDED);
	watch_kind(fixture, "attached", &seen);
	expect_look(fixture, 5 * 3600 * 1000);
	assert_int_equal(seen.runs, 1);
	watch_kind(fixture, "attached", &seen);
	expect_look(fixture, 1000);
	assert_int_equal(seen.runs, 1);
	watch_kind(fixture, "attached", &seen);
	expect_look(fixture, 5 * 3600 * 1000);
	watch_kind(fixture, "attached", &seen);
	expect_look(fixture, 250);
	assert_int_equal(seen.runs, 1);
}

/* A sign of the end is there before the watch: one look, and the next when the job is about to
 * end. */
static void test_a_watch_may_begin_with_a_look(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, JOB_PENDING, JOB_SUCCEEDED);
	cloud_job_watch(fixture->cloud, &(struct cloud_watch){ .job_id = JOB_ID, .at_once = true },
			on_done, &seen);
	assert_int_equal(seen.runs, 0);
	run_until(fixture, &fixture->server.asked, 1);
	expect_look_after(fixture, 1000);
	assert_int_equal(seen.runs, 1);
	assert_int_equal(fixture->server.asked, 2);
}

/* The end is near, but a CloudStack in trouble is left alone all the same. */
static void test_trouble_delays_an_expected_end(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen;

	SCRIPT(fixture, JOB_SUCCEEDED, HTML_502, HTML_502, JOB_SUCCEEDED);
	watch_kind(fixture, "attached", &seen);
	run_until_ended(fixture, &seen);
	watch_kind(fixture, "attached", &seen);
	expect_look(fixture, 250);
	expect_no_look(fixture, 749);
	expect_look(fixture, 251);
	expect_no_look(fixture, 1499);
	expect_look(fixture, 501);
	assert_int_equal(seen.runs, 1);
}

struct pair {
	struct seen seen;
	struct cloud_job *other;
};

static void on_pair(void *arg, const struct cloud_result *result)
{
	struct pair *pair = arg;

	on_done(&pair->seen, result);
	cloud_job_cancel(pair->other);
}

static void test_done_may_cancel_others(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };
	struct pair pair = { .other = watch(fixture, &seen) };

	SCRIPT(fixture, JOB_SUCCEEDED);
	cloud_job_poke(cloud_job_watch(fixture->cloud,
				       &(struct cloud_watch){ .job_id = OTHER_JOB_ID }, on_pair,
				       &pair));
	run_until(fixture, &pair.seen.runs, 1);
	clock_test_advance(60000);
	run_idle(fixture);
	assert_int_equal(seen.runs, 0);
	assert_int_equal(fixture->server.asked, 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_looks_less_and_less_often),
		TEST(test_failed),
		TEST(test_unknown),
		TEST(test_says_what_it_has_seen),
		TEST(test_trouble_only_delays),
		TEST(test_a_limit_delays_little),
		TEST(test_refused_again_and_again),
		TEST(test_poke_looks_at_once),
		TEST(test_poke_during_a_look_looks_again),
		TEST(test_learns_when_to_look),
		TEST(test_looks_seldom_at_a_long_job),
		TEST(test_learns_nothing_of_a_failure),
		TEST(test_learns_nothing_of_a_late_look),
		TEST(test_a_watch_may_begin_with_a_look),
		TEST(test_trouble_delays_an_expected_end),
		TEST(test_cancel),
		TEST(test_done_may_cancel_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
