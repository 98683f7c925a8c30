/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Deleting a volume with all its data: the volume is detached first if it is attached, then
 * destroyed in the strongest form that CloudStack allows (destroy_step.h). Like a detachment, a
 * deletion can be stopped only before its first request to CloudStack. If CloudStack refuses to
 * destroy the volume, the detachment stays, and the error says so.
 */

#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/model/commit.h"
#include "core/model/volume.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/destroy_step.h"
#include "core/ops/detach_steps.h"
#include "core/ops/ops.h"

/* The last step of the detachment; CloudStack has detached the volume before. */
#define AWAIT_GONE (DETACHING_STEP_COUNT - 1)

struct delete_context {
	struct detaching detaching;
	char *destroy_job_id;
	struct destruction destruction; /* not stored */
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
	const struct delete_context *context = operation->context;

	return destruction_submit(&context->destruction, operation, job_id, done, arg);
}

static enum cloud_refusal on_refused(struct operation *operation, const struct err *err)
{
	struct delete_context *context = operation->context;

	return destruction_refused(&context->destruction, err);
}

static int check_destroyed(struct operation *operation, const struct cloud_volume *volume,
			   struct err *err)
{
	struct delete_context *context = operation->context;

	if (destruction_check(&context->destruction, volume, err) < 0)
		return -1;
	volume_remove(operation->ops->model, operation->record.volume_id);
	change_drop_name(operation_change(operation));
	return 0;
}

static void on_missed(struct operation *operation, const struct err *err)
{
	struct delete_context *context = operation->context;

	destruction_missed(&context->destruction, err);
}

static const struct cloud_change_kind destruction = {
	.done = "destroyed",
	.submit = submit,
	.refused = on_refused,
	.check = check_destroyed,
	.missed = on_missed,
};

static void destroy(struct operation *operation)
{
	struct delete_context *context = operation->context;

	cloud_change_ask(&context->destruction.change, &destruction, operation,
			 &context->destroy_job_id);
}

static void await_destroyed(struct operation *operation)
{
	struct delete_context *context = operation->context;

	cloud_change_settle(&context->destruction.change, &destruction, operation,
			    &context->destroy_job_id);
}

/* ---- the table ---- */

static const struct step delete_steps[] = {
	{ .name = "destroy",
	  .would = "Ask CloudStack to destroy the volume with all its data.",
	  .command = "destroyVolume",
	  .command_instead = "deleteVolume",
	  .run = destroy,
	  .deadline = STEP_CLOUD,
	  .asks = true },
	{ .name = "await-destroyed",
	  .would = "Wait until CloudStack has destroyed the volume, and forget it.",
	  .run = await_destroyed,
	  .deadline = STEP_CLOUD },
};

static const struct op_check *const checks[] = {
	&check_volume_exists,  &check_own_root, &check_protection,
	&check_disk_users,     &check_clients,  &check_root_state,
	&check_from_snapshots, &check_rights,   NULL,
};

static const struct op_checks delete_checks = { .list = checks,
						.foresee = detaching_foresee,
						.users = detaching_users,
						.needs_no_clients = detaching_sends_clients_away };

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct delete_context *context = operation->context;

	json_put_name(writer, "volume_id");
	json_put_text(writer, operation->record.volume_id);
	json_put_name(writer, "message");
	json_put_text(writer,
		      context->destruction.in_bin
			      ? "Volume deleted; CloudStack keeps it and its data in its bin until "
				"its purge delay (storage.cleanup.delay) has passed"
			      : "Volume deleted");
}

static char *left_over(const struct operation *operation)
{
	const char *volume_id = operation->record.volume_id;

	if (operation->step < AWAIT_GONE)
		return detaching_left_over(operation);
	if (operation->step == AWAIT_GONE)
		return xasprintf("the disk of volume %s may still be here", volume_id);
	return xasprintf("volume %s may be gone with its data", volume_id);
}

static char *stays(const struct operation *operation)
{
	const struct delete_context *context = operation->context;

	if (operation->step < AWAIT_GONE || !context->detaching.detached)
		return NULL;
	return xasprintf("the volume has been detached from VM %s, and stays detached",
			 str_or(context->detaching.vm_id, ""));
}

const struct operation_kind op_delete = {
	.type = OPERATION_DELETE,
	.context = &delete_context,
	.groups = { DETACHING_STEPS, STEP_GROUP(delete_steps) },
	.respond = respond,
	.left_over = left_over,
	.stays = stays,
	.checks = &delete_checks,
};

void *op_delete_context(void)
{
	struct delete_context *context = xnew(struct delete_context);

	context->detaching.if_attached = true;
	cloud_step_new_job(&context->detaching.job_id);
	cloud_step_new_job(&context->destroy_job_id);
	return context;
}
