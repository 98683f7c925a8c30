/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the steps that talk to CloudStack; see cloud_step.h. */

#include "core/ops/cloud_step.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/drift_event.h"
#include "core/model/volume.h"
#include "core/ops/ops.h"
#include "core/rules/drift.h"

#define LOOK_AGAIN_MS 1000
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS 15000

/* The delay doubles from half a second on, because many programs share CloudStack. */
static int64_t retry_delay_ms(const struct operation *operation)
{
	struct ops *ops = operation->ops;
	int64_t delay_ms = RETRY_FIRST_MS;
	struct cloud_health health;

	for (unsigned i = 1; i < operation->runs && delay_ms < RETRY_MAX_MS; i++)
		delay_ms *= 2;
	if (delay_ms > RETRY_MAX_MS)
		delay_ms = RETRY_MAX_MS;
	cloud_health(ops->env->cloud, &health);
	if (health.usable)
		return delay_ms;
	return operation_retry_in(ops->engine, delay_ms);
}

bool cloud_step_answered_or_wait(struct operation *operation, const struct cloud_result *result)
{
	switch (result->outcome) {
	case CLOUD_OK:
	case CLOUD_REFUSED:
		return true;
	case CLOUD_AWAY:
	case CLOUD_UNKNOWN:
		operation_again(operation, retry_delay_ms(operation), "%s", result->err.text);
		return false;
	}
	abort();
}

bool cloud_step_succeeded_or_end(struct operation *operation, const struct cloud_result *result)
{
	if (!cloud_step_answered_or_wait(operation, result))
		return false;
	if (result->outcome == CLOUD_OK)
		return true;
	operation_fail(operation, &result->err);
	return false;
}

bool cloud_step_shown_or_wait(struct operation *operation, const struct cloud_result *result)
{
	if (result->outcome == CLOUD_OK)
		return true;
	operation_again(operation, retry_delay_ms(operation), "%s", result->err.text);
	return false;
}

const struct cloud_volume *cloud_step_volume(struct operation *operation,
					     const struct cloud_result *result,
					     const char *volume_id)
{
	for (size_t i = 0; i < result->count; i++) {
		if (!streq(result->volumes[i].id, volume_id))
			continue;
		volume_update(operation->ops->model, &result->volumes[i]);
		volume_note_operation(operation->ops->model, &operation->record);
		return &result->volumes[i];
	}
	return NULL;
}

static void cancel_call(void *awaited)
{
	cloud_call_cancel(awaited);
}

void cloud_step_wait_call(struct operation *operation, struct cloud_call *call)
{
	static const struct wait_kind kind = { .cancel = cancel_call };

	operation_wait(operation, call, &kind);
}

static void cancel_job(void *awaited)
{
	cloud_job_cancel(awaited);
}

static void poke_job(struct operation *operation)
{
	cloud_job_poke(operation->awaited);
}

void cloud_step_list(struct operation *operation, cloud_done_fn done)
{
	struct cloud_volume_filter filter = { .id = operation->record.volume_id };

	cloud_step_wait_call(operation, cloud_list_volumes(operation->ops->env->cloud, &filter,
							   done, operation));
}

void cloud_step_busy(struct operation *operation, const struct cloud_volume *volume)
{
	operation_again(operation, LOOK_AGAIN_MS, "CloudStack still works on the volume (job %s)",
			volume->job_id);
}

void cloud_step_new_job(char **slot)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_make_v4(uuid);
	str_set(slot, uuid);
}

void cloud_step_note_job(char **slot, const struct cloud_result *result)
{
	if (result->job_id)
		str_set(slot, result->job_id);
}

bool cloud_volume_is_destroyed(const struct cloud_volume *volume)
{
	static const char *const words[] = { "Destroy", "Destroyed", "Destroying", "Expunging",
					     "Expunged" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (streq(volume->state, words[i]))
			return true;
	}
	return false;
}

static void tell_lost(struct operation *operation, const char *why)
{
	const struct drift_facts facts = { .volume_id = operation->record.volume_id,
					   .origin = &operation->record };
	struct drift drift = { .kind = DRIFT_OPERATION_LOST };

	snprintf(drift.found, sizeof(drift.found),
		 "CloudStack lost the job of operation %s, step %s: %.200s", operation->record.id,
		 operation->record.step, why);
	snprintf(drift.action, sizeof(drift.action),
		 "the volume itself is looked at, and decides how the operation goes on");
	drift_event_repaired(operation->ops->model, &facts, &drift);
}

