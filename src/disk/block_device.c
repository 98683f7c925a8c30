/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * sysfs is asked in the folder of one disk that is held open: after the disk has gone, the kernel
 * refuses to read attributes there, and never shows those of the next disk with the number.
 */

#include "disk/block_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "disk/attribute.h"
#include "disk/identity.h"

/* Headers older than Linux 5.15 lack it. */
#ifndef BLKGETDISKSEQ
#define BLKGETDISKSEQ _IOR(0x12, 128, __u64)
#endif

int block_device_open(const char *path, bool read_only)
{
	int access = read_only ? O_RDONLY : O_RDWR;
	int fd;

	/* O_NONBLOCK: if the node is a pipe or a drive, opening it waits for nothing. */
	fd = open(path, access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0)
		fcntl(fd, F_SETFL, 0);
	return fd;
}

int block_device_size(int fd, uint64_t *bytes)
{
	return ioctl(fd, BLKGETSIZE64, bytes);
}

int block_device_diskseq(int fd, uint64_t *diskseq)
{
	return ioctl(fd, BLKGETDISKSEQ, diskseq);
}

int block_device_in_sysfs(int fd, const char *sysfs_root, struct device *disk)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int folder = -1;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISBLK(st.st_mode)) {
		errno = ENOTBLK;
		return -1;
	}
	snprintf(disk->number, sizeof(disk->number), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	path = xasprintf("%s/dev/block/%s", sysfs_root, disk->number);
	folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || attribute_read_number(folder, ".", "diskseq", &disk->diskseq) < 0)
		return -1;
	snprintf(disk->name, sizeof(disk->name), ".");
	identity_read(folder, disk);
	return 0;
}
