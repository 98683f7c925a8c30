/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The disks here that are a volume, mapped or not, or could be. Where disks do not say which volume
 * they are, a boot makes strangers of all of them; then every disk that is nobody else's and has
 * the size could be the one.
 */

#include "disk/device.h"

struct host;

/*
 * Of these disks the first that has appeared after `seen` (device.seen; 0: from the first on); NULL
 * when there is none. guessed (may be NULL) tells whether it only could be.
 */
const struct device *volume_disk_after(const struct host *host, const char *volume_id,
				       uint64_t seen, bool *guessed);
