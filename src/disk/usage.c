/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who uses a disk.
 *
 * A disk is rarely used as itself: there are partitions on it, device mapper or md on those, and a file system on top of
 * the pile. So first all of that is gathered, from the disk upwards: its partitions, whoever holds it or them (sysfs
 * "holders"), loop devices made from any of them, and so on until nothing new turns up. Then the kernel's list of mounts
 * is compared with every one of these nodes by device number, and by name for file systems with numbers of their own
 * (btrfs, where one may span several disks: its other members count as nodes, too), and the list of swaps by name.
 *
 * The root file system is found the same way: it is a mount at "/" on one of the nodes.
 *
 * The answer decides whether something is pulled away from under somebody. So nothing is assumed: a file that is missing
 * or a line that makes no sense is an error. Only the "holders" folder may be missing, which nothing can hold then.
 * What other mount namespaces mounted is not visible here, and neither is a program that has the device open.
 */

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "disk/device.h"
#include "disk/usage.h"

#define NODES_MAX 4096
#define USERS_SHOWN 16
#define MOUNTS_BYTES_MAX (16 << 20)
#define SWAPS_BYTES_MAX (1 << 20)
#define ALIAS_SIZE 160 /* DM_NAME_LEN is 128 */

/* The disk asked about, or something that stands on it. */
struct node {
	char name[DEVICE_NAME_SIZE];
	char folder[2 * DEVICE_NAME_SIZE]; /* below block/; "" for another member of a btrfs, which is not gone into */
	char number[24];                   /* "254:1" */
	char path[DEVICE_NAME_SIZE + 8];   /* "/dev/vdb1" */
	char alias[ALIAS_SIZE];            /* "/dev/mapper/vg-root", "" when it has none */
	bool is_partition;
};

struct usage {
	const char *sysfs_root;
	struct node *nodes;
	size_t node_count;
	enum usage_kind kind;
	struct buf *what;
	size_t users;
	struct err *err;
};

static int cannot_read(const struct usage *usage, const char *path)
{
	return err_set(usage->err, ERR_UNAVAILABLE, "who uses %s cannot be found out: %s: %s", usage->nodes[0].name,
		       path, strerror(errno));
}

static void add_user(struct usage *usage, enum usage_kind kind, const char *format, ...) _printf_(3, 4);

static void add_user(struct usage *usage, enum usage_kind kind, const char *format, ...)
{
	char text[4200];
	va_list args;

	if (kind > usage->kind)
		usage->kind = kind;
	if (usage->users++ >= USERS_SHOWN)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (usage->users > 1)
		buf_add_text(usage->what, ", ");
	buf_add_text(usage->what, text);
}

/* "vdb1 " in front of what is said about a node, nothing for the disk itself. */
static void name_node(const struct usage *usage, const struct node *node, char out[DEVICE_NAME_SIZE + 1])
{
	snprintf(out, DEVICE_NAME_SIZE + 1, "%s%s", node == usage->nodes ? "" : node->name,
		 node == usage->nodes ? "" : " ");
}

/* ---- sysfs ---- */

/* A short text attribute without its line end, into out. -1 and errno. */
static int read_attribute(const char *path, char *out, size_t size)
{
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, size - 1, NULL);

	if (!text)
		return -1;
	text[strcspn(text, "\n")] = '\0';
	snprintf(out, size, "%s", text);
	return 0;
}

typedef int (*entry_fn)(struct usage *usage, size_t node, const char *name);

/* Calls fn for each name in a folder; a folder that is not there has none. */
static int each_entry(struct usage *usage, const char *path, size_t node, entry_fn fn)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : cannot_read(usage, path);
	while (r == 0) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			r = errno ? cannot_read(usage, path) : 0;
			break;
		}
		if (entry->d_name[0] != '.')
			r = fn(usage, node, entry->d_name);
	}
	closedir(dir);
	return r;
}

/* An empty node with this name, NULL when the name is known already or does not fit, with *r saying which. */
static struct node *new_node(struct usage *usage, const char *name, int *r)
{
	struct node *node;

	*r = 0;
	for (size_t i = 0; i < usage->node_count; i++) {
		if (streq(usage->nodes[i].name, name))
			return NULL;
	}
	if (usage->node_count == NODES_MAX || strlen(name) >= sizeof(node->name)) {
		*r = err_set(usage->err, ERR_TOO_MANY, "who uses %s cannot be found out: too much stands on it",
			     usage->nodes[0].name);
		return NULL;
	}
	usage->nodes = xrealloc(usage->nodes, (usage->node_count + 1) * sizeof(*usage->nodes));
	node = &usage->nodes[usage->node_count++];
	memset(node, 0, sizeof(*node));
	memcpy(node->name, name, strlen(name) + 1);
	snprintf(node->path, sizeof(node->path), "/dev/%.*s", DEVICE_NAME_SIZE - 1, name);
	for (char *c = node->path + strlen("/dev/"); *c; c++) {
		if (*c == '!') /* how the kernel writes "cciss/c0d0" in sysfs */
			*c = '/';
	}
	return node;
}

