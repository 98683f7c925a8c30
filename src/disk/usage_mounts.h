/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Mounts of a disk, and swap on it. Private to disk/. */

#include "disk/usage_report.h"

/* In the mount namespaces of this process and of those in pids, which are in ascending order. */
int usage_find_mounts(struct usage_report *report, const int *pids, size_t count);
int usage_find_swaps(struct usage_report *report);
