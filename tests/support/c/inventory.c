/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Read from /proc/self, and from /proc for children: no call lists them. */

#include "inventory.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "base/util.h"

/* A thread that was joined stays in /proc for a moment more, under a sanitizer on a busy machine
 * for a long one. */
#define PATIENCE_MS 2000
#define STEP_MS 10

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

	assert(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			add(inventory, dirfd(dir), entry->d_name);
	}
	closedir(dir);
}

struct inventory inventory_take(void)
{
	struct inventory inventory = { 0 };
	siginfo_t child;

	each_number(&inventory, "/proc/self/fd", add_descriptor);
	each_number(&inventory, "/proc/self/task", add_thread);
	if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) == 0)
		each_number(&inventory, "/proc", add_child);
	return inventory;
}

void inventory_clear(struct inventory *inventory)
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
	struct inventory now = inventory_take(), left = { 0 };

	for (size_t i = 0; i < now.count; i++) {
		if (!has_line(before, now.lines[i]))
			add_line(&left, xstrdup(now.lines[i]));
	}
	inventory_clear(&now);
	return left;
}

struct inventory inventory_await_nothing_left(const struct inventory *before)
{
	/* for all looks together: if many tests leak, the first one uses up the patience */
	static int patience_ms = PATIENCE_MS;
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	struct inventory left = find_leftovers(before);

	for (; left.count > 0 && patience_ms > 0; patience_ms -= STEP_MS) {
		nanosleep(&step, NULL);
		inventory_clear(&left);
		left = find_leftovers(before);
	}
	return left;
}
