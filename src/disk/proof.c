/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Between the moment in which a disk is found and the moment in which its name is opened, the name
 * may pass to another disk. So the disk is opened first, and then the descriptor is asked, since an
 * open descriptor never passes to another disk.
 *
 * The kernel numbers the disks of a boot, and uses no number twice: the descriptor's number says
 * whether it is of the disk that was found. The identity is read from the folder in sysfs that
 * belongs to the descriptor's device number, and counts only if this folder shows the same sequence
 * number. Some drivers give a disk a new number if its medium is changed; so the number is read
 * once more at the end, and all that was read in between is of one disk and one medium.
 */

#include "disk/proof.h"

#include <errno.h>
#include <inttypes.h>

#include "disk/block_device.h"

static int changed(const struct device *disk, struct err *err)
{
	return err_set(err, ERR_CONFLICT,
		       "%s was another disk, or has changed, when it was opened; ask again",
		       disk->path);
}

static int unknown(const struct device *disk, const char *what, struct err *err)
{
	/* This kernel numbers its disks, so a file that does not know the question is none. */
	if (errno == ENOTBLK || errno == ENOTTY)
		return err_set(err, ERR_CONFLICT, "%s is no block device", disk->path);
	if (errno == ENODEV || errno == ENOENT || errno == ENXIO)
		return changed(disk, err);
	return err_set(err, ERR_UNAVAILABLE, "the %s of %s cannot be read: %s", what, disk->path,
		       strerror(errno));
}

static int check_diskseq(int fd, const struct device *disk, struct err *err)
{
	uint64_t diskseq;

	if (block_device_diskseq(fd, &diskseq) < 0)
		return unknown(disk, "sequence number", err);
	return diskseq == disk->diskseq ? 0 : changed(disk, err);
}

static int check_size(int fd, const struct device *disk, struct err *err)
{
	uint64_t size;

	if (block_device_size(fd, &size) < 0)
		return unknown(disk, "size", err);
	return size == disk->size ? 0 : changed(disk, err);
}

/* A disk without an identity was found by the sequence number alone, which must do here, too. */
static int check_identity(int fd, const struct device *disk, const char *volume_id,
			  const char *sysfs_root, struct err *err)
{
	struct device found = { .bus = disk->bus };

	if (block_device_in_sysfs(fd, sysfs_root, &found) < 0)
		return unknown(disk, "serial", err);
	if (found.diskseq != disk->diskseq || found.has_identity != disk->has_identity)
		return changed(disk, err);
	return device_identity(&found, volume_id) != IDENTITY_OTHER ? 0 : changed(disk, err);
}

int disk_prove(int fd, const struct device *disk, const char *volume_id, const char *sysfs_root,
	       struct err *err)
{
	if (!disk->diskseq)
		return err_set(
			err, ERR_CONFLICT,
			"an open disk cannot be told from another one: this kernel does not number its disks, as Linux does from 5.15 on");
	if (check_diskseq(fd, disk, err) < 0 || check_size(fd, disk, err) < 0 ||
	    check_identity(fd, disk, volume_id, sysfs_root, err) < 0)
		return -1;
	return check_diskseq(fd, disk, err);
}
