/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Detaching a volume from a virtual machine.
 *
 * The kernel is asked before CloudStack: a disk that is mounted, used as swap or part of another
 * device is not pulled from under its users, and the root disk is never detached. Then new users
 * are kept away: the export is closed and the name removed. If the volume shall come back, the name
 * stays instead, and its users wait. If CloudStack refuses, name and export are returned. After
 * CloudStack's job the operation waits until the kernel has removed the disk, since a name that
 * still leads to the old disk must not be promised to another volume.
 */

#include "core/ops/detach_steps.h"

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/host/disk_users.h"
#include "core/host/flush_volume.h"
#include "core/host/suspended.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"
#include "core/ops/activation_step.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/leftover_disk.h"
#include "core/ops/ops.h"
#include "core/ops/vm_idle.h"
#include "disk/device.h"
#include "disk/usage.h"

#define LOOK_AGAIN_MS 1000

static struct detaching *detaching_of(const struct operation *operation)
{
	return operation->context;
}

static bool is_served_here(const struct operation *operation)
{
	const struct detaching *detaching = detaching_of(operation);

	return detaching->attached && env_is_appliance(operation->ops->env, detaching->vm_id);
}

static bool keeps_name(const struct operation *operation)
{
	return detaching_of(operation)->keep_name && operation->ops->env->options.devmap;
}

/* ---- the look at its users ---- */

/* The disk may be another volume's. It does not carry this system: the root disk has a volume of
 * its own in CloudStack. */
static int may_go_unknown(const struct operation *operation, const struct usage_result *result,
			  struct err *err)
{
	if (result->kind != USAGE_HELD || detaching_of(operation)->force)
		return 0;
	return err_set_reason(
		err, ERR_REASON_IN_USE, ERR_CONFLICT,
		"disks here do not identify themselves, and volume %s may be a disk that is in use: %s; release it, or "
		"use force",
		operation->record.volume_id, result->what);
}

static int may_go(void *arg, const struct disk_use *use, struct err *err)
{
	struct operation *operation = arg;
	struct detaching *detaching = detaching_of(operation);
	const struct usage_result *result = use->result;

	if (use->guessed)
		return may_go_unknown(operation, result, err);
	str_set(&detaching->device_path, use->path);

	switch (result->kind) {
	case USAGE_NONE:
		return 0;
	case USAGE_ROOT:
		return err_set(err, ERR_CONFLICT,
			       "%s carries this system (%s); it is never detached",
			       detaching->device_path, result->what);
	case USAGE_HELD:
		if (keeps_name(operation) && !result->beside)
			return 0; /* the users wait with the name */
		if (!detaching->force)
			return err_set_reason(err, ERR_REASON_IN_USE, ERR_CONFLICT,
					      "%s is in use: %s; release it, or use force",
					      detaching->device_path, result->what);
		log_warning("volume=%s: %s is detached by force while %s",
			    operation->record.volume_id, detaching->device_path, result->what);
		return 0;
	}
	abort();
}

static void cancel_check(void *awaited)
{
	disk_users_cancel(awaited);
}

/* done ends in a verb; its error may also say that the users could not be found out. */
static void check_users(struct operation *operation, disk_users_done_fn done)
{
	static const struct wait_kind kind = { .cancel = cancel_check };
	struct disk_users *check;
	struct err err;

	check = disk_users_check(operation->ops->host, operation->record.volume_id, may_go, done,
				 operation, &err);
	if (check)
		operation_wait(operation, check, &kind);
	else
		done(operation, &err);
}

/* ---- check ---- */

static void on_users_known(void *arg, const struct err *err)
{
	struct operation *operation = arg;

	if (err->code) {
		operation_fail(operation, err);
		return;
	}
	operation_next(operation);
}

static void check_disk(struct operation *operation)
{
	struct detaching *detaching = detaching_of(operation);

	if (is_served_here(operation))
		check_users(operation, on_users_known);
	else if (detaching->if_attached)
		leftover_disk_gone_then(&detaching->leftover, operation, false, operation_next);
	else
		operation_next(operation);
}

static int judge_attached(const struct operation *operation, const struct op_facts *facts,
			  struct err *err)
{
	if (!op_volume_is_settled(facts) || facts->volume->vm_id)
		return 0;
	return err_set(err, ERR_CONFLICT, "volume %s is not attached to any VM",
		       operation->record.volume_id);
}

