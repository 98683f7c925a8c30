/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The contents of a disk are read before the attachment is reported, and reported with it, so that
 * a disk with data on it is not formatted because it was called new. A disk that cannot be read is
 * still attached, and the message says so.
 */

#include "core/ops/attach_probe.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/ops/attach_device.h"
#include "core/ops/ops.h"
#include "disk/device.h"
#include "disk/probe.h"

static void on_read(void *arg, const struct probe_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;
	bool good = result->err.code == ERR_NONE;
	/* The path that was read may lead to another disk by now. */
	const struct device *device = op_attach_device_or_wait(operation);

	if (!device)
		return;
	if (device->seen != context->read_seen) {
		operation_again(operation, 0, "%s changed while it was read", device->path);
		return;
	}
	str_set(&context->unreadable, good ? NULL : result->err.text);
	str_set(&context->filesystem, good && result->filesystem[0] ? result->filesystem : NULL);
	str_set(&context->label, good && result->label[0] ? result->label : NULL);
	str_set(&context->filesystem_uuid, good && result->uuid[0] ? result->uuid : NULL);
	str_set(&context->partition_table,
		good && result->partition_table[0] ? result->partition_table : NULL);
	operation_next(operation);
}

static void cancel_read(void *awaited)
{
	probe_cancel(awaited);
}

void op_attach_read(struct operation *operation, const struct device *device)
{
	static const struct wait_kind kind = { .cancel = cancel_read };
	struct attach_context *context = operation->context;
	struct prober *prober = operation->ops->env->prober;

	context->read_seen = device->seen;
	operation_wait(operation, probe_start(prober, device->path, on_read, operation), &kind);
}
