/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Giving a volume the data of one of its snapshots.
 *
 * Nothing in CloudStack shows whether a volume has been reverted, so the end of the job is the only
 * proof. A job that CloudStack lost is not asked for again: somebody may have written to the volume
 * since, and a second revert would destroy that. For the same reason a request that was cut off by
 * a crash is made only while CloudStack would still know its job, if there was one.
 *
 * CloudStack reverts a volume only while no VM that runs has it, so a volume of this machine is
 * refused.
 */

#include "base/clock.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/engine/silence.h"
#include "core/ops/check.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"
#include "core/ops/refusal.h"
#include "core/ops/vm_idle.h"

/* A job that CloudStack refuses to show is looked at again. */
#define HIDDEN_LOOKS 5u
#define HIDDEN_AGAIN_MS 2000
/* CloudStack forgets jobs (job.expire.minutes) after a day, unless that was changed. */
#define FORGOTTEN_MS (INT64_C(12) * 3600 * 1000)

struct revert_context {
	struct silence silence;
	char *snapshot_id;
	char *job_id;
	uint64_t size; /* CloudStack's, in bytes, after the revert */
	/* not stored */
	unsigned hidden_looks;
	struct cloud_change change;
};

_Static_assert(offsetof(struct revert_context, silence) == 0, "a context starts with its silence");

#define F(MEMBER, TYPE, ...) FIELD(revert_context, MEMBER, TYPE, __VA_ARGS__)
static const struct field revert_fields[] = {
	SILENCE_FIELDS(revert_context),
	F(snapshot_id, TEXT, .doc = "The snapshot."),
	F(job_id, UUID, .doc = "Job of the revert."),
	F(size, SIZE, .doc = "CloudStack's size of the volume afterwards."),
};
#undef F
static const struct record revert_context = RECORD("revert_context", revert_context, revert_fields);

/* ---- check ---- */

static int check_vm(const struct operation *operation, const struct cloud_volume *volume,
		    struct err *err)
{
	if (!env_is_appliance(operation->ops->env, volume->vm_id))
		return 0;
	return err_set_reason(
		err, ERR_REASON_VM_RUNNING, ERR_CONFLICT,
		"volume %s is attached to this machine, which runs, and CloudStack reverts a volume "
		"only while it is detached or its VM is stopped. Detach it and try again",
		volume->id);
}

static int judge_here(const struct operation *operation, const struct op_facts *facts,
		      struct err *err)
{
	return op_volume_is_settled(facts) ? check_vm(operation, facts->volume, err) : 0;
}

static const struct op_check check_here = { "vm-state", FACT_VOLUME, judge_here };

static int judge_stopped(const struct operation *operation, const struct op_facts *facts,
			 struct err *err)
{
	const struct cloud_vm *vm = facts->from;

	/* Of this machine the check before has told. */
	if (!op_volume_is_settled(facts) || !vm || streq(vm->state, "Stopped") ||
	    env_is_appliance(operation->ops->env, vm->id))
		return 0;
	err_set_reason(err, ERR_REASON_VM_RUNNING, ERR_CLOUD, "the VM is not stopped");
	refusal_explain(operation, vm->id, err);
	return -1;
}

static const struct op_check check_stopped = { "vm-state", FACT_VOLUME | FACT_FROM, judge_stopped };

static const struct op_check *const checks[] = { &check_volume_exists, &check_here,
						 &check_stopped,       &check_from_snapshots,
						 &check_rights,        NULL };

static const struct op_checks revert_checks = { .list = checks };

static void on_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct revert_context *context = operation->context;
	const struct cloud_volume *volume = op_check_volume_or_end(operation, result);

	if (volume && operation_on_vm_or_queued(operation, volume->vm_id)) {
		context->change.looked_ms = clock_mono_ms();
		operation_next(operation);
	}
}

static void check(struct operation *operation)
{
	if (cloud_step_open_or_wait(operation))
		cloud_step_list(operation, on_checked);
}

/* ---- ask-cloud, await-job ---- */

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	const struct revert_context *context = operation->context;

	return cloud_revert_snapshot(operation->ops->env->cloud, context->snapshot_id, job_id,
				     operation->asked_ms, done, arg);
}

