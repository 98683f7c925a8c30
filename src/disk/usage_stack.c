/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What stands on a disk.
 *
 * A disk is rarely used as itself: there are partitions on it, device mapper or md on those, and a file system on top of
 * the pile. So all of that is gathered first, from the disk upwards: its partitions, whoever holds it or them (sysfs
 * "holders"), loop devices made from any of them, the other members of a btrfs, and so on until nothing new turns up.
 * Who uses one of these nodes uses the disk.
 *
 * The answer decides whether something is pulled away from under somebody. So nothing is assumed: a file that is missing
 * or a line that makes no sense is an error. Only the "holders" folder may be missing, which nothing can hold then.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "disk/usage_look.h"

#define NODES_MAX 4096
#define USERS_SHOWN 16

int usage_cannot_read(const struct usage *usage, const char *path)
{
	return err_set(&usage->look->err, ERR_UNAVAILABLE, "who uses %s cannot be found out: %s: %s", usage->look->name,
		       path, strerror(errno));
}

int usage_too_many(const struct usage *usage, const char *what)
{
	return err_set(&usage->look->err, ERR_TOO_MANY, "who uses %s cannot be found out: %s", usage->look->name, what);
}

void usage_add(struct usage *usage, const struct usage_node *node, enum usage_kind kind, const char *format, ...)
{
	struct usage_look *look = usage->look;
	char text[4200];
	va_list args;

	if (kind > look->kind)
		look->kind = kind;
	look->beside = look->beside || !node->by_map;
	if (usage->users++ >= USERS_SHOWN)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (usage->users > 1)
		buf_add_text(&look->what, ", ");
	buf_add_text(&look->what, text);
}

void usage_label(const struct usage *usage, const struct usage_node *node, char out[USAGE_NODE_LABEL_SIZE])
{
	snprintf(out, USAGE_NODE_LABEL_SIZE, "%s%s", node == usage->nodes ? "" : node->name,
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
		return errno == ENOENT ? 0 : usage_cannot_read(usage, path);
	while (r == 0) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			r = errno ? usage_cannot_read(usage, path) : 0;
			break;
		}
		if (entry->d_name[0] != '.')
			r = fn(usage, node, entry->d_name);
	}
	closedir(dir);
	return r;
}

/* An empty node with this name, NULL when the name is known already or does not fit, with *r saying which. */
static struct usage_node *new_node(struct usage *usage, const char *name, int *r)
{
	struct usage_node *node;

