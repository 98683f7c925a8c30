/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which disk of this machine belongs to a mapping; device pointers are borrowed until the next
 * scan. */

#include "disk/device.h"
#include "spec/records.h"

struct env;

/* The mapping was described in the boot that is running. */
bool local_disk_is_this_boot(const struct env *env, const struct mapping_record *record);
/* The device is the very disk the record is about. */
bool local_disk_is(const struct env *env, const struct mapping_record *record,
		   const struct device *device);
/* The one disk a mapping belongs to, as the last scan saw it; NULL when there is none, or more than
 * one. */
const struct device *mapping_disk(struct env *env, const struct mapping_record *record);
/* Some disk here says which volume it is, and so every volume's would. */
bool disks_identify_themselves(const struct env *env);
