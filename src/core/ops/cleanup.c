/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Taking a volume back from the VM of a failover test: the VM is stopped, the volume detached from
 * it and attached to this machine, named and exported, as after any attachment. Until then every
 * step can be undone, and the VM gets its volume back and runs again.
 *
 * Only then, if the client asked for that and the configuration allows it, the VM is deleted for
 * good. That is done to no VM that did not have the volume when the operation began. CloudStack
 * promises to keep the data disks of a VM that it expunges, but an operation that has just brought
 * a volume home does not stake others on that: a VM that still has data disks is kept, and so is
 * one whose root disk this daemon knows as a volume of its own. Whatever keeps the VM does not fail
 * the operation, since its volume is back; the response says why the VM is still there.
 *
 * record.vm_id is the VM that the present step changes: first the VM of the test, then this
 * machine, then the VM of the test again.
 */

#include <stdio.h>

#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/ops/attach_cloud.h"
#include "core/ops/attach_device.h"
#include "core/ops/attach_ready.h"
#include "core/ops/attach_steps.h"
#include "core/ops/check.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/displace_step.h"
#include "core/ops/leftover_disk.h"
#include "core/ops/ops.h"
#include "core/ops/vm_idle.h"

#define LOOK_AGAIN_MS 1000
#define NAMED_MAX 8

struct cleanup_context {
	/* the attachment to this machine; the volume makes way at the VM of the test before */
	struct attach_context attach;
	char *test_vm_id, *oma_vm_id;
	bool delete_vm, force_clean;
	bool stops; /* the VM ran, and has to be stopped */
	char *stop_job_id, *start_job_id, *expunge_job_id;
	bool vm_deleted;
	char *vm_kept; /* why the VM is not deleted; NULL or empty: it is, or nobody asked for that
			*/
	/* not stored */
	struct cloud_change stop, start, expunge;
};

_Static_assert(offsetof(struct cleanup_context, attach) == 0,
	       "a context starts with its attachment");

#define F(MEMBER, TYPE, ...) FIELD(cleanup_context, MEMBER, TYPE, __VA_ARGS__)
static const struct field cleanup_fields[] = {
	ATTACH_FIELDS,
	F(test_vm_id, UUID, .doc = "The VM of the test."),
	F(oma_vm_id, UUID, .doc = "This machine."),
	F(delete_vm, BOOL, .doc = "The VM of the test is to be deleted."),
	F(force_clean, BOOL, .doc = "The VM of the test need not be stopped before."),
	F(stops, BOOL, .doc = "The VM of the test ran, and has to be stopped."),
	F(stop_job_id, UUID, .doc = "Job that stops it."),
	F(start_job_id, UUID, .doc = "Job that starts it again, if that is undone."),
	F(expunge_job_id, UUID, .doc = "Job that deletes it."),
	F(vm_deleted, BOOL, .doc = "The VM of the test is deleted."),
	F(vm_kept, TEXT, .doc = "Why the VM of the test is not deleted."),
};
#undef F
static const struct record cleanup_context =
	RECORD("cleanup_context", cleanup_context, cleanup_fields);

static const char *test_vm(const struct operation *operation)
{
	const struct cleanup_context *context = operation->context;

	return context->test_vm_id;
}

/* When the operation began, the volume was attached to the VM of the test. */
static bool held_volume(const struct cleanup_context *context)
{
	return !str_empty(context->attach.displaced.volume_id);
}

int op_cleanup_check(const struct env *env, const char *test_vm_id, const char *oma_vm_id,
		     struct err *err)
{
	if (!env_is_appliance(env, oma_vm_id))
		return err_set_field(
			err, "oma_vm_id", ERR_INVALID,
			"oma_vm_id must be this machine, VM %s, got %s; a cleanup brings the volume to the "
			"machine that the daemon runs on",
			str_or(env_appliance_id(env), "(unknown)"), oma_vm_id);
	if (env_is_appliance(env, test_vm_id))
		return err_set_field(
			err, "test_vm_id", ERR_INVALID,
			"VM %s is this machine; test_vm_id is the VM of the test, which is stopped",
			test_vm_id);
	return 0;
}

