/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Deleting a volume with all its data: detached first if it is attached, then destroyed. Like a detachment it can only
 * be stopped before CloudStack has been asked for anything.
 */

#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/commit.h"
#include "core/model/volume.h"
#include "core/ops/cloud_step.h"
#include "core/ops/detach_steps.h"
#include "core/ops/ops.h"

struct delete_context {
	struct detaching detaching;
	char *destroy_job_id;
};

static const struct field delete_fields[] = {
	DETACHING_FIELDS(delete_context),
	FIELD(delete_context, destroy_job_id, UUID, .doc = "Job of the destruction."),
};
static const struct record delete_context = RECORD("delete_context", delete_context, delete_fields);

/* ---- destroy ---- */

static void on_asked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct delete_context *context = operation->context;

	if (cloud_step_retried(operation, result))
		return;
	/* Gone already: by ourselves before a restart, or by somebody else. Either way it is what was asked. */
	if (result->outcome == CLOUD_REFUSED && result->err.code != ERR_NOT_FOUND &&
	    !cloud_err_is_duplicate_job(&result->err)) {
		operation_fail(operation, &result->err);
		return;
	}
	cloud_step_note_job(&context->destroy_job_id, result);
	operation_next(operation);
}

static void destroy(struct operation *operation)
{
	struct delete_context *context = operation->context;

	cloud_step_wait_call(operation, cloud_destroy_volume(operation->ops->env->cloud, operation->record.volume_id,
							     context->destroy_job_id, on_asked, operation));
}

/* ---- await-destroyed ---- */

static void on_outcome_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	const struct cloud_volume *volume;

	if (result->err.code != ERR_NOT_FOUND && cloud_step_unseen(operation, result))
		return;
	volume = cloud_step_volume(operation, result, operation->record.volume_id);
	if (volume && !cloud_volume_is_destroyed(volume)) {
		if (volume->job_id)
			cloud_step_busy(operation, volume);
		else
			operation_failf(
				operation, ERR_CLOUD,
				"CloudStack lost the job that destroyed volume %s, and it still exists; try again",
				operation->record.volume_id);
		return;
	}
	volume_remove(operation->ops->model, operation->record.volume_id);
	change_drop_name(operation_change(operation));
	operation_next(operation);
}

static void on_job_ended(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	bool lost = cloud_step_job_lost(operation, result);

	if (result->job_status == CLOUD_JOB_FAILED && !lost) {
		operation_fail(operation, &result->err);
		return;
	}
	cloud_step_list(operation, on_outcome_checked);
}

static void await_destroyed(struct operation *operation)
{
	struct delete_context *context = operation->context;

	cloud_step_wait_job(operation, cloud_job_watch(operation->ops->env->cloud, context->destroy_job_id,
						       on_job_ended, operation));
}

/* ---- the table ---- */

static const struct step delete_steps[] = {
	DETACHING_STEPS,
	{ .name = "destroy", .run = destroy, .deadline = STEP_CLOUD },
	{ .name = "await-destroyed", .run = await_destroyed, .deadline = STEP_CLOUD },
};

static void respond(struct operation *operation, struct json_writer *writer)
{
	json_put_name(writer, "volume_id");
	json_put_text(writer, operation->record.volume_id);
	json_put_name(writer, "message");
	json_put_text(writer, "Volume deleted");
}

static char *left_over(const struct operation *operation)
{
	return xasprintf("volume %s may be detached, or gone with its data", operation->record.volume_id);
}

const struct operation_kind op_delete = {
	.type = OPERATION_DELETE,
	.context = &delete_context,
	.steps = delete_steps,
	.step_count = ARRAY_SIZE(delete_steps),
	.respond = respond,
	.left_over = left_over,
};

void *op_delete_context(void)
{
	struct delete_context *context = xnew(struct delete_context);

	context->detaching.if_attached = true;
	cloud_step_new_job(&context->detaching.job_id);
	cloud_step_new_job(&context->destroy_job_id);
	return context;
}
