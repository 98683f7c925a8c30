/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An attached volume gets its stable name and is exported under that name.
 *
 * The kernel lets one program at a time have a disk to itself, and a name needs the disk to itself.
 * Other programs want the disk, too: a moment after the disk has come, udev starts the LVM or md
 * that it finds there, and systemd mounts the file systems of /etc/fstab. A program that comes
 * after the name finds the volume under the name and uses that; a program that comes before the
 * name keeps the name out. So a disk that identifies itself gets its name at once, before
 * CloudStack reports it as attached and before anything of it is read.
 *
 * Even then the name can come too late. Then the volume is attached as requested, and another
 * program works with it: undoing the attachment would pull the disk from under that program. So the
 * volume stays, under the kernel's name alone and not exported, since a disk that is held is never
 * exported. The response names the holder, and the reconciler makes name and export when the disk
 * is free. Without stable names, or if a program came right after the name, only the export waits.
 *
 * A volume that comes back under the name its clients wait for may have grown. An NBD client has
 * learned the export's size when it connected, and keeps that size and the export until it leaves.
 */

#include "core/ops/attach_activate.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/host/disk_users.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/stable_name.h"
#include "core/ops/activation_step.h"
#include "core/ops/attach_device.h"
#include "core/ops/ops.h"
#include "disk/device.h"
#include "disk/usage.h"

static bool is_taken(const struct attach_context *context)
{
	return !str_empty(context->taken);
}

static bool is_used(const struct attach_context *context)
{
	return !str_empty(context->used);
}

static bool is_kept(const struct attach_context *context)
{
	return !str_empty(context->kept);
}

/* ---- the program that was faster ---- */

static void on_usage(void *arg, const struct usage_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;

	if (!result->err.code && result->kind != USAGE_NONE)
		str_set(&context->taken, result->what);
	operation_again(operation, 0, "the next look; another program uses its disk");
}

static void cancel_usage(void *awaited)
{
	usage_check_cancel(awaited);
}

static void ask_holder(struct operation *operation, const struct device *device)
{
	static const struct wait_kind kind = { .cancel = cancel_usage };
	struct attach_context *context = operation->context;

	context->asked = true;
	operation_wait(operation,
		       usage_start(operation->ops->host, operation->record.volume_id, device,
				   on_usage, operation),
		       &kind);
}

/* ---- name and export ---- */

/* Clients that have waited for the volume still use its export. Without such clients an attachment
 * finds no export. */
static bool is_clients_own(const struct operation *operation, const struct err *err)
{
	return err->code == ERR_CONFLICT && !err->field[0] &&
	       export_find(operation->ops->model, operation->record.volume_id);
}

static void on_activated(void *arg, const struct err *err)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;

	if (activation_disk_is_taken(operation, err)) {
		str_set(&context->taken, err->text);
		operation_again(operation, 0, "%s", err->text);
	} else if (activation_export_waits(err)) {
		/* The parts that could be made are made. */
		str_set(&context->used, err->text);
		activation_ensured_add(&context->ensured);
		operation_again(operation, 0, "%s", err->text);
	} else if (err->code && !is_clients_own(operation, err)) {
		activation_step_failed(operation, err);
	} else {
		str_set(&context->kept, err->code ? err->text : NULL);
		activation_ensured_add(&context->ensured);
		operation_again(operation, 0,
				"the next look; its name or export leads to its disk");
	}
}

static void begin_with_disk(struct attach_context *context, const struct device *device)
{
	if (!activation_ensured_begin(&context->ensured, device))
		return;
	context->asked = false;
	str_set(&context->taken, NULL);
	str_set(&context->used, NULL);
	str_set(&context->kept, NULL);
}

/* When the parts have reached the disk, the step looks for the disk once more, so that the disk
 * that was activated is the disk that is published. */
bool op_attach_activate_or_wait(struct operation *operation, const struct device *device,
				unsigned parts)
{
	struct attach_context *context = operation->context;

	begin_with_disk(context, device);
	if (!is_taken(context))
		return activation_ensure_or_wait(operation, &context->ensured, parts, device,
						 on_activated);
	if (context->asked)
		return true;
	ask_holder(operation, device);
	return false;
}

/* ---- as soon as the disk is here ---- */

const struct device *op_attach_disk_to_name(struct operation *operation)
{
	struct ops *ops = operation->ops;
	const struct attach_context *context = operation->context;
	const struct device *device;

	if (!ops->env->options.devmap || !name_find(ops->model, operation->record.volume_id))
		return NULL;
	device = op_attach_own_disk(operation);
	return device && device->seen != context->early_disk ? device : NULL;
}

/* If this failed, the "name" step finds out why. */
static void on_named(void *arg, const struct err *err)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;

	context->early_disk = context->ensured.disk;
	if (!err->code)
		context->ensured.parts |= ACTIVATION_MAP;
	operation_again(operation, 0, "the end of the job; its disk has come");
}

void op_attach_name_early(struct operation *operation, const struct device *device)
{
	begin_with_disk(operation->context, device);
	activation_step_then(operation, ACTIVATION_UP, ACTIVATION_MAP, device, on_named);
}

/* ---- publishing ---- */

void op_attach_put_export(struct operation *operation, const struct device *device)
{
	const struct attach_context *context = operation->context;
	struct export_record record = { 0 };
	uint64_t former_size;

	export_make(operation->ops->model, operation->record.volume_id, &record);
	former_size = record.size;
	export_place(operation->ops->model, &record, device);
	if (is_kept(context))
		record.size = former_size;
	if (is_taken(context)) {
		record.status = EXPORT_PENDING;
		record.error = xasprintf("its disk is not free: %s", context->taken);
	} else if (is_used(context)) {
		record.status = EXPORT_PENDING;
		str_set(&record.error, context->used);
	}
	change_set_export(operation_change(operation), &record);
}
