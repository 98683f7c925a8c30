/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many watches: one list tells which jobs still run, and only the others are queried. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/clock.h"
#include "cloud_fixture.h"

#define MANY 6
#define ALL                                                                                                          \
	{                                                                                                            \
		.status = 200,                                                                                       \
		.body = "{\"x\":{\"count\":7,\"asyncjobs\":[{\"jobid\":\"job-5\"},{\"jobid\":\"job-0\"},"            \
			"{\"jobid\":\"job-1\"},{\"jobid\":\"job-2\"},{\"jobid\":\"strange\"},{\"jobid\":\"job-3\"}," \
			"{\"jobid\":\"job-4\"}]}}",                                                                  \
	}
#define ALL_BUT_2                                                                                         \
	{                                                                                                 \
		.status = 200,                                                                            \
		.body = "{\"x\":{\"count\":5,\"asyncjobs\":[{\"jobid\":\"job-5\"},{\"jobid\":\"job-0\"}," \
			"{\"jobid\":\"job-1\"},{\"jobid\":\"job-3\"},{\"jobid\":\"job-4\"}]}}",           \
	}
#define NONE                                                                                       \
	{                                                                                          \
		.status = 200, .body = "{\"listasyncjobsresponse\":{}}"                            \
	}

struct watches {
	bool list_is_enough;
	struct cloud_job *jobs[MANY];
	struct seen seen[MANY];
};

static void watch_all(struct fixture *fixture, struct watches *watches)
{
	for (int i = 0; i < MANY; i++) {
		char id[16];

		snprintf(id, sizeof(id), "job-%d", i);
		watches->jobs[i] =
			cloud_job_watch(fixture->cloud,
					&(struct cloud_watch){ .job_id = id,
							       .list_is_enough =
								       watches->list_is_enough },
					on_done, &watches->seen[i]);
	}
}

static void cancel_all(struct watches *watches)
{
	for (int i = 0; i < MANY; i++) {
		if (watches->seen[i].runs == 0)
			cloud_job_cancel(watches->jobs[i]);
	}
}

static const char *asked(struct fixture *fixture, size_t request, const char *name)
{
	return str_or(web_server_param(&fixture->server, request, name), "(none)");
}

static void expect(struct fixture *fixture, size_t request, const char *command)
{
	run_until(fixture, &fixture->server.asked, request + 1);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, request + 1);
	assert_string_equal(asked(fixture, request, "command"), command);
}

static void test_one_list_looks_at_all(void **state)
{
	struct fixture *fixture = *state;
	struct watches watches = { 0 };

	SCRIPT(fixture, ALL, ALL, ALL_BUT_2, JOB_SUCCEEDED);
	watch_all(fixture, &watches);
	clock_test_advance(1000);
	expect(fixture, 0, "listAsyncJobs");
	assert_string_equal(asked(fixture, 0, "listall"), "true");
	assert_string_equal(asked(fixture, 0, "page"), "1");
	assert_string_equal(asked(fixture, 0, "pagesize"), "500");
	assert_false(fixture->server.requests[0].post);
	/* The waits grow as they do for one. */
	clock_test_advance(1499);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 1);
	clock_test_advance(501);
	expect(fixture, 1, "listAsyncJobs");
	clock_test_advance(4000);
	run_until(fixture, &watches.seen[2].runs, 1);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 4);
	assert_string_equal(asked(fixture, 3, "command"), "queryAsyncJobResult");
	assert_string_equal(asked(fixture, 3, "jobid"), "job-2");
	assert_int_equal(watches.seen[2].job_status, CLOUD_JOB_SUCCEEDED);
	assert_int_equal(watches.seen[0].runs + watches.seen[1].runs + watches.seen[3].runs, 0);
	cancel_all(&watches);
}

/* A job that is not in the list is looked at, and only the look tells whether it has ended. */
static void test_not_listed_is_not_ended(void **state)
{
	struct fixture *fixture = *state;
	struct watches watches = { 0 };

	SCRIPT(fixture, ALL_BUT_2, JOB_PENDING, ALL_BUT_2, JOB_PENDING, ALL, ALL_BUT_2,
	       JOB_SUCCEEDED);
	watch_all(fixture, &watches);
	clock_test_advance(1000);
	run_until(fixture, &fixture->server.asked, 2);
	run_idle(fixture);
	assert_int_equal(watches.seen[2].runs, 0);
	clock_test_advance(2000);
	run_until(fixture, &fixture->server.asked, 4);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 4);
	assert_int_equal(watches.seen[2].runs, 0);
	clock_test_advance(4000);
	expect(fixture, 4, "listAsyncJobs");
	clock_test_advance(4000);
	run_until(fixture, &watches.seen[2].runs, 1);
	cancel_all(&watches);
}

