/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A snapshot is gone if CloudStack does not list it any more. CloudStack accepts the deletion of a
 * snapshot that is gone, and its job fails then; so the list decides, as always. */

#include "core/ops/snapshot_step.h"

#include "core/engine/operation.h"
#include "core/env.h"
#include "core/ops/ops.h"

static struct snapshot_target *target_of(const struct operation *operation)
{
	return operation->context;
}

const char *snapshot_of(const struct operation *operation)
{
	return target_of(operation)->snapshot_id;
}

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	return cloud_delete_snapshot(operation->ops->env->cloud, snapshot_of(operation), job_id,
				     operation->asked_ms, done, arg);
}

static enum cloud_refusal on_refused(struct operation *operation, const struct err *err)
{
	const struct cloud_change *deletion = &target_of(operation)->deletion;

	return err->code == ERR_NOT_FOUND || deletion->in_doubt ? REFUSAL_PASSES : REFUSAL_FAILS;
}

static int check_deleted(struct operation *operation, const struct cloud_snapshot *snapshot,
			 struct err *err)
{
	if (!snapshot || streq(snapshot->state, "Destroyed"))
		return 0;
	return err_set(err, ERR_CLOUD, "the snapshot is still there (%s)",
		       str_or(snapshot->state, "no state"));
}

static void on_missed(struct operation *operation, const struct err *err)
{
	struct cloud_change *deletion = &target_of(operation)->deletion;

	if (!(deletion->lost || deletion->hidden) || !cloud_change_repeat(deletion))
		operation_fail(operation, err);
}

const struct cloud_change_kind snapshot_deletion = {
	.done = "deleted",
	.subject = snapshot_of,
	.submit = submit,
	.refused = on_refused,
	.check_snapshot = check_deleted,
	.missed = on_missed,
};

const struct cloud_change_kind snapshot_deletion_at_once = {
	.done = "deleted",
	.subject = snapshot_of,
	.submit = submit,
	.refused = on_refused,
	.check_snapshot = check_deleted,
	.missed = on_missed,
	.in_one_step = true,
};

void snapshot_delete_ask(struct operation *operation, const struct cloud_change_kind *kind)
{
	struct snapshot_target *target = target_of(operation);

	cloud_change_ask(&target->deletion, kind, operation, &target->delete_job_id);
}

void snapshot_delete_settle(struct operation *operation)
{
	struct snapshot_target *target = target_of(operation);

	cloud_change_settle(&target->deletion, &snapshot_deletion, operation,
			    &target->delete_job_id);
}
