/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The devices on top of a disk.
 *
 * A disk is rarely used directly: there are partitions on it, device mapper or md on those, and a
 * file system on top of the pile. So all these devices are gathered first, from the disk upwards:
 * its partitions, the holders of the disk and of the partitions (sysfs "holders"), loop devices
 * made from any of them, the other members of a btrfs, and so on until nothing new turns up. A user
 * of one of these nodes uses the disk.
 *
 * The answer decides whether a disk is pulled away from under a program. So nothing is assumed: a
 * file that is missing or a line that makes no sense is an error. Only the "holders" folder may be
 * missing: no device can hold such a node.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "disk/usage_stack.h"

#define NODES_MAX 4096

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

typedef int (*entry_fn)(struct usage_report *report, size_t node, const char *name);

/* Calls fn for each name in a folder; a folder that is not there has none. */
static int each_entry(struct usage_report *report, const char *path, size_t node, entry_fn fn)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : usage_cannot_read(report, path);
	while (r == 0) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			r = errno ? usage_cannot_read(report, path) : 0;
			break;
		}
		if (entry->d_name[0] != '.')
			r = fn(report, node, entry->d_name);
	}
	closedir(dir);
	return r;
}

/* An empty node with this name. NULL if the name is known or does not fit; *r tells which. */
static struct usage_node *new_node(struct usage_report *report, const char *name, int *r)
{
	struct usage_node *node;

	*r = 0;
	for (size_t i = 0; i < report->node_count; i++) {
		if (streq(report->nodes[i].name, name))
			return NULL;
	}
	if (report->node_count == NODES_MAX || strlen(name) >= sizeof(node->name)) {
		*r = usage_too_many(report, "too many devices are on top of it");
		return NULL;
	}
	report->nodes = xrealloc(report->nodes, (report->node_count + 1) * sizeof(*report->nodes));
	node = &report->nodes[report->node_count++];
	memset(node, 0, sizeof(*node));
	memcpy(node->name, name, strlen(name) + 1);
	snprintf(node->path, sizeof(node->path), "/dev/%.*s", DEVICE_NAME_SIZE - 1, name);
	for (char *c = node->path + strlen("/dev/"); *c; c++) {
		if (*c == '!') /* how the kernel writes "cciss/c0d0" in sysfs */
			*c = '/';
	}
	return node;
}

/*
 * The kernel's name of a map changes, and any program may rename the map; only the map's uuid says
 * that the map is ours.
 */
static int is_our_map(struct usage_report *report, const char *folder, bool *is_map)
{
	_cleanup_free_ char *path = xasprintf("%s/block/%s/dm/uuid", report->sysfs_root, folder);
	char uuid[USAGE_UUID_SIZE];

	*is_map = false;
	if (!report->map_uuid)
		return 0;
	if (read_attribute(path, uuid, sizeof(uuid)) < 0)
		return errno == ENOENT ? 0 : usage_cannot_read(report, path);
	*is_map = streq(uuid, report->map_uuid);
	return 0;
}

/* The name of a device-mapper map, by which people know it; "" for another device. */
static int read_map_name(struct usage_report *report, const char *folder,
			 char name[USAGE_MAP_NAME_SIZE])
{
	_cleanup_free_ char *path = xasprintf("%s/block/%s/dm/name", report->sysfs_root, folder);

	name[0] = '\0';
	if (read_attribute(path, name, USAGE_MAP_NAME_SIZE) < 0 && errno != ENOENT)
		return usage_cannot_read(report, path);
	return 0;
}

/* Adds the disk or partition in block/<folder>; by_map: it stands on our map. */
static int add_node(struct usage_report *report, const char *folder, bool is_partition, bool by_map)
{
	const char *slash = strrchr(folder, '/');
	_cleanup_free_ char *number_path = xasprintf("%s/block/%s/dev", report->sysfs_root, folder);
	struct usage_node *node;
	int r;

	node = new_node(report, slash ? slash + 1 : folder, &r);
	if (!node)
		return r;
	node->is_partition = is_partition;
	snprintf(node->folder, sizeof(node->folder), "%s", folder);
	if (read_attribute(number_path, node->number, sizeof(node->number)) < 0)
		return usage_cannot_read(report, number_path);
	if (read_map_name(report, folder, node->map_name) < 0)
		return -1;
	r = is_our_map(report, folder, &node->is_map);
	node->by_map = by_map || node->is_map;
	return r;
}

