/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Attaching a volume, and finding out which device it became.
 *
 * CloudStack is asked to attach the volume; on this VM a disk then appears some time before or
 * after CloudStack reports the end of its job. rules/match alone decides which disk is the volume:
 * by the disk's own identity if the disk has one. A volume whose disk cannot be decided is an
 * error, and the attachment is undone; a wrong device is never named. The disk gets the volume's
 * stable name and is exported under it (attach_activate.c), and the client gets its answer only
 * after an NBD client was answered.
 */

#include "core/ops/attach_steps.h"

#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/stable_name.h"
#include "core/model/volume.h"
#include "core/ops/attach_activate.h"
#include "core/ops/attach_cloud.h"
#include "core/ops/attach_device.h"
#include "core/ops/attach_probe.h"
#include "core/ops/attach_publish.h"
#include "core/ops/attach_ready.h"
#include "core/ops/attach_undo.h"
#include "core/ops/attach_vm.h"
#include "core/ops/cloud_change.h"
#include "core/ops/ops.h"
#include "disk/sysblock.h"

/* ---- the begin ---- */

/* From its begin to its end, an attachment may get its disk at any moment. */
static bool has_begun(const struct attach_context *context)
{
	return !str_empty(context->boot_id);
}

/*
 * If no disk of this VM identifies itself, two attachments at the same time could not be told
 * apart, and a disk that one of them leaves behind when it is undone could be taken for the disk of
 * the other. So an attachment begins only when all others have ended, also those whose job has
 * ended. An attachment that began alone still counts after a disk that identifies itself has come,
 * since that disk may go again. identified: some disk identifies itself now. Returns one of those
 * to wait for; NULL: there is none.
 */
static struct operation *find_rival(const struct operation *operation, bool identified)
{
	struct operation *other;

	for (other = operation_first(operation->ops->engine); other;
	     other = operation_after(other)) {
		const struct attach_context *context = op_attach_context_of(other);

		if (other != operation && context && op_on_appliance(other) && has_begun(context) &&
		    (!identified || context->alone))
			return other;
	}
	return NULL;
}

static bool is_given_away(const struct operation *operation, int64_t slot)
{
	const struct volume *volume;

	for (volume = volume_first(operation->ops->model); volume; volume = volume_next(volume)) {
		if (volume->cloud.device_id == slot &&
		    streq(volume->cloud.vm_id, operation->record.vm_id) &&
		    !streq(volume->id, operation->record.volume_id))
			return true;
	}
	return false;
}

/*
 * The disk can be here already, although CloudStack says that the volume is attached to nothing: a
 * detachment that ended late has cleared the attachment there, or a management server was restarted
 * while it attached the volume. The hypervisor then has the disk in the slot that was noted. In
 * that slot it takes the volume or refuses it; in another one it could plug it in a second time. If
 * CloudStack shows another volume in the slot, the hypervisor has taken two disks there, and does
 * not go by slots.
 */
static int64_t find_slot(const struct operation *operation)
{
	struct model *model = operation->ops->model;
	const char *volume_id = operation->record.volume_id;
	const struct mapping *mapping = mapping_find(model, volume_id);

	if (!mapping || !streq(mapping->record.vm_id, operation->record.vm_id) ||
	    mapping->record.cloudstack_device_id <= 0 ||
	    !mapping_next_disk(model, volume_id, NULL) ||
	    is_given_away(operation, mapping->record.cloudstack_device_id))
		return -1;
	return mapping->record.cloudstack_device_id;
}

/* The last scan may be seconds old, so the disks that are here now are scanned first. */
bool op_attach_begin_or_wait(struct operation *operation, struct operation **rival)
{
	struct attach_context *context = operation->context;
	struct sysblock *sysblock = operation->ops->env->sysblock;
	struct err err;
	bool identified;

	err_clear(&err);
	if (op_on_appliance(operation) && sysblock_scan(sysblock, &err) < 0) {
		operation_again(operation, ATTACH_LOOK_AGAIN_MS, "%s", err.text);
		return false;
	}
	identified = disks_identify_themselves(operation->ops->env);
	if (op_on_appliance(operation))
		*rival = find_rival(operation, identified);
	if (*rival)
		return false;
	context->device_id = op_on_appliance(operation) ? find_slot(operation) : -1;
	context->alone = !identified;
	context->after_diskseq = (int64_t)sysblock_last_diskseq(sysblock);
	context->after_seen = sysblock_last_seen(sysblock);
	context->began_here = true;
	str_set(&context->boot_id, operation->ops->env->boot_id);
	/* The name must be durable before it is used, and it is used as soon as the disk is
	 * here. */
	if (op_on_appliance(operation) && operation->ops->env->options.devmap)
		name_give(operation->ops->model, operation->record.volume_id);
	return true;
}

