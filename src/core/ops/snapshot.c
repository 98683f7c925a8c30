/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Taking a snapshot of a volume in CloudStack.
 *
 * As with a creation, CloudStack makes the row of the snapshot before it checks whether the job id
 * was used before, so asking twice can make two snapshots. The snapshot gets a name that no other
 * operation gives (the wanted name and the operation's id), and is looked for by job and by that
 * name before the request is repeated. CloudStack renames no snapshot, so the name stays.
 *
 * If CloudStack reports a failure, or the operation is cancelled, the snapshot is deleted again.
 */

#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/ops/check.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"
#include "core/ops/reason.h"
#include "core/ops/snapshot_step.h"
#include "core/ops/vm_idle.h"

#define LOOK_AGAIN_MS 1000
#define BUSY_AGAIN_MS 5000

struct snapshot_context {
	struct snapshot_target target;
	char *name; /* as asked for */
	char *job_id;
	/* not stored */
	struct cloud_change creation;
	struct cloud_change change;
};

_Static_assert(offsetof(struct snapshot_context, target) == 0, "a context starts with its target");

static const struct field snapshot_fields[] = {
	SNAPSHOT_TARGET_FIELDS,
	FIELD(snapshot_context, name, TEXT, .doc = "The name that was asked for."),
	FIELD(snapshot_context, job_id, UUID, .doc = "Job of the snapshot."),
};
static const struct record snapshot_context =
	RECORD("snapshot_context", snapshot_context, snapshot_fields);

char *op_snapshot_name(const char *asked, const char *operation_id)
{
	return op_create_name(str_empty(asked) ? "snapshot" : asked, operation_id);
}

static char *unique_name(const struct operation *operation)
{
	const struct snapshot_context *context = operation->context;

	return op_snapshot_name(context->name, operation->record.id);
}

/* ---- check ---- */

static int judge_state(const struct operation *operation, const struct op_facts *facts,
		       struct err *err)
{
	const struct cloud_volume *volume = facts->volume;

	if (!op_volume_is_settled(facts) || streq(volume->state, "Ready"))
		return 0;
	if (streq(volume->state, "Allocated"))
		return err_set(
			err, ERR_CONFLICT,
			"volume %s was never attached, so it has no data yet that a snapshot could keep",
			volume->id);
	return err_set(
		err, ERR_CONFLICT,
		"volume %s is %s in CloudStack, and a snapshot is taken of a volume that is Ready",
		volume->id, str_or(volume->state, "in no state"));
}

static const struct op_check check_state = { "volume-state", FACT_VOLUME, judge_state };

static const struct op_check *const checks[] = { &check_volume_exists, &check_state, &check_quota,
						 &check_rights, NULL };

static const struct op_checks snapshot_checks = { .list = checks };

static void on_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	const struct cloud_volume *volume = op_check_volume_or_end(operation, result);

	if (volume && operation_on_vm_or_queued(operation, volume->vm_id))
		operation_next(operation);
}

static void check(struct operation *operation)
{
	if (cloud_step_open_or_wait(operation))
		cloud_step_list(operation, on_checked);
}

/* ---- ask-cloud ---- */

static void settle_doubt(struct operation *operation);

static void found(struct operation *operation, const char *snapshot_id)
{
	struct snapshot_context *context = operation->context;

	str_set(&context->target.snapshot_id, snapshot_id);
	operation_next(operation);
}

static void on_submitted(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct snapshot_context *context = operation->context;
	bool refused = result->outcome == CLOUD_REFUSED;

	cloud_change_answered(&context->creation, result);
	if (refused && (context->creation.in_doubt || cloud_err_is_duplicate_job(&result->err))) {
		cloud_change_note_refusal(&context->creation, operation, &result->err);
		settle_doubt(operation);
		return;
	}
	context->creation.unasked = refused;
	if (refused && result->err.reason == ERR_REASON_BUSY) {
		operation_again(operation, BUSY_AGAIN_MS, "%s", result->err.text);
		return;
	}
	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	if (!result->entity_id) {
		context->creation.in_doubt = true;
		operation_again(operation, LOOK_AGAIN_MS,
				"CloudStack accepted the snapshot but did not say its id");
		return;
	}
	cloud_step_note_job(&context->job_id, result);
	found(operation, result->entity_id);
}

static void submit(struct operation *operation)
{
	struct snapshot_context *context = operation->context;
	_cleanup_free_ char *name = unique_name(operation);
	struct err err = { 0 };

	if (operation->from_past) {
		cloud_step_set_past_err(operation, &err);
		operation_fail(operation, &err);
		return;
	}
	if (!cloud_change_may_ask_or_wait(operation))
		return;
	cloud_change_asks(&context->creation, operation);
	cloud_step_wait_call(operation, cloud_create_snapshot(operation->ops->env->cloud,
							      operation->record.volume_id, name,
							      context->job_id, operation->asked_ms,
							      on_submitted, operation));
}

