/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Mounts and swap.
 *
 * A mount is compared with every node of the pile by device number, and by name for file systems
 * with numbers of their own (btrfs). Each mount namespace has a list of its own, and a mount in one
 * of them need not be seen in another: a container's file system, or one that a service with
 * private mounts has kept after it was unmounted everywhere else. So one process of each namespace
 * is asked. Most namespaces are copies of ours; a mount that both show is reported once.
 *
 * The root file system is found the same way, as a mount at "/" on one of the nodes, in our
 * namespace and in that of the first process. The root of another namespace is the root of a
 * container.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "disk/usage_mounts.h"
#include "disk/usage_open.h"

#define MOUNTS_BYTES_MAX (16 << 20)
#define SWAPS_BYTES_MAX (1 << 20)
#define NAMESPACES_MAX 4096
#define MOUNTS_KNOWN_MAX 256 /* of the disk; further mounts may be reported more than once */

struct known_mount {
	size_t node;
	char *point;
};

struct mounts {
	struct usage_report *report;
	uint64_t namespaces[NAMESPACES_MAX];
	size_t namespace_count;
	struct known_mount known[MOUNTS_KNOWN_MAX];
	size_t known_count;
	int pid; /* whose list is read; 0: ours */
};

/* Decodes \040 and the like; keeps the escaped text if the decoded text is not fit for people. */
static void unescape(const char *in, char *out, size_t size)
{
	size_t length = 0;

	for (const char *c = in; *c && length + 1 < size; c++) {
		if (c[0] == '\\' && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' && c[2] <= '7' &&
		    c[3] >= '0' && c[3] <= '7') {
			out[length++] =
				(char)((c[1] - '0') << 6 | (c[2] - '0') << 3 | (c[3] - '0'));
			c += 3;
		} else {
			out[length++] = *c;
		}
	}
	out[length] = '\0';
	if (!str_is_plain_text(out))
		snprintf(out, size, "%s", in);
}

/* Without these the system does not run or does not start again. */
static bool is_root_mount(const char *mount_point)
{
	return streq(mount_point, "/") || streq(mount_point, "/usr") ||
	       streq(mount_point, "/var") || streq(mount_point, "/boot") ||
	       str_has_prefix(mount_point, "/boot/");
}

/* Our namespace, or the first process's: systemd may have put us into a copy. */
static bool is_of_this_system(const struct mounts *mounts, const char *mount_point)
{
	return mounts->pid <= 1 && is_root_mount(mount_point);
}

static bool is_known(struct mounts *mounts, size_t node, const char *mount_point)
{
	for (size_t i = 0; i < mounts->known_count; i++) {
		if (mounts->known[i].node == node && streq(mounts->known[i].point, mount_point))
			return true;
	}
	if (mounts->known_count < MOUNTS_KNOWN_MAX)
		mounts->known[mounts->known_count++] =
			(struct known_mount){ .node = node, .point = xstrdup(mount_point) };
	return false;
}

static void add_mount(struct mounts *mounts, size_t node, const char *mount_point)
{
	struct usage_report *report = mounts->report;
	enum usage_kind kind = is_of_this_system(mounts, mount_point) ? USAGE_ROOT : USAGE_HELD;
	char label[USAGE_NODE_LABEL_SIZE], process[64];

	if (is_known(mounts, node, mount_point))
		return;
	usage_label(report, &report->nodes[node], label);
	if (mounts->pid == 0) {
		usage_add(report, &report->nodes[node], kind, "%smounted at %s", label,
			  mount_point);
		return;
	}
	usage_process_name(report, mounts->pid, process);
	usage_add(report, &report->nodes[node], kind,
		  "%smounted at %s in the mount namespace of pid %d (%s)", label, mount_point,
		  mounts->pid, process);
}

static void check_mount(struct mounts *mounts, const char *number, const char *source,
			const char *mount_point)
{
	const struct usage_report *report = mounts->report;

	for (size_t i = 0; i < report->node_count; i++) {
		if (streq(number, report->nodes[i].number) ||
		    usage_is_path_of(&report->nodes[i], source)) {
			add_mount(mounts, i, mount_point);
			return;
		}
	}
}

/*
 * "26 1 254:0 / /mnt/a\040b rw,relatime shared:1 - ext4 /dev/vda rw": the optional fields end at
 * the "-".
 */