const struct op_check check_volume_attached = { "volume-attached", FACT_VOLUME, judge_attached };

void detaching_foresee(struct operation *operation, const struct op_facts *facts)
{
	struct detaching *detaching = detaching_of(operation);

	if (!facts->volume)
		return;
	detaching->attached = facts->volume->vm_id != NULL;
	str_set(&detaching->vm_id, facts->volume->vm_id);
}

/* By force, or with the name, users may stay. */
disk_users_judge_fn detaching_users(const struct operation *operation)
{
	return is_served_here(operation) ? may_go : leftover_disk_may_stay;
}

bool detaching_sends_clients_away(const struct operation *operation)
{
	return is_served_here(operation) && !keeps_name(operation) &&
	       !detaching_of(operation)->force;
}

static void on_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct detaching *detaching = detaching_of(operation);
	const struct cloud_volume *volume = op_check_volume_or_end(operation, result);

	if (!volume || !operation_on_vm_or_queued(operation, volume->vm_id))
		return;
	if (!volume->vm_id) {
		leftover_disk_gone_then(&detaching->leftover, operation, true, operation_next);
		return;
	}
	detaching_foresee(operation, &(struct op_facts){ .volume = volume });
	detaching->change.looked_ms = clock_mono_ms();
	check_disk(operation);
}

static void check(struct operation *operation)
{
	if (cloud_step_open_or_wait(operation))
		cloud_step_list(operation, on_checked);
}

/* ---- close-export, flush, take-name, and their undo ---- */

static enum activation_goal goal(const struct operation *operation)
{
	return detaching_of(operation)->force ? ACTIVATION_FORCED_DOWN : ACTIVATION_DOWN;
}

/*
 * By force the volume is detached even if the NBD server does not answer, or if the disk does not
 * answer and device mapper therefore waits for it. The name and the export that stay lead to this
 * disk or to errors, and the reconciler removes them when the disk is gone.
 */
static void on_cut_off(void *arg, const struct err *err)
{
	struct operation *operation = arg;
	bool away = err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT;

	if (away && detaching_of(operation)->force)
		log_warning(
			"volume=%s is detached by force, and its name or export may stay for a while: %s",
			operation->record.volume_id, err->text);
	else if (err->code) {
		activation_step_failed(operation, err);
		return;
	}
	operation_next(operation);
}

/* The export's clients are users of the name and wait with it. */
static bool closes_export(const struct operation *operation)
{
	return is_served_here(operation) && !keeps_name(operation);
}

static void close_export(struct operation *operation)
{
	activation_step_then(operation, goal(operation), ACTIVATION_EXPORT, NULL, on_cut_off);
}

static void on_flushed(void *arg, const struct err *err)
{
	struct err failure = *err;

	if (!err->code) {
		operation_next(arg);
		return;
	}
	err_reword(&failure, "%s; written data may not be on the disk yet", err->text);
	operation_fail(arg, &failure);
}

static void cancel_flush(void *awaited)
{
	flush_volume_cancel(awaited);
}

static void flush(struct operation *operation)
{
	static const struct wait_kind kind = { .cancel = cancel_flush };
	struct flush_volume *flushing;

	/* Without force no program uses the disk now, or its users wait with the name. */
	flushing = flush_volume(operation->ops->host, operation->record.volume_id,
				detaching_of(operation)->force, on_flushed, operation);
	if (flushing)
		operation_wait(operation, flushing, &kind);
	else
		operation_next(operation);
}

static void take_name(struct operation *operation)
{
	if (keeps_name(operation))
		activation_step(operation, ACTIVATION_SUSPENDED, ACTIVATION_MAP, NULL);
	else
		activation_step_then(operation, goal(operation), ACTIVATION_MAP, NULL, on_cut_off);
}

/*
 * The disk to which name and export are returned; NULL if it is gone or not ours any more. A disk
 * that stays although CloudStack has detached it may be given to another VM next, so no client is
 * led to it again.
 */