static int may_ask(struct operation *operation, const struct cloud_volume *volume, struct err *err)
{
	const struct revert_context *context = operation->context;
	int64_t age_ms = clock_wall_ms() - operation->record.step_since;

	if (!volume)
		return err_set(err, ERR_NOT_FOUND, "CloudStack no longer lists volume %s",
			       operation->record.volume_id);
	if (context->change.in_doubt && age_ms > FORGOTTEN_MS) {
		operation->effect_unknown = true;
		return err_set(
			err, ERR_CONFLICT,
			"CloudStack was asked to revert volume %s long ago, and does not know the job any "
			"more; look at the data of the volume before you ask anew",
			operation->record.volume_id);
	}
	return check_vm(operation, volume, err);
}

/* The job of an earlier request decides, and not the refusal of this one. */
static enum cloud_refusal on_refused(struct operation *operation, const struct err *err)
{
	const struct revert_context *context = operation->context;

	return context->change.in_doubt ? REFUSAL_PASSES : REFUSAL_FAILS;
}

static int check_reverted(struct operation *operation, const struct cloud_volume *volume,
			  struct err *err)
{
	struct revert_context *context = operation->context;

	if (!volume)
		return err_set(err, ERR_CLOUD, "CloudStack no longer lists the volume");
	context->size = volume->size;
	if (context->change.end == CLOUD_JOB_SUCCEEDED)
		return 0;
	if (context->change.end == CLOUD_JOB_FAILED)
		return err_set(err, ERR_CLOUD, "the volume keeps the data that it had");
	operation->effect_unknown = true;
	return err_set(err, ERR_CLOUD,
		       "nothing shows whether it has the data of snapshot %s: look at its data",
		       context->snapshot_id);
}

/* Only the job tells, so one refusal to show it is not the end. */
static void on_missed(struct operation *operation, const struct err *err)
{
	struct revert_context *context = operation->context;

	if (context->change.hidden && context->hidden_looks++ < HIDDEN_LOOKS)
		operation_again(operation, HIDDEN_AGAIN_MS, "%s", err->text);
	else
		operation_fail(operation, err);
}

static const struct cloud_change_kind reverting = {
	.done = "reverted",
	.submit = submit,
	.may_ask = may_ask,
	.refused = on_refused,
	.check = check_reverted,
	.missed = on_missed,
};

static void ask_cloud(struct operation *operation)
{
	struct revert_context *context = operation->context;

	cloud_change_ask(&context->change, &reverting, operation, &context->job_id);
}

static void await_job(struct operation *operation)
{
	struct revert_context *context = operation->context;

	cloud_change_settle(&context->change, &reverting, operation, &context->job_id);
}

/* ---- the table ---- */

static const struct step revert_steps[] = {
	{ .name = "check",
	  .would = "Look at the volume in CloudStack.",
	  .run = check,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "ask-cloud",
	  .would = "Ask CloudStack to give the volume the data of the snapshot; what was written "
		   "since then is lost.",
	  .command = "revertSnapshot",
	  .run = ask_cloud,
	  .deadline = STEP_CLOUD,
	  .asks = true,
	  .no_return = true,
	  .vm_turn = true },
	{ .name = "await-job",
	  .would = "Wait until CloudStack has reverted the volume.",
	  .run = await_job,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
};

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct revert_context *context = operation->context;

	json_put_member(writer, "volume_id", operation->record.volume_id);
	json_put_member(writer, "snapshot_id", context->snapshot_id);
	json_put_name(writer, "size");
	json_put_uint(writer, context->size);
	json_put_member(writer, "message", "Volume reverted to its snapshot");
}

static char *left_over(const struct operation *operation)
{
	const struct revert_context *context = operation->context;

	return xasprintf("volume %s may have its own data, or those of snapshot %s",
			 operation->record.volume_id, context->snapshot_id);
}

const struct operation_kind op_revert = {
	.type = OPERATION_REVERT,
	.context = &revert_context,
	.groups = { STEP_GROUP(revert_steps) },
	.respond = respond,
	.left_over = left_over,
	.checks = &revert_checks,
};

void *op_revert_context(const char *snapshot_id)
{
	struct revert_context *context = xnew(struct revert_context);

	context->snapshot_id = xstrdup(snapshot_id);
	cloud_step_new_job(&context->job_id);
	return context;
}
