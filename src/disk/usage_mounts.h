/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Mounts of a disk, and swap on it. Private to disk/. */

#include "disk/usage_report.h"

/* The mounts of one scan; the report outlives them. */
struct usage_mounts *usage_mounts_new(struct usage_report *report);
void usage_mounts_free(struct usage_mounts *mounts);
/* In the mount namespaces of this process and of the first one. pids are in ascending order. */
int usage_find_own_mounts(struct usage_mounts *mounts, const int *pids, size_t count);
/* In those of the other processes: to be called last. A user can make these lists long, and they
 * tell nothing of a disk that can be claimed. */
int usage_find_other_mounts(struct usage_mounts *mounts, const int *pids, size_t count);
int usage_find_swaps(struct usage_report *report);
