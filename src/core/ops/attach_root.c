/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Attaching a volume as the root disk of another VM, which must be stopped. Nothing of it is on
 * this machine, so the volume gets neither a name nor an export.
 *
 * CloudStack refuses a second root disk, and what it says then does not name the first. So the VM's
 * disks are looked at before: a root disk that is there is named, or makes way if the client asked
 * for that. For a volume that was never attached CloudStack reports a failure of the job although
 * it has attached the volume, and the VM starts from it; the volume decides, as always.
 */

#include "core/ops/attach_root.h"

#include "base/json.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/commit.h"
#include "core/model/notice.h"
#include "core/ops/attach_cloud.h"
#include "core/ops/attach_device.h"
#include "core/ops/attach_publish.h"
#include "core/ops/attach_undo.h"
#include "core/ops/attach_vm.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/displace_step.h"
#include "core/ops/leftover_disk.h"
#include "core/ops/ops.h"
#include "core/ops/vm_idle.h"

/* A start asks this of thousands, of which few say anything about it. */
bool op_attach_root_is_asked(const struct operation_record *record)
{
	const char *text = record->request;
	_cleanup_json_ struct json *request =
		text && strstr(text, "\"attach_as\"") ? json_parse(text, strlen(text), NULL) : NULL;

	return streq(json_text(json_get(request, "attach_as")), "root");
}

void op_attach_root_refuse(const char *vm_id, struct err *err)
{
	err_set_field(
		err, "vm_id", ERR_INVALID,
		"VM %s is this machine, which carries this system on its root disk; attach the volume "
		"as a data disk here, or name another VM",
		vm_id);
}

/* ---- check ---- */

/* The id of this machine may have become known since the request. */
static int judge_vm(const struct operation *operation, const struct op_facts *facts,
		    struct err *err)
{
	if (!op_on_appliance(operation))
		return 0;
	op_attach_root_refuse(operation->record.vm_id, err);
	return -1;
}

static const struct op_check check_other_vm = { "own-system", 0, judge_vm };

static int judge_stopped(const struct operation *operation, const struct op_facts *facts,
			 struct err *err)
{
	const struct cloud_vm *vm = facts->to;

	if (!vm || vm->job_id || streq(vm->state, "Stopped"))
		return 0;
	return err_set_reason(
		err, ERR_REASON_VM_RUNNING, ERR_CONFLICT,
		"VM %s is %s; CloudStack changes the root disk of a stopped VM only: stop it first",
		vm->id, str_or(vm->state, "in an unknown state"));
}

static const struct op_check check_stopped = { "vm-state", FACT_TO, judge_stopped };

static int judge_root(const struct operation *operation, const struct op_facts *facts,
		      struct err *err)
{
	const struct attach_context *context = operation->context;

	if (!facts->to_root || context->replace)
		return 0;
	return err_set(
		err, ERR_CONFLICT,
		"VM %s has a root disk already, volume %s (%s); detach it first, or ask with "
		"replace",
		operation->record.vm_id, facts->to_root->id, str_or(facts->to_root->name, ""));
}

static const struct op_check check_root = { "root-disk", FACT_TO_DISKS, judge_root };

static const struct op_check *const checks[] = {
	&check_other_vm,
	&check_volume_exists,
	&check_volume_kept,
	&check_volume_free,
	&check_vm_exists,
	&check_stopped,
	&check_root,
	&check_zone,
	&check_owner,
	&check_to_snapshots,
	&check_rights,
	&check_disk_users,
	NULL,
};

static void note_root(struct operation *operation, const struct cloud_volume *root)
{
	struct attach_context *context = operation->context;

	str_set(&context->displaced.volume_id, root ? root->id : NULL);
	str_set(&context->displaced.vm_id, operation->record.vm_id);
	context->displaced.is_root = true;
}

static void foresee(struct operation *operation, const struct op_facts *facts)
{
	if (facts->known & FACT_TO_DISKS)
		note_root(operation, facts->to_root);
}

static const struct op_checks attach_root_checks = {
	.list = checks, .wish = op_attach_wish, .users = op_attach_users, .foresee = foresee
};

static const struct cloud_volume *find_root(const struct cloud_result *result)
{
	for (size_t i = 0; i < result->count; i++) {
		if (streq(result->volumes[i].type, "ROOT"))
			return &result->volumes[i];
	}
	return NULL;
}

static const struct cloud_volume *find_busy(const struct cloud_result *result)
{
	for (size_t i = 0; i < result->count; i++) {
		if (cloud_volume_is_busy(&result->volumes[i]))
			return &result->volumes[i];
	}
	return NULL;
}

static void on_disks_listed(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;
	struct op_facts facts = { .known = FACT_TO_DISKS };
	const struct cloud_volume *busy;
	struct err err;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	busy = find_busy(result);
	facts.to_root = find_root(result);
	if (busy) {
		cloud_step_busy(operation, busy);
	} else if (op_check(operation, &facts, &err) < 0) {
		operation_fail(operation, &err);
	} else {
		note_root(operation, facts.to_root);
		leftover_disk_gone_then(&context->leftover, operation, true, operation_next);
	}
}

static void on_vm_listed(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	const struct cloud_volume_filter filter = { .vm_id = operation->record.vm_id };
	struct op_facts facts = { .known = FACT_TO };
	struct err err;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	facts.to = cloud_step_vm(result, operation->record.vm_id);
	if (op_check(operation, &facts, &err) < 0)
		operation_fail(operation, &err);
	else if (facts.to->job_id)
		cloud_step_vm_busy(operation, facts.to);
	else
		cloud_step_wait_call(operation,
				     cloud_list_volumes(operation->ops->env->cloud, &filter,
							on_disks_listed, operation));
}

