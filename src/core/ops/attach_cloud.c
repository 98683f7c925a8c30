/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Does CloudStack show the volume attached by our own request? The attachment of a data disk and
 * that of a root disk ask for it in different ways, and judge the answers alike: a volume that
 * another client of CloudStack has attached meanwhile is not ours, not even to undo.
 */

#include "core/ops/attach_cloud.h"

#include <stdio.h>

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/volume.h"
#include "core/ops/attach_device.h"
#include "core/ops/check.h"
#include "core/ops/cloud_step.h"
#include "core/ops/leftover_disk.h"
#include "core/ops/ops.h"
#include "core/ops/reason.h"

static int judge_free(const struct operation *operation, const struct op_facts *facts,
		      struct err *err)
{
	const struct cloud_volume *volume = facts->volume;
	const char *id = operation->record.volume_id;
	const struct mapping *mapping = mapping_find(operation->ops->model, id);

	if (!volume || !volume->vm_id)
		return 0;
	if (strcasecmp(volume->vm_id, operation->record.vm_id) != 0)
		return err_set(err, ERR_CONFLICT,
			       "volume %s is already attached to VM %s; detach it first", id,
			       volume->vm_id);
	if (mapping && op_on_appliance(operation) && !str_empty(mapping->record.device_path))
		return err_set(
			err, ERR_CONFLICT,
			"volume %s need not be attached to VM %s: it is attached there already, "
			"as %s",
			id, volume->vm_id, mapping->record.device_path);
	return err_set(err, ERR_CONFLICT,
		       "volume %s need not be attached to VM %s: it is attached there already, "
		       "as CloudStack's device %lld",
		       id, volume->vm_id, (long long)volume->device_id);
}

const struct op_check check_volume_free = { "volume-attached", FACT_VOLUME, judge_free };

void op_attach_wish(const struct operation *operation, struct op_wish *out)
{
	out->to_vm_id = operation->record.vm_id;
}

disk_users_judge_fn op_attach_users(const struct operation *operation)
{
	return leftover_disk_may_stay;
}

static void on_refusal_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	if (op_attach_is_here(operation,
			      cloud_step_volume(operation, result, operation->record.volume_id))) {
		operation_next(operation);
		return;
	}
	context->refused = true;
	operation_failf(operation, ERR_CONFLICT, "volume %s was attached elsewhere meanwhile",
			operation->record.volume_id);
}

enum cloud_refusal op_attach_refused(struct operation *operation, const struct err *err)
{
	struct attach_context *context = operation->context;

	/* If there was a request before, "attached already" can be its effect, under a job id that
	 * we never learned. */
	if (context->change.sent_before && cloud_err_is_attached(err)) {
		cloud_step_list(operation, on_refusal_checked);
		return REFUSAL_WAITS;
	}
	context->change.unasked = !context->change.in_doubt;
	return REFUSAL_FAILS;
}

void op_attach_missed(struct operation *operation, const struct err *err)
{
	struct attach_context *context = operation->context;
	bool is_explained = context->refused;

	context->refused |= context->change.unasked;
	if (is_explained)
		operation_fail(operation, err);
	else
		reason_fail(operation, err);
}

/* Another client of CloudStack was faster than our only request. Its attachment is not ours, not
 * even to undo. */
static bool is_others(const struct cloud_change *change)
{
	return change->end == CLOUD_JOB_FAILED && !change->in_doubt &&
	       cloud_err_is_attached(cloud_change_refusal(change));
}

/* The first attachment of a volume gives it its storage, and that may be larger than the volume was
 * until then. */
static void note_volume(struct attach_context *context, const struct cloud_volume *volume)
{
	context->device_id = volume->device_id;
	if (volume->size)
		context->size = volume->size;
}

/* Only a person can bring the volume back, so the operation needs attention until one has, and the
 * reconciler tells of it. */
void op_attach_note_lost(struct operation *operation)
{
	struct attach_context *context = operation->context;

	context->lost = operation_edit(operation)->needs_attention = true;
	notice_tell(operation->ops->model, NOTICE_CLOUD_UNSURE);
}

int op_attach_check(struct operation *operation, const struct cloud_volume *volume, struct err *err)
{
	struct attach_context *context = operation->context;

	context->refused = is_others(&context->change);
	if (!volume && context->change.lost)
		op_attach_note_lost(operation);
	if (!volume)
		return err_set(err, ERR_NOT_FOUND, "CloudStack no longer lists the volume");
	if (!volume->vm_id)
		return err_set(err, ERR_CLOUD, "the volume is not attached");
	if (context->refused || !op_attach_is_here(operation, volume))
		return err_set(err, ERR_CLOUD,
			       "another client of CloudStack has attached the volume to VM %s",
			       volume->vm_id);
	note_volume(context, volume);
	return 0;
}

void op_attach_keep_words(struct operation *operation, const char *words)
{
	struct attach_context *context = operation->context;

	str_set(&context->words, words);
}