/* ---- check ---- */

static bool is_off(const struct cloud_vm *vm)
{
	static const char *const states[] = { "Stopped", "Destroyed", "Expunging", "Error" };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (streq(vm->state, states[i]))
			return true;
	}
	return false;
}

/* The id of this machine may have become known, or another, since the request. */
static int judge_machines(const struct operation *operation, const struct op_facts *facts,
			  struct err *err)
{
	const struct cleanup_context *context = operation->context;

	return op_cleanup_check(operation->ops->env, context->test_vm_id, context->oma_vm_id, err);
}

static const struct op_check check_machines = { "vm", 0, judge_machines };

static int judge_place(const struct operation *operation, const struct op_facts *facts,
		       struct err *err)
{
	const struct cleanup_context *context = operation->context;
	const struct cloud_volume *volume = facts->volume;

	if (!volume || !volume->vm_id || streq(volume->vm_id, context->test_vm_id))
		return 0;
	if (env_is_appliance(operation->ops->env, volume->vm_id))
		return err_set(
			err, ERR_CONFLICT,
			"volume %s is attached to this machine already; there is nothing to take back",
			volume->id);
	return err_set(err, ERR_CONFLICT,
		       "volume %s is attached to VM %s, not to VM %s of the test", volume->id,
		       volume->vm_id, context->test_vm_id);
}

static const struct op_check check_place = { "volume-attached", FACT_VOLUME, judge_place };

static int judge_shown(const struct operation *operation, const struct op_facts *facts,
		       struct err *err)
{
	const struct cleanup_context *context = operation->context;

	if (facts->from || !held_volume(context) || context->force_clean)
		return 0;
	return err_set(
		err, ERR_CLOUD,
		"CloudStack does not show VM %s, so it cannot be stopped; ask with force_clean if it does not run",
		context->test_vm_id);
}

static const struct op_check check_shown = { "vm", FACT_FROM, judge_shown };

static const struct op_check *const checks[] = {
	&check_machines,
	&check_volume_exists,
	&check_place,
	&check_shown,
	&check_owner,
	&check_from_snapshots,
	&check_to_snapshots,
	&check_device_slot,
	&check_disk_users,
	&check_rights,
	NULL,
};

static void note_place(struct cleanup_context *context, const struct cloud_volume *volume)
{
	struct displaced *displaced = &context->attach.displaced;

	context->attach.size = volume->size;
	str_set(&displaced->volume_id, volume->vm_id ? volume->id : NULL);
	str_set(&displaced->vm_id, context->test_vm_id);
	displaced->is_root = volume->vm_id && streq(volume->type, "ROOT");
}

/* CloudStack changes the root disk of a stopped VM only. vm: NULL if CloudStack does not show it.
 */
static void note_vm(struct cleanup_context *context, const struct cloud_vm *vm)
{
	bool must_stop = !context->force_clean || context->attach.displaced.is_root;

	context->stops = vm && held_volume(context) && must_stop && !is_off(vm);
}

static void on_vm_listed(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct cleanup_context *context = operation->context;
	struct op_facts facts = { .known = FACT_FROM };
	struct err err;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	facts.from = cloud_step_vm(result, context->test_vm_id);
	if (facts.from && facts.from->job_id) {
		cloud_step_vm_busy(operation, facts.from);
	} else if (op_check(operation, &facts, &err) < 0) {
		operation_fail(operation, &err);
	} else {
		note_vm(context, facts.from);
		leftover_disk_gone_then(&context->attach.leftover, operation, false,
					operation_next);
	}
}

/* A volume that is attached to nothing may be what an earlier attempt has left. */
static void on_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct cleanup_context *context = operation->context;
	const struct cloud_volume *volume = op_check_volume_or_end(operation, result);

	if (!volume)
		return;
	note_place(context, volume);
	cloud_step_wait_call(operation,
			     cloud_list_vm(operation->ops->env->cloud, context->test_vm_id,
					   on_vm_listed, operation));
}

