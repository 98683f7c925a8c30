/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All volumes, page by page: how long pages may be, and where the list ends. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cloud_fixture.h"

/* Ids that differ in one digit. */
#define ID(NUMBER) "774fd83e-147a-4cc1-a8cc-7aeb5024700" #NUMBER
#define ROW(NUMBER) "{\"id\":\"" ID(NUMBER) "\",\"name\":\"data\"}"
#define ROWS(TEXT)                                                                                 \
	{                                                                                          \
		.status = 200, .body = "{\"x\":{\"count\":2,\"volume\":[" TEXT "]}}"               \
	}
#define EMPTY                                                                                      \
	{                                                                                          \
		.status = 200, .body = NO_VOLUMES                                                  \
	}
#define TOO_LATE                                                                                   \
	{                                                                                          \
		.status = 504, .type = "text/html", .body = "<html>Gateway Timeout</html>"         \
	}

struct walked {
	size_t pages, rows, runs;
	enum cloud_outcome outcome;
	bool endless;
	struct err err;
	char left_out[256];
};

static void on_page(void *arg, const struct cloud_result *result)
{
	struct walked *walked = arg;

	walked->pages++;
	walked->rows += result->count;
	if (result->left_out)
		snprintf(walked->left_out, sizeof(walked->left_out), "%s", result->left_out);
}

static void on_end(void *arg, const struct cloud_result *result)
{
	struct walked *walked = arg;

	walked->runs++;
	walked->outcome = result->outcome;
	walked->endless = result->endless;
	walked->err = result->err;
}

static struct walked walk(struct fixture *fixture)
{
	struct walked walked = { 0 };

	cloud_walk_volumes(fixture->cloud, NULL, on_page, on_end, &walked);
	run_until(fixture, &walked.runs, 1);
	run_idle(fixture);
	return walked;
}

static void assert_asked(struct fixture *fixture, size_t request, const char *page,
			 const char *size)
{
	assert_true(request < fixture->server.asked);
	assert_string_equal(web_server_param(&fixture->server, request, "command"), "listVolumes");
	assert_string_equal(web_server_param(&fixture->server, request, "listall"), "true");
	assert_string_equal(web_server_param(&fixture->server, request, "page"), page);
	assert_string_equal(web_server_param(&fixture->server, request, "pagesize"), size);
}

static bool is_usable(struct fixture *fixture)
{
	struct cloud_health health;

	cloud_health(fixture->cloud, &health);
	return health.usable;
}

static void test_pages_as_long_as_the_server_allows(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked;

	SCRIPT(fixture, PAGES_OF("2"), ROWS(ROW(1) "," ROW(2)), ROWS(ROW(3) "," ROW(4)),
	       ROWS(ROW(5)));
	walked = walk(fixture);
	assert_int_equal(walked.outcome, CLOUD_OK);
	assert_int_equal(walked.rows, 5);
	assert_asked(fixture, 0, "1", "500");
	assert_asked(fixture, 1, "1", "2");
	assert_asked(fixture, 3, "3", "2");
	assert_int_equal(fixture->server.asked, 4);

	/* The next walk knows. */
	SCRIPT(fixture, ROWS(ROW(1)));
	walk(fixture);
	assert_asked(fixture, 0, "1", "2");
	assert_int_equal(fixture->server.asked, 1);
}

static void test_limit_without_a_number(void **state)
{
	struct fixture *fixture = *state;

	SCRIPT(fixture, PAGES_OF("what you like"), PAGES_OF("-3"), PAGES_OF("500"), ROWS(ROW(1)));
	assert_int_equal(walk(fixture).outcome, CLOUD_OK);
	assert_asked(fixture, 1, "1", "250");
	assert_asked(fixture, 2, "1", "125");
	assert_asked(fixture, 3, "1", "62");
}

static void test_no_size_is_short_enough(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked;

	SCRIPT(fixture, PAGES_OF(""));
	walked = walk(fixture);
	assert_int_equal(walked.outcome, CLOUD_REFUSED);
	assert_non_null(strstr(walked.err.text, "page size"));
	assert_int_equal(fixture->server.asked, 9);
	assert_asked(fixture, 8, "1", "1");
}

