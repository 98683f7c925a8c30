/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Processes and their open files.
 *
 * A program that reads or writes a disk directly - a running copy, a virtual machine - shows
 * nowhere but in its file descriptors. The descriptors are stat'ed rather than read, since a node
 * may have any name. The stat asks no server, since most descriptors are of other files, whose
 * server may be away. A process that cannot be read is passed over: no more can be done from
 * outside.
 *
 * A user may have thousands of processes, each with thousands of descriptors, and the look must not
 * take longer for that. So all users but root have a budget. It is charged by the real user id of a
 * process: a program that hides itself from other programs, or runs with the rights of another
 * user, keeps the id of the user who started it.
 *
 * Not every program that has a disk open uses it. udev's workers read signatures after each event,
 * and may hang in a dying disk; just then it must be possible to take the disk away. The workers
 * lose nothing, so they never count. The programs that they start (lvm, mdadm, …) have many names
 * but end in a moment, so the loop's side scans again. Our own threads read signatures, too.
 *
 * The kernel itself claims a disk for a file system that was unmounted lazily or mounted in a
 * namespace that no process shows, and for bcache and others that are not seen in sysfs. The kernel
 * refuses a second claim, which is the purpose of a claim.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "disk/usage_open.h"

#define PROCESSES_MAX 4194304 /* the kernel's own limit (PID_MAX_LIMIT) */
#define PROCESS_PRICE 16      /* descriptors that cost as much as a process */
#define LEFT_OUT_SHOWN 8      /* users */

/* ---- processes ---- */

static int by_number(const void *a, const void *b)
{
	const int *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

static int pid_of(const char *name)
{
	uint64_t pid;

	return parse_u64(name, &pid) == 0 && pid <= INT_MAX ? (int)pid : 0;
}

int usage_list_processes(struct usage_report *report, int **pids, size_t *count)
{
	const char *root = report->proc_root;
	DIR *dir = opendir(root);
	const struct dirent *entry;
	size_t room = 0;
	int r = 0;

	if (!dir)
		return usage_cannot_read(report, root);
	while (r == 0 && (entry = readdir(dir))) {
		int pid = pid_of(entry->d_name);

		if (!pid)
			continue;
		if (*count == room) {
			room = room ? 2 * room : 256;
			*pids = xrealloc(*pids, room * sizeof(**pids));
		}
		(*pids)[(*count)++] = pid;
		if (*count == PROCESSES_MAX)
			r = usage_too_many(report, "there are too many processes");
	}
	closedir(dir);
	if (*count)
		qsort(*pids, *count, sizeof(**pids), by_number);
	return r;
}

void usage_process_name(const struct usage_report *report, int pid, char name[64])
{
	_cleanup_free_ char *path = xasprintf("%s/%d/comm", report->proc_root, pid);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 63, NULL);

	if (text)
		text[strcspn(text, "\n")] = '\0';
	snprintf(name, 64, "%s", text && text[0] && str_is_plain_text(text) ? text : "?");
}

/* ---- descriptors ---- */

static int own_pid(const struct usage_report *report)
{
	_cleanup_free_ char *path = xasprintf("%s/self", report->proc_root);
	char link[32];
	ssize_t length = readlink(path, link, sizeof(link) - 1);

	link[length < 0 ? 0 : length] = '\0';
	return pid_of(link);
}

static bool is_udev(const char *process)
{
	return streq(process, "(udev-worker)") || streq(process, "systemd-udevd") ||
	       streq(process, "udevd");
}

static const struct usage_node *node_of(const struct usage_report *report, const struct statx *st)
{
	char number[24];

	snprintf(number, sizeof(number), "%u:%u", st->stx_rdev_major, st->stx_rdev_minor);
	for (size_t i = 0; i < report->node_count; i++) {
		if (streq(report->nodes[i].number, number))
			return &report->nodes[i];
	}
	return NULL;
}

/* ---- the budget of a user ---- */

struct user {
	uint32_t id;
	size_t left; /* of USAGE_DESCRIPTORS_MAX */
	bool told;   /* that some of the descriptors are left out */
};

struct users {
	struct user *items;
	size_t count, left_out;
};