/* Adds the disk or partition in block/<folder>. */
static int add_node(struct usage *usage, const char *folder, bool is_partition)
{
	const char *slash = strrchr(folder, '/');
	_cleanup_free_ char *number_path = xasprintf("%s/block/%s/dev", usage->sysfs_root, folder);
	_cleanup_free_ char *alias_path = xasprintf("%s/block/%s/dm/name", usage->sysfs_root, folder);
	char alias[ALIAS_SIZE - 16];
	struct node *node;
	int r;

	node = new_node(usage, slash ? slash + 1 : folder, &r);
	if (!node)
		return r;
	node->is_partition = is_partition;
	snprintf(node->folder, sizeof(node->folder), "%s", folder);
	if (read_attribute(number_path, node->number, sizeof(node->number)) < 0)
		return cannot_read(usage, number_path);
	if (read_attribute(alias_path, alias, sizeof(alias)) == 0)
		snprintf(node->alias, sizeof(node->alias), "/dev/mapper/%s", alias);
	else if (errno != ENOENT)
		return cannot_read(usage, alias_path);
	return 0;
}

/* ---- what stands on a node ---- */

static int on_holder(struct usage *usage, size_t node, const char *name)
{
	char who[DEVICE_NAME_SIZE + 1];

	name_node(usage, &usage->nodes[node], who);
	add_user(usage, USAGE_HELD, "%sheld by %s", who, name);
	return add_node(usage, name, false);
}

static int on_child(struct usage *usage, size_t node, const char *name)
{
	_cleanup_free_ char *folder = xasprintf("%s/%s", usage->nodes[node].folder, name);
	_cleanup_free_ char *path = xasprintf("%s/block/%s/partition", usage->sysfs_root, folder);

	if (faccessat(AT_FDCWD, path, F_OK, 0) == 0)
		return add_node(usage, folder, true);
	return errno == ENOENT || errno == ENOTDIR ? 0 : cannot_read(usage, path);
}

static bool is_path_of(const struct node *node, const char *path)
{
	return streq(path, node->path) || (node->alias[0] && streq(path, node->alias));
}

/* A loop device made from a node has no "holders" entry. */
static int on_block(struct usage *usage, size_t node, const char *name)
{
	_cleanup_free_ char *path = NULL;
	char backing[4096];

	if (!str_has_prefix(name, "loop"))
		return 0;
	path = xasprintf("%s/block/%s/loop/backing_file", usage->sysfs_root, name);
	if (read_attribute(path, backing, sizeof(backing)) < 0)
		return errno == ENOENT || errno == ENXIO ? 0 : cannot_read(usage, path);
	return is_path_of(&usage->nodes[node], backing) ? on_holder(usage, node, name) : 0;
}

static int on_btrfs_member(struct usage *usage, size_t node, const char *name)
{
	int r;

	(void)new_node(usage, name, &r);
	return r;
}