static void test_other_refusals_end_the_walk(void **state)
{
	struct fixture *fixture = *state;

	SCRIPT(fixture,
	       { .status = 432,
		 .body = "{\"x\":{\"errorcode\":432,\"errortext\":\"The API [listVolumes] does not exist\"}}" });
	assert_int_equal(walk(fixture).outcome, CLOUD_REFUSED);
	assert_int_equal(fixture->server.asked, 1);
}

/* No row is missed if pages become shorter on the way. */
static void test_shorter_pages_on_the_way(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked;

	SCRIPT(fixture, PAGES_OF("4"), ROWS(ROW(1) "," ROW(2) "," ROW(3) "," ROW(4)), PAGES_OF("3"),
	       ROWS(ROW(4) "," ROW(5) "," ROW(6)), EMPTY);
	walked = walk(fixture);
	assert_int_equal(walked.outcome, CLOUD_OK);
	assert_asked(fixture, 2, "2", "4");
	assert_asked(fixture, 3, "2", "3"); /* the fourth row again */
	assert_asked(fixture, 4, "3", "3");
}

static void test_the_same_page_again(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked;

	SCRIPT(fixture, PAGES_OF("2"), ROWS(ROW(1) "," ROW(2)));
	walked = walk(fixture);
	assert_int_equal(walked.outcome, CLOUD_AWAY);
	assert_true(walked.endless);
	assert_int_equal(fixture->server.asked, 3);
	assert_string_equal(walked.err.text,
			    "CloudStack's list of volumes does not end: nothing new is on page 2 "
			    "with 2 rows a page");
	assert_true(is_usable(fixture));
}

static void test_strange_rows_are_no_end(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked;

	SCRIPT(fixture, PAGES_OF("2"), ROWS("{\"id\":\"x\",\"name\":\"odd\"},{\"id\":\"y\"}"),
	       ROWS(ROW(1)));
	walked = walk(fixture);
	assert_int_equal(walked.outcome, CLOUD_OK);
	assert_int_equal(walked.rows, 1);
	assert_string_equal(walked.left_out, "\"odd\" (x), \"\" (y)");
}

/* The ids of a page that is as full as can be. */
static void add_rows(struct buf *body)
{
	buf_add_text(body, "{\"x\":{\"volume\":[" ROW(1));
	for (int i = 1; i < 500; i++)
		buf_printf(body, ",{\"id\":\"774fd83e-147a-4cc1-a8cc-7aeb50%06d\"}", i);
	buf_add_text(body, "]}}");
}

static void walk_full_page(struct fixture *fixture)
{
	_cleanup_buf_ struct buf body = BUF_NULL;
	struct web_row rows[] = { { .status = 200 }, EMPTY };

	add_rows(&body);
	rows[0].body = body.data;
	web_server_script(&fixture->server, rows, ARRAY_SIZE(rows));
	assert_int_equal(walk(fixture).outcome, CLOUD_OK);
}

/* CloudStack is there, but the whole page takes too long, so it is asked for in halves. */
static void test_too_slow(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked;

	SCRIPT(fixture, TOO_LATE, ROWS(ROW(1)), TOO_LATE, ROWS(ROW(1)), ROWS(ROW(1) "," ROW(2)));
	walked = walk(fixture);
	assert_int_equal(walked.outcome, CLOUD_OK);
	assert_int_equal(walked.rows, 2);
	assert_asked(fixture, 0, "1", "500");
	assert_asked(fixture, 1, "1", "1");
	assert_asked(fixture, 2, "1", "250");
	assert_asked(fixture, 3, "1", "1");
	assert_asked(fixture, 4, "1", "125");
	assert_true(is_usable(fixture));

	/* Once full pages are quick, they grow again. */
	walk_full_page(fixture);
	assert_asked(fixture, 0, "1", "125");
	assert_asked(fixture, 1, "2", "125");
	walk_full_page(fixture);
	assert_asked(fixture, 0, "1", "250");
	walk_full_page(fixture);
	assert_asked(fixture, 0, "1", "500");
}

static void test_slow_pages_stay_short(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = BUF_NULL;
	struct walked walked = { 0 };

	add_rows(&body);
	SCRIPT(fixture, TOO_LATE, ROWS(ROW(1)), { .action = WEB_HOLD }, EMPTY);
	cloud_walk_volumes(fixture->cloud, NULL, on_page, on_end, &walked);
	run_until(fixture, &fixture->server.held_count, 1);
	clock_test_advance(9000);
	web_server_release(&fixture->server, &(struct web_row){ .status = 200, .body = body.data });
	run_until(fixture, &walked.runs, 1);
	SCRIPT(fixture, EMPTY);
	walk(fixture);
	assert_asked(fixture, 0, "1", "250");
}

