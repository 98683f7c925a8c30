/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The disk often comes seconds before CloudStack reports the end of its job. A disk that identifies
 * itself as the volume needs no further proof, so clients are told at once, and need not wait for
 * the job. The attachment may still fail, and then the disk goes again; so what was told is durable
 * before, and an attachment that fails after a restart says so, too.
 *
 * A disk that gives no identity is recognised when the job has ended, and with the attachment.
 */

#include "core/ops/attach_ready.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/event.h"
#include "core/host/activation.h"
#include "core/model/event.h"
#include "core/model/mapping.h"
#include "core/ops/attach_device.h"
#include "core/ops/ops.h"
#include "disk/device.h"

static const struct device *untold_disk(struct operation *operation)
{
	const struct attach_context *context = operation->context;
	const struct device *disk = op_attach_own_disk(operation);

	return disk && disk->seen != context->told_disk ? disk : NULL;
}

bool op_attach_has_news(struct operation *operation)
{
	return untold_disk(operation) != NULL;
}

static bool has_name(const struct attach_context *context, const struct device *disk)
{
	return context->ensured.disk == disk->seen && (context->ensured.parts & ACTIVATION_MAP);
}

static void tell(struct operation *operation, const struct device *disk)
{
	struct attach_context *context = operation->context;
	struct model *model = operation->ops->model;
	struct device_record record = { 0 };

	context->told_disk = disk->seen;
	operation->has_disk = true;
	device_to_record(model, disk, &record);
	device_note_volume(model, operation->record.volume_id, &record);
	if (!has_name(context, disk)) {
		str_set(&record.persistent_device_name, NULL);
		str_set(&record.symlink_path, NULL);
	}
	events_device(model, EVENT_DEVICE_READY, &record);
	record_clear(&device_record, &record);
}

bool op_attach_told_or_store(struct operation *operation)
{
	struct attach_context *context = operation->context;
	const struct device *disk = untold_disk(operation);

	if (!disk)
		return true;
	if (!streq(context->ready_path, disk->path)) {
		str_set(&context->ready_path, disk->path);
		operation_store(operation);
		return false;
	}
	tell(operation, disk);
	return true;
}

char *op_attach_ready_ends(const struct operation *operation)
{
	const struct attach_context *context = operation->context;
	bool is_others = context->refused || context->lost;

	if (str_empty(context->ready_path))
		return NULL;
	return xasprintf("the disk %s, which was told as ready, %s", context->ready_path,
			 is_others ? "may go away at any moment" : "goes away again");
}
