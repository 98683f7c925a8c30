/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Mounts and swap.
 *
 * A mount is compared with every node of the pile by device number, which is the kernel's word. The
 * source of a mount is not: any user may mount a tmpfs named "/dev/vdb" in a namespace of their
 * own. The exception is btrfs, whose mounts have numbers of their own and whose source the kernel
 * writes; no user namespace can mount it, and sysfs must call the node a member of a mounted btrfs.
 *
 * Each mount namespace has a list of its own, and a mount in one of them need not be seen in
 * another: a container's file system, or one that a service with private mounts has kept after it
 * was unmounted everywhere else. So one process of each namespace is asked. Most namespaces are
 * copies of ours; a mount that both show is reported once.
 *
 * A user can fill a namespace with mounts, and make many namespaces. So the lists are read in
 * pieces, ours and the first process's to their end, and the others until OTHERS_BYTES_MAX and
 * NAMESPACES_MAX. They only tell where a disk is mounted. Whether it is mounted tells the claim,
 * which the kernel refuses while any namespace has the disk mounted (usage_open.c). So the others
 * are not read at all while the disk can be claimed.
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

#define OTHERS_BYTES_MAX (USAGE_OTHER_MOUNTS_MIB << 20) /* of all other namespaces together */
#define PIECE_BYTES (128 << 10)
#define LINE_BYTES (64 << 10) /* of a line that is longer, the begin is read */
#define SWAPS_BYTES_MAX (1 << 20)
#define NAMESPACES_MAX 4096
#define MOUNTS_KNOWN_MAX 256 /* of the disk; further mounts may be reported more than once */

struct known_mount {
	size_t node;
	char *point;
};

