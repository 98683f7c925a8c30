/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The event that tells of a drift. The device is named only if the name is true when the event is
 * told. */

#include "core/model/drift_event.h"

#include "base/log.h"
#include "core/env.h"
#include "core/model/event.h"
#include "core/model/mapping.h"
#include "core/model/model.h"
#include "core/rules/drift.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "spec/messages.h"

/* A repair takes time; the name is told only if the disk still has it. */
static bool is_path_true(struct model *model, const struct drift_record *record)
{
	for (size_t i = 0; i < sysblock_count(model->env->sysblock); i++) {
		const struct device *device = sysblock_at(model->env->sysblock, i);

		if (streq(device->path, record->device_path))
			return mapping_is_disk(model, record->volume_id, device) &&
			       sysblock_verify(model->env->sysblock, device);
	}
	return false;
}

void drift_event_tell(struct model *model, struct drift_record *record)
{
	if (!is_path_true(model, record))
		str_set(&record->device_path, NULL);
	log_tell(LOG_LEVEL_NOTICE,
		 (.message_id = messages[MESSAGE_DRIFT_FOUND].id, .volume_id = record->volume_id,
		  .operation_id = record->operation_id, .vm_id = record->vm_id,
		  .device = record->device_path),
		 "drift: %s: %s; %s", drift_kind_names[record->kind], record->found,
		 record->action);
	events_drift(model, record);
}

void drift_fill_record(struct drift_record *record, const struct drift_facts *facts,
		       const struct drift *drift)
{
	record->kind = (int)drift->kind;
	str_set(&record->volume_id, facts->volume_id);
	str_set(&record->vm_id, facts->cloud ? facts->cloud->vm_id : NULL);
	str_set(&record->device_path, facts->device ? facts->device->path : NULL);
	str_set(&record->operation_id, facts->origin ? facts->origin->id : NULL);
	str_set(&record->found, drift->found);
	str_set(&record->action, drift->action);
}

void drift_event_repaired(struct model *model, const struct drift_facts *facts,
			  const struct drift *drift)
{
	struct drift_record record = { 0 };

	drift_fill_record(&record, facts, drift);
	record.repaired = true;
	drift_event_tell(model, &record);
	record_clear(&drift_record, &record);
}