static void check(struct operation *operation)
{
	const struct op_facts nothing = { 0 };
	struct err err;

	if (op_check(operation, &nothing, &err) < 0)
		operation_fail(operation, &err);
	else if (cloud_step_open_or_wait(operation))
		cloud_step_list(operation, on_checked);
}

/* ---- stop, and its undo ---- */

/* The VM decides, and not the refusal. */
static enum cloud_refusal on_refused(struct operation *operation, const struct err *err)
{
	return REFUSAL_PASSES;
}

static enum cloud_refusal on_not_stopped(struct operation *operation, const struct err *err)
{
	struct cleanup_context *context = operation->context;

	context->stop.unasked = !context->stop.in_doubt;
	return REFUSAL_PASSES;
}

static struct cloud_call *submit_stop(struct operation *operation, const char *job_id,
				      cloud_done_fn done, void *arg)
{
	return cloud_stop_vm(operation->ops->env->cloud, test_vm(operation), job_id,
			     operation->asked_ms, done, arg);
}

static int check_stopped(struct operation *operation, const struct cloud_vm *vm, struct err *err)
{
	if (!vm || is_off(vm))
		return 0;
	return err_set(err, ERR_CLOUD, "VM %s is %s", vm->id, str_or(vm->state, "not stopped"));
}

static const struct cloud_change_kind stopping = {
	.done = "stopped",
	.subject = test_vm,
	.submit = submit_stop,
	.refused = on_not_stopped,
	.check_vm = check_stopped,
	.can_undo = true,
	.in_one_step = true,
};

static void stop(struct operation *operation)
{
	struct cleanup_context *context = operation->context;

	cloud_change_ask(&context->stop, &stopping, operation, &context->stop_job_id);
}

static struct cloud_call *submit_start(struct operation *operation, const char *job_id,
				       cloud_done_fn done, void *arg)
{
	return cloud_start_vm(operation->ops->env->cloud, test_vm(operation), job_id,
			      operation->asked_ms, done, arg);
}

static int check_started(struct operation *operation, const struct cloud_vm *vm, struct err *err)
{
	if (vm && streq(vm->state, "Running"))
		return 0;
	return err_set(err, ERR_CLOUD, "VM %s does not run again", test_vm(operation));
}

static const struct cloud_change_kind starting = {
	.done = "started",
	.subject = test_vm,
	.submit = submit_start,
	.refused = on_refused,
	.check_vm = check_started,
	.in_one_step = true,
};

static void on_stop_found(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct cleanup_context *context = operation->context;

	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (result->outcome == CLOUD_OK && result->job_status == CLOUD_JOB_PENDING)
		operation_again(operation, LOOK_AGAIN_MS, "CloudStack has not stopped VM %s yet",
				context->test_vm_id);
	else if (result->outcome != CLOUD_REFUSED ||
		 cloud_change_is_late_or_wait(&context->stop, operation,
					      "waiting until the request can no longer arrive"))
		cloud_change_ask(&context->start, &starting, operation, &context->start_job_id);
}

static void start_again(struct operation *operation)
{
	const struct cleanup_context *context = operation->context;

	if (!context->stops || context->stop.unasked)
		operation_next(operation);
	else
		cloud_step_wait_call(operation, cloud_find_job(operation->ops->env->cloud,
							       context->stop_job_id, on_stop_found,
							       operation));
}

/* ---- begin: from here on this machine's VM is changed ---- */

static void begin_here(struct operation *operation)
{
	struct operation *rival = NULL;

	if (op_attach_begin_or_wait(operation, &rival))
		operation_next(operation);
	else if (rival)
		operation_again(operation, LOOK_AGAIN_MS, "operation %s on the same VM",
				rival->record.id);
}

/* Then the VM's turn orders the jobs. */
static bool has_own_job_here(const struct operation *operation)
{
	const struct operation *other;

	for (other = operation_first(operation->ops->engine); other;
	     other = operation_after(other)) {
		if (other != operation && other->has_vm_turn && op_on_appliance(other))
			return true;
	}
	return false;
}

