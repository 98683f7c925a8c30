/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A test that leaves a descriptor, a thread or a child process behind fails.
 *
 * Such a leak changes no result, so no assertion of the test itself sees it; a daemon that runs for
 * months does. Every unit program is linked with this file in front of cmocka
 * (tests/unit/meson.build), so no program can forget it. The process is compared with itself before
 * and after each test, its setup and teardown included, and once more around the group's own setup
 * and teardown.
 *
 * Timers and tasks need no look from here: loop_free() asserts that none is left, and a loop that
 * is not freed leaves its descriptors.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/util.h"

/* A thread that was joined stays in /proc for a moment more, under a sanitizer on a busy machine
 * for a long one. */
#define PATIENCE_MS 2000
#define STEP_MS 10

/* What a process has, a line each. */
struct inventory {
	char **lines;
	size_t count;
};

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

/* ---- what there is ---- */

static void add_line(struct inventory *inventory, char *line)
{
	inventory->lines =
		xrealloc(inventory->lines, (inventory->count + 1) * sizeof(*inventory->lines));
	inventory->lines[inventory->count++] = line;
}

static void add_descriptor(struct inventory *inventory, int folder, const char *number)
{
	char target[256] = "";

	if (atoi(number) == folder || readlinkat(folder, number, target, sizeof(target) - 1) < 0)
		return;
	add_line(inventory, xasprintf("descriptor %s, %s", number, target));
}

static void add_thread(struct inventory *inventory, int folder, const char *number)
{
	_cleanup_free_ char *path = xasprintf("%s/comm", number);
	_cleanup_free_ char *name = read_file_at(folder, path, 64, NULL);

	if (name)
		add_line(inventory,
			 xasprintf("thread %s, %.*s", number, (int)strcspn(name, "\n"), name));
}

static void add_child(struct inventory *inventory, int folder, const char *number)
{
	_cleanup_free_ char *path = xasprintf("%s/stat", number);
	_cleanup_free_ char *stat = read_file_at(folder, path, 4096, NULL);
	const char *name_end = stat ? strrchr(stat, ')') : NULL; /* "PID (NAME) STATE PARENT ..." */
	int parent;

	if (name_end && sscanf(name_end, ") %*c %d", &parent) == 1 && parent == getpid())
		add_line(inventory, xasprintf("child %.*s", (int)(name_end + 1 - stat), stat));
}

static void each_number(struct inventory *inventory, const char *path,
			void (*add)(struct inventory *inventory, int folder, const char *number))
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			add(inventory, dirfd(dir), entry->d_name);
	}
	closedir(dir);
}

static struct inventory take_inventory(void)
{
	struct inventory inventory = { 0 };
	siginfo_t child;

	each_number(&inventory, "/proc/self/fd", add_descriptor);
	each_number(&inventory, "/proc/self/task", add_thread);
	if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) == 0)
		each_number(&inventory, "/proc", add_child);
	return inventory;
}

static void clear_inventory(struct inventory *inventory)
{
	for (size_t i = 0; i < inventory->count; i++)
		free(inventory->lines[i]);
	free(TAKE_PTR(inventory->lines));
	inventory->count = 0;
}

/* ---- what is left ---- */

static bool has_line(const struct inventory *inventory, const char *line)
{
	for (size_t i = 0; i < inventory->count; i++) {
		if (streq(inventory->lines[i], line))
			return true;
	}
	return false;
}

/* The lines of now that were not there before. */
static struct inventory find_leftovers(const struct inventory *before)
{
	struct inventory now = take_inventory(), left = { 0 };

	for (size_t i = 0; i < now.count; i++) {
		if (!has_line(before, now.lines[i]))
			add_line(&left, xstrdup(now.lines[i]));
	}
	clear_inventory(&now);
	return left;
}

static struct inventory await_nothing_left(const struct inventory *before)
{
	/* for all tests together: if many leak, the first one used it up */
	static int patience_ms = PATIENCE_MS;
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	struct inventory left = find_leftovers(before);

	for (; left.count > 0 && patience_ms > 0; patience_ms -= STEP_MS) {
		nanosleep(&step, NULL);
		clear_inventory(&left);
		left = find_leftovers(before);
	}
	return left;
}

/* 0, or -1 after the leftovers were printed; before is cleared. */
static int check(const char *name, struct inventory *before)
{
	struct inventory left = await_nothing_left(before);
	int r = left.count > 0 ? -1 : 0;

	for (size_t i = 0; i < left.count; i++)
		print_error("%s leaves %s\n", name, left.lines[i]);
	clear_inventory(&left);
	clear_inventory(before);
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
	watched->before = take_inventory();
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
	struct inventory before = take_inventory();
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
