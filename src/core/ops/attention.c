/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Why an ended operation still needs attention: CloudStack has lost its volume, or a volume that
 * made way for it is attached to nothing. The stored contexts of attachments and cleanups tell, and
 * the comparison with CloudStack asks before it finds that nothing is left of the operation.
 */

#include "core/engine/time_spent.h"
#include "core/model/volume.h"
#include "core/ops/attach_device.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"

static bool is_lost(struct model *model, const struct attach_context *context)
{
	return context->lost;
}

static bool is_displaced_away(struct model *model, const struct attach_context *context)
{
	const char *id = context->displaced.volume_id;
	const struct volume *volume = str_empty(id) ? NULL : volume_find(model, id);

	return volume && !volume->cloud.vm_id && !cloud_volume_is_destroyed(&volume->cloud);
}

/* The operation needs attention, and the stored context of its attachment says so. */
static bool stored_says(struct model *model, const struct operation_record *record,
			bool (*says)(struct model *model, const struct attach_context *context))
{
	const struct record *shape = operation_kinds[record->type]->context;
	struct attach_context *context;
	bool so;

	if (!record->needs_attention ||
	    (record->type != OPERATION_ATTACH && record->type != OPERATION_CLEANUP))
		return false;
	context = xcalloc(1, shape->size);
	record_init(shape, context);
	so = operation_context_from_json(shape, record->context, context, NULL) == 0 &&
	     says(model, context);
	record_clear(shape, context);
	free(context);
	return so;
}

bool op_attach_lost_volume(const struct operation_record *record)
{
	return stored_says(NULL, record, is_lost);
}

bool op_displaced_is_away(struct model *model, const struct operation_record *record)
{
	return stored_says(model, record, is_displaced_away);
}
