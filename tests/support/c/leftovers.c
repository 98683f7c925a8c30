/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A test that leaves a descriptor, a thread or a child process behind fails.
 *
 * Such a leak changes no result, so no assertion of the test itself sees it; a daemon that runs for
 * months does. Every unit program is linked with this file in front of cmocka
 * (tests/unit/meson.build), so no program can forget it. The process is compared with itself before
 * and after each test (inventory.c), its setup and teardown included, and once more around the
 * group's own setup and teardown.
 *
 * Timers and tasks need no look from here: loop_free() asserts that none is left, and a loop that
 * is not freed leaves its descriptors.
 */

#include "base/util.h"
#include "inventory.h"
#include "unit.h"

struct watched_test {
	const struct CMUnitTest *test;
	struct inventory before;
};

int __real__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
				   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
				   CMFixtureFunction setup, CMFixtureFunction teardown);

/* cmocka runs one group at a time, and its fixtures have only room for the state of the tests,
 * which is kept here. */
static struct {
	CMFixtureFunction setup, teardown;
	void *state;
	struct watched_test *current;
} group;

/* ---- a look ---- */

/* 0, or -1 after the leftovers were printed; before is cleared. */
static int check(const char *name, struct inventory *before)
{
	struct inventory left = inventory_await_nothing_left(before);
	int r = left.count > 0 ? -1 : 0;

	for (size_t i = 0; i < left.count; i++)
		print_error("%s leaves %s\n", name, left.lines[i]);
	inventory_clear(&left);
	inventory_clear(before);
	return r;
}

/* ---- in front of cmocka ---- */

static int set_up_group(void **state)
{
	return group.setup ? group.setup(&group.state) : 0;
}

static int tear_down_group(void **state)
{
	return group.teardown ? group.teardown(&group.state) : 0;
}

static int set_up_test(void **state)
{
	struct watched_test *watched = *state;
	const struct CMUnitTest *test = watched->test;

	group.current = watched;
	watched->before = inventory_take();
	*state = group.state ? group.state : test->initial_state; /* as cmocka does */
	return test->setup_func ? test->setup_func(state) : 0;
}

static int tear_down_test(void **state)
{
	struct watched_test *watched = group.current;
	const struct CMUnitTest *test = watched->test;
	int r = test->teardown_func ? test->teardown_func(state) : 0;

	return check(test->name, &watched->before) < 0 ? -1 : r;
}

int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
				   CMFixtureFunction setup, CMFixtureFunction teardown)
{
	_cleanup_free_ struct watched_test *watched = xcalloc(count, sizeof(*watched));
	_cleanup_free_ struct CMUnitTest *wrapped = xcalloc(count, sizeof(*wrapped));
	struct inventory before = inventory_take();
	int failed;

	group.setup = setup;
	group.teardown = teardown;
	group.state = NULL;
	for (size_t i = 0; i < count; i++) {
		watched[i].test = &tests[i];
		wrapped[i] = (struct CMUnitTest){ tests[i].name, tests[i].test_func, set_up_test,
						  tear_down_test, &watched[i] };
	}
	failed =
		__real__cmocka_run_group_tests(name, wrapped, count, set_up_group, tear_down_group);
	return check(name, &before) < 0 ? failed + 1 : failed;
}