/* The turn of the VM is not taken before the next step, since an attachment that has begun may need
 * it in order to end. So a steady row of attachments can keep a cleanup waiting here until its time
 * (cloud.job_wait) is over, and then it is undone. */
static void begin(struct operation *operation)
{
	struct cleanup_context *context = operation->context;

	operation_go_to_vm(operation, context->oma_vm_id);
	if (has_own_job_here(operation))
		begin_here(operation);
	else
		vm_idle_then(&context->attach.vm_look, operation, begin_here);
}

static void go_back(struct operation *operation)
{
	operation_go_to_vm(operation, test_vm(operation));
	operation_next(operation);
}

/* ---- permit: may the VM of the test be deleted? ---- */

/* The first reason is kept. */
static void keep_vm(struct operation *operation, const char *why)
{
	struct cleanup_context *context = operation->context;

	if (str_empty(context->vm_kept))
		str_set(&context->vm_kept, why);
}

static void note_permit(struct operation *operation)
{
	const struct cleanup_context *context = operation->context;

	if (context->delete_vm && !operation->ops->env->options.allow_vm_expunge)
		keep_vm(operation,
			"the configuration of the daemon does not allow that (allow_vm_expunge in [operations])");
	else if (context->delete_vm && !held_volume(context))
		keep_vm(operation, "the volume was not attached to it when the cleanup began");
}

/* The attachment is over: another one need not wait for it any more. Nor need an operation on the
 * volume, or its name, while the VM is deleted. */
static void permit(struct operation *operation)
{
	struct cleanup_context *context = operation->context;

	str_set(&context->attach.boot_id, NULL);
	note_permit(operation);
	operation_go_to_vm(operation, context->test_vm_id);
	operation_leave_volume(operation);
	operation_next(operation);
}

/* ---- expunge ---- */

static struct cloud_call *submit_expunge(struct operation *operation, const char *job_id,
					 cloud_done_fn done, void *arg)
{
	return cloud_expunge_vm(operation->ops->env->cloud, test_vm(operation), job_id,
				operation->asked_ms, done, arg);
}

/* An empty list proves nothing by itself: the VM may belong to another account by now. */
static int check_expunged(struct operation *operation, const struct cloud_vm *vm, struct err *err)
{
	struct cleanup_context *context = operation->context;
	const struct cloud_change *change = &context->expunge;

	context->vm_deleted =
		vm ? streq(vm->state, "Expunging") : change->end == CLOUD_JOB_SUCCEEDED;
	if (context->vm_deleted)
		return 0;
	if (!vm)
		return err_set(err, ERR_CLOUD,
			       "CloudStack no longer lists it, which proves no deletion");
	return err_set(err, ERR_CLOUD, "it is %s", str_or(vm->state, "still there"));
}

/* The volume is back, so the operation does not fail. */
static void on_kept(struct operation *operation, const struct err *err)
{
	keep_vm(operation, err->text);
	operation_next(operation);
}

static const struct cloud_change_kind expunging = {
	.done = "deleted",
	.subject = test_vm,
	.submit = submit_expunge,
	.refused = on_refused,
	.check_vm = check_expunged,
	.missed = on_kept,
	.in_one_step = true,
};

/* A data disk, or a root disk that is a volume of this daemon's. */
static bool would_be_missed(const struct operation *operation, const struct cloud_volume *volume)
{
	return !streq(volume->type, "ROOT") || mapping_find(operation->ops->model, volume->id);
}

/* The volumes that the VM must not take with it, to be freed; NULL: there are none. */
static char *name_missed(const struct operation *operation, const struct cloud_result *result)
{
	struct buf out = BUF_NULL;
	size_t found = 0;

	for (size_t i = 0; i < result->count; i++) {
		if (!would_be_missed(operation, &result->volumes[i]) || ++found > NAMED_MAX)
			continue;
		buf_printf(&out, "%s%s", found > 1 ? ", " : "", result->volumes[i].id);
	}
	if (found > NAMED_MAX)
		buf_printf(&out, " and %zu others", found - NAMED_MAX);
	return found ? buf_take(&out) : NULL;
}

