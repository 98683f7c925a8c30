/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A change of mappings that follows the kernel. No client waits for it, so the change waits for the
 * store as long as necessary; a mapping that an operation has removed meanwhile stays removed. */

#include "core/reconcile/mapping_change.h"

#include <stdio.h>

#include "cloud/cloud.h"
#include "core/model/commit.h"
#include "core/model/drift_event.h"
#include "core/rules/drift.h"
#include "disk/device.h"

/* A disk with another name or size than before is logged here; a disk that came or went was logged
 * elsewhere. */
static void tell_drift(struct model *model, const struct mapping_record *old,
		       const struct mapping_record *new)
{
	struct device device = { .size = new->size };
	const struct cloud_volume cloud = { .vm_id = new->vm_id };
	const struct drift_facts facts = {
		.volume_id = new->volume_id,
		.appliance_id = new->vm_id,
		.cloud = &cloud,
		.mapping = old,
		.device = &device,
	};
	struct drift drift;

	if (!streq(old->linux_state, "detected") || !streq(new->linux_state, "detected"))
		return;
	snprintf(device.path, sizeof(device.path), "%s", new->device_path);
	drift_judge(&facts, &drift);
	if (drift.kind == DRIFT_DEVICE_RENAMED || drift.kind == DRIFT_SIZE_CHANGED)
		drift_event_repaired(model, &facts, &drift);
}

static void on_replacing(void *arg, const struct mapping_record *old,
			 const struct mapping_record *new)
{
	tell_drift(arg, old, new);
}

void mapping_change_submit(struct model *model, struct change *change)
{
	static const struct change_hooks hooks = { .replacing = on_replacing };

	change_submit(change, CHANGE_IF_MAPPED, &hooks, NULL, model);
}