/* Those who ask for the volume themselves need no query. */
static void test_a_list_may_be_enough(void **state)
{
	struct fixture *fixture = *state;
	struct watches watches = { .list_is_enough = true };

	SCRIPT(fixture, ALL, ALL_BUT_2);
	watch_all(fixture, &watches);
	clock_test_advance(1000);
	expect(fixture, 0, "listAsyncJobs");
	clock_test_advance(2000);
	expect(fixture, 1, "listAsyncJobs");
	assert_int_equal(watches.seen[2].runs, 1);
	assert_int_equal(watches.seen[2].outcome, CLOUD_OK);
	assert_int_equal(watches.seen[2].job_status, CLOUD_JOB_PENDING);
	assert_int_equal(watches.seen[0].runs + watches.seen[1].runs + watches.seen[3].runs, 0);
	cancel_all(&watches);
}

struct company {
	struct seen seen;
	struct cloud_job *others[2];
};

static void on_missed(void *arg, const struct cloud_result *result)
{
	struct company *company = arg;

	on_done(&company->seen, result);
	for (size_t i = 0; i < ARRAY_SIZE(company->others); i++)
		cloud_job_cancel(company->others[i]);
}

/* The list shows none of them, and the first to be told cancels two of the others. */
static void test_a_missed_one_may_cancel_others(void **state)
{
	const struct cloud_watch watch = { .job_id = "none", .list_is_enough = true };
	struct fixture *fixture = *state;
	struct company company = { 0 };
	struct watches watches = { 0 };
	struct seen seen = { 0 };

	SCRIPT(fixture, ALL);
	cloud_job_watch(fixture->cloud, &watch, on_missed, &company);
	watch_all(fixture, &watches);
	for (size_t i = 0; i < ARRAY_SIZE(company.others); i++)
		company.others[i] = cloud_job_watch(fixture->cloud, &watch, on_done, &seen);
	clock_test_advance(1000);
	expect(fixture, 0, "listAsyncJobs");
	assert_int_equal(company.seen.runs, 1);
	assert_int_equal(seen.runs, 0);
	cancel_all(&watches);
}

static void test_pages(void **state)
{
	struct fixture *fixture = *state;
	struct watches watches = { 0 };

	/* The pages are as long as the server allows, and count is not believed. */
	SCRIPT(fixture, PAGES_OF("4"),
	       { .status = 200,
		 .body = "{\"x\":{\"count\":4,\"asyncjobs\":[{\"jobid\":\"job-0\"},{\"jobid\":\"job-1\"},"
			 "{\"jobid\":\"job-2\"},{\"jobid\":\"job-3\"}]}}" },
	       { .status = 200,
		 .body = "{\"x\":{\"count\":6,\"asyncjobs\":[{\"jobid\":\"job-4\"},{\"jobid\":\"job-5\"}]}}" });
	watch_all(fixture, &watches);
	clock_test_advance(1000);
	expect(fixture, 2, "listAsyncJobs");
	assert_string_equal(asked(fixture, 1, "page"), "1");
	assert_string_equal(asked(fixture, 1, "pagesize"), "4");
	assert_string_equal(asked(fixture, 2, "page"), "2");
	assert_string_equal(asked(fixture, 2, "pagesize"), "4");

	/* The pages have shifted, and the last is not there any more. A job without an id is no
	 * reason to know nothing of the others. */
	SCRIPT(fixture,
	       { .status = 200,
		 .body = "{\"x\":{\"count\":7,\"asyncjobs\":[{\"jobid\":\"job-0\"},{},{\"jobid\":\"job-1\"},"
			 "{\"jobid\":\"job-2\"},{\"jobid\":\"job-3\"},{\"jobid\":\"job-4\"}]}}" },
	       NONE, JOB_PENDING);
	clock_test_advance(2000);
	expect(fixture, 2, "queryAsyncJobResult");
	assert_string_equal(asked(fixture, 2, "jobid"), "job-5");
	cancel_all(&watches);
}