static void on_disks_listed(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct cleanup_context *context = operation->context;
	_cleanup_free_ char *missed = NULL, *why = NULL;

	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (result->outcome != CLOUD_OK) {
		on_kept(operation, &result->err);
		return;
	}
	missed = name_missed(operation, result);
	if (!missed) {
		cloud_change_ask(&context->expunge, &expunging, operation,
				 &context->expunge_job_id);
		return;
	}
	why = xasprintf(
		"it still has volumes that would be lost if CloudStack took them with it; detach "
		"them first: %s",
		missed);
	keep_vm(operation, why);
	operation_next(operation);
}

static void expunge(struct operation *operation)
{
	const struct cleanup_context *context = operation->context;
	const struct cloud_volume_filter filter = { .vm_id = context->test_vm_id };

	operation_leave_volume(operation); /* again, if the daemon was started anew */
	cloud_step_wait_call(operation, cloud_list_volumes(operation->ops->env->cloud, &filter,
							   on_disks_listed, operation));
}

/* ---- the plan ---- */

/* From step begin on, this machine's VM is the one that is changed. */
static void foresee(struct operation *operation, const struct op_facts *facts)
{
	struct cleanup_context *context = operation->context;

	if (facts->volume) {
		note_place(context, facts->volume);
		note_permit(operation);
	}
	if (facts->known & FACT_FROM)
		note_vm(context, facts->from);
	operation_go_to_vm(operation, context->oma_vm_id);
}

static void wish(const struct operation *operation, struct op_wish *out)
{
	const struct cleanup_context *context = operation->context;

	out->to_vm_id = context->oma_vm_id;
}

static const struct op_checks cleanup_checks = {
	.list = checks, .wish = wish, .foresee = foresee, .users = op_attach_users
};

/* ---- the table ---- */

static bool must_stop(const struct operation *operation)
{
	const struct cleanup_context *context = operation->context;

	return context->stops;
}

static bool must_detach(const struct operation *operation)
{
	return held_volume(operation->context);
}

static bool must_expunge(const struct operation *operation)
{
	const struct cleanup_context *context = operation->context;

	return context->delete_vm && str_empty(context->vm_kept);
}

static const struct step first_steps[] = {
	{ .name = "check",
	  .would = "Look at the volume and at the VM of the test in CloudStack.",
	  .run = check,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "stop",
	  .would = "Ask CloudStack to stop the VM of the test, and wait for that.",
	  .applies = must_stop,
	  .command = "stopVirtualMachine",
	  .run = stop,
	  .undo = start_again,
	  .deadline = STEP_CLOUD,
	  .asks = true,
	  .vm_turn = true,
	  .undo_vm_turn = true },
	{ .name = "detach",
	  .would =
		  "Ask CloudStack to detach the volume from the VM of the test, and wait for that.",
	  .applies = must_detach,
	  .command = "detachVolume",
	  .run = displace,
	  .undo = displace_undo,
	  .deadline = STEP_CLOUD,
	  .asks = true,
	  .vm_turn = true,
	  .undo_vm_turn = true },
	{ .name = "begin",
	  .would = "Wait until no other attachment to this machine is in the way.",
	  .run = begin,
	  .undo = go_back,
	  .deadline = STEP_CLOUD },
};

static const struct step last_steps[] = {
	/* It is entered by the commit that publishes the volume, and if the store refuses that, all
	 * is undone. */
	{ .name = "permit",
	  .would = "Decide whether the VM of the test is deleted.",
	  .run = permit,
	  .deadline = STEP_CLOUD,
	  .no_return = true },
	{ .name = "expunge",
	  .would =
		  "Ask CloudStack to delete the VM of the test for good, unless it still has volumes.",
	  .applies = must_expunge,
	  .run = expunge,
	  .deadline = STEP_CLOUD,
	  .no_return = true,
	  .no_undo = true,
	  .vm_turn = true },
};