/* fs/btrfs/<uuid>/devices lists the members of each mounted btrfs by kernel name. */
static int on_btrfs(struct usage *usage, size_t node, const char *name)
{
	_cleanup_free_ char *devices = xasprintf("%s/fs/btrfs/%s/devices", usage->sysfs_root, name);
	_cleanup_free_ char *member = xasprintf("%s/%s", devices, usage->nodes[node].name);
	char who[DEVICE_NAME_SIZE + 1];

	if (faccessat(AT_FDCWD, member, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : cannot_read(usage, member);
	name_node(usage, &usage->nodes[node], who);
	add_user(usage, USAGE_HELD, "%spart of btrfs %s", who, name);
	return each_entry(usage, devices, node, on_btrfs_member);
}

/* Adds everything that stands directly on one node. */
static int climb(struct usage *usage, size_t node)
{
	_cleanup_free_ char *block = xasprintf("%s/block", usage->sysfs_root);
	_cleanup_free_ char *folder = xasprintf("%s/%s", block, usage->nodes[node].folder);
	_cleanup_free_ char *holders = xasprintf("%s/holders", folder);
	_cleanup_free_ char *btrfs = xasprintf("%s/fs/btrfs", usage->sysfs_root);

	if (!usage->nodes[node].folder[0])
		return 0;
	if (each_entry(usage, holders, node, on_holder) < 0 || each_entry(usage, block, node, on_block) < 0 ||
	    each_entry(usage, btrfs, node, on_btrfs) < 0)
		return -1;
	return usage->nodes[node].is_partition ? 0 : each_entry(usage, folder, node, on_child);
}

/* ---- mounts and swap ---- */

/* Decodes \040 and the like; keeps the escaped text when what comes out is nothing to show people. */
static void unescape(const char *in, char *out, size_t size)
{
	size_t length = 0;

	for (const char *c = in; *c && length + 1 < size; c++) {
		if (c[0] == '\\' && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' && c[2] <= '7' && c[3] >= '0' &&
		    c[3] <= '7') {
			out[length++] = (char)((c[1] - '0') << 6 | (c[2] - '0') << 3 | (c[3] - '0'));
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
	return streq(mount_point, "/") || streq(mount_point, "/usr") || streq(mount_point, "/var") ||
	       streq(mount_point, "/boot") || str_has_prefix(mount_point, "/boot/");
}

static void check_mount(struct usage *usage, const char *number, const char *source, const char *mount_point)
{
	for (size_t i = 0; i < usage->node_count; i++) {
		const struct node *node = &usage->nodes[i];
		char who[DEVICE_NAME_SIZE + 1];

		if (!streq(number, node->number) && !is_path_of(node, source))
			continue;
		name_node(usage, node, who);
		add_user(usage, is_root_mount(mount_point) ? USAGE_ROOT : USAGE_HELD, "%smounted at %s", who,
			 mount_point);
		return;
	}
}

/* "26 1 254:0 / /mnt/a\040b rw,relatime shared:1 - ext4 /dev/vda rw": the optional fields end at the "-". */
static int read_mount(struct usage *usage, char *line)
{
	char *fields[6], *save = NULL, *word = strtok_r(line, " ", &save);
	char mount_point[4096], source[4096];
	size_t count = 0;

	for (; word && count < ARRAY_SIZE(fields); word = strtok_r(NULL, " ", &save))
		fields[count++] = word;
	while (word && !streq(word, "-"))
		word = strtok_r(NULL, " ", &save);
	/* word is the "-"; then come the type and the source, which may be empty. */
	if (!word || !strtok_r(NULL, " ", &save))
		return err_set(usage->err, ERR_INTERNAL,
			       "who uses %s cannot be found out: mountinfo has a line that "
			       "makes no sense",
			       usage->nodes[0].name);
	unescape(fields[4], mount_point, sizeof(mount_point));
	unescape(str_or(strtok_r(NULL, " ", &save), ""), source, sizeof(source));
	check_mount(usage, fields[2], source, mount_point);
	return 0;
}

/* "/dev/dm-0  partition  1024  0  -2"; other lines are the heading. A swap file lies on a mount, which is found. */
static int read_swap(struct usage *usage, char *line)
{
	char path[4096], who[DEVICE_NAME_SIZE + 1];

	if (line[0] != '/')
		return 0;
	line[strcspn(line, " \t")] = '\0';
	unescape(line, path, sizeof(path));
	for (size_t i = 0; i < usage->node_count; i++) {
		if (!is_path_of(&usage->nodes[i], path))
			continue;
		name_node(usage, &usage->nodes[i], who);
		add_user(usage, USAGE_HELD, "%sused as swap", who);
	}
	return 0;
}

static int each_line(struct usage *usage, const char *proc_root, const char *file, size_t max,
		     int (*fn)(struct usage *usage, char *line))
{
	_cleanup_free_ char *path = xasprintf("%s/%s", proc_root, file);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, max, NULL);
	char *save = NULL;

	if (!text)
		return cannot_read(usage, path);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (fn(usage, line) < 0)
			return -1;
	}
	return 0;
}

/* ---- the answer ---- */

static int find_users(struct usage *usage, const char *proc_root, const char *name)
{
	_cleanup_free_ char *folder = xasprintf("%s/block/%s", usage->sysfs_root, name);

	if (faccessat(AT_FDCWD, folder, F_OK, 0) < 0)
		return err_set(usage->err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "disk %s: %s: %s", name,
			       folder, strerror(errno));
	if (add_node(usage, name, false) < 0)
		return -1;
	for (size_t i = 0; i < usage->node_count; i++) {
		if (climb(usage, i) < 0)
			return -1;
	}
	if (each_line(usage, proc_root, "self/mountinfo", MOUNTS_BYTES_MAX, read_mount) < 0 ||
	    each_line(usage, proc_root, "swaps", SWAPS_BYTES_MAX, read_swap) < 0)
		return -1;
	if (usage->users > USERS_SHOWN)
		buf_printf(usage->what, " and %zu more", usage->users - USERS_SHOWN);
	return 0;
}

int usage_of(const char *proc_root, const char *sysfs_root, const char *name, enum usage_kind *kind, struct buf *what,
	     struct err *err)
{
	struct usage usage = { .sysfs_root = sysfs_root, .what = what, .err = err };
	int r;

	assert(proc_root && sysfs_root && kind && what);
	*kind = USAGE_NONE;
	if (str_empty(name) || strlen(name) >= DEVICE_NAME_SIZE || strchr(name, '/') || name[0] == '.')
		return err_set(err, ERR_INVALID, "\"%s\" is not the name of a disk", str_or(name, ""));
	r = find_users(&usage, proc_root, name);
	free(usage.nodes);
	if (r == 0)
		*kind = usage.kind;
	return r;
}
