/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a step says about its volume - the device it is, how it is served, what it is called - waits here for the commit
 * that ends the step. It is durable together with the step, and the model learns of it only after that: the model
 * follows the store, never the other way round.
 */

#include <assert.h>

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/stable_name.h"
#include "store/store.h"

void operation_stage_mapping(struct operation *operation, struct mapping_record *mapping)
{
	operation_stage_drop(operation);
	operation->stage_map = xnew(struct mapping_record);
	*operation->stage_map = *mapping;
	memset(mapping, 0, sizeof(*mapping));
}

void operation_stage_unmap(struct operation *operation)
{
	operation_stage_drop(operation);
	operation->stage_unmap = true;
}

void operation_stage_export(struct operation *operation, struct export_record *record)
{
	assert(!operation->stage_export);
	operation->stage_export = xnew(struct export_record);
	*operation->stage_export = *record;
	*record = (struct export_record){ 0 };
}

void operation_stage_unexport(struct operation *operation)
{
	operation->stage_unexport = true;
}

void operation_stage_unname(struct operation *operation)
{
	operation->stage_unname = true;
}

void operation_stage_put(struct operation *operation, struct store_batch *batch)
{
	const char *volume_id = operation->record.volume_id;

	if (operation->stage_map)
		store_batch_mapping(batch, operation->stage_map);
	if (operation->stage_unmap)
		store_batch_unmap(batch, volume_id);
	if (operation->stage_export)
		store_batch_export(batch, operation->stage_export);
	if (operation->stage_unexport)
		store_batch_unexport(batch, volume_id);
	if (operation->stage_unname)
		store_batch_unname(batch, volume_id);
	else
		name_stage(operation->core, volume_id, batch);
}

void operation_stage_apply(struct operation *operation)
{
	struct core *core = operation->core;
	const char *volume_id = operation->record.volume_id;

	if (operation->stage_map)
		mapping_put(core, operation->stage_map);
	if (operation->stage_unmap)
		mapping_remove(core, volume_id);
	if (operation->stage_export)
		export_put(core, operation->stage_export);
	if (operation->stage_unexport)
		export_drop(core, volume_id);
	name_on_committed(core, volume_id);
	if (operation->stage_unname) {
		name_drop(core, volume_id);
		notice_tell_volume(core, NOTICE_NAME_DROPPED, volume_id);
	}
	operation_stage_drop(operation);
}

void operation_stage_drop(struct operation *operation)
{
	if (operation->stage_map) {
		record_clear(&mapping_record, operation->stage_map);
		free(TAKE_PTR(operation->stage_map));
	}
	if (operation->stage_export) {
		record_clear(&export_record, operation->stage_export);
		free(TAKE_PTR(operation->stage_export));
	}
	operation->stage_unmap = operation->stage_unexport = operation->stage_unname = false;
}
