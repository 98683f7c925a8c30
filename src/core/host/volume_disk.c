/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Disks are taken in the order they appeared, so that a disk that comes during the work on another
 * has its turn, too. */

#include "core/host/volume_disk.h"

#include "core/env.h"
#include "core/host/host.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"
#include "core/rules/match.h"
#include "disk/device.h"
#include "disk/sysblock.h"

typedef bool (*disk_test)(struct model *model, const char *volume_id, const struct device *device);

static const struct device *first_such_disk(const struct host *host, const char *volume_id,
					    uint64_t seen, disk_test is_such)
{
	const struct device *first = NULL;

	for (size_t i = 0; i < sysblock_count(host->env->sysblock); i++) {
		const struct device *device = sysblock_at(host->env->sysblock, i);

		if (is_such(host->model, volume_id, device) && device->seen > seen &&
		    (!first || device->seen < first->seen))
			first = device;
	}
	return first;
}

/* The disk belongs to no other volume and has the size. */
static bool could_be_disk(struct model *model, const char *volume_id, const struct device *device)
{
	const struct volume *volume = volume_find(model, volume_id);

	return volume && !mapping_of_device(model, device) &&
	       match_size_fits(volume->cloud.size, device->size);
}

const struct device *volume_disk_after(const struct host *host, const char *volume_id,
				       uint64_t seen, bool *guessed)
{
	bool is_known = first_such_disk(host, volume_id, 0, mapping_is_disk) != NULL;

	if (guessed)
		*guessed = !is_known;
	if (is_known)
		return first_such_disk(host, volume_id, seen, mapping_is_disk);
	return disks_identify_themselves(host->env)
		       ? NULL
		       : first_such_disk(host, volume_id, seen, could_be_disk);
}
