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

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/model/commit.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/stable_name.h"
#include "core/ops/attach_activate.h"
#include "core/ops/attach_device.h"
#include "core/ops/attach_probe.h"
#include "core/ops/attach_undo.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"
#include "disk/sysblock.h"

#define F(MEMBER, TYPE, ...) FIELD(attach_context, MEMBER, TYPE, __VA_ARGS__)

static const struct field attach_fields[] = {
	F(job_id, UUID, .doc = "Job of the attachment."),
	F(undo_job_id, UUID, .doc = "Job of the detachment, if the attachment must be undone."),
	F(boot_id, TEXT, .doc = "The boot that after_diskseq belongs to."),
	F(after_diskseq, INT, .doc = "Disks above it appeared after the operation began."),
	F(size, SIZE, .doc = "CloudStack's size of the volume."),
	F(device_id, INT, .doc = "CloudStack's deviceid."),
	F(refused, BOOL, .doc = "CloudStack refused: there is nothing to undo."),
	F(filesystem, TEXT, .doc = "File system found on the disk."),
	F(label, TEXT, .doc = "Its label."),
	F(filesystem_uuid, TEXT, .doc = "Its UUID."),
	F(partition_table, TEXT, .doc = "Partition table found on the disk."),
	F(unreadable, TEXT, .doc = "Why the contents of the disk are not known."),
	F(taken, TEXT, .doc = "The program that had the disk before it could have its name."),
	F(kept, TEXT, .doc = "The clients that keep its export at the size it had."),
	F(alone, BOOL,
	  .doc = "No other attachment was under way when it began, and none begins before it ends."),
};

#undef F
static const struct record attach_context = RECORD("attach_context", attach_context, attach_fields);

/* ---- check: may it be done, now that it is our turn? ---- */

/* From its begin to its end, an attachment may get its disk at any moment. */
static bool has_begun(const struct attach_context *context)
{
	return !str_empty(context->boot_id);
}

/*
 * If no disk of this VM identifies itself, two attachments at the same time could not be told
 * apart, and a disk that one of them leaves behind when it is undone could be taken for the disk of
 * the other. So an attachment begins only when all others have ended, in whatever order they were
 * asked for. An attachment that began alone still counts after a disk that identifies itself has
 * come, since that disk may go again. identified: some disk identifies itself now.
 */
static bool must_wait_for_other(const struct operation *operation, bool identified)
{
	const struct operation *other;

	for (other = operation_first(operation->ops->engine); other;
	     other = operation_after(other)) {
		const struct attach_context *context = other->context;

		if (other != operation && other->kind == &op_attach && op_on_appliance(other) &&
		    has_begun(context) && (!identified || context->alone))
			return true;
	}
	return false;
}

/* Disks that come from here on are new. The last scan may be seconds old, so the disks that are
 * here now are scanned first. */
static void begin(struct operation *operation, uint64_t size)
{
	struct attach_context *context = operation->context;
	struct sysblock *sysblock = operation->ops->env->sysblock;
	struct err err = { 0 };
	bool identified;

	if (op_on_appliance(operation) && sysblock_scan(sysblock, &err) < 0) {
		operation_again(operation, ATTACH_LOOK_AGAIN_MS, "%s", err.text);
		return;
	}
	identified = disks_identify_themselves(operation->ops->env);
	if (op_on_appliance(operation) && must_wait_for_other(operation, identified)) {
		operation_again(
			operation, ATTACH_LOOK_AGAIN_MS,
			"disks here do not identify themselves, so one attachment is made at a time");
		return;
	}
	context->size = size;
	context->alone = !identified;
	context->after_diskseq = (int64_t)sysblock_last_diskseq(sysblock);
	context->after_seen = sysblock_last_seen(sysblock);
	context->began_here = true;
	str_set(&context->boot_id, operation->ops->env->boot_id);
	/* The name must be durable before it is used, and it is used as soon as the disk is
	 * here. */
	if (op_on_appliance(operation) && operation->ops->env->options.devmap)
		name_give(operation->ops->model, operation->record.volume_id);
	operation_next(operation);
}