static void on_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;
	const struct cloud_volume *volume = op_check_volume_or_end(operation, result);

	if (!volume)
		return;
	context->size = volume->size;
	cloud_step_wait_call(operation,
			     cloud_list_vm(operation->ops->env->cloud, operation->record.vm_id,
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

/* ---- ask-cloud, await-job ---- */

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	return cloud_attach_root(operation->ops->env->cloud, operation->record.volume_id,
				 operation->record.vm_id, job_id, operation->asked_ms, done, arg);
}

static int check_attached(struct operation *operation, const struct cloud_volume *volume,
			  struct err *err)
{
	struct attach_context *context = operation->context;

	if (op_attach_check(operation, volume, err) < 0)
		return -1;
	if (streq(volume->type, "ROOT"))
		return 0;
	context->refused = true;
	return err_set(
		err, ERR_CLOUD,
		"another client of CloudStack has attached the volume to VM %s as a data disk",
		volume->vm_id);
}

static const struct cloud_change_kind attachment = {
	.done = "attached",
	.submit = submit,
	.refused = op_attach_refused,
	.missed = op_attach_missed,
	.check = check_attached,
	.keep_words = op_attach_keep_words,
	.explain = op_attach_explain,
	.can_undo = true,
};

static void ask_cloud(struct operation *operation)
{
	struct attach_context *context = operation->context;

	cloud_change_ask(&context->change, &attachment, operation, &context->job_id);
}

static void await_job(struct operation *operation)
{
	struct attach_context *context = operation->context;

	cloud_change_settle(&context->change, &attachment, operation, &context->job_id);
}

/* ---- publish ---- */

static bool has_displaced(const struct operation *operation)
{
	const struct attach_context *context = operation->context;

	return !str_empty(context->displaced.volume_id);
}

/* The former root disk may have a mapping, which is untrue now. */
static void publish(struct operation *operation)
{
	if (has_displaced(operation))
		notice_tell(operation->ops->model, NOTICE_CLOUD_UNSURE);
	op_attach_publish(operation, NULL);
}

/* ---- the table ---- */

static const struct step attach_root_steps[] = {
	{ .name = "check",
	  .would = "Look at the volume, the VM and its disks in CloudStack, and wait until nothing "
		   "works on them.",
	  .run = check,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "detach-old",
	  .would = "Ask CloudStack to detach the root disk that the VM has now, and wait for that.",
	  .applies = has_displaced,
	  .command = "detachVolume",
	  .run = displace,
	  .undo = displace_undo,
	  .deadline = STEP_CLOUD,
	  .asks = true,
	  .vm_turn = true,
	  .undo_vm_turn = true },
	{ .name = "ask-cloud",
	  .would = "Ask CloudStack to attach the volume to the VM as its root disk.",
	  .command = "attachVolume",
	  .run = ask_cloud,
	  .undo = op_attach_undo,
	  .deadline = STEP_CLOUD,
	  .asks = true,
	  .vm_turn = true,
	  .undo_vm_turn = true },
	{ .name = "await-job",
	  .would = "Wait until CloudStack has attached the volume.",
	  .run = await_job,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "publish",
	  .would = "Note the attachment in the store.",
	  .at_once = op_elsewhere,
	  .run = publish,
	  .deadline = STEP_DEVICE },
};

static char *message(const struct operation *operation)
{
	const struct attach_context *context = operation->context;
	_cleanup_free_ char *words = cloud_change_note(context->words);

	return xasprintf("Volume attached as the root disk of VM %s%s%s%s", operation->record.vm_id,
			 has_displaced(operation) ? "; its former root disk is detached: volume "
						  : "",
			 has_displaced(operation) ? context->displaced.volume_id : "", words);
}

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct mapping_record *record = change_mapping(operation->change);
	_cleanup_free_ char *text = message(operation);

	json_put_member(writer, "volume_id", record->volume_id);
	json_put_member(writer, "vm_id", record->vm_id);
	json_put_member(writer, "device_path", record->device_path);
	json_put_name(writer, "device_id");
	json_put_int(writer, 0);
	json_put_name(writer, "size");
	json_put_uint(writer, record->size);
	json_put_member(writer, "message", text);
}

static char *left_over(const struct operation *operation)
{
	const struct attach_context *context = operation->context;

	if (has_displaced(operation))
		return xasprintf(
			"VM %s may be without its root disk, volume %s, or still have volume %s in its place",
			operation->record.vm_id, context->displaced.volume_id,
			operation->record.volume_id);
	return xasprintf("volume %s may still be attached to VM %s", operation->record.volume_id,
			 operation->record.vm_id);
}

const struct operation_kind op_attach_root = {
	.type = OPERATION_ATTACH,
	.context = &attach_context_record,
	.groups = { STEP_GROUP(attach_root_steps) },
	.respond = respond,
	.left_over = left_over,
	.checks = &attach_root_checks,
};

void *op_attach_root_context(bool replace)
{
	struct attach_context *context = op_attach_context();

	context->replace = replace;
	cloud_step_new_job(&context->displaced.job_id);
	cloud_step_new_job(&context->displaced.undo_job_id);
	return context;
}
