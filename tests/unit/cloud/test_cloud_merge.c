/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists of one volume that wait for their turn go out together, and nobody who asked can tell. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cloud_fixture.h"

#define EMPTY                                                                                      \
	{                                                                                          \
		.status = 200, .body = NO_VOLUMES                                                  \
	}
#define HELD                                                                                       \
	{                                                                                          \
		.action = WEB_HOLD                                                                 \
	}

static struct cloud_call *list(struct fixture *fixture, const char *id, struct seen *seen)
{
	const struct cloud_volume_filter filter = { .id = id };

	return cloud_list_volumes(fixture->cloud, &filter, on_done, seen);
}

/* All places on the wire are taken by lists that are not answered yet. */
static void occupy(struct fixture *fixture, struct seen *busy)
{
	for (size_t i = 0; i < FIXTURE_PARALLEL; i++) {
		list(fixture, "busy", busy);
		run_until(fixture, &fixture->server.held_count, i + 1);
	}
}

static void release_all(struct fixture *fixture)
{
	const struct web_row empty = EMPTY;

	while (fixture->server.held_count > 0)
		web_server_release(&fixture->server, &empty);
}

static const char *asked(struct fixture *fixture, size_t request, const char *name)
{
	return str_or(web_server_param(&fixture->server, request, name), "(none)");
}

static void test_those_who_wait_go_together(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, a = { 0 }, b = { 0 }, none = { 0 }, change = { 0 };

	SCRIPT(fixture, HELD, HELD,
	       { .status = 200,
		 .body = "{\"x\":{\"count\":2,\"volume\":[{\"id\":\"bbb\",\"name\":\"B\"},{\"id\":\"aaa\"}]}}" },
	       { .status = 200, .body = ACCEPTED });
	occupy(fixture, &busy);
	list(fixture, "aaa", &a);
	cloud_detach_volume(fixture->cloud, VOLUME_ID, JOB_ID, clock_mono_ms(), on_done, &change);
	list(fixture, "bbb", &b);
	list(fixture, "gone", &none);
	release_all(fixture);
	run_until(fixture, &none.runs, 1);
	run_until(fixture, &change.runs, 1);
	run_until(fixture, &busy.runs, 2);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 4);
	/* Nobody waits longer for the sake of company. */
	assert_string_equal(asked(fixture, 0, "id"), "busy");
	assert_string_equal(asked(fixture, 2, "ids"), "aaa,bbb,gone");
	assert_string_equal(asked(fixture, 2, "id"), "(none)");
	assert_string_equal(asked(fixture, 2, "listall"), "true");
	assert_string_equal(asked(fixture, 2, "page"), "1");
	assert_string_equal(asked(fixture, 2, "pagesize"), "3");
	assert_string_equal(asked(fixture, 3, "command"), "detachVolume");
	assert_int_equal(a.outcome, CLOUD_OK);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.rows, 1);
	assert_string_equal(a.first_id, "aaa");
	assert_string_equal(b.first_id, "bbb");
	assert_int_equal(none.outcome, CLOUD_OK);
	assert_int_equal(none.count, 0);
	assert_int_equal(a.runs + b.runs, 2);
}

static void test_those_of_projects_too(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, a = { 0 }, b = { 0 };

	SCRIPT(fixture, HELD, HELD, EMPTY);
	fixture_use_project(fixture, CLOUD_ALL_PROJECTS);
	occupy(fixture, &busy);
	list(fixture, "aaa", &a);
	list(fixture, "bbb", &b);
	release_all(fixture);
	run_until(fixture, &b.runs, 1);
	run_until(fixture, &busy.runs, 2);
	assert_string_equal(asked(fixture, 2, "ids"), "aaa,bbb");
	assert_string_equal(asked(fixture, 2, "projectid"), CLOUD_ALL_PROJECTS);
}

/* Lists of one turn go together, too, although there would be room on the wire for each. */
static void test_those_of_one_turn_go_together(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, EMPTY);
	list(fixture, "aaa", &seen);
	list(fixture, "bbb", &seen);
	run_until(fixture, &seen.runs, 2);
	assert_int_equal(fixture->server.asked, 1);
	assert_string_equal(asked(fixture, 0, "ids"), "aaa,bbb");
}