/* The jobs of a thousand other users: what was not seen so far is queried by itself. */
static void test_list_without_end(void **state)
{
	static struct web_row rows[40] = { PAGES_OF("1") };
	static char bodies[40][64];
	struct fixture *fixture = *state;
	/* It does not tell that it is whole, so it is enough for no job. */
	struct watches watches = { .list_is_enough = true };

	for (size_t i = 1; i < ARRAY_SIZE(rows); i++) {
		snprintf(bodies[i], sizeof(bodies[i]),
			 "{\"x\":{\"jobstatus\":0,\"asyncjobs\":[{\"jobid\":\"job-%zu\"}]}}",
			 i + 1);
		rows[i] = (struct web_row){ .status = 200, .body = bodies[i] };
	}
	web_server_script(&fixture->server, rows, ARRAY_SIZE(rows));
	watch_all(fixture, &watches);
	clock_test_advance(1000);
	run_until(fixture, &fixture->server.asked, 22);
	run_idle(fixture);
	assert_string_equal(asked(fixture, 19, "command"), "listAsyncJobs");
	assert_string_equal(asked(fixture, 20, "jobid"), "job-0");
	assert_string_equal(asked(fixture, 21, "jobid"), "job-1");
	assert_int_equal(fixture->server.asked, 22);
	cancel_all(&watches);
}

static void test_many_pokes_are_one_list(void **state)
{
	struct fixture *fixture = *state;
	struct watches watches = { 0 };

	SCRIPT(fixture, ALL, ALL, ALL);
	watch_all(fixture, &watches);
	for (int i = 0; i < MANY; i++)
		cloud_job_poke(watches.jobs[i]);
	expect(fixture, 0, "listAsyncJobs");
	/* Again at once: what the list said may be older than the poke. */
	for (int i = 0; i < MANY; i++)
		cloud_job_poke(watches.jobs[i]);
	expect(fixture, 1, "listAsyncJobs");
	/* Not quite done yet, but soon. */
	clock_test_advance(1000);
	expect(fixture, 2, "listAsyncJobs");
	cancel_all(&watches);
}

static void test_a_poked_one_is_looked_at_itself(void **state)
{
	struct fixture *fixture = *state;
	struct watches watches = { 0 };

	SCRIPT(fixture, JOB_SUCCEEDED);
	watch_all(fixture, &watches);
	cloud_job_poke(watches.jobs[3]);
	run_until(fixture, &watches.seen[3].runs, 1);
	assert_string_equal(asked(fixture, 0, "jobid"), "job-3");
	assert_int_equal(fixture->server.asked, 1);
	cancel_all(&watches);
}

static void test_poke_during_a_list_looks_again(void **state)
{
	struct fixture *fixture = *state;
	const struct web_row all = ALL;
	struct watches watches = { 0 };

	SCRIPT(fixture, { .action = WEB_HOLD }, JOB_SUCCEEDED);
	watch_all(fixture, &watches);
	clock_test_advance(1000);
	run_until(fixture, &fixture->server.held_count, 1);
	cloud_job_poke(watches.jobs[4]);
	cloud_job_poke(watches.jobs[4]);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 1);
	web_server_release(&fixture->server, &all);
	run_until(fixture, &watches.seen[4].runs, 1);
	assert_int_equal(fixture->server.asked, 2);
	cancel_all(&watches);
}

static void test_trouble_only_delays(void **state)
{
	struct fixture *fixture = *state;
	struct watches watches = { 0 };

	/* Each page that gets no answer is followed by a look whether CloudStack is there. */
	SCRIPT(fixture, HTML_502, { .action = WEB_CUT }, HTML_502, HTML_502, HTML_502, HTML_502,
	       NONE, JOB_SUCCEEDED);
	watch_all(fixture, &watches);
	for (int64_t wait_ms = 1000; wait_ms <= 4000; wait_ms *= 2) {
		clock_test_advance(wait_ms);
		run_idle(fixture);
	}
	for (int i = 0; i < MANY; i++)
		assert_int_equal(watches.seen[i].runs, 0);
	assert_int_equal(fixture->server.asked, 6);
	clock_test_advance(30000);
	for (int i = 0; i < MANY; i++)
		run_until(fixture, &watches.seen[i].runs, 1);
}

/* Not every role may list jobs. That says nothing about our keys, and the jobs are looked at one by
 * one. */
