/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Processes, and which of them have a disk open. Private to disk/. */

#include "disk/usage_report.h"

/* All processes, in ascending order; the caller frees the array. */
int usage_list_processes(struct usage_report *report, int **pids, size_t *count);
/* The name of a process, "?" if it has none to show. */
void usage_process_name(const struct usage_report *report, int pid, char name[64]);
int usage_find_openers(struct usage_report *report, const int *pids, size_t count);
/* True: nothing has claimed the disk, so it is mounted in no namespace. */
bool usage_can_be_claimed(const struct usage_report *report);
/* The kernel's own claim, which shows in no list, and covers mounts in every namespace. */
int usage_find_claim(struct usage_report *report);