static void test_one_that_waits_alone_is_asked_as_ever(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, seen = { 0 };

	SCRIPT(fixture, HELD, HELD, EMPTY);
	occupy(fixture, &busy);
	list(fixture, "aaa", &seen);
	release_all(fixture);
	run_until(fixture, &seen.runs, 1);
	run_until(fixture, &busy.runs, 2);
	assert_string_equal(asked(fixture, 2, "id"), "aaa");
	assert_string_equal(asked(fixture, 2, "ids"), "(none)");
}

static void test_other_lists_stay_alone(void **state)
{
	struct fixture *fixture = *state;
	const struct cloud_volume_filter all = { 0 }, named = { .id = "ccc", .name = "n" };
	struct seen busy = { 0 }, seen = { 0 };

	SCRIPT(fixture, HELD, HELD, EMPTY);
	occupy(fixture, &busy);
	list(fixture, "aaa", &seen);
	cloud_list_volumes(fixture->cloud, &all, on_done, &seen);
	cloud_list_volumes(fixture->cloud, &named, on_done, &seen);
	release_all(fixture);
	run_until(fixture, &seen.runs, 3);
	run_until(fixture, &busy.runs, 2);
	assert_int_equal(fixture->server.asked, 5);
	for (size_t i = 2; i < 5; i++)
		assert_string_equal(asked(fixture, i, "ids"), "(none)");
}

/* One id that CloudStack never knew makes it refuse them all. */
static void test_refused_together_asked_alone(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, known = { 0 }, unknown = { 0 };

	SCRIPT(fixture, HELD, HELD,
	       { .status = 431,
		 .body = "{\"x\":{\"errorcode\":431,\"errortext\":\"Unable to execute API command listvolumes due to "
			 "invalid "
			 "value. Invalid parameter ids value=never due to incorrect long value format, or entity does "
			 "not "
			 "exist\"}}" },
	       { .action = WEB_HOLD }, { .action = WEB_HOLD });
	occupy(fixture, &busy);
	list(fixture, "aaa", &known);
	list(fixture, "never", &unknown);
	release_all(fixture);
	run_until(fixture, &fixture->server.held_count, 2);
	assert_int_equal(fixture->server.asked, 5);
	assert_string_equal(asked(fixture, 3, "id"), "aaa");
	assert_string_equal(asked(fixture, 4, "id"), "never");
	web_server_release(&fixture->server,
			   &(struct web_row){
				   .status = 200,
				   .body = "{\"x\":{\"count\":1,\"volume\":[{\"id\":\"aaa\"}]}}" });
	web_server_release(
		&fixture->server,
		&(struct web_row){
			.status = 431,
			.body = "{\"x\":{\"errorcode\":431,\"errortext\":\"Invalid parameter id "
				"value=never or entity does not exist\"}}" });
	run_until(fixture, &known.runs, 1);
	run_until(fixture, &unknown.runs, 1);
	assert_int_equal(known.count, 1);
	assert_int_equal(unknown.outcome, CLOUD_OK);
	assert_int_equal(unknown.count, 0);
	assert_int_equal(busy.runs, 2);
}

/* Members after the end of a page may exist all the same, whatever count says. */
static void test_full_page_without_a_member(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, first = { 0 }, second = { 0 };

	SCRIPT(fixture, HELD, HELD,
	       { .status = 200,
		 .body = "{\"x\":{\"count\":2,\"volume\":[{\"id\":\"aaa\"},{\"id\":\"other\"}]}}" },
	       { .status = 200, .body = "{\"x\":{\"count\":1,\"volume\":[{\"id\":\"bbb\"}]}}" });
	occupy(fixture, &busy);
	list(fixture, "aaa", &first);
	list(fixture, "bbb", &second);
	release_all(fixture);
	run_until(fixture, &second.runs, 1);
	run_until(fixture, &busy.runs, 2);
	assert_int_equal(first.runs, 1);
	assert_string_equal(first.first_id, "aaa");
	assert_string_equal(second.first_id, "bbb");
	assert_string_equal(asked(fixture, 3, "id"), "bbb");
	assert_int_equal(fixture->server.asked, 4);
}

