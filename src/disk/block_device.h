/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the kernel tells about an open block device: by the descriptor itself, and in sysfs by the
 * number of the descriptor. A name decides nothing here. Each function returns 0 or -1 and errno,
 * and may block. Only disk/ uses this.
 */

#include "disk/device.h"

/* Returns a descriptor of the node, which need not be a block device. */
int block_device_open(const char *path, bool read_only);
int block_device_size(int fd, uint64_t *bytes);
/* The sequence number of the disk, which no other disk gets in this boot. ENOTTY before Linux
 * 5.15. */
int block_device_diskseq(int fd, uint64_t *diskseq);
/*
 * Reads diskseq and identity of the disk in sysfs_root/dev/block, and sets the number. Both are of
 * one disk. disk->bus is given. ENOTBLK: fd is of no block device.
 */
int block_device_in_sysfs(int fd, const char *sysfs_root, struct device *disk);