static void test_too_long(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = BUF_NULL;
	struct web_row rows[] = { { .status = 200 }, ROWS(ROW(1)), ROWS(ROW(1)) };

	buf_add_text(&body, "{\"x\":{\"volume\":[{\"id\":\"" ID(1) "\",\"name\":\"");
	while (body.length < (size_t)9 << 20)
		buf_add_text(&body, "0123456789012345678901234567890123456789");
	buf_add_text(&body, "\"}]}}");
	rows[0].body = body.data;
	web_server_script(&fixture->server, rows, ARRAY_SIZE(rows));
	assert_int_equal(walk(fixture).outcome, CLOUD_OK);
	assert_asked(fixture, 1, "1", "1");
	assert_asked(fixture, 2, "1", "250");

	/* However quick: pages of 500 are too long. */
	walk_full_page(fixture);
	walk_full_page(fixture);
	assert_asked(fixture, 0, "1", "250");
}

/* Without an answer to anything, the pages are not to blame. */
static void test_away(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked;

	SCRIPT(fixture, EMPTY);
	walk(fixture);
	assert_true(is_usable(fixture));
	SCRIPT(fixture, TOO_LATE);
	walked = walk(fixture);
	assert_int_equal(walked.outcome, CLOUD_AWAY);
	assert_false(walked.endless);
	assert_int_equal(fixture->server.asked, 2);
	assert_false(is_usable(fixture));

	SCRIPT(fixture, EMPTY);
	walk(fixture);
	assert_asked(fixture, 0, "1", "500");
	assert_true(is_usable(fixture));
}

/* A page may be too much for a CloudStack that is there: changes go on until it is looked at. */
static void test_a_lost_page_is_not_the_end_of_changes(void **state)
{
	const struct cloud_volume_filter one = { .id = ID(1) };
	struct fixture *fixture = *state;
	struct walked walked = { 0 };
	struct seen seen = { 0 };

	SCRIPT(fixture, EMPTY);
	walk(fixture);
	SCRIPT(fixture, TOO_LATE, TOO_LATE, { .action = WEB_HOLD });
	cloud_list_volumes(fixture->cloud, &one, on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	cloud_walk_volumes(fixture->cloud, NULL, on_page, on_end, &walked);
	run_until(fixture, &fixture->server.held_count, 1);
	assert_asked(fixture, 2, "1", "1");
	assert_true(is_usable(fixture));
	web_server_release(&fixture->server, &(struct web_row)TOO_LATE);
	run_until(fixture, &walked.runs, 1);
	assert_false(is_usable(fixture));
}

static void test_volumes_of_a_vm(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked = { 0 };

	SCRIPT(fixture, PAGES_OF("1"), ROWS(ROW(1)), EMPTY);
	cloud_walk_volumes(fixture->cloud, VM_ID, on_page, on_end, &walked);
	run_until(fixture, &walked.runs, 1);
	assert_int_equal(walked.rows, 1);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(web_server_param(&fixture->server, i, "virtualmachineid"),
				    VM_ID);
	assert_asked(fixture, 2, "2", "1");
}

static void test_cancelled(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked = { 0 };
	struct cloud_walk *walk;

	SCRIPT(fixture, PAGES_OF("2"), ROWS(ROW(1) "," ROW(2)), { .action = WEB_HOLD });
	walk = cloud_walk_volumes(fixture->cloud, NULL, on_page, on_end, &walked);
	run_until(fixture, &fixture->server.held_count, 1);
	cloud_walk_cancel(walk);
	run_idle(fixture);
	assert_int_equal(walked.pages, 1);
	assert_int_equal(walked.runs, 0);
}

static void test_pages_show_the_project(void **state)
{
	struct fixture *fixture = *state;

	fixture_use_project(fixture, PROJECT_ID);
	SCRIPT(fixture, EMPTY);
	walk(fixture);
	assert_string_equal(web_server_param(&fixture->server, 0, "projectid"), PROJECT_ID);
}

static void test_volumes_with_a_part_in_their_name(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked = { 0 };

	SCRIPT(fixture, ROWS(ROW(1)));
	cloud_walk_named(fixture->cloud, "0123456789ab", on_page, on_end, &walked);
	run_until(fixture, &walked.runs, 1);
	run_idle(fixture);
	assert_int_equal(walked.rows, 1);
	assert_asked(fixture, 0, "1", "500");
	assert_string_equal(web_server_param(&fixture->server, 0, "keyword"), "0123456789ab");
}

/* What the walks show besides volumes: ids and names of the rows, in their order. */
static void on_other_page(void *arg, const struct cloud_result *result)
{
	struct walked *walked = arg;
	size_t length = strlen(walked->left_out);

	walked->pages++;
	for (size_t i = 0; i < result->count; i++) {
		const char *name = result->vms     ? result->vms[i].name
				   : result->zones ? result->zones[i].name
						   : result->offerings[i].name;

		length += (size_t)snprintf(walked->left_out + length,
					   sizeof(walked->left_out) - length, "%s ", name);
	}
}

static void test_other_lists(void **state)
{
	static const struct {
		struct cloud_walk *(*walk)(struct cloud *cloud, cloud_done_fn on_page,
					   cloud_done_fn done, void *arg);
		const char *command, *details;
	} lists[] = {
		{ cloud_walk_vms, "listVirtualMachines", "min" },
		{ cloud_walk_zones, "listZones", NULL },
		{ cloud_walk_offerings, "listDiskOfferings", NULL },
	};
	struct fixture *fixture = *state;

#define OTHER_ROWS(KEY, NUMBER)                                                                    \
	{ .status = 200,                                                                           \
	  .body = "{\"x\":{\"count\":9,\"" KEY                                                     \
		  "\":[" ROW(NUMBER) ",{\"id\":\"12\",\"name\":\"no UUID\"}]}}" }
	SCRIPT(fixture, OTHER_ROWS("virtualmachine", 1), OTHER_ROWS("zone", 2),
	       OTHER_ROWS("diskoffering", 3));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct walked walked = { 0 };

		lists[i].walk(fixture->cloud, on_other_page, on_end, &walked);
		run_until(fixture, &walked.runs, 1);
		run_idle(fixture);
		assert_int_equal(walked.outcome, CLOUD_OK);
		assert_int_equal(walked.pages, 1);
		assert_string_equal(walked.left_out, "data ");
		assert_string_equal(web_server_param(&fixture->server, i, "command"),
				    lists[i].command);
		assert_string_equal(web_server_param(&fixture->server, i, "pagesize"), "500");
		if (lists[i].details)
			assert_string_equal(web_server_param(&fixture->server, i, "details"),
					    lists[i].details);
	}
}