/* An administrator has made pages shorter than these ids are. */
static void test_too_many_for_a_page(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, first = { 0 }, second = { 0 };

	SCRIPT(fixture, HELD, HELD, PAGES_OF("1"),
	       { .status = 200, .body = "{\"x\":{\"count\":1,\"volume\":[{\"id\":\"aaa\"}]}}" },
	       EMPTY);
	occupy(fixture, &busy);
	list(fixture, "aaa", &first);
	list(fixture, "bbb", &second);
	release_all(fixture);
	run_until(fixture, &first.runs, 1);
	run_until(fixture, &second.runs, 1);
	run_until(fixture, &busy.runs, 2);
	assert_int_equal(first.outcome, CLOUD_OK);
	assert_int_equal(second.outcome, CLOUD_OK);
	assert_string_equal(asked(fixture, 3, "id"), "aaa");
	assert_string_equal(asked(fixture, 4, "id"), "bbb");
}

/* Later lists carry no more than a page holds. */
static void test_the_length_of_a_page_is_learned(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, seen = { 0 };

	SCRIPT(fixture, HELD, HELD, PAGES_OF("2"), EMPTY);
	occupy(fixture, &busy);
	for (int i = 0; i < 3; i++)
		list(fixture, "aaa", &seen);
	release_all(fixture);
	run_until(fixture, &seen.runs, 3);
	run_until(fixture, &busy.runs, 2);
	assert_string_equal(asked(fixture, 2, "pagesize"), "3");

	SCRIPT(fixture, HELD, HELD, EMPTY);
	occupy(fixture, &busy);
	for (int i = 0; i < 5; i++)
		list(fixture, "aaa", &seen);
	release_all(fixture);
	run_until(fixture, &seen.runs, 8);
	run_until(fixture, &busy.runs, 4);
	assert_int_equal(fixture->server.asked, 5);
	assert_string_equal(asked(fixture, 2, "ids"), "aaa,aaa");
	assert_string_equal(asked(fixture, 3, "ids"), "aaa,aaa");
	assert_string_equal(asked(fixture, 4, "id"), "aaa");
}

/* A volume that CloudStack cannot read is the trouble of its own caller. */
static void test_one_that_cannot_be_shown(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, well = { 0 }, broken = { 0 };
	const struct web_row failure = {
		.status = 530, .body = "{\"x\":{\"errorcode\":530,\"errortext\":\"SQL\"}}"
	};

	SCRIPT(fixture, HELD, HELD,
	       { .status = 530, .body = "{\"x\":{\"errorcode\":530,\"errortext\":\"SQL\"}}" }, HELD,
	       HELD);
	occupy(fixture, &busy);
	list(fixture, "aaa", &well);
	list(fixture, "bbb", &broken);
	release_all(fixture);
	run_until(fixture, &fixture->server.held_count, 2);
	assert_string_equal(asked(fixture, 3, "id"), "aaa");
	web_server_release(&fixture->server,
			   &(struct web_row){
				   .status = 200,
				   .body = "{\"x\":{\"count\":1,\"volume\":[{\"id\":\"aaa\"}]}}" });
	web_server_release(&fixture->server, &failure);
	run_until(fixture, &well.runs, 1);
	run_until(fixture, &broken.runs, 1);
	assert_int_equal(well.outcome, CLOUD_OK);
	assert_int_equal(well.count, 1);
	assert_int_equal(broken.outcome, CLOUD_AWAY);
	assert_true(cloud_err_is_refusal(&broken.err));
	assert_int_equal(busy.runs, 2);
}

static void test_trouble_is_everybodys(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, a = { 0 }, b = { 0 };

	SCRIPT(fixture, HELD, HELD, { .action = WEB_CUT });
	occupy(fixture, &busy);
	list(fixture, "aaa", &a);
	list(fixture, "bbb", &b);
	release_all(fixture);
	run_until(fixture, &b.runs, 1);
	run_until(fixture, &busy.runs, 2);
	assert_int_equal(a.outcome, CLOUD_AWAY);
	assert_int_equal(b.outcome, CLOUD_AWAY);
	assert_string_not_equal(b.err.text, "");
	assert_int_equal(fixture->server.asked, 3);
}

static void test_a_url_too_long_for_a_proxy(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, seen = { 0 };

	SCRIPT(fixture, HELD, HELD,
	       { .status = 414, .type = "text/html", .body = "<html>too long</html>" }, EMPTY);
	occupy(fixture, &busy);
	list(fixture, "aaa", &seen);
	list(fixture, "bbb", &seen);
	release_all(fixture);
	run_until(fixture, &seen.runs, 2);
	run_until(fixture, &busy.runs, 2);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_int_equal(fixture->server.asked, 5);
}