static void on_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	const struct cloud_volume *volume;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	volume = cloud_step_volume(operation, result, operation->record.volume_id);
	if (!volume) {
		operation_failf(operation, ERR_NOT_FOUND, "volume %s does not exist in CloudStack",
				operation->record.volume_id);
	} else if (volume->vm_id) {
		operation_failf(operation, ERR_CONFLICT,
				"volume %s is already attached to VM %s; detach it first",
				operation->record.volume_id, volume->vm_id);
	} else if (volume->job_id) {
		cloud_step_busy(operation, volume);
	} else {
		begin(operation, volume->size);
	}
}

static void check(struct operation *operation)
{
	cloud_step_list(operation, on_checked);
}

/* ---- ask-cloud, await-job ---- */

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	return cloud_attach_volume(operation->ops->env->cloud, operation->record.volume_id,
				   operation->record.vm_id, job_id, done, arg);
}

static void on_refusal_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	if (op_attach_is_here(operation,
			      cloud_step_volume(operation, result, operation->record.volume_id))) {
		operation_next(operation);
		return;
	}
	context->refused = true;
	operation_failf(operation, ERR_CONFLICT, "volume %s was attached elsewhere meanwhile",
			operation->record.volume_id);
}

static enum cloud_refusal on_refused(struct operation *operation, const struct err *err)
{
	struct attach_context *context = operation->context;

	/* If this step ran before, "attached already" can be the effect of our own request, under a
	 * job id that we never learned. */
	if (operation_is_rerun(operation) && cloud_err_is_attached(err)) {
		cloud_step_list(operation, on_refusal_checked);
		return REFUSAL_WAITS;
	}
	context->refused = !context->change.in_doubt;
	return REFUSAL_FAILS;
}

/* If another program was faster, its attachment is not ours to undo. */
static enum cloud_refusal on_failed(struct operation *operation, const struct cloud_result *result)
{
	struct attach_context *context = operation->context;

	context->refused = cloud_err_is_attached(&result->err);
	return REFUSAL_FAILS;
}

static bool on_told(struct operation *operation, const struct cloud_volume *volume)
{
	struct attach_context *context = operation->context;

	if (!op_attach_is_here(operation, volume))
		return false;
	context->device_id = volume->device_id;
	return true;
}

static void verify(struct operation *operation, const struct cloud_volume *volume)
{
	if (volume && volume->job_id)
		cloud_step_busy(operation, volume);
	else if (volume && on_told(operation, volume))
		operation_next(operation);
	else
		operation_failf(
			operation, ERR_CLOUD,
			"CloudStack lost the job that attached volume %s, and the volume is not attached; try "
			"again",
			operation->record.volume_id);
}

static void cancel_job(void *awaited)
{
	cloud_job_cancel(awaited);
}

/* If a disk has come or gone, the job has very likely ended. */
static void on_disk_changed(struct operation *operation)
{
	if (op_attach_disk_to_name(operation)) {
		cloud_job_cancel(operation->awaited);
		operation_again(operation, 0, "its disk has come");
	} else {
		cloud_job_poke(operation->awaited);
	}
}

static const struct wait_kind job_wait = { .cancel = cancel_job, .poke = on_disk_changed };

static const struct cloud_change_kind attachment = {
	.submit = submit,
	.refused = on_refused,
	.failed = on_failed,
	.told = on_told,
	.verify = verify,
	.job_wait = &job_wait,
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

	if (device) {
		op_attach_name_early(operation, device);
		return;
	}
	cloud_change_settle(&context->change, &attachment, operation, &context->job_id);
	if (context->early_disk)
		cloud_job_poke(operation->awaited);
}

/* ---- await-device ---- */

static void await_device(struct operation *operation)
{
	if (!op_on_appliance(operation) || op_attach_device_or_wait(operation))
		operation_next(operation);
}

/* ---- name, read, export: on this VM only, and each with the disk as it is at that moment ---- */

static void activate(struct operation *operation, unsigned parts)
{
	const struct device *device;

	if (!op_on_appliance(operation)) {
		operation_next(operation);
		return;
	}
	device = op_attach_device_or_wait(operation);
	if (device && op_attach_activate_or_wait(operation, device, parts))
		operation_next(operation);
}