static const struct device *disk_to_serve(const struct operation *operation)
{
	struct ops *ops = operation->ops;
	const struct mapping *mapping = mapping_find(ops->model, operation->record.volume_id);

	if (!mapping || !is_served_here(operation) ||
	    !volume_may_be_here(ops->model, operation->record.volume_id))
		return NULL;
	return mapping_disk(ops->env, &mapping->record);
}

/* A program that has begun to use the disk keeps the name away from it; the reconciler makes the
 * name when the disk is free. */
static void on_name_returned(void *arg, const struct err *err)
{
	struct operation *operation = arg;

	if (err->code && !activation_disk_is_taken(operation, err))
		activation_step_failed(operation, err);
	else
		operation_next(operation);
}

static void return_name(struct operation *operation)
{
	const struct device *device = disk_to_serve(operation);

	if (device)
		activation_step_then(operation, ACTIVATION_UP, ACTIVATION_MAP, device,
				     on_name_returned);
	else
		operation_next(operation);
}

static void stage_pending_export(struct operation *operation, const char *why)
{
	struct export_record record = { 0 };

	export_make(operation->ops->model, operation->record.volume_id, &record);
	record.status = EXPORT_PENDING;
	str_set(&record.error, why);
	change_set_export(operation_change(operation), &record);
}

/* Without an engine or a name, or while a program uses the disk, the export stays pending; the
 * reconciler opens it when it can, and the operation need not wait for that. */
static void on_export_reopened(void *arg, const struct err *err)
{
	struct operation *operation = arg;
	bool may_wait = err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT ||
			err->code == ERR_NOT_FOUND || activation_export_waits(err);

	if (err->code && !may_wait) {
		activation_step_failed(operation, err);
		return;
	}
	if (err->code)
		stage_pending_export(operation, err->text);
	operation_next(operation);
}

static void reopen_export(struct operation *operation)
{
	const struct device *device = disk_to_serve(operation);

	if (device && export_find(operation->ops->model, operation->record.volume_id))
		activation_step_then(operation, ACTIVATION_UP, ACTIVATION_EXPORT, device,
				     on_export_reopened);
	else
		operation_next(operation);
}

/* ---- ask-cloud, await-job ---- */

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	return cloud_detach_volume(operation->ops->env->cloud, operation->record.volume_id, job_id,
				   operation->asked_ms, done, arg);
}

/* A request names no VM, and detaches the volume from any. Since the first look, data were flushed
 * and clients sent away, and CloudStack may have put the request off. */
static int may_ask(struct operation *operation, const struct cloud_volume *volume, struct err *err)
{
	const struct detaching *detaching = detaching_of(operation);

	if (!volume || !volume->vm_id || streq(volume->vm_id, detaching->vm_id))
		return 0;
	return err_set(err, ERR_CONFLICT, "volume %s was attached to VM %s meanwhile",
		       operation->record.volume_id, volume->vm_id);
}

/* If an earlier request may have arrived, its job and the volume decide, and not the refusal of
 * this request. */
static enum cloud_refusal on_refused(struct operation *operation, const struct err *err)
{
	const struct cloud_change *change = &detaching_of(operation)->change;

	if (change->in_doubt)
		return REFUSAL_PASSES;
	return change->sent_before && cloud_err_is_not_attached(err) ? REFUSAL_PASSES
								     : REFUSAL_FAILS;
}

static int check_detached(struct operation *operation, const struct cloud_volume *volume,
			  struct err *err)
{
	struct detaching *detaching = detaching_of(operation);

	detaching->detached = !volume || !volume->vm_id;
	if (detaching->detached)
		return 0;
	if (!str_empty(detaching->users))
		return err_set_reason(err, ERR_REASON_IN_USE, ERR_CONFLICT, "%s", detaching->users);
	return err_set(err, ERR_CLOUD, "the volume is still attached to VM %s", volume->vm_id);
}

static void keep_words(struct operation *operation, const char *words)
{
	str_set(&detaching_of(operation)->words, words);
}

static const struct cloud_change_kind detachment = {
	.done = "detached",
	.submit = submit,
	.may_ask = may_ask,
	.refused = on_refused,
	.check = check_detached,
	.keep_words = keep_words,
	.volume_tells = true,
};

static void ask(struct operation *operation)
{
	struct detaching *detaching = detaching_of(operation);

	str_set(&detaching->users, NULL);
	cloud_change_ask(&detaching->change, &detachment, operation, &detaching->job_id);
}

