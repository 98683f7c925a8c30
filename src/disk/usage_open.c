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
#include <sys/stat.h>

#include "disk/usage_open.h"

#define PROCESSES_MAX 131072
#define DESCRIPTORS_MAX (4 << 20)

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

/* Reported once for each process, for any number of descriptors. */
static void scan_descriptors(struct usage_report *report, int pid, DIR *dir, size_t *seen)
{
	const struct dirent *entry;
	const struct usage_node *node;
	char process[64], label[USAGE_NODE_LABEL_SIZE];
	struct statx st;
	bool is_told = false;

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (++*seen > DESCRIPTORS_MAX)
			return;
		if (statx(dirfd(dir), entry->d_name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
			  STATX_TYPE, &st) < 0 ||
		    !S_ISBLK(st.stx_mode))
			continue;
		node = node_of(report, &st);
		if (!node)
			continue;
		if (is_told) {
			report->beside = report->beside || !node->by_map;
			continue;
		}
		usage_process_name(report, pid, process);
		if (is_udev(process))
			return;
		usage_label(report, node, label);
		usage_add(report, node, USAGE_HELD, "%sopened by %s (pid %d)", label, process, pid);
		is_told = true;
	}
}

int usage_find_openers(struct usage_report *report, const int *pids, size_t count)
{
	int self = own_pid(report);
	size_t seen = 0;

	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%d/fd", report->proc_root, pids[i]);
		DIR *dir;

		if (pids[i] == self || pids[i] == report->pid)
			continue;
		dir = opendir(path);
		if (!dir)
			continue;
		scan_descriptors(report, pids[i], dir, &seen);
		closedir(dir);
		if (seen > DESCRIPTORS_MAX)
			return usage_too_many(report, "too many files are open");
	}
	return 0;
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

void usage_find_claim(struct usage_report *report)
{
	const struct usage_node *node = claimable(report);
	_cleanup_free_ char *path =
		xasprintf("%s/%s", report->dev_root, node->path + strlen("/dev/"));
	_cleanup_close_ int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char label[USAGE_NODE_LABEL_SIZE];

	if (fd >= 0 || errno != EBUSY)
		return;
	usage_label(report, node, label);
	usage_add(report, node, USAGE_HELD,
		  "%sclaimed by a program, or by a file system without a visible mount", label);
}
