/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Writes the data that the kernel still holds for a volume to its disks. */

#include "base/err.h"

struct flush_volume;
struct host;

typedef void (*flush_volume_fn)(void *arg, const struct err *err);

/*
 * Flushes all disks of the volume. By force it flushes the partitions and maps on them first; data
 * that cannot be written are then logged and given up. NULL: there is nothing to flush, and done
 * does not run. Otherwise done runs once, on a later turn, unless cancelled.
 */
struct flush_volume *flush_volume(struct host *host, const char *volume_id, bool force,
				  flush_volume_fn done, void *arg);
void flush_volume_cancel(struct flush_volume *flush); /* not from inside done */
