/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Attaching a volume: may it be attached, the shared steps of ops/attach_steps, and the answer for
 * the client.
 */

#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/model/commit.h"
#include "core/model/mapping.h"
#include "core/ops/attach_cloud.h"
#include "core/ops/attach_device.h"
#include "core/ops/attach_ready.h"
#include "core/ops/attach_root.h"
#include "core/ops/attach_steps.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/leftover_disk.h"
#include "core/ops/ops.h"
#include "core/ops/vm_idle.h"

/* ---- check: may it be done, now that it is our turn? ---- */

/* By the scan with which the attachment has just begun. */
static bool disk_has_gone(const struct operation *operation)
{
	const struct attach_context *context = operation->context;

	return context->only_here &&
	       !mapping_next_disk(operation->ops->model, operation->record.volume_id, NULL);
}

static void begin(struct operation *operation)
{
	struct attach_context *context = operation->context;
	struct operation *rival = NULL;

	context->size = context->listed_size;
	if (!op_attach_begin_or_wait(operation, &rival)) {
		if (rival)
			operation_queue_behind(operation, rival);
	} else if (disk_has_gone(operation)) {
		operation_failf(
			operation, ERR_CONFLICT,
			"the disk of volume %s has gone meanwhile, so the volume stays detached; attach it if you need it here",
			operation->record.volume_id);
	} else {
		operation_next(operation);
	}
}

static void check_disk(struct operation *operation)
{
	struct attach_context *context = operation->context;

	leftover_disk_gone_then(&context->leftover, operation, !op_on_appliance(operation), begin);
}

static void on_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;
	const struct cloud_volume *volume = op_check_volume_or_end(operation, result);

	if (!volume)
		return;
	context->listed_size = volume->size;
	vm_idle_then(&context->vm_look, operation, check_disk);
}

static void check(struct operation *operation)
{
	if (cloud_step_open_or_wait(operation))
		cloud_step_list(operation, on_checked);
}

static const struct step check_step[] = {
	{ .name = "check",
	  .would = "Look at the volume in CloudStack, and wait until nothing else works on its VM.",
	  .run = check,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
};

static const struct op_check *const checks[] = {
	&check_volume_exists, &check_volume_kept, &check_volume_free, &check_vm_exists,
	&check_vm_state,      &check_zone,        &check_owner,       &check_to_snapshots,
	&check_device_slot,   &check_rights,      &check_disk_users,  NULL,
};

static const struct op_checks attach_checks = { .list = checks,
						.wish = op_attach_wish,
						.users = op_attach_users };

static char *users_note(const struct attach_context *context)
{
	if (text_or_null(context->taken))
		return xasprintf(
			", but without its stable name and its export, which are made when its disk is free: %s",
			context->taken);
	if (text_or_null(context->used))
		return xasprintf(
			", but without its export, which is made as soon as that is possible: %s",
			context->used);
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

static char *describe(const struct attach_context *context)
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

static char *message(const struct attach_context *context)
{
	_cleanup_free_ char *attached = describe(context);
	_cleanup_free_ char *words = cloud_change_note(context->words);

	return xasprintf("%s%s", attached, words);
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

static void put_export_status(struct json_writer *writer, const struct export_record *export)
{
	put_found(writer, "export_status", export ? export_status_names[export->status] : NULL);
	put_found(writer, "export_error", export ? export->error : NULL);
}

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct mapping_record *record = change_mapping(operation->change);
	const struct attach_context *context = operation->context;
	bool named = str_empty(context->taken);
	_cleanup_free_ char *text = message(context);

	json_put_member(writer, "volume_id", str_or(record->volume_id, ""));
	json_put_member(writer, "vm_id", str_or(record->vm_id, ""));
	json_put_member(writer, "device_path", str_or(record->device_path, ""));
	json_put_member(writer, "by_id_path", str_or(record->by_id_path, ""));
	json_put_member(writer, "persistent_device_name",
			named ? str_or(record->persistent_device_name, "") : "");
	json_put_member(writer, "symlink_path", named ? str_or(record->symlink_path, "") : "");
	json_put_name(writer, "size");
	json_put_uint(writer, record->size);
	json_put_member(writer, "matched_by", matched_by_names[record->matched_by]);
	put_export_status(writer, change_export(operation->change));
	put_contents(writer, record);
	json_put_member(writer, "message", text);
}

static char *left_over(const struct operation *operation)
{
	return xasprintf("volume %s may still be attached to VM %s", operation->record.volume_id,
			 operation->record.vm_id);
}

const struct operation_kind op_attach = {
	.type = OPERATION_ATTACH,
	.context = &attach_context_record,
	.variant = &op_attach_root,
	.is_variant = op_attach_root_is_asked,
	.groups = { STEP_GROUP(check_step), ATTACHING_STEPS },
	.respond = respond,
	.left_over = left_over,
	.stays = op_attach_ready_ends,
	.checks = &attach_checks,
};
