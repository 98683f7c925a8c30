/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The folder of a disk in /sys/block holds a folder for each of its partitions. The disk of a
 * partition is read from there, and not made from the partition's name: "vdb1" belongs to "vdb",
 * but "nvme0n1p1" to "nvme0n1".
 */

#include "disk/kind.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "disk/identity.h"

static bool is_name(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < DEVICE_NAME_SIZE;
}

static bool is_partition_of(int block_fd, const char *disk, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s/partition", disk, name);

	return faccessat(block_fd, path, F_OK, 0) == 0;
}

/* The disk with this name, or with this partition. -1: there is none. */
static int find_disk(DIR *block, const char *name, char disk[DEVICE_NAME_SIZE])
{
	const struct dirent *entry;

	while ((entry = readdir(block))) {
		if (!is_name(entry->d_name) ||
		    (!streq(entry->d_name, name) &&
		     !is_partition_of(dirfd(block), entry->d_name, name)))
			continue;
		snprintf(disk, DEVICE_NAME_SIZE, "%.*s", DEVICE_NAME_SIZE - 1, entry->d_name);
		return 0;
	}
	return -1;
}

void device_kind_find(const char *sysfs_root, const char *name, struct device_kind_info *out)
{
	_cleanup_free_ char *path = xasprintf("%s/block", sysfs_root);
	DIR *block = is_name(name) ? opendir(path) : NULL;

	*out = (struct device_kind_info){ .kind = DEVICE_KIND_NONE, .bus = BUS_OTHER };
	if (!block)
		return;
	if (find_disk(block, name, out->disk) == 0)
		out->kind = identity_find_bus(dirfd(block), out->disk, &out->bus) < 0
				    ? DEVICE_KIND_VIRTUAL
				    : DEVICE_KIND_DISK;
	closedir(block);
}