static void on_job_page(void *arg, const struct cloud_result *result)
{
	struct walked *walked = arg;

	walked->rows += result->count;
	assert_string_equal(result->jobs[0], ID(1));
}

/* An administrator would see the jobs of all accounts otherwise. */
static void test_jobs_of_the_own_account(void **state)
{
	struct fixture *fixture = *state;
	struct walked walked = { 0 };

	SCRIPT(fixture,
	       { .status = 200,
		 .body = "{\"x\":{\"count\":1,\"asyncjobs\":[{\"jobid\":\"" ID(1) "\"}]}}" });
	cloud_walk_own_jobs(fixture->cloud, on_job_page, on_end, &walked);
	run_until(fixture, &walked.runs, 1);
	run_idle(fixture);
	assert_int_equal(walked.rows, 1);
	assert_string_equal(web_server_param(&fixture->server, 0, "command"), "listAsyncJobs");
	assert_null(web_server_param(&fixture->server, 0, "listall"));
	assert_string_equal(web_server_param(&fixture->server, 0, "page"), "1");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pages_as_long_as_the_server_allows),
		TEST(test_limit_without_a_number),
		TEST(test_no_size_is_short_enough),
		TEST(test_other_refusals_end_the_walk),
		TEST(test_shorter_pages_on_the_way),
		TEST(test_the_same_page_again),
		TEST(test_strange_rows_are_no_end),
		TEST(test_too_slow),
		TEST(test_slow_pages_stay_short),
		TEST(test_too_long),
		TEST(test_away),
		TEST(test_a_lost_page_is_not_the_end_of_changes),
		TEST(test_volumes_of_a_vm),
		TEST(test_pages_show_the_project),
		TEST(test_volumes_with_a_part_in_their_name),
		TEST(test_other_lists),
		TEST(test_jobs_of_the_own_account),
		TEST(test_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