bool cloud_step_job_lost(struct operation *operation, const struct cloud_result *result)
{
	if (result->outcome == CLOUD_OK && result->job_status == CLOUD_JOB_SUCCEEDED)
		return false;
	if (!cloud_err_is_lost_job(&result->err) && result->err.code != ERR_NOT_FOUND)
		return false;
	/* A step that waits until a late request can no longer arrive finds the job lost each
	 * time. */
	if (!operation->job_lost)
		tell_lost(operation, result->err.text);
	operation->job_lost = true;
	return true;
}

/* ---- changes in CloudStack ---- */

static void begin(struct cloud_change *change, const struct cloud_change_kind *kind,
		  struct operation *operation, char **job_id)
{
	change->kind = kind;
	change->operation = operation;
	change->job_id = job_id;
}

static void on_looked(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;
	struct operation *operation = change->operation;

	if (change->kind->can_undo && !cloud_step_succeeded_or_end(operation, result))
		return;
	if (!change->kind->can_undo && result->err.code != ERR_NOT_FOUND &&
	    !cloud_step_shown_or_wait(operation, result))
		return;
	change->kind->verify(operation,
			     cloud_step_volume(operation, result, operation->record.volume_id));
}

static void look(struct cloud_change *change)
{
	struct operation *operation = change->operation;
	struct cloud_volume_filter filter = { .id = operation->record.volume_id };

	cloud_step_wait_call(operation, cloud_list_volumes(operation->ops->env->cloud, &filter,
							   on_looked, change));
}

/* Whether the failure of the job ends the step. */
static bool is_final_failure(struct cloud_change *change, const struct cloud_result *result,
			     bool lost)
{
	const struct cloud_change_kind *kind = change->kind;

	if (result->job_status == CLOUD_JOB_SUCCEEDED || lost)
		return false;
	if (!kind->failed)
		return result->job_status == CLOUD_JOB_FAILED;
	return kind->failed(change->operation, result) == REFUSAL_FAILS;
}

/* The answer of a job that has succeeded may say enough. */
static bool is_told(struct cloud_change *change, const struct cloud_result *result)
{
	const struct cloud_change_kind *kind = change->kind;
	struct operation *operation = change->operation;
	const struct cloud_volume *volume;

	if (!kind->told || result->job_status != CLOUD_JOB_SUCCEEDED)
		return false;
	volume = cloud_step_volume(operation, result, operation->record.volume_id);
	return volume && kind->told(operation, volume);
}

static void on_job_ended(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;
	struct operation *operation = change->operation;
	const struct cloud_change_kind *kind = change->kind;
	bool lost = !kind->in_one_step && cloud_step_job_lost(operation, result);

	if (is_final_failure(change, result, lost))
		operation_fail(operation, &result->err);
	else if (kind->in_one_step)
		kind->verify(operation, NULL);
	else if (is_told(change, result))
		operation_next(operation);
	else
		look(change);
}

static void await_job(struct cloud_change *change)
{
	static const struct wait_kind ordinary = { .cancel = cancel_job, .poke = poke_job };
	struct operation *operation = change->operation;
	struct cloud_job *job =
		cloud_job_watch(operation->ops->env->cloud, *change->job_id, on_job_ended, change);

	operation_wait(operation, job, change->kind->job_wait ? change->kind->job_wait : &ordinary);
}

static void on_asked(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;
	struct operation *operation = change->operation;

	if (operation->resumed || result->outcome == CLOUD_UNKNOWN)
		change->in_doubt = true;
	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (result->outcome == CLOUD_REFUSED && !cloud_err_is_duplicate_job(&result->err)) {
		switch (change->kind->refused(operation, &result->err)) {
		case REFUSAL_FAILS:
			operation_fail(operation, &result->err);
			return;
		case REFUSAL_WAITS:
			return;
		case REFUSAL_PASSES:
			break;
		}
	}
	cloud_step_note_job(change->job_id, result);
	if (change->kind->in_one_step && result->outcome == CLOUD_REFUSED &&
	    !cloud_err_is_duplicate_job(&result->err))
		change->kind->verify(operation, NULL);
	else if (change->kind->in_one_step)
		await_job(change);
	else
		operation_next(operation);
}

void cloud_change_ask(struct cloud_change *change, const struct cloud_change_kind *kind,
		      struct operation *operation, char **job_id)
{
	begin(change, kind, operation, job_id);
	cloud_step_wait_call(operation, kind->submit(operation, *job_id, on_asked, change));
}

void cloud_change_settle(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id)
{
	begin(change, kind, operation, job_id);
	await_job(change);
}

void cloud_change_verify(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id)
{
	begin(change, kind, operation, job_id);
	look(change);
}

bool cloud_change_may_arrive(struct cloud_change *change)
{
	const struct operation *operation = change->operation;

	if (!change->looking_since)
		change->looking_since = clock_mono_ms();
	return (change->in_doubt || operation->resumed) &&
	       clock_mono_ms() - change->looking_since < operation->ops->env->options.request_ms;
}