/* "Uid:\t1000\t0\t0\t0", the real one first. A process that has just ended has none: 0. */
static uint32_t user_of(const struct usage_report *report, int pid)
{
	_cleanup_free_ char *path = xasprintf("%s/%d/status", report->proc_root, pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[1024]; /* the ids stand before the groups, of which there may be 65,536 */
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *line;

	if (length <= 0)
		return 0;
	text[length] = '\0';
	line = strstr(text, "\nUid:\t");
	return line ? (uint32_t)strtoul(line + strlen("\nUid:\t"), NULL, 10) : 0;
}

static struct user *get_user(struct users *users, uint32_t id)
{
	for (size_t i = 0; i < users->count; i++) {
		if (users->items[i].id == id)
			return &users->items[i];
	}
	users->items = xrealloc(users->items, (users->count + 1) * sizeof(*users->items));
	users->items[users->count] = (struct user){ .id = id, .left = USAGE_DESCRIPTORS_MAX };
	return &users->items[users->count++];
}

/* Descriptors of the next process of this user that may be looked at. */
static size_t budget_of(const struct user *user)
{
	if (user->id == 0)
		return USAGE_DESCRIPTORS_MAX;
	return user->left > PROCESS_PRICE ? user->left - PROCESS_PRICE : 0;
}

static void charge(struct user *user, size_t seen)
{
	if (user->id != 0)
		user->left -= seen + PROCESS_PRICE;
}

static void note_left_out(struct usage_report *report, struct users *users, struct user *user)
{
	if (user->told)
		return;
	user->told = true;
	if (users->left_out++ < LEFT_OUT_SHOWN)
		buf_printf(&report->left_out, "%sthe open files of user %u behind the first %d",
			   users->left_out > 1 ? ", " : "", user->id, USAGE_DESCRIPTORS_MAX);
}

/* ---- a process ---- */

/* Reported once for each process, for any number of descriptors. */
static void note_opener(struct usage_report *report, const struct usage_node *node, int pid,
			bool *told)
{
	char process[64], label[USAGE_NODE_LABEL_SIZE];

	if (*told) {
		report->beside = report->beside || !node->by_map;
		return;
	}
	usage_process_name(report, pid, process);
	if (is_udev(process))
		return;
	usage_label(report, node, label);
	usage_add(report, node, USAGE_HELD, "%sopened by %s (pid %d)", label, process, pid);
	*told = true;
}

/* The number of descriptors that were looked at: max if there may be more. */
static size_t scan_descriptors(struct usage_report *report, int pid, DIR *dir, size_t max)
{
	const struct dirent *entry;
	const struct usage_node *node;
	struct statx st;
	bool told = false;
	size_t seen = 0;

	while (seen < max && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		seen++;
		if (statx(dirfd(dir), entry->d_name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
			  STATX_TYPE, &st) < 0 ||
		    !S_ISBLK(st.stx_mode))
			continue;
		node = node_of(report, &st);
		if (node)
			note_opener(report, node, pid, &told);
	}
	return seen;
}

static int scan_process(struct usage_report *report, struct users *users, int pid)
{
	_cleanup_free_ char *path = xasprintf("%s/%d/fd", report->proc_root, pid);
	struct user *user = get_user(users, user_of(report, pid));
	size_t max = budget_of(user), seen = 0;
	DIR *dir = max > 0 ? opendir(path) : NULL;

	if (max > 0 && !dir)
		return usage_is_shortage(errno) ? usage_cannot_read(report, path) : 0;
	if (dir) {
		seen = scan_descriptors(report, pid, dir, max);
		charge(user, seen);
		closedir(dir);
	}
	if (seen == max)
		note_left_out(report, users, user);
	return 0;
}

int usage_find_openers(struct usage_report *report, const int *pids, size_t count)
{
	int self = own_pid(report), r = 0;
	struct users users = { 0 };

	for (size_t i = 0; i < count && r == 0; i++) {
		if (pids[i] != self && pids[i] != report->pid)
			r = scan_process(report, &users, pids[i]);
	}
	free(users.items);
	return r;
}

/* ---- claims ---- */

/*
 * Our map claims the disk below it, so then only the map can be claimed; partitions count with
 * their disk.
 */
static const struct usage_node *claimable(const struct usage_report *report)
{
	for (size_t i = 0; i < report->node_count; i++) {
		if (report->nodes[i].is_map)
			return &report->nodes[i];
	}
	return &report->nodes[0];
}

/* The claim alone decides if the mount lists of other namespaces were not read to their end. */
static bool is_needed(const struct usage_report *report, int error)
{
	return usage_is_shortage(error) || report->mounts_unread;
}

static char *path_of(const struct usage_report *report, const struct usage_node *node)
{
	return xasprintf("%s/%s", report->dev_root, node->path + strlen("/dev/"));
}

/* -1 and errno if the kernel refuses it, or if it cannot be tried. */
static int try_claim(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd < 0 ? -1 : 0;
}

bool usage_can_be_claimed(const struct usage_report *report)
{
	_cleanup_free_ char *path = path_of(report, claimable(report));

	return try_claim(path) == 0;
}

int usage_find_claim(struct usage_report *report)
{
	const struct usage_node *node = claimable(report);
	_cleanup_free_ char *path = path_of(report, node);
	char label[USAGE_NODE_LABEL_SIZE];

	if (try_claim(path) == 0)
		return 0;
	if (errno != EBUSY)
		return is_needed(report, errno) ? usage_cannot_read(report, path) : 0;
	usage_label(report, node, label);
	usage_add(report, node, USAGE_HELD,
		  "%sclaimed by a program, or by a file system without a visible mount", label);
	if (report->mounts_unread)
		buf_printf(&report->what,
			   " (only %d MiB of the mounts in other namespaces were looked at)",
			   USAGE_OTHER_MOUNTS_MIB);
	return 0;
}