	*r = 0;
	for (size_t i = 0; i < usage->node_count; i++) {
		if (streq(usage->nodes[i].name, name))
			return NULL;
	}
	if (usage->node_count == NODES_MAX || strlen(name) >= sizeof(node->name)) {
		*r = usage_too_many(usage, "too much stands on it");
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

/* The kernel's name of a map changes and its own may be given by anybody; only its uuid says that it is ours. */
static int is_our_map(const struct usage *usage, const char *folder, bool *is_map)
{
	_cleanup_free_ char *path = xasprintf("%s/block/%s/dm/uuid", usage->look->sysfs_root, folder);
	char uuid[USAGE_UUID_SIZE];

	*is_map = false;
	if (!usage->look->map_uuid)
		return 0;
	if (read_attribute(path, uuid, sizeof(uuid)) < 0)
		return errno == ENOENT ? 0 : usage_cannot_read(usage, path);
	*is_map = streq(uuid, usage->look->map_uuid);
	return 0;
}

/* Adds the disk or partition in block/<folder>; by_map: it stands on our map. */
static int add_node(struct usage *usage, const char *folder, bool is_partition, bool by_map)
{
	const char *slash = strrchr(folder, '/');
	_cleanup_free_ char *number_path = xasprintf("%s/block/%s/dev", usage->look->sysfs_root, folder);
	_cleanup_free_ char *alias_path = xasprintf("%s/block/%s/dm/name", usage->look->sysfs_root, folder);
	char alias[USAGE_ALIAS_SIZE - 16];
	struct usage_node *node;
	int r;

	node = new_node(usage, slash ? slash + 1 : folder, &r);
	if (!node)
		return r;
	node->is_partition = is_partition;
	snprintf(node->folder, sizeof(node->folder), "%s", folder);
	if (read_attribute(number_path, node->number, sizeof(node->number)) < 0)
		return usage_cannot_read(usage, number_path);
	if (read_attribute(alias_path, alias, sizeof(alias)) == 0)
		snprintf(node->alias, sizeof(node->alias), "/dev/mapper/%s", alias);
	else if (errno != ENOENT)
		return usage_cannot_read(usage, alias_path);
	r = is_our_map(usage, folder, &node->is_map);
	node->by_map = by_map || node->is_map;
	return r;
}

/* ---- what stands on a node ---- */

static int on_holder(struct usage *usage, size_t node, const char *name)
{
	char who[USAGE_NODE_LABEL_SIZE];
	bool is_map;

	if (is_our_map(usage, name, &is_map) < 0)
		return -1;
	usage_label(usage, &usage->nodes[node], who);
	if (!is_map)
		usage_add(usage, &usage->nodes[node], USAGE_HELD, "%sheld by %s", who, name);
	return add_node(usage, name, false, usage->nodes[node].by_map);
}

static int on_child(struct usage *usage, size_t node, const char *name)
{
	_cleanup_free_ char *folder = xasprintf("%s/%s", usage->nodes[node].folder, name);
	_cleanup_free_ char *path = xasprintf("%s/block/%s/partition", usage->look->sysfs_root, folder);

	if (faccessat(AT_FDCWD, path, F_OK, 0) == 0)
		return add_node(usage, folder, true, usage->nodes[node].by_map);
	return errno == ENOENT || errno == ENOTDIR ? 0 : usage_cannot_read(usage, path);
}

bool usage_is_path_of(const struct usage_node *node, const char *path)
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
	path = xasprintf("%s/block/%s/loop/backing_file", usage->look->sysfs_root, name);
	if (read_attribute(path, backing, sizeof(backing)) < 0)
		return errno == ENOENT || errno == ENXIO ? 0 : usage_cannot_read(usage, path);
	return usage_is_path_of(&usage->nodes[node], backing) ? on_holder(usage, node, name) : 0;
}

static int on_btrfs_member(struct usage *usage, size_t node, const char *name)
{
	bool by_map = usage->nodes[node].by_map;
	struct usage_node *member;
	int r;

	member = new_node(usage, name, &r);
	if (member)
		member->by_map = by_map;
	return r;
}

/* fs/btrfs/<uuid>/devices lists the members of each mounted btrfs by kernel name. */
static int on_btrfs(struct usage *usage, size_t node, const char *name)
{
	_cleanup_free_ char *devices = xasprintf("%s/fs/btrfs/%s/devices", usage->look->sysfs_root, name);
	_cleanup_free_ char *member = xasprintf("%s/%s", devices, usage->nodes[node].name);
	char who[USAGE_NODE_LABEL_SIZE];

	if (faccessat(AT_FDCWD, member, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : usage_cannot_read(usage, member);
	usage_label(usage, &usage->nodes[node], who);
	usage_add(usage, &usage->nodes[node], USAGE_HELD, "%spart of btrfs %s", who, name);
	return each_entry(usage, devices, node, on_btrfs_member);
}

/* Adds everything that stands directly on one node. */
static int climb(struct usage *usage, size_t node)
{
	_cleanup_free_ char *block = xasprintf("%s/block", usage->look->sysfs_root);
	_cleanup_free_ char *folder = xasprintf("%s/%s", block, usage->nodes[node].folder);
	_cleanup_free_ char *holders = xasprintf("%s/holders", folder);
	_cleanup_free_ char *btrfs = xasprintf("%s/fs/btrfs", usage->look->sysfs_root);

	if (!usage->nodes[node].folder[0])
		return 0;
	if (each_entry(usage, holders, node, on_holder) < 0 || each_entry(usage, block, node, on_block) < 0 ||
	    each_entry(usage, btrfs, node, on_btrfs) < 0)
		return -1;
	return usage->nodes[node].is_partition ? 0 : each_entry(usage, folder, node, on_child);
}

int usage_climb(struct usage *usage)
{
	const char *name = usage->look->name;
	_cleanup_free_ char *folder = xasprintf("%s/block/%s", usage->look->sysfs_root, name);

	if (faccessat(AT_FDCWD, folder, F_OK, 0) < 0)
		return err_set(&usage->look->err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "disk %s: %s: %s",
			       name, folder, strerror(errno));
	if (add_node(usage, name, false, false) < 0)
		return -1;
	for (size_t i = 0; i < usage->node_count; i++) {
		if (climb(usage, i) < 0)
			return -1;
	}
	return 0;
}

static int find_users(struct usage *usage)
{
	struct usage_look *look = usage->look;
	_cleanup_free_ int *pids = NULL;
	size_t count = 0;

	if (usage_climb(usage) < 0 || usage_list_processes(usage, &pids, &count) < 0 ||
	    usage_find_mounts(usage, pids, count) < 0 || usage_find_swaps(usage) < 0)
		return -1;
	look->passing = look->kind == USAGE_NONE;
	if (usage_find_openers(usage, pids, count) < 0)
		return -1;
	look->only_open = look->passing && look->kind == USAGE_HELD;
	if (look->kind == USAGE_NONE)
		usage_find_claim(usage);
	if (usage->users > USERS_SHOWN)
		buf_printf(&look->what, " and %zu more", usage->users - USERS_SHOWN);
	return 0;
}

void usage_look_init(struct usage_look *look, const struct usage_options *options, const char *name,
		     const struct usage_ignore *ignore)
{
	*look = (struct usage_look){
		.proc_root = xstrdup(options->proc_root),
		.sysfs_root = xstrdup(options->sysfs_root),
		.dev_root = xstrdup(options->dev_root),
		.name = xstrdup(name),
		.map_uuid = xstrdup(ignore->map_uuid),
		.pid = ignore->pid,
	};
}

void usage_look_clear(struct usage_look *look)
{
	free(look->proc_root);
	free(look->sysfs_root);
	free(look->dev_root);
	free(look->name);
	free(look->map_uuid);
	buf_clear(&look->what);
}

void usage_look(struct usage_look *look)
{
	struct usage usage = { .look = look };
	const char *name = look->name;

	if (str_empty(name) || strlen(name) >= DEVICE_NAME_SIZE || strchr(name, '/') || name[0] == '.') {
		err_set(&look->err, ERR_INVALID, "\"%s\" is not the name of a disk", str_or(name, ""));
		return;
	}
	if (find_users(&usage) < 0)
		look->kind = USAGE_NONE;
	free(usage.nodes);
}
