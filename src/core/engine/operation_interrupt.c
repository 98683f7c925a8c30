/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Interruptions: a cancellation and the end of a step's time take the same path, which is the path
 * of a failure. */

#include <stdio.h>

#include "base/clock.h"
#include "cloud/cloud.h"
#include "core/engine/engine.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"

/* For the answer to a look. */
#define LOOK_MS 3000

void operation_interrupt(struct operation *operation, const struct err *err)
{
	switch (operation->phase) {
	case PHASE_WAITING:
	case PHASE_SLEEPING:
	case PHASE_READY:
		operation_stop_waiting(operation);
		operation->phase = PHASE_RUNNING;
		operation_fail(operation, err);
		break;
	case PHASE_QUEUED:
		if (operation->resumed) {
			/* It began before the restart, and is undone when its turn comes. */
			err_keep(&operation->interruption, err);
			break;
		}
		operation_end_queued(operation, err);
		break;
	case PHASE_COMMITTING:
		err_keep(&operation->interruption, err);
		break;
	case PHASE_RUNNING:
	case PHASE_ENDED:
		abort();
	}
}

/* The step waits for a CloudStack that is absent or takes no changes, since after giving up its
 * undo would have to wait, too. When CloudStack is back, the step has its whole time again. */
static int64_t patience_left_ms(const struct operation *operation, int64_t allowed_ms)
{
	struct cloud_health health;
	int64_t since_ms;

	cloud_health(operation->engine->env->cloud, &health);
	if (!health.usable)
		return allowed_ms;
	since_ms = health.usable_since_ms > health.maintained_until_ms ? health.usable_since_ms
								       : health.maintained_until_ms;
	return since_ms ? since_ms + allowed_ms - clock_waking_ms() : 0;
}

/*
 * While the daemon was kept from running, the awaited event may have come: the deadline was put off
 * for that time, and at its end the step still gets one look.
 */
static bool has_look_left(struct operation *operation)
{
	if (operation->looked_missed_ms == clock_missed_ms())
		return false;
	operation->looked_missed_ms = clock_missed_ms();
	if (operation->awaited && operation->wait_kind->poke)
		operation->wait_kind->poke(operation);
	else if (operation->phase == PHASE_SLEEPING)
		loop_task_queue(operation->engine->env->loop, &operation->turn);
	return true;
}

static const char *deadline_setting(const struct operation *operation)
{
	switch (operation_step(operation)->deadline) {
	case STEP_CLOUD:
		return "cloud.job_wait";
	case STEP_DEVICE:
		return "device.wait";
	}
	abort();
}

/* The end of an error text, to be freed. */
static char *last_seen(const struct operation *operation)
{
	const char *waits_for = operation->record.waits_for;
	_cleanup_free_ char *seen = NULL;

	if (operation->awaited && operation->wait_kind->seen)
		seen = operation->wait_kind->seen(operation->awaited);
	return xasprintf("%s%s%s%s", waits_for ? ": " : "", str_or(waits_for, ""),
			 seen ? "; last seen: " : "", str_or(seen, ""));
}

void operation_on_deadline(struct loop_timer *timer)
{
	struct operation *operation = container_of(timer, struct operation, deadline);
	const struct step *step = operation_step(operation);
	_cleanup_free_ char *seen = NULL;
	int64_t allowed_ms = operation_step_deadline_ms(operation), left_ms = 0;
	struct err err;

	if (step->deadline == STEP_CLOUD)
		left_ms = patience_left_ms(operation, allowed_ms);
	if (left_ms <= 0 && has_look_left(operation))
		left_ms = LOOK_MS;
	if (left_ms > 0) {
		loop_deadline_set(operation->engine->env->loop, timer, left_ms);
		return;
	}
	seen = last_seen(operation);
	err_set(&err, operation->reason_code ? operation->reason_code : ERR_TIMEOUT,
		"step %s did not end within %g s (%s)%s", step->name, (double)allowed_ms / 1000,
		deadline_setting(operation), seen);
	operation_interrupt(operation, &err);
}

int operation_may_cancel(const struct operation *operation, struct err *err)
{
	if (operation->phase == PHASE_ENDED || operation->ended)
		return err_set(err, ERR_CONFLICT, "operation %s has already ended: %s",
			       operation->record.id,
			       operation_status_names[operation->ended ? operation->ended->status
								       : operation->record.status]);
	if (operation->record.undoing)
		return err_set(err, ERR_CONFLICT, "operation %s is already being undone",
			       operation->record.id);
	if (operation->failure)
		return err_set(err, ERR_CONFLICT, "operation %s has already failed: %s",
			       operation->record.id, operation->failure->text);
	if (operation->record.status == OPERATION_EXECUTING && operation_is_past_return(operation))
		return err_set(err, ERR_CONFLICT,
			       "operation %s can no longer be stopped: it is at step %s",
			       operation->record.id, operation->record.step);
	return 0;
}

int operation_cancel(struct operation *operation, const char *caller, struct err *err)
{
	struct err cancelled;

	if (operation_may_cancel(operation, err) < 0)
		return -1;
	err_set(&cancelled, ERR_CANCELLED, "cancelled by request");
	str_set(&operation->asked_by, caller);
	operation_interrupt(operation, &cancelled);
	return 0;
}