static char *message(const struct cleanup_context *context, const char *path)
{
	_cleanup_free_ char *volume =
		str_empty(path)
			? xstrdup("Volume came back to this machine, and is not here any more")
			: xasprintf("Volume is back at this machine as %s", path);

	if (context->vm_deleted)
		return xasprintf("%s; VM %s is deleted", volume, context->test_vm_id);
	if (!str_empty(context->vm_kept))
		return xasprintf("%s; VM %s is not deleted: %s", volume, context->test_vm_id,
				 context->vm_kept);
	return TAKE_PTR(volume);
}

/* By now, another operation may have moved the volume on. */
static const char *path_here(const struct operation *operation)
{
	struct model *model = operation->ops->model;
	const struct mapping *mapping = mapping_find(model, operation->record.volume_id);
	const struct device *device = NULL;

	if (mapping && env_is_appliance(operation->ops->env, mapping->record.vm_id))
		device = mapping_device(model, mapping);
	return device ? device->path : "";
}

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct cleanup_context *context = operation->context;
	const char *volume_id = operation->record.volume_id;
	const struct export *export = export_find(operation->ops->model, volume_id);
	const char *path = path_here(operation);
	_cleanup_free_ char *text = message(context, path);

	json_put_member(writer, "test_vm_id", str_or(context->test_vm_id, ""));
	json_put_member(writer, "volume_id", str_or(volume_id, ""));
	json_put_member(writer, "oma_vm_id", str_or(context->oma_vm_id, ""));
	json_put_member(writer, "device_path", str_or(path, ""));
	if (export)
		json_put_member(writer, "export_status",
				export_status_names[export->record.status]);
	json_put_name(writer, "vm_deleted");
	json_put_bool(writer, context->vm_deleted);
	json_put_member(writer, "message", text);
}

static bool is_back(const struct operation *operation)
{
	return operation->step > ARRAY_SIZE(first_steps) + ATTACHING_STEP_COUNT;
}

static char *left_over(const struct operation *operation)
{
	const struct cleanup_context *context = operation->context;

	if (is_back(operation))
		return xasprintf("VM %s may be deleted or not", context->test_vm_id);
	return xasprintf("volume %s may be attached to this machine, to VM %s or to nothing%s%s%s",
			 operation->record.volume_id, context->test_vm_id,
			 context->stops ? ", and VM " : "",
			 context->stops ? context->test_vm_id : "",
			 context->stops ? " may be stopped" : "");
}

static char *stays(const struct operation *operation)
{
	return is_back(operation)
		       ? xstrdup("the volume is back at this machine, and stays attached to it")
		       : op_attach_ready_ends(operation);
}

const struct operation_kind op_cleanup = {
	.type = OPERATION_CLEANUP,
	.context = &cleanup_context,
	.groups = { STEP_GROUP(first_steps), ATTACHING_STEPS, STEP_GROUP(last_steps) },
	.respond = respond,
	.left_over = left_over,
	.stays = stays,
	.checks = &cleanup_checks,
};

void *op_cleanup_context(const struct volume_cleanup_args *args)
{
	struct cleanup_context *context = xnew(struct cleanup_context);

	context->attach.device_id = -1;
	str_set(&context->test_vm_id, args->test_vm_id);
	str_set(&context->oma_vm_id, args->oma_vm_id);
	context->delete_vm = args->delete_vm;
	context->force_clean = args->force_clean;
	cloud_step_new_job(&context->attach.job_id);
	cloud_step_new_job(&context->attach.undo_job_id);
	cloud_step_new_job(&context->attach.displaced.job_id);
	cloud_step_new_job(&context->attach.displaced.undo_job_id);
	cloud_step_new_job(&context->stop_job_id);
	cloud_step_new_job(&context->start_job_id);
	cloud_step_new_job(&context->expunge_job_id);
	return context;
}