static void check_refused(struct fixture *fixture, const struct web_row *rows, size_t count,
			  size_t lists)
{
	struct watches watches = { 0 };
	struct cloud_health health;
	struct seen seen = { 0 };

	web_server_script(&fixture->server, rows, count);
	cloud_find_job(fixture->cloud, JOB_ID, on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	watch_all(fixture, &watches);
	for (size_t i = 1; i <= lists; i++) {
		clock_test_advance(i * 1000);
		run_until(fixture, &fixture->server.asked, 1 + (i < lists ? i : lists + MANY));
		run_idle(fixture);
	}
	cloud_health(fixture->cloud, &health);
	assert_true(health.usable);
	assert_string_equal(health.reason, "");
	clock_test_advance(8000);
	run_until(fixture, &fixture->server.asked, 1 + lists + 2 * MANY);
	for (size_t i = 1 + lists; i < fixture->server.asked; i++)
		assert_string_equal(asked(fixture, i, "command"), "queryAsyncJobResult");
	run_idle(fixture);
	cancel_all(&watches);
}

static void test_refused_by_role(void **state)
{
	static const struct web_row rows[] = {
		JOB_PENDING,
		{ .status = 432,
		  .body = "{\"errorresponse\":{\"errorcode\":432,\"errortext\":\"The API [listAsyncJobs] does not "
			  "exist "
			  "or is not available for the account\"}}" },
		JOB_PENDING,
	};

	check_refused(*state, rows, ARRAY_SIZE(rows), 1);
}

static void test_refused_as_unauthorized(void **state)
{
	static const struct web_row rows[] = {
		JOB_PENDING,
		{ .status = 401,
		  .body = "{\"x\":{\"errorcode\":401,\"errortext\":\"unable to verify\"}}" },
		{ .status = 401,
		  .body = "{\"x\":{\"errorcode\":401,\"errortext\":\"unable to verify\"}}" },
		JOB_PENDING,
	};

	check_refused(*state, rows, ARRAY_SIZE(rows), 2);
}

static size_t queries_of(struct fixture *fixture, const char *job_id)
{
	size_t count = 0;

	for (size_t i = 0; i < fixture->server.asked; i++)
		count += streq(asked(fixture, i, "jobid"), job_id);
	return count;
}

/* It was poked during its query, and that has no answer yet when the list is refused. */
static void test_refused_during_a_query(void **state)
{
	const struct web_row succeeded = JOB_SUCCEEDED;
	struct fixture *fixture = *state;
	struct watches watches = { 0 };

	SCRIPT(fixture, { .action = WEB_HOLD },
	       { .status = 432,
		 .body = "{\"errorresponse\":{\"errorcode\":432,\"errortext\":\"The API [listAsyncJobs] does not "
			 "exist or is not available for the account\"}}" },
	       JOB_PENDING);
	watch_all(fixture, &watches);
	cloud_job_poke(watches.jobs[3]);
	run_until(fixture, &fixture->server.held_count, 1);
	cloud_job_poke(watches.jobs[3]);
	clock_test_advance(1000);
	run_until(fixture, &fixture->server.asked, 2 + MANY - 1);
	run_idle(fixture);
	assert_int_equal(queries_of(fixture, "job-3"), 1);
	assert_int_equal(fixture->server.asked, 2 + MANY - 1);
	web_server_release(&fixture->server, &succeeded);
	run_until(fixture, &watches.seen[3].runs, 1);
	run_idle(fixture);
	assert_int_equal(queries_of(fixture, "job-3"), 1);
	cancel_all(&watches);
}

static void test_few_are_looked_at_one_by_one(void **state)
{
	struct fixture *fixture = *state;
	struct watches watches = { 0 };

	SCRIPT(fixture, JOB_PENDING);
	watch_all(fixture, &watches);
	cloud_job_cancel(watches.jobs[4]);
	cloud_job_cancel(watches.jobs[5]);
	clock_test_advance(1000);
	run_until(fixture, &fixture->server.asked, 4);
	run_idle(fixture);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(asked(fixture, i, "command"), "queryAsyncJobResult");
	for (int i = 0; i < 4; i++)
		cloud_job_cancel(watches.jobs[i]);
}

static void test_cancel_all_during_a_list(void **state)
{
	struct fixture *fixture = *state;
	struct watches watches = { 0 };

	SCRIPT(fixture, { .action = WEB_HOLD });
	watch_all(fixture, &watches);
	clock_test_advance(1000);
	run_until(fixture, &fixture->server.held_count, 1);
	cancel_all(&watches);
	clock_test_advance(60000);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_list_looks_at_all),
		TEST(test_not_listed_is_not_ended),
		TEST(test_a_list_may_be_enough),
		TEST(test_a_missed_one_may_cancel_others),
		TEST(test_pages),
		TEST(test_list_without_end),
		TEST(test_many_pokes_are_one_list),
		TEST(test_a_poked_one_is_looked_at_itself),
		TEST(test_poke_during_a_list_looks_again),
		TEST(test_trouble_only_delays),
		TEST(test_refused_by_role),
		TEST(test_refused_as_unauthorized),
		TEST(test_refused_during_a_query),
		TEST(test_few_are_looked_at_one_by_one),
		TEST(test_cancel_all_during_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