static int read_mount(struct mounts *mounts, char *line)
{
	char *fields[6], *save = NULL, *word = strtok_r(line, " ", &save);
	char mount_point[4096], source[4096];
	struct usage_report *report = mounts->report;
	size_t count = 0;

	for (; word && count < ARRAY_SIZE(fields); word = strtok_r(NULL, " ", &save))
		fields[count++] = word;
	while (word && !streq(word, "-"))
		word = strtok_r(NULL, " ", &save);
	/* word is the "-"; the type and the source, which may be empty, follow. */
	if (!word || !strtok_r(NULL, " ", &save))
		return err_set(
			&report->err, ERR_INTERNAL,
			"the users of %s cannot be found: mountinfo has a line that makes no sense",
			report->name);
	unescape(fields[4], mount_point, sizeof(mount_point));
	unescape(str_or(strtok_r(NULL, " ", &save), ""), source, sizeof(source));
	check_mount(mounts, fields[2], source, mount_point);
	return 0;
}

static int read_mounts(struct mounts *mounts, char *text)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (read_mount(mounts, line) < 0)
			return -1;
	}
	return 0;
}

/* ---- namespaces ---- */

/* The number in "mnt:[4026531841]"; 0 and errno if it cannot be read. */
static uint64_t namespace_of(const char *folder)
{
	_cleanup_free_ char *path = xasprintf("%s/ns/mnt", folder);
	char link[64];
	ssize_t length = readlink(path, link, sizeof(link) - 1);

	if (length < 0)
		return 0;
	link[length] = '\0';
	errno = EINVAL;
	return str_has_prefix(link, "mnt:[") ? strtoull(link + strlen("mnt:["), NULL, 10) : 0;
}

static bool has_seen(const struct mounts *mounts, uint64_t namespace)
{
	for (size_t i = 0; i < mounts->namespace_count; i++) {
		if (mounts->namespaces[i] == namespace)
			return true;
	}
	return false;
}

static int scan_own_namespace(struct mounts *mounts)
{
	_cleanup_free_ char *folder = xasprintf("%s/self", mounts->report->proc_root);
	_cleanup_free_ char *path = xasprintf("%s/mountinfo", folder);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, MOUNTS_BYTES_MAX, NULL);
	uint64_t namespace = text ? namespace_of(folder) : 0;

	if (!namespace)
		return usage_cannot_read(mounts->report, text ? folder : path);
	mounts->namespaces[mounts->namespace_count++] = namespace;
	return read_mounts(mounts, text);
}

/*
 * A process that has ended or may not be read is passed over; another process may show the same
 * namespace.
 */
static int scan_namespace_of(struct mounts *mounts, int pid)
{
	_cleanup_free_ char *folder = xasprintf("%s/%d", mounts->report->proc_root, pid);
	_cleanup_free_ char *path = xasprintf("%s/mountinfo", folder);
	_cleanup_free_ char *text = NULL;
	uint64_t namespace = namespace_of(folder);

	if (!namespace || has_seen(mounts, namespace))
		return 0;
	text = read_file_at(AT_FDCWD, path, MOUNTS_BYTES_MAX, NULL);
	if (!text)
		return errno == EFBIG ? usage_cannot_read(mounts->report, path) : 0;
	if (mounts->namespace_count == NAMESPACES_MAX)
		return usage_too_many(mounts->report, "there are too many mount namespaces");
	mounts->namespaces[mounts->namespace_count++] = namespace;
	mounts->pid = pid;
	return read_mounts(mounts, text);
}

int usage_find_mounts(struct usage_report *report, const int *pids, size_t count)
{
	struct mounts *mounts = xnew(struct mounts);
	int r;

	mounts->report = report;
	r = scan_own_namespace(mounts);
	for (size_t i = 0; i < count && r == 0; i++)
		r = scan_namespace_of(mounts, pids[i]);
	for (size_t i = 0; i < mounts->known_count; i++)
		free(mounts->known[i].point);
	free(mounts);
	return r;
}

/* ---- swap ---- */

/*
 * "/dev/dm-0  partition  1024  0  -2"; other lines are the heading. A swap file lies on a mount,
 * which is found.
 */
static void read_swap(struct usage_report *report, char *line)
{
	char path[4096], label[USAGE_NODE_LABEL_SIZE];

	if (line[0] != '/')
		return;
	line[strcspn(line, " \t")] = '\0';
	unescape(line, path, sizeof(path));
	for (size_t i = 0; i < report->node_count; i++) {
		if (!usage_is_path_of(&report->nodes[i], path))
			continue;
		usage_label(report, &report->nodes[i], label);
		usage_add(report, &report->nodes[i], USAGE_HELD, "%sused as swap", label);
	}
}

int usage_find_swaps(struct usage_report *report)
{
	_cleanup_free_ char *path = xasprintf("%s/swaps", report->proc_root);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, SWAPS_BYTES_MAX, NULL);
	char *save = NULL;

	if (!text)
		return usage_cannot_read(report, path);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		read_swap(report, line);
	return 0;
}
