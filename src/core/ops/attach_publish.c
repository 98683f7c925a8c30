/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The end of an attachment: the mapping of the volume, and its export, become durable. */

#include "core/ops/attach_publish.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/commit.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/ops/attach_activate.h"
#include "core/ops/attach_device.h"
#include "core/ops/ops.h"

static void note_contents(const struct attach_context *context, struct mapping_record *record)
{
	str_set(&record->filesystem, text_or_null(context->filesystem));
	str_set(&record->label, text_or_null(context->label));
	str_set(&record->filesystem_uuid, text_or_null(context->filesystem_uuid));
	str_set(&record->partition_table, text_or_null(context->partition_table));
}

/* device: NULL if the volume is on another VM. */
static void put_mapping(struct operation *operation, const struct device *device)
{
	const struct attach_context *context = operation->context;
	const struct operation_record *asked = &operation->record;
	struct mapping_record record = { 0 };

	mapping_make(operation->ops->model, asked->volume_id, asked->vm_id, &record);
	mapping_place(operation->ops->model, &record, context->device_id, context->size, device);
	record.matched_by = (int)context->matched_by;
	note_contents(context, &record);
	change_put_mapping(operation_change_anew(operation), &record);
	if (device && operation->ops->env->options.exporter)
		op_attach_put_export(operation, device);
}

/* While an operation has the owner, nothing else changes the owner's mapping; but that its disk is
 * gone is true in any case. */
static void bring_owner_up_to_date(const struct operation *operation, const struct mapping *owner)
{
	struct ops *ops = operation->ops;
	struct mapping_record record = { 0 };

	if (!op_on_appliance(operation)) {
		notice_tell(ops->model, NOTICE_CLOUD_UNSURE);
	} else if (!operation_busy(ops->engine, owner->record.volume_id)) {
		notice_tell(ops->model, NOTICE_DEVICES_UNSURE);
	} else if (!change_has_mappings(ops->model) && !mapping_device(ops->model, owner)) {
		record_copy(&mapping_record, &record, &owner->record);
		mapping_describe(ops->model, &record, NULL);
		commit_mapping(ops->model, owner->record.volume_id, &record, CHANGE_IF_MAPPED, NULL,
			       NULL);
	}
}

/*
 * A device path that the kernel, or CloudStack with a slot, has just given away again may still
 * stand in the mapping of its last owner. Then that mapping is out of date and is brought up to
 * date.
 */
static bool path_is_free_or_wait(struct operation *operation)
{
	const struct mapping_record *wanted = change_mapping(operation->change);
	struct mapping *mapping;

	for (mapping = mapping_first(operation->ops->model); mapping;
	     mapping = mapping_next(mapping)) {
		if (!streq(mapping->record.device_path, wanted->device_path) ||
		    !streq(mapping->record.vm_id, wanted->vm_id) ||
		    streq(mapping->record.volume_id, operation->record.volume_id))
			continue;
		bring_owner_up_to_date(operation, mapping);
		operation_again(operation, ATTACH_LOOK_AGAIN_MS / 10,
				"%s is still noted for volume %s", mapping->record.device_path,
				mapping->record.volume_id);
		return false;
	}
	return true;
}

void op_attach_publish(struct operation *operation, const struct device *device)
{
	put_mapping(operation, device);
	if (path_is_free_or_wait(operation))
		operation_next(operation);
}