/*
 * A flush takes its time, and so does a restart; a program that has begun to use the disk meanwhile
 * stops the detachment. A request that was sent before cannot be stopped: the volume decides.
 */
static void on_users_known_again(void *arg, const struct err *err)
{
	struct operation *operation = arg;
	struct detaching *detaching = detaching_of(operation);

	if (!err->code) {
		ask(operation);
	} else if (!operation_is_rerun(operation)) {
		operation_fail(operation, err);
	} else {
		str_set(&detaching->users, err->text);
		cloud_change_verify(&detaching->change, &detachment, operation, &detaching->job_id);
	}
}

static void ask_cloud(struct operation *operation)
{
	if (is_served_here(operation) && !cloud_change_is_ready(&detaching_of(operation)->change))
		check_users(operation, on_users_known_again);
	else
		ask(operation);
}

static void await_job(struct operation *operation)
{
	struct detaching *detaching = detaching_of(operation);

	cloud_change_settle(&detaching->change, &detachment, operation, &detaching->job_id);
}

/* ---- await-gone ---- */

static void settle_export(struct operation *operation)
{
	struct ops *ops = operation->ops;

	if (!export_find(ops->model, operation->record.volume_id))
		return;
	if (suspended_has(ops->host, operation->record.volume_id))
		stage_pending_export(operation,
				     "the volume is detached and shall come back; clients wait");
	else
		change_drop_export(operation_change(operation));
}

static void await_gone(struct operation *operation)
{
	const struct device *device = NULL;

	if (is_served_here(operation))
		device =
			mapping_next_disk(operation->ops->model, operation->record.volume_id, NULL);
	if (device) {
		operation_again(
			operation, LOOK_AGAIN_MS,
			"CloudStack says the volume is detached, but the kernel still shows it as %s",
			device->path);
		return;
	}
	change_drop_mapping(operation_change_anew(operation));
	if (is_served_here(operation))
		settle_export(operation);
	operation_next(operation);
}

/* ---- the steps ---- */

static bool is_attached(const struct operation *operation)
{
	return detaching_of(operation)->attached;
}

static bool is_elsewhere(const struct operation *operation)
{
	return !is_served_here(operation);
}

const struct step detaching_steps[DETACHING_STEP_COUNT] = {
	/* Nothing has been changed yet if this step fails. */
	{ .name = "check",
	  .would = "Look at the volume in CloudStack, and at the users of its disk.",
	  .run = check,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "close-export",
	  .would = "Stop serving the disk over NBD.",
	  .applies = closes_export,
	  .run = close_export,
	  .undo = reopen_export,
	  .deadline = STEP_DEVICE,
	  .vm_turn = true },
	{ .name = "flush",
	  .would = "Write all data that is still in memory to the disk.",
	  .applies = is_served_here,
	  .run = flush,
	  .deadline = STEP_DEVICE,
	  .vm_turn = true },
	{ .name = "take-name",
	  .would = "Take the stable name from the disk; if the name is kept, its users wait.",
	  .applies = is_served_here,
	  .run = take_name,
	  .undo = return_name,
	  .deadline = STEP_DEVICE,
	  .vm_turn = true },
	/* The users are looked for once more. */
	{ .name = "ask-cloud",
	  .would = "Ask CloudStack to detach the volume.",
	  .applies = is_attached,
	  .command = "detachVolume",
	  .run = ask_cloud,
	  .deadline = STEP_CLOUD,
	  .asks = true,
	  .no_return = true,
	  .vm_turn = true },
	{ .name = "await-job",
	  .would = "Wait until CloudStack has detached the volume.",
	  .applies = is_attached,
	  .run = await_job,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "await-gone",
	  .would = "Wait until the disk is gone from this machine, and note that in the store.",
	  .at_once = is_elsewhere,
	  .run = await_gone,
	  .deadline = STEP_DEVICE,
	  .awaits_kernel = true },
};

char *detaching_left_over(const struct operation *operation)
{
	const struct detaching *detaching = detaching_of(operation);

	return xasprintf("volume %s %s VM %s%s", operation->record.volume_id,
			 detaching->detached ? "stays detached from" : "may be detached from",
			 str_or(detaching->vm_id, ""), detaching->detached ? "" : " or not");
}