static void test_cancel_disturbs_nobody(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, kept = { 0 }, cancelled = { 0 };
	struct cloud_call *waiting, *travelling, *others[2];
	struct cloud_health health;

	SCRIPT(fixture, HELD, HELD, HELD, HELD);
	occupy(fixture, &busy);
	waiting = list(fixture, "aaa", &cancelled);
	travelling = list(fixture, "bbb", &cancelled);
	list(fixture, "ccc", &kept);
	list(fixture, "ddd", &kept);
	cloud_call_cancel(waiting);
	release_all(fixture);
	run_until(fixture, &fixture->server.held_count, 1);
	run_until(fixture, &busy.runs, 2);
	assert_string_equal(asked(fixture, 2, "ids"), "bbb,ccc,ddd");
	cloud_call_cancel(travelling);
	release_all(fixture);
	run_until(fixture, &kept.runs, 2);
	assert_int_equal(kept.outcome, CLOUD_OK);

	/* When nobody is left, neither is the request. */
	SCRIPT(fixture, HELD, HELD, HELD);
	occupy(fixture, &busy);
	others[0] = list(fixture, "aaa", &cancelled);
	others[1] = list(fixture, "bbb", &cancelled);
	release_all(fixture);
	run_until(fixture, &fixture->server.held_count, 1);
	cloud_call_cancel(others[0]);
	cloud_call_cancel(others[1]);
	run_until(fixture, &busy.runs, 4);
	cloud_health(fixture->cloud, &health);
	assert_int_equal(health.in_flight, 0);
	assert_int_equal(cancelled.runs, 0);
}

struct pair {
	struct seen seen;
	struct cloud_call *other;
};

static void on_pair(void *arg, const struct cloud_result *result)
{
	struct pair *pair = arg;

	on_done(&pair->seen, result);
	if (pair->other)
		cloud_call_cancel(pair->other);
}

static void test_done_may_cancel_a_fellow(void **state)
{
	struct fixture *fixture = *state;
	const struct cloud_volume_filter filter = { .id = "aaa" };
	struct seen busy = { 0 }, cancelled = { 0 };
	struct pair pair = { 0 };

	SCRIPT(fixture, HELD, HELD, EMPTY);
	occupy(fixture, &busy);
	cloud_list_volumes(fixture->cloud, &filter, on_pair, &pair);
	pair.other = list(fixture, "bbb", &cancelled);
	release_all(fixture);
	run_until(fixture, &pair.seen.runs, 1);
	run_until(fixture, &busy.runs, 2);
	run_idle(fixture);
	assert_int_equal(cancelled.runs, 0);
	assert_int_equal(fixture->server.asked, 3);
}

static void test_no_more_than_a_url_holds(void **state)
{
	struct fixture *fixture = *state;
	struct seen busy = { 0 }, seen = { 0 };

	SCRIPT(fixture, HELD, HELD, EMPTY);
	occupy(fixture, &busy);
	for (int i = 0; i < 250; i++)
		list(fixture, "aaa", &seen);
	release_all(fixture);
	run_until(fixture, &seen.runs, 250);
	run_until(fixture, &busy.runs, 2);
	assert_int_equal(fixture->server.asked, 5);
	assert_true(strlen(asked(fixture, 2, "ids")) <= 100 * 37);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_those_who_wait_go_together),
		TEST(test_those_of_projects_too),
		TEST(test_those_of_one_turn_go_together),
		TEST(test_one_that_waits_alone_is_asked_as_ever),
		TEST(test_other_lists_stay_alone),
		TEST(test_refused_together_asked_alone),
		TEST(test_full_page_without_a_member),
		TEST(test_too_many_for_a_page),
		TEST(test_the_length_of_a_page_is_learned),
		TEST(test_one_that_cannot_be_shown),
		TEST(test_trouble_is_everybodys),
		TEST(test_a_url_too_long_for_a_proxy),
		TEST(test_cancel_disturbs_nobody),
		TEST(test_done_may_cancel_a_fellow),
		TEST(test_no_more_than_a_url_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