struct usage_mounts {
	struct usage_report *report;
	uint64_t namespaces[NAMESPACES_MAX];
	size_t namespace_count;
	struct known_mount known[MOUNTS_KNOWN_MAX];
	size_t known_count;
	int pid;           /* whose list is read; 0: ours */
	size_t bytes_left; /* of OTHERS_BYTES_MAX */
	char *piece;       /* PIECE_BYTES */
	char *line;        /* LINE_BYTES + 1 */
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
static bool is_of_this_system(const struct usage_mounts *mounts, const char *mount_point)
{
	return mounts->pid <= 1 && is_root_mount(mount_point);
}

static bool is_known(struct usage_mounts *mounts, size_t node, const char *mount_point)
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

static void add_mount(struct usage_mounts *mounts, size_t node, const char *mount_point)
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

static bool is_mount_of(const struct usage_node *node, const char *number, const char *type,
			const char *source)
{
	return streq(number, node->number) ||
	       (node->is_btrfs && streq(type, "btrfs") && usage_is_path_of(node, source));
}

static void check_mount(struct usage_mounts *mounts, const char *number, const char *type,
			const char *source, const char *mount_point)
{
	const struct usage_report *report = mounts->report;

	for (size_t i = 0; i < report->node_count; i++) {
		if (is_mount_of(&report->nodes[i], number, type, source)) {
			add_mount(mounts, i, mount_point);
			return;
		}
	}
}

/*
 * "26 1 254:0 / /mnt/a\040b rw,relatime shared:1 - ext4 /dev/vda rw": the optional fields end at
 * the "-". A path may be so long that the line ends before them.
 */
static int read_mount(struct usage_mounts *mounts)
{
	char *fields[6] = { NULL }, *save = NULL, *word = strtok_r(mounts->line, " ", &save);
	char mount_point[4096], source[4096], *type;
	struct usage_report *report = mounts->report;
	size_t count = 0;

	for (; word && count < ARRAY_SIZE(fields); word = strtok_r(NULL, " ", &save))
		fields[count++] = word;
	if (count < 3)
		return err_set(
			&report->err, ERR_INTERNAL,
			"the users of %s cannot be found: mountinfo has a line that makes no sense",
			report->name);
	while (word && !streq(word, "-"))
		word = strtok_r(NULL, " ", &save);
	type = word ? strtok_r(NULL, " ", &save) : NULL;
	unescape(str_or(fields[4], "a long path"), mount_point, sizeof(mount_point));
	/* The source may be empty. */
	unescape(type ? str_or(strtok_r(NULL, " ", &save), "") : "", source, sizeof(source));
	check_mount(mounts, fields[2], str_or(type, ""), source, mount_point);
	return 0;
}

/* Takes the lines that end in this piece of a list; *length is that of the line so far. */
static int take_piece(struct usage_mounts *mounts, size_t *length, const char *piece, size_t size)
{
	while (size > 0) {
		const char *end = memchr(piece, '\n', size);
		size_t part = end ? (size_t)(end - piece) : size;
		size_t room = LINE_BYTES - *length;

		memcpy(mounts->line + *length, piece, part < room ? part : room);
		*length += part < room ? part : room;
		if (!end)
			return 0;
		mounts->line[*length] = '\0';
		*length = 0;
		if (read_mount(mounts) < 0)
			return -1;
		piece += part + 1;
		size -= part + 1;
	}
	return 0;
}

/* 0: at its end, or the bound for other namespaces is reached. -1 and errno: it cannot be read. -2:
 * the report has the error. */
static int read_list(struct usage_mounts *mounts, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t length = 0;
	ssize_t got;

	if (fd < 0)
		return -1;
	while (mounts->pid <= 1 || mounts->bytes_left > 0) {
		got = read(fd, mounts->piece, PIECE_BYTES);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return (int)got;
		if (take_piece(mounts, &length, mounts->piece, (size_t)got) < 0)
			return -2;
		if (mounts->pid > 1)
			mounts->bytes_left -=
				(size_t)got < mounts->bytes_left ? (size_t)got : mounts->bytes_left;
	}
	mounts->report->mounts_unread = true;
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

static bool has_seen(const struct usage_mounts *mounts, uint64_t namespace)
{
	for (size_t i = 0; i < mounts->namespace_count; i++) {
		if (mounts->namespaces[i] == namespace)
			return true;
	}
	return false;
}

static int scan_own_namespace(struct usage_mounts *mounts)
{
	_cleanup_free_ char *folder = xasprintf("%s/self", mounts->report->proc_root);
	_cleanup_free_ char *path = xasprintf("%s/mountinfo", folder);
	uint64_t namespace = namespace_of(folder);
	int r;

	if (!namespace)
		return usage_cannot_read(mounts->report, folder);
	mounts->namespaces[mounts->namespace_count++] = namespace;
	r = read_list(mounts, path);
	return r == -1 ? usage_cannot_read(mounts->report, path) : r;
}

/*
 * A process that has ended or may not be read is passed over; another process may show the same
 * namespace.
 */
static int scan_namespace_of(struct usage_mounts *mounts, int pid)
{
	_cleanup_free_ char *folder = xasprintf("%s/%d", mounts->report->proc_root, pid);
	_cleanup_free_ char *path = xasprintf("%s/mountinfo", folder);
	uint64_t namespace = namespace_of(folder);
	int r;

	if (!namespace)
		return usage_is_shortage(errno) ? usage_cannot_read(mounts->report, folder) : 0;
	if (has_seen(mounts, namespace))
		return 0;
	if (mounts->namespace_count == NAMESPACES_MAX) {
		mounts->report->mounts_unread = true;
		return 0;
	}
	mounts->pid = pid;
	r = read_list(mounts, path);
	if (r == -1)
		return usage_is_shortage(errno) ? usage_cannot_read(mounts->report, path) : 0;
	mounts->namespaces[mounts->namespace_count++] = namespace;
	return r;
}

struct usage_mounts *usage_mounts_new(struct usage_report *report)
{
	struct usage_mounts *mounts = xnew(struct usage_mounts);

	mounts->report = report;
	mounts->bytes_left = OTHERS_BYTES_MAX;
	mounts->piece = xmalloc(PIECE_BYTES);
	mounts->line = xmalloc(LINE_BYTES + 1);
	return mounts;
}

void usage_mounts_free(struct usage_mounts *mounts)
{
	for (size_t i = 0; i < mounts->known_count; i++)
		free(mounts->known[i].point);
	free(mounts->piece);
	free(mounts->line);
	free(mounts);
}

int usage_find_own_mounts(struct usage_mounts *mounts, const int *pids, size_t count)
{
	int r = scan_own_namespace(mounts);

	if (r == 0 && count > 0 && pids[0] == 1)
		r = scan_namespace_of(mounts, pids[0]);
	return r < 0 ? -1 : 0;
}

int usage_find_other_mounts(struct usage_mounts *mounts, const int *pids, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = scan_namespace_of(mounts, pids[i]);
	return r < 0 ? -1 : 0;
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
