/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A block device is known by its number and by the kernel's sequence number of the disk (diskseq):
 * the kernel gives the number to the next disk, too. A kernel before 5.15 has no diskseq; then the
 * inode of the node helps, which is made anew with the disk. Regular files are told apart by their
 * inode.
 */

#include "nbd/backing.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "disk/attribute.h"

#define SECTOR 512

static int query_block(const char *sysfs_root, const char *path, const struct stat *st,
		       struct backing *out, struct err *err)
{
	_cleanup_free_ char *folder =
		xasprintf("%s/dev/block/%u:%u", sysfs_root, major(st->st_rdev), minor(st->st_rdev));
	uint64_t read_only, sequence;

	if (attribute_read_size(AT_FDCWD, folder, &out->size) < 0 ||
	    attribute_read_number(AT_FDCWD, folder, "ro", &read_only) < 0)
		return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "%s: the kernel does not know this device (any more): %s", path,
			       strerror(errno));
	if (attribute_read_number(AT_FDCWD, folder, "diskseq", &sequence) < 0)
		sequence = st->st_ino;
	out->is_block = true;
	out->read_only = read_only != 0;
	snprintf(out->identity, sizeof(out->identity), "b%u-%u-%" PRIu64, major(st->st_rdev),
		 minor(st->st_rdev), sequence);
	return 0;
}

int backing_query(const char *sysfs_root, const char *path, struct backing *out, struct err *err)
{
	struct stat st;

	assert(sysfs_root && path);
	memset(out, 0, sizeof(*out));
	if (stat(path, &st) < 0)
		return err_set(err,
			       errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
								   : ERR_UNAVAILABLE,
			       "%s cannot be exported: %s", path, strerror(errno));
	if (S_ISBLK(st.st_mode))
		return query_block(sysfs_root, path, &st, out, err);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is neither a block device nor a file", path);
	/* Engines serve whole sectors. */
	out->size = ((uint64_t)st.st_size + SECTOR - 1) / SECTOR * SECTOR;
	snprintf(out->identity, sizeof(out->identity), "f%" PRIx64 "-%" PRIx64, (uint64_t)st.st_dev,
		 (uint64_t)st.st_ino);
	return 0;
}
