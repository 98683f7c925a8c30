/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The turns of a VM (engine/vm_turn.h) order the operations of this daemon. Other clients of
 * CloudStack, and its own schedule of snapshots, have jobs on the VM as well. A job of ours that is
 * sent meanwhile waits behind them in CloudStack, where it is lost with the management server, or
 * is refused. So the operation waits here, where it can be cancelled, and where other operations
 * may have its turn.
 *
 * CloudStack shows a job of a volume with the volume, and some jobs (a snapshot) only by the state
 * of the volume. The look takes a request, which only an attachment spends: it is the change that
 * CloudStack refuses, or loses together with the volume. If many operations are unfinished, they do
 * without it: then CloudStack has enough to do, and its own queue of the VM keeps the order.
 */

#include "core/ops/vm_idle.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"

#define FEW 4

bool cloud_volume_is_busy(const struct cloud_volume *volume)
{
	static const char *const states[] = { "Attaching",    "Detaching",          "Resizing",
					      "Snapshotting", "RevertSnapshotting", "Migrating" };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (streq(volume->state, states[i]))
			return true;
	}
	return volume->job_id != NULL;
}

static void on_listed(void *arg, const struct cloud_result *result)
{
	struct vm_look *look = arg;

	/* A server that refuses this list answers all else. */
	if (!cloud_err_is_refusal(&result->err) &&
	    !cloud_step_answered_or_wait(look->operation, result))
		return;
	for (size_t i = 0; i < result->count; i++) {
		const struct cloud_volume *volume = &result->volumes[i];

		if (!cloud_volume_is_busy(volume))
			continue;
		cloud_step_busy(look->operation, volume);
		return;
	}
	look->then(look->operation);
}

void vm_idle_then(struct vm_look *look, struct operation *operation,
		  void (*then)(struct operation *operation))
{
	const struct cloud_volume_filter filter = { .vm_id = operation->record.vm_id };

	if (str_empty(operation->record.vm_id) || operation_count(operation->engine) > FEW) {
		then(operation);
		return;
	}
	*look = (struct vm_look){ .operation = operation, .then = then };
	cloud_step_wait_call(operation, cloud_list_volumes(operation->ops->env->cloud, &filter,
							   on_listed, look));
}