static void make_name(struct operation *operation)
{
	activate(operation, ACTIVATION_MAP);
}

static void read_contents(struct operation *operation)
{
	const struct device *device;

	if (!op_on_appliance(operation)) {
		operation_next(operation);
		return;
	}
	device = op_attach_device_or_wait(operation);
	if (device)
		op_attach_read(operation, device);
}

static void make_export(struct operation *operation)
{
	activate(operation, ACTIVATION_ALL);
}

/* ---- publish ---- */

/* In a context that was loaded, an unknown text is empty. */
static const char *text_or_null(const char *text)
{
	return str_empty(text) ? NULL : text;
}

static void note_contents(const struct attach_context *context, struct mapping_record *record)
{
	str_set(&record->filesystem, text_or_null(context->filesystem));
	str_set(&record->label, text_or_null(context->label));
	str_set(&record->filesystem_uuid, text_or_null(context->filesystem_uuid));
	str_set(&record->partition_table, text_or_null(context->partition_table));
}

/* device: NULL if the volume is on another VM. */
static void put_mapping(struct operation *operation, const struct device *device)
{
	const struct attach_context *context = operation->context;
	const struct operation_record *asked = &operation->record;
	struct mapping_record record = { 0 };

	mapping_make(operation->ops->model, asked->volume_id, asked->vm_id, &record);
	mapping_place(operation->ops->model, &record, context->device_id, context->size, device);
	record.matched_by = (int)context->matched_by;
	note_contents(context, &record);
	change_put_mapping(operation_change_anew(operation), &record);
	if (device && operation->ops->env->options.exporter)
		op_attach_put_export(operation, device);
}

/* While an operation has the owner, nothing else changes the owner's mapping; but that its disk is
 * gone is true in any case. */
static void bring_owner_up_to_date(const struct operation *operation, const struct mapping *owner)
{
	struct ops *ops = operation->ops;
	struct mapping_record record = { 0 };

	if (!op_on_appliance(operation)) {
		notice_tell(ops->model, NOTICE_CLOUD_UNSURE);
	} else if (!operation_busy(ops->engine, owner->record.volume_id)) {
		notice_tell(ops->model, NOTICE_DEVICES_UNSURE);
	} else if (!change_has_mappings(ops->model) && !mapping_device(ops->model, owner)) {
		record_copy(&mapping_record, &record, &owner->record);
		mapping_describe(ops->model, &record, NULL);
		commit_mapping(ops->model, owner->record.volume_id, &record, CHANGE_IF_MAPPED, NULL,
			       NULL);
	}
}

/*
 * A device path that the kernel, or CloudStack with a slot, has just given away again may still
 * stand in the mapping of its last owner. Then that mapping is out of date and is brought up to
 * date.
 */
static bool path_is_free_or_wait(struct operation *operation)
{
	const struct mapping_record *wanted = change_mapping(operation->change);
	struct mapping *mapping;

	for (mapping = mapping_first(operation->ops->model); mapping;
	     mapping = mapping_next(mapping)) {
		if (!streq(mapping->record.device_path, wanted->device_path) ||
		    !streq(mapping->record.vm_id, wanted->vm_id) ||
		    streq(mapping->record.volume_id, operation->record.volume_id))
			continue;
		bring_owner_up_to_date(operation, mapping);
		operation_again(operation, ATTACH_LOOK_AGAIN_MS / 10,
				"%s is still noted for volume %s", mapping->record.device_path,
				mapping->record.volume_id);
		return false;
	}
	return true;
}

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
	put_mapping(operation, device);
	if (path_is_free_or_wait(operation))
		operation_next(operation);
}

/* ---- the table ---- */

