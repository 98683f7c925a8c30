/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Deleting a snapshot in CloudStack. The volume is not touched; the operation stands in its queue,
 * so that a revert to the snapshot and its deletion come one after the other. */

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/ops/check.h"
#include "core/ops/ops.h"
#include "core/ops/snapshot_step.h"

struct delete_snapshot_context {
	struct snapshot_target target;
};

static const struct field delete_snapshot_fields[] = { SNAPSHOT_TARGET_FIELDS };
static const struct record delete_snapshot_context =
	RECORD("delete_snapshot_context", delete_snapshot_context, delete_snapshot_fields);

static void ask_cloud(struct operation *operation)
{
	if (cloud_step_open_or_wait(operation))
		snapshot_delete_ask(operation, &snapshot_deletion);
}

static const struct step delete_snapshot_steps[] = {
	{ .name = "ask-cloud",
	  .would = "Ask CloudStack to delete the snapshot.",
	  .command = "deleteSnapshot",
	  .run = ask_cloud,
	  .deadline = STEP_CLOUD,
	  .asks = true,
	  .no_return = true },
	{ .name = "await-job",
	  .would = "Wait until CloudStack has deleted the snapshot.",
	  .run = snapshot_delete_settle,
	  .deadline = STEP_CLOUD },
};

static const struct op_check *const checks[] = { &check_rights, NULL };
static const struct op_checks delete_snapshot_checks = { .list = checks };

static void respond(struct operation *operation, struct json_writer *writer)
{
	json_put_member(writer, "volume_id", operation->record.volume_id);
	json_put_member(writer, "snapshot_id", snapshot_of(operation));
	json_put_member(writer, "message", "Snapshot deleted");
}

static char *left_over(const struct operation *operation)
{
	return xasprintf("snapshot %s of volume %s may be there or not", snapshot_of(operation),
			 operation->record.volume_id);
}

const struct operation_kind op_delete_snapshot = {
	.type = OPERATION_DELETE_SNAPSHOT,
	.context = &delete_snapshot_context,
	.groups = { STEP_GROUP(delete_snapshot_steps) },
	.respond = respond,
	.left_over = left_over,
	.checks = &delete_snapshot_checks,
};

void *op_delete_snapshot_context(const char *snapshot_id)
{
	struct delete_snapshot_context *context = xnew(struct delete_snapshot_context);

	context->target.snapshot_id = xstrdup(snapshot_id);
	cloud_step_new_job(&context->target.delete_job_id);
	return context;
}
