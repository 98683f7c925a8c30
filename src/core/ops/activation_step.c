/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Steps that wait for an activation. If the obstacle may pass (a device in use for a moment, an
 * engine that is away), the step is tried again before it fails. */

#include "core/ops/activation_step.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/ops/ops.h"
#include "disk/device.h"

#define LOOK_AGAIN_MS 500

/* udev opens a map whenever it changes, so "in use" must last for a while to be believed. */
#define BUSY_RUNS_MAX 10

static void cancel(void *awaited)
{
	activation_cancel(awaited);
}

bool activation_step_is_passing(const struct operation *operation, const struct err *err)
{
	bool in_use = err->code == ERR_CONFLICT && operation->runs < BUSY_RUNS_MAX;

	return in_use || err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT;
}

void activation_step_failed(struct operation *operation, const struct err *err)
{
	if (!activation_step_is_passing(operation, err)) {
		operation_fail(operation, err);
		return;
	}
	operation_again(operation, LOOK_AGAIN_MS, "%s", err->text);
	operation->reason_code = err->code;
}

bool activation_disk_is_taken(const struct operation *operation, const struct err *err)
{
	return err->code == ERR_CONFLICT && streq(err->field, "disk") &&
	       operation->runs >= BUSY_RUNS_MAX;
}

static void on_step_done(void *arg, const struct err *err)
{
	if (err->code)
		activation_step_failed(arg, err);
	else
		operation_next(arg);
}

void activation_step_then(struct operation *operation, enum activation_goal goal, unsigned parts,
			  const struct device *device, activation_done_fn done)
{
	static const struct wait_kind kind = { .cancel = cancel };

	if (activation_is_busy(operation->ops->host, operation->record.volume_id)) {
		operation_again(operation, LOOK_AGAIN_MS / 10,
				"its name or export is being changed already");
		return;
	}
	operation_wait(operation,
		       activation_start(operation->ops->host, operation->record.volume_id, goal,
					parts, device, done, operation),
		       &kind);
}

void activation_step(struct operation *operation, enum activation_goal goal, unsigned parts,
		     const struct device *device)
{
	activation_step_then(operation, goal, parts, device, on_step_done);
}

bool activation_ensured_begin(struct activation_ensured *ensured, const struct device *device)
{
	if (ensured->disk == device->seen)
		return false;
	*ensured = (struct activation_ensured){ .disk = device->seen };
	return true;
}

bool activation_ensure_or_wait(struct operation *operation, struct activation_ensured *ensured,
			       unsigned parts, const struct device *device, activation_done_fn done)
{
	const struct core_options *options = &operation->ops->env->options;

	parts &= (options->devmap ? ACTIVATION_MAP : 0) |
		 (options->exporter ? ACTIVATION_EXPORT : 0);
	ensured->under_way = parts & ~ensured->parts;
	if (!ensured->under_way)
		return true;
	activation_step_then(operation, ACTIVATION_UP, ensured->under_way, device, done);
	return false;
}

void activation_ensured_add(struct activation_ensured *ensured)
{
	ensured->parts |= ensured->under_way;
	ensured->under_way = 0;
}