static const struct step attach_steps[] = {
	{ .name = "check", .run = check, .deadline = STEP_CLOUD },
	{ .name = "ask-cloud", .run = ask_cloud, .undo = op_attach_undo, .deadline = STEP_CLOUD },
	{ .name = "await-job",
	  .run = await_job,
	  .undo = op_attach_undo_early_name,
	  .deadline = STEP_CLOUD },
	{ .name = "await-device", .run = await_device, .deadline = STEP_DEVICE },
	{ .name = "name", .run = make_name, .undo = op_attach_undo_name, .deadline = STEP_DEVICE },
	{ .name = "read", .run = read_contents, .deadline = STEP_DEVICE },
	{ .name = "export",
	  .run = make_export,
	  .undo = op_attach_undo_export,
	  .deadline = STEP_DEVICE },
	{ .name = "publish", .run = publish, .deadline = STEP_DEVICE },
};

static void put_text(struct json_writer *writer, const char *name, const char *text)
{
	json_put_name(writer, name);
	json_put_text(writer, str_or(text, ""));
}

static char *users_note(const struct attach_context *context)
{
	if (text_or_null(context->taken))
		return xasprintf(
			", but without its stable name and its export, which are made when its disk is free: %s",
			context->taken);
	if (text_or_null(context->kept))
		return xasprintf(
			"; its NBD clients keep the size they know until they connect again: %s",
			context->kept);
	return xstrdup("");
}

/* ext4 "backup" and a partition table (gpt) */
static char *describe_contents(const struct attach_context *context)
{
	struct buf text = BUF_NULL;

	if (text_or_null(context->filesystem))
		buf_printf(&text, "%s", context->filesystem);
	if (text_or_null(context->label))
		buf_printf(&text, " \"%s\"", context->label);
	if (text_or_null(context->partition_table))
		buf_printf(&text, "%sa partition table (%s)", text.length ? " and " : "",
			   context->partition_table);
	return buf_take(&text);
}

static char *message(const struct attach_context *context)
{
	_cleanup_free_ char *contents = describe_contents(context);
	_cleanup_free_ char *users = users_note(context);

	if (text_or_null(context->unreadable))
		return xasprintf("Volume attached%s; its contents are not known: %s", users,
				 context->unreadable);
	if (text_or_null(context->filesystem) || text_or_null(context->partition_table))
		return xasprintf("Volume attached%s; it is not empty, do not format it: %s", users,
				 contents);
	return xasprintf("Volume attached%s", users);
}

static void put_found(struct json_writer *writer, const char *name, const char *text)
{
	if (!text)
		return;
	json_put_name(writer, name);
	json_put_text(writer, text);
}

static void put_contents(struct json_writer *writer, const struct mapping_record *record)
{
	put_found(writer, "filesystem", record->filesystem);
	put_found(writer, "label", record->label);
	put_found(writer, "filesystem_uuid", record->filesystem_uuid);
	put_found(writer, "partition_table", record->partition_table);
}

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct mapping_record *record = change_mapping(operation->change);
	const struct attach_context *context = operation->context;
	bool named = str_empty(context->taken);
	_cleanup_free_ char *text = message(context);

	put_text(writer, "volume_id", record->volume_id);
	put_text(writer, "vm_id", record->vm_id);
	put_text(writer, "device_path", record->device_path);
	put_text(writer, "by_id_path", record->by_id_path);
	put_text(writer, "persistent_device_name", named ? record->persistent_device_name : NULL);
	put_text(writer, "symlink_path", named ? record->symlink_path : NULL);
	json_put_name(writer, "size");
	json_put_uint(writer, record->size);
	put_text(writer, "matched_by", matched_by_names[record->matched_by]);
	put_contents(writer, record);
	put_text(writer, "message", text);
}

static char *left_over(const struct operation *operation)
{
	return xasprintf("volume %s may still be attached to VM %s", operation->record.volume_id,
			 operation->record.vm_id);
}

const struct operation_kind op_attach = {
	.type = OPERATION_ATTACH,
	.context = &attach_context,
	.groups = { STEP_GROUP(attach_steps) },
	.respond = respond,
	.left_over = left_over,
};

void *op_attach_context(void)
{
	struct attach_context *context = xnew(struct attach_context);

	context->device_id = -1;
	cloud_step_new_job(&context->job_id);
	cloud_step_new_job(&context->undo_job_id);
	return context;
}
