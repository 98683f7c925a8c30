/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * CloudStack does not decide alone. The hypervisor may have failed to pull the disk out, the guest
 * may not have let go of it, or a person may have changed CloudStack's database. While the kernel
 * still shows the disk, programs here can write to it. If another VM got the volume, two machines
 * could write to it; if the volume were destroyed, its users would lose it. So the operation asks
 * the kernel when its turn comes. A disk in use fails the operation at once. An unused disk is
 * likely on its way out, so the operation waits for that.
 *
 * Only disks that are the volume count, by their identity or by what was noted when the volume was
 * attached. A disk that merely has the right size says nothing about a volume that is not attached.
 */

#include "core/ops/leftover_disk.h"

#include "base/clock.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/disk_users.h"
#include "core/model/mapping.h"
#include "core/ops/ops.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "disk/usage.h"

#define LOOK_AGAIN_MS 1000

int leftover_disk_may_stay(void *arg, const struct disk_use *use, struct err *err)
{
	const struct operation *operation = arg;
	const char *volume_id = operation->record.volume_id;

	if (use->guessed)
		return 0;
	switch (use->result->kind) {
	case USAGE_NONE:
		return 0;
	case USAGE_ROOT:
		return err_set_reason(err, ERR_REASON_IN_USE, ERR_CONFLICT,
				      "volume %s is here as %s and carries this system (%s)",
				      volume_id, use->path, use->result->what);
	case USAGE_HELD:
		return err_set_reason(
			err, ERR_REASON_IN_USE, ERR_CONFLICT,
			"CloudStack says that volume %s is not attached here, but it is here as %s and in use: %s; release it first",
			volume_id, use->path, use->result->what);
	}
	abort();
}

static int may_stay(void *arg, const struct disk_use *use, struct err *err)
{
	const struct leftover_disk *leftover = arg;

	return leftover_disk_may_stay(leftover->operation, use, err);
}

static void fail_remaining(struct leftover_disk *leftover)
{
	struct operation *operation = leftover->operation;
	struct err err;

	err_set_reason(
		&err, ERR_REASON_DISK_REMAINS, ERR_CONFLICT,
		"CloudStack says that volume %s is not attached here, but it is still here as %s; remove that disk first",
		operation->record.volume_id, leftover->path);
	operation_fail(operation, &err);
}

/* err: why the users of the disk are not known, perhaps because the disk has just gone. */
static void await_gone(struct leftover_disk *leftover, const struct err *err)
{
	struct operation *operation = leftover->operation;
	int64_t now_ms = clock_waking_ms();

	if (leftover->give_up_ms == 0)
		leftover->give_up_ms = now_ms + operation->ops->env->options.device_wait_ms;
	if (now_ms < leftover->give_up_ms)
		operation_again(
			operation, LOOK_AGAIN_MS,
			"CloudStack says the volume is not attached, but the kernel still shows it as %s",
			leftover->path);
	else if (err->code)
		operation_fail(operation, err);
	else
		fail_remaining(leftover);
}

static void on_checked(void *arg, const struct err *err)
{
	struct leftover_disk *leftover = arg;

	if (err->code == ERR_CONFLICT)
		operation_fail(leftover->operation, err);
	else if (err->code || leftover->must_go)
		await_gone(leftover, err);
	else
		leftover->then(leftover->operation);
}

static void cancel_check(void *awaited)
{
	disk_users_cancel(awaited);
}

void leftover_disk_gone_then(struct leftover_disk *leftover, struct operation *operation,
			     bool must_go, void (*then)(struct operation *operation))
{
	static const struct wait_kind kind = { .cancel = cancel_check };
	const char *volume_id = operation->record.volume_id;
	struct ops *ops = operation->ops;
	const struct device *device;
	struct disk_users *check;
	struct err err;

	err_clear(&err);
	/* The last scan may be seconds old. */
	if (sysblock_scan(ops->env->sysblock, &err) < 0) {
		operation_again(operation, LOOK_AGAIN_MS, "%s", err.text);
		return;
	}
	device = mapping_next_disk(ops->model, volume_id, NULL);
	if (!device) {
		then(operation);
		return;
	}
	leftover->operation = operation;
	leftover->must_go = must_go;
	leftover->then = then;
	memcpy(leftover->path, device->path, sizeof(leftover->path));
	check = disk_users_check(ops->host, volume_id, may_stay, on_checked, leftover, &err);
	if (check)
		operation_wait(operation, check, &kind);
	else
		on_checked(leftover, &err);
}
