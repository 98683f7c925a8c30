/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Deleting a volume with all its data: the volume is detached first if it is attached, then
 * destroyed. Like a detachment, a deletion can be stopped only before its first request to
 * CloudStack.
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
	struct cloud_change destruction;
};

_Static_assert(offsetof(struct delete_context, detaching) == 0,
	       "a context starts with its detaching");

static const struct field delete_fields[] = {
	DETACHING_FIELDS,
	FIELD(delete_context, destroy_job_id, UUID, .doc = "Job of the destruction."),
};
static const struct record delete_context = RECORD("delete_context", delete_context, delete_fields);

/* ---- destroy, await-destroyed ---- */

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	return cloud_destroy_volume(operation->ops->env->cloud, operation->record.volume_id, job_id,
				    done, arg);
}

/* The volume is gone already, through this operation before a restart or through another program.
 * Either way the request is fulfilled. */
static enum cloud_refusal on_refused(struct operation *operation, const struct err *err)
{
	return err->code == ERR_NOT_FOUND ? REFUSAL_PASSES : REFUSAL_FAILS;
}

static void verify(struct operation *operation, const struct cloud_volume *volume)
{
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

static const struct cloud_change_kind destruction = { .submit = submit,
						      .refused = on_refused,
						      .verify = verify };

static void destroy(struct operation *operation)
{
	struct delete_context *context = operation->context;

	cloud_change_ask(&context->destruction, &destruction, operation, &context->destroy_job_id);
}

static void await_destroyed(struct operation *operation)
{
	struct delete_context *context = operation->context;

	cloud_change_settle(&context->destruction, &destruction, operation,
			    &context->destroy_job_id);
}

/* ---- the table ---- */

static const struct step delete_steps[] = {
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
	return xasprintf("volume %s may be detached, or gone with its data",
			 operation->record.volume_id);
}

const struct operation_kind op_delete = {
	.type = OPERATION_DELETE,
	.context = &delete_context,
	.groups = { DETACHING_STEPS, STEP_GROUP(delete_steps) },
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