/* ---- ask-cloud, await-job ---- */

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	const struct attach_context *context = operation->context;

	return cloud_attach_volume(operation->ops->env->cloud, operation->record.volume_id,
				   operation->record.vm_id, context->device_id, job_id,
				   operation->asked_ms, done, arg);
}

static void cancel_job(void *awaited)
{
	cloud_job_cancel(awaited);
}

/* If a disk has come or gone, the job has very likely ended. */
static void on_disk_changed(struct operation *operation)
{
	if (op_attach_disk_to_name(operation) || op_attach_has_news(operation)) {
		cloud_job_cancel(operation->awaited);
		operation_again(operation, 0, "the end of the job; its disk has come");
	} else {
		cloud_job_poke(operation->awaited);
	}
}

static const struct wait_kind job_wait = {
	.cancel = cancel_job,
	.poke = on_disk_changed,
	.seen = cloud_change_job_seen,
};

static bool has_sign(const struct operation *operation)
{
	const struct attach_context *context = operation->context;

	return context->early_disk || context->told_disk;
}

static const struct cloud_change_kind attachment = {
	.done = "attached",
	.submit = submit,
	.refused = op_attach_refused,
	.missed = op_attach_missed,
	.check = op_attach_check,
	.keep_words = op_attach_keep_words,
	.explain = op_attach_explain,
	.job_wait = &job_wait,
	.has_sign = has_sign,
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
	const struct device *device = op_attach_disk_to_name(operation);

	if (device)
		op_attach_name_early(operation, device);
	else if (op_attach_told_or_store(operation))
		cloud_change_settle(&context->change, &attachment, operation, &context->job_id);
}

/* ---- await-device ---- */

static void await_device(struct operation *operation)
{
	if (op_on_appliance(operation) ? op_attach_device_or_wait(operation) != NULL
				       : op_attach_is_remote_or_end(operation))
		operation_next(operation);
}

/* ---- name, read, export: on this VM only, see applies; and each with the disk as it is at that
 * moment ---- */

static bool is_active_or_wait(struct operation *operation, unsigned parts)
{
	const struct device *device = op_attach_device_or_wait(operation);

	return device && op_attach_activate_or_wait(operation, device, parts);
}

static void make_name(struct operation *operation)
{
	if (is_active_or_wait(operation, ACTIVATION_MAP) && op_attach_told_or_store(operation))
		operation_next(operation);
}

static void read_contents(struct operation *operation)
{
	const struct device *device = op_attach_device_or_wait(operation);

	if (device)
		op_attach_read(operation, device);
}

static void make_export(struct operation *operation)
{
	if (is_active_or_wait(operation, ACTIVATION_ALL))
		operation_next(operation);
}

/* ---- publish ---- */

static void publish(struct operation *operation)
{
	const struct device *device = NULL;

	/* After a restart the device must be found again, because the kernel may have given its
	 * name to another disk. */
	if (op_on_appliance(operation)) {
		device = op_attach_device_or_wait(operation);
		if (!device || !op_attach_activate_or_wait(operation, device, ACTIVATION_ALL))
			return;
	}
	op_attach_publish(operation, device);
}

/* ---- the table ---- */

static bool is_here(const struct operation *operation)
{
	return op_on_appliance(operation);
}

const struct step attaching_steps[ATTACHING_STEP_COUNT] = {
	{ .name = "ask-cloud",
	  .would = "Ask CloudStack to attach the volume to the VM.",
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
	  .undo = op_attach_undo_early_name,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "await-device",
	  .would =
		  "Find out which device the volume has become; on another VM there is none to find.",
	  .at_once = op_elsewhere,
	  .run = await_device,
	  .deadline = STEP_DEVICE,
	  .awaits_kernel = true },
	{ .name = "name",
	  .would = "Give the disk the stable name of the volume.",
	  .applies = is_here,
	  .run = make_name,
	  .undo = op_attach_undo_name,
	  .deadline = STEP_DEVICE },
	{ .name = "read",
	  .would = "Read what kind of data is on the disk.",
	  .applies = is_here,
	  .run = read_contents,
	  .deadline = STEP_DEVICE },
	{ .name = "export",
	  .would = "Serve the disk over NBD, unless a program uses it.",
	  .applies = is_here,
	  .run = make_export,
	  .undo = op_attach_undo_export,
	  .deadline = STEP_DEVICE },
	{ .name = "publish",
	  .would = "Note the attachment in the store.",
	  .at_once = op_elsewhere,
	  .run = publish,
	  .deadline = STEP_DEVICE },
};
