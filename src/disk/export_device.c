/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A block device is known by its number and by the kernel's sequence number of the disk (diskseq): the number alone is
 * given to the next disk, too. A kernel before 5.15 has no diskseq; then the inode of the node helps, which is made anew
 * with the disk. Regular files are told apart by their inode.
 */

#include "disk/export_device.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define SECTOR 512

/* A number from a sysfs attribute of the device; -1 and errno. */
static int read_number(const char *sysfs_root, dev_t device, const char *attribute, uint64_t *out)
{
	_cleanup_free_ char *path =
		xasprintf("%s/dev/block/%u:%u/%s", sysfs_root, major(device), minor(device), attribute);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 64, NULL);

	if (!text)
		return -1;
	text[strcspn(text, "\n")] = '\0';
	errno = EINVAL;
	return parse_u64(text, out);
}

static int look_block(const char *sysfs_root, const char *path, const struct stat *st, struct export_device *out,
		      struct err *err)
{
	uint64_t sectors, read_only, sequence;

	if (read_number(sysfs_root, st->st_rdev, "size", &sectors) < 0 ||
	    read_number(sysfs_root, st->st_rdev, "ro", &read_only) < 0)
		return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "%s: the kernel does not know this device (any more): %s", path, strerror(errno));
	if (read_number(sysfs_root, st->st_rdev, "diskseq", &sequence) < 0)
		sequence = st->st_ino;
	out->size = sectors * SECTOR;
	out->is_block = true;
	out->read_only = read_only != 0;
	snprintf(out->identity, sizeof(out->identity), "b%u-%u-%" PRIu64, major(st->st_rdev), minor(st->st_rdev),
		 sequence);
	return 0;
}

int export_device_look(const char *sysfs_root, const char *path, struct export_device *out, struct err *err)
{
	struct stat st;

	assert(sysfs_root && path);
	memset(out, 0, sizeof(*out));
	if (stat(path, &st) < 0)
		return err_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "%s cannot be exported: %s", path, strerror(errno));
	if (S_ISBLK(st.st_mode))
		return look_block(sysfs_root, path, &st, out, err);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is neither a block device nor a file", path);
	/* Engines serve whole sectors. */
	out->size = ((uint64_t)st.st_size + SECTOR - 1) / SECTOR * SECTOR;
	snprintf(out->identity, sizeof(out->identity), "f%" PRIx64 "-%" PRIx64, (uint64_t)st.st_dev,
		 (uint64_t)st.st_ino);
	return 0;
}
