/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Undoing an attachment: the export and the name go by force, since no client was told of them yet.
 * Then the volume is detached, if and only if our request has attached it. A request whose answer
 * got lost can still arrive, and an attachment that is under way cannot be stopped, so the undo
 * waits for both first.
 */

#include "core/ops/attach_undo.h"

#include "base/clock.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/ops/activation_step.h"
#include "core/ops/attach_device.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"

void op_attach_undo_name(struct operation *operation)
{
	activation_step(operation, ACTIVATION_FORCED_DOWN, ACTIVATION_MAP, NULL);
}

/*
 * Only a name that this process has made is undone: clients that wait for the volume under its name
 * go on waiting if CloudStack's job fails before the disk has come. The reconciler finds names that
 * an earlier process made.
 */
void op_attach_undo_early_name(struct operation *operation)
{
	const struct attach_context *context = operation->context;

	if (context->ensured.parts & ACTIVATION_MAP)
		op_attach_undo_name(operation);
	else
		operation_next(operation);
}

/* An engine that is away serves nothing now. If it serves the volume when it comes back, the
 * reconciler finds that. */
static void on_export_undone(void *arg, const struct err *err)
{
	struct operation *operation = arg;

	if (err->code && err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT)
		activation_step_failed(operation, err);
	else
		operation_next(operation);
}

void op_attach_undo_export(struct operation *operation)
{
	activation_step_then(operation, ACTIVATION_FORCED_DOWN, ACTIVATION_EXPORT, NULL,
			     on_export_undone);
}

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	return cloud_detach_volume(operation->ops->env->cloud, operation->record.volume_id, job_id,
				   operation->asked_ms, done, arg);
}

static enum cloud_refusal on_not_detached(struct operation *operation, const struct err *err)
{
	return cloud_err_is_not_attached(err) ? REFUSAL_PASSES : REFUSAL_FAILS;
}

static int check_detached(struct operation *operation, const struct cloud_volume *volume,
			  struct err *err)
{
	if (!op_attach_is_here(operation, volume))
		return 0;
	return err_set(err, ERR_CLOUD, "the volume is still attached to VM %s", volume->vm_id);
}

static const struct cloud_change_kind detachment = {
	.done = "detached",
	.submit = submit,
	.refused = on_not_detached,
	.check = check_detached,
	.in_one_step = true,
};

static void on_undo_looked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;
	const struct cloud_volume *volume;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	volume = cloud_step_volume(operation, result, operation->record.volume_id);
	if (volume && volume->job_id && !streq(volume->job_id, context->undo_job_id)) {
		/* Never detach under a running job: CloudStack serialises per VM, not per
		 * volume. */
		cloud_step_busy(operation, volume);
	} else if (!op_attach_is_here(operation, volume)) {
		operation_next(operation);
	} else {
		cloud_change_ask(&context->undo, &detachment, operation, &context->undo_job_id);
	}
}

static void on_undo_job_found(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;

	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (result->outcome == CLOUD_OK && result->job_status == CLOUD_JOB_PENDING) {
		operation_again(operation, ATTACH_LOOK_AGAIN_MS,
				"CloudStack has not ended the attachment yet");
		return;
	}
	if (result->outcome != CLOUD_REFUSED ||
	    cloud_change_is_late_or_wait(&context->change, operation,
					 "waiting until the request can no longer arrive"))
		cloud_step_list(operation, on_undo_looked);
}

void op_attach_undo(struct operation *operation)
{
	struct attach_context *context = operation->context;

	if (context->refused || context->change.unasked) {
		operation_next(operation);
		return;
	}
	cloud_step_wait_call(operation, cloud_find_job(operation->ops->env->cloud, context->job_id,
						       on_undo_job_found, operation));
}
