/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which disk of this machine belongs to a mapping; device pointers are borrowed until the next
 * scan. */

#include "disk/device.h"
#include "spec/records.h"

struct env;

/* The record's place was set in the present boot. */
bool local_disk_is_this_boot(const struct env *env, const struct mapping_record *record);
/* The device is the same disk that the record is about. */
bool local_disk_is(const struct env *env, const struct mapping_record *record,
		   const struct device *device);
/* The one disk that a mapping belongs to, according to the last scan; NULL if there is none, or
 * more than one. */
const struct device *mapping_disk(struct env *env, const struct mapping_record *record);
/* Some disk here identifies itself as a volume; then the disk of every volume would. */
bool disks_identify_themselves(const struct env *env);
