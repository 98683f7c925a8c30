/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Attributes of a disk in sysfs: one line of text each. A folder is the disk's own, seen from
 * dir_fd: "vdb" in /sys/block, or with AT_FDCWD "/sys/dev/block/254:16". Reading these never asks
 * the device. On failure errno is set and *out is as it was. Only disk/ uses this.
 */

#include "base/util.h"

/* The line without its end, to be freed; NULL if it cannot be read. */
char *attribute_read(int dir_fd, const char *folder, const char *attribute);
/* 0 or -1; EINVAL if it is no number. */
int attribute_read_number(int dir_fd, const char *folder, const char *attribute, uint64_t *out);
/* Of "size", in bytes. 0 or -1. */
int attribute_read_size(int dir_fd, const char *folder, uint64_t *out);