static void look_by_name(struct operation *operation, cloud_done_fn done)
{
	_cleanup_free_ char *name = unique_name(operation);
	struct cloud_snapshot_filter filter = { .volume_id = operation->record.volume_id,
						.name = name };

	cloud_step_wait_call(operation, cloud_list_snapshots(operation->ops->env->cloud, &filter,
							     done, operation));
}

static void on_looked_by_name(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct snapshot_context *context = operation->context;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	if (result->count > 0)
		found(operation, result->snapshots[0].id);
	else if (cloud_change_refusal(&context->creation)->code)
		reason_fail_refused(operation, context->creation.refusal);
	else if (cloud_change_is_late_or_wait(
			 &context->creation, operation,
			 "waiting until an earlier request can no longer arrive"))
		submit(operation);
}

static void on_looked_by_job(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;

	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (result->outcome == CLOUD_OK && result->entity_id)
		found(operation, result->entity_id);
	else
		look_by_name(operation, on_looked_by_name);
}

/* An earlier request may have arrived. Its job tells; if CloudStack does not know the job, the name
 * of the snapshot tells. */
static void settle_doubt(struct operation *operation)
{
	struct snapshot_context *context = operation->context;

	cloud_step_wait_call(operation, cloud_find_job(operation->ops->env->cloud, context->job_id,
						       on_looked_by_job, operation));
}

static void ask_cloud(struct operation *operation)
{
	struct snapshot_context *context = operation->context;

	if (context->creation.in_doubt || operation->resumed) {
		settle_doubt(operation);
		return;
	}
	context->creation.unasked = true;
	submit(operation);
}

/* ---- await-job ---- */

/* Some storages keep snapshots where the volume is. */
bool op_snapshot_is_taken(const struct cloud_snapshot *snapshot)
{
	return streq(snapshot->state, "BackedUp") || streq(snapshot->state, "CreatedOnPrimary");
}

static int check_taken(struct operation *operation, const struct cloud_snapshot *snapshot,
		       struct err *err)
{
	if (!snapshot)
		return err_set(err, ERR_CLOUD,
			       "CloudStack accepted the snapshot but does not have it");
	if (op_snapshot_is_taken(snapshot))
		return 0;
	return err_set(err, ERR_CLOUD, "the snapshot is of no use (%s)",
		       str_or(snapshot->state, "no state"));
}

static void await_job(struct operation *operation)
{
	static const struct cloud_change_kind taking = { .done = "taken",
							 .subject = snapshot_of,
							 .check_snapshot = check_taken,
							 .can_undo = true };
	struct snapshot_context *context = operation->context;

	cloud_change_settle(&context->change, &taking, operation, &context->job_id);
}

/* ---- undo ---- */

/* A snapshot that is not there can still come, by a request that was under way when it was
 * interrupted. */
static void on_left_over(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct snapshot_context *context = operation->context;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	if (result->count > 0) {
		str_set(&context->target.snapshot_id, result->snapshots[0].id);
		snapshot_delete_ask(operation, &snapshot_deletion_at_once);
	} else if (context->creation.unasked ||
		   cloud_change_is_late_or_wait(&context->creation, operation,
						"waiting until the request can no longer arrive")) {
		operation_next(operation);
	}
}

static void undo(struct operation *operation)
{
	if (str_empty(snapshot_of(operation)))
		look_by_name(operation, on_left_over);
	else
		snapshot_delete_ask(operation, &snapshot_deletion_at_once);
}

/* ---- the table ---- */

static const struct step snapshot_steps[] = {
	{ .name = "check",
	  .would = "Look at the volume in CloudStack.",
	  .run = check,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "ask-cloud",
	  .would = "Ask CloudStack to take a snapshot of the volume as it is on its storage then.",
	  .command = "createSnapshot",
	  .run = ask_cloud,
	  .undo = undo,
	  .deadline = STEP_CLOUD,
	  .asks = true,
	  .vm_turn = true },
	{ .name = "await-job",
	  .would = "Wait until CloudStack has taken the snapshot.",
	  .run = await_job,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
};

static void respond(struct operation *operation, struct json_writer *writer)
{
	_cleanup_free_ char *name = unique_name(operation);

	json_put_member(writer, "volume_id", operation->record.volume_id);
	json_put_member(writer, "snapshot_id", snapshot_of(operation));
	json_put_member(writer, "name", name);
	json_put_member(writer, "message", "Snapshot taken");
}

static char *left_over(const struct operation *operation)
{
	_cleanup_free_ char *name = unique_name(operation);

	return xasprintf("snapshot %s of volume %s may be left in CloudStack", name,
			 operation->record.volume_id);
}

const struct operation_kind op_snapshot = {
	.type = OPERATION_SNAPSHOT,
	.context = &snapshot_context,
	.groups = { STEP_GROUP(snapshot_steps) },
	.respond = respond,
	.left_over = left_over,
	.checks = &snapshot_checks,
};

void *op_snapshot_context(const struct snapshot_create_args *args)
{
	struct snapshot_context *context = xnew(struct snapshot_context);

	context->name = xstrdup(args->name);
	cloud_step_new_job(&context->job_id);
	cloud_step_new_job(&context->target.delete_job_id);
	return context;
}
