/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Detaching a volume so that the operation can go on, and putting it back if the operation is
 * undone. Like the undo of an attachment, the undo waits first for a request that can still arrive,
 * and for a job that is under way. A volume that another client of CloudStack has attached
 * meanwhile stays where it is.
 */

#include "core/ops/displace_step.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/ops/attach_cloud.h"
#include "core/ops/attach_device.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"

#define LOOK_AGAIN_MS 1000

static struct displaced *displaced_of(const struct operation *operation)
{
	struct attach_context *context = operation->context;

	return &context->displaced;
}

static const char *volume_of(const struct operation *operation)
{
	return displaced_of(operation)->volume_id;
}

/* ---- it makes way ---- */

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	return cloud_detach_volume(operation->ops->env->cloud, volume_of(operation), job_id,
				   operation->asked_ms, done, arg);
}

/* CloudStack detaches a volume from any VM that has it. Much time may have passed since the first
 * look, and the volume is ours to move only while the VM of that look has it. */
static int may_detach(struct operation *operation, const struct cloud_volume *volume,
		      struct err *err)
{
	const struct displaced *displaced = displaced_of(operation);

	if (!volume || !volume->vm_id || streq(volume->vm_id, displaced->vm_id))
		return 0;
	return err_set(err, ERR_CONFLICT, "volume %s was attached to VM %s meanwhile",
		       displaced->volume_id, volume->vm_id);
}

static enum cloud_refusal on_not_detached(struct operation *operation, const struct err *err)
{
	struct cloud_change *change = &displaced_of(operation)->change;

	if (cloud_err_is_not_attached(err))
		return REFUSAL_PASSES;
	change->unasked = !change->in_doubt;
	return REFUSAL_FAILS;
}

static int check_away(struct operation *operation, const struct cloud_volume *volume,
		      struct err *err)
{
	const struct displaced *displaced = displaced_of(operation);

	if (!volume || !streq(volume->vm_id, displaced->vm_id))
		return 0;
	return err_set(err, ERR_CLOUD, "volume %s is still attached to VM %s", displaced->volume_id,
		       displaced->vm_id);
}

static const struct cloud_change_kind displacement = {
	.done = "detached",
	.subject = volume_of,
	.submit = submit,
	.may_ask = may_detach,
	.refused = on_not_detached,
	.check = check_away,
	.can_undo = true,
	.in_one_step = true,
};

void displace(struct operation *operation)
{
	struct displaced *displaced = displaced_of(operation);

	cloud_change_ask(&displaced->change, &displacement, operation, &displaced->job_id);
}

/* ---- it comes back ---- */

static struct cloud_call *submit_back(struct operation *operation, const char *job_id,
				      cloud_done_fn done, void *arg)
{
	const struct displaced *displaced = displaced_of(operation);
	struct cloud *cloud = operation->ops->env->cloud;

	if (displaced->is_root)
		return cloud_attach_root(cloud, displaced->volume_id, displaced->vm_id, job_id,
					 operation->asked_ms, done, arg);
	return cloud_attach_volume(cloud, displaced->volume_id, displaced->vm_id, -1, job_id,
				   operation->asked_ms, done, arg);
}

static enum cloud_refusal on_not_attached(struct operation *operation, const struct err *err)
{
	return cloud_err_is_attached(err) ? REFUSAL_PASSES : REFUSAL_FAILS;
}

static int check_back(struct operation *operation, const struct cloud_volume *volume,
		      struct err *err)
{
	const struct displaced *displaced = displaced_of(operation);

	if (volume && volume->vm_id)
		return 0;
	if (!volume && displaced->undo.lost &&
	    streq(displaced->volume_id, operation->record.volume_id))
		op_attach_note_lost(operation);
	if (!volume)
		return err_set(err, ERR_NOT_FOUND, "CloudStack no longer lists volume %s",
			       displaced->volume_id);
	return err_set(err, ERR_CLOUD, "volume %s is not attached to VM %s again",
		       displaced->volume_id, displaced->vm_id);
}

static const struct cloud_change_kind return_home = {
	.done = "attached",
	.subject = volume_of,
	.submit = submit_back,
	.refused = on_not_attached,
	.check = check_back,
	.in_one_step = true,
};

static void on_looked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct displaced *displaced = displaced_of(operation);
	const struct cloud_volume *volume;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	volume = cloud_step_volume(operation, result, displaced->volume_id);
	if (!volume)
		operation_failf(operation, ERR_NOT_FOUND, "CloudStack no longer lists volume %s",
				displaced->volume_id);
	else if (volume->job_id && !streq(volume->job_id, displaced->undo_job_id))
		cloud_step_busy(operation, volume);
	else if (volume->vm_id && !volume->job_id)
		operation_next(operation);
	else
		cloud_change_ask(&displaced->undo, &return_home, operation,
				 &displaced->undo_job_id);
}

static void on_job_found(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct displaced *displaced = displaced_of(operation);
	const struct cloud_volume_filter filter = { .id = displaced->volume_id };

	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (result->outcome == CLOUD_OK && result->job_status == CLOUD_JOB_PENDING)
		operation_again(operation, LOOK_AGAIN_MS,
				"CloudStack has not detached volume %s yet", displaced->volume_id);
	else if (result->outcome != CLOUD_REFUSED ||
		 cloud_change_is_late_or_wait(&displaced->change, operation,
					      "waiting until the request can no longer arrive"))
		cloud_step_wait_call(operation, cloud_list_volumes(operation->ops->env->cloud,
								   &filter, on_looked, operation));
}

void displace_undo(struct operation *operation)
{
	const struct displaced *displaced = displaced_of(operation);

	if (str_empty(displaced->volume_id) || displaced->change.unasked)
		operation_next(operation);
	else
		cloud_step_wait_call(operation,
				     cloud_find_job(operation->ops->env->cloud, displaced->job_id,
						    on_job_found, operation));
}
