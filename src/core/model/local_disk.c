/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The disk of this machine that belongs to a mapped volume is the disk that identifies itself as
 * the volume. On buses that carry no identity it is the disk whose kernel sequence number the
 * mapping notes; these numbers start anew in each boot. The kernel's name of a disk decides
 * nothing.
 */

#include "core/model/local_disk.h"

#include "core/env.h"
#include "disk/device.h"
#include "disk/identity.h"
#include "disk/sysblock.h"

bool local_disk_is_this_boot(const struct env *env, const struct mapping_record *record)
{
	return streq(str_or(record->boot_id, ""), env->boot_id);
}

bool local_disk_is(const struct env *env, const struct mapping_record *record,
		   const struct device *device)
{
	switch (device_identity(device, record->volume_id)) {
	case IDENTITY_SAME:
		return true;
	case IDENTITY_OTHER:
		return false;
	case IDENTITY_NONE:
		break;
	}
	return record->diskseq && (uint64_t)record->diskseq == device->diskseq &&
	       local_disk_is_this_boot(env, record);
}

bool disks_identify_themselves(const struct env *env)
{
	for (size_t i = 0; i < sysblock_count(env->sysblock); i++) {
		if (sysblock_at(env->sysblock, i)->has_identity)
			return true;
	}
	return false;
}

const struct device *mapping_disk(struct env *env, const struct mapping_record *record)
{
	const struct device *found = NULL;

	for (size_t i = 0; i < sysblock_count(env->sysblock); i++) {
		const struct device *device = sysblock_at(env->sysblock, i);

		if (!local_disk_is(env, record, device))
			continue;
		if (found)
			return NULL;
		found = device;
	}
	return found;
}