/* ---- devices on top of a node ---- */

static int on_holder(struct usage_report *report, size_t node, const char *name)
{
	char who[USAGE_NODE_LABEL_SIZE], map_name[USAGE_MAP_NAME_SIZE];
	bool is_map;

	if (is_our_map(report, name, &is_map) < 0 || read_map_name(report, name, map_name) < 0)
		return -1;
	usage_label(report, &report->nodes[node], who);
	if (!is_map)
		usage_add(report, &report->nodes[node], USAGE_HELD, "%sheld by %s", who,
			  map_name[0] ? map_name : name);
	return add_node(report, name, false, report->nodes[node].by_map);
}

static int on_child(struct usage_report *report, size_t node, const char *name)
{
	_cleanup_free_ char *folder = xasprintf("%s/%s", report->nodes[node].folder, name);
	_cleanup_free_ char *path = xasprintf("%s/block/%s/partition", report->sysfs_root, folder);

	if (faccessat(AT_FDCWD, path, F_OK, 0) == 0)
		return add_node(report, folder, true, report->nodes[node].by_map);
	return errno == ENOENT || errno == ENOTDIR ? 0 : usage_cannot_read(report, path);
}

/* A loop device made from a node has no "holders" entry. */
static int on_block(struct usage_report *report, size_t node, const char *name)
{
	_cleanup_free_ char *path = NULL;
	char backing[4096];

	if (!str_has_prefix(name, "loop"))
		return 0;
	path = xasprintf("%s/block/%s/loop/backing_file", report->sysfs_root, name);
	if (read_attribute(path, backing, sizeof(backing)) < 0)
		return errno == ENOENT || errno == ENXIO ? 0 : usage_cannot_read(report, path);
	return usage_is_path_of(&report->nodes[node], backing) ? on_holder(report, node, name) : 0;
}

static int on_btrfs_member(struct usage_report *report, size_t node, const char *name)
{
	bool by_map = report->nodes[node].by_map;
	struct usage_node *member;
	int r;

	member = new_node(report, name, &r);
	if (member) {
		member->by_map = by_map;
		member->is_btrfs = true;
	}
	return r;
}

/* fs/btrfs/<uuid>/devices lists the members of each mounted btrfs by kernel name. */
static int on_btrfs(struct usage_report *report, size_t node, const char *name)
{
	_cleanup_free_ char *devices =
		xasprintf("%s/fs/btrfs/%s/devices", report->sysfs_root, name);
	_cleanup_free_ char *member = xasprintf("%s/%s", devices, report->nodes[node].name);
	char who[USAGE_NODE_LABEL_SIZE];

	if (faccessat(AT_FDCWD, member, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : usage_cannot_read(report, member);
	usage_label(report, &report->nodes[node], who);
	usage_add(report, &report->nodes[node], USAGE_HELD, "%spart of btrfs %s", who, name);
	report->nodes[node].is_btrfs = true;
	return each_entry(report, devices, node, on_btrfs_member);
}

/* Adds every device directly on top of one node. */
static int climb(struct usage_report *report, size_t node)
{
	_cleanup_free_ char *block = xasprintf("%s/block", report->sysfs_root);
	_cleanup_free_ char *folder = xasprintf("%s/%s", block, report->nodes[node].folder);
	_cleanup_free_ char *holders = xasprintf("%s/holders", folder);
	_cleanup_free_ char *btrfs = xasprintf("%s/fs/btrfs", report->sysfs_root);

	if (!report->nodes[node].folder[0])
		return 0;
	if (each_entry(report, holders, node, on_holder) < 0 ||
	    each_entry(report, block, node, on_block) < 0 ||
	    each_entry(report, btrfs, node, on_btrfs) < 0)
		return -1;
	return report->nodes[node].is_partition ? 0 : each_entry(report, folder, node, on_child);
}

int usage_climb(struct usage_report *report)
{
	const char *name = report->name;
	_cleanup_free_ char *folder = xasprintf("%s/block/%s", report->sysfs_root, name);

	if (faccessat(AT_FDCWD, folder, F_OK, 0) < 0)
		return err_set(&report->err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "disk %s: %s: %s", name, folder, strerror(errno));
	if (add_node(report, name, false, false) < 0)
		return -1;
	for (size_t i = 0; i < report->node_count; i++) {
		if (climb(report, i) < 0)
			return -1;
	}
	return 0;
}
