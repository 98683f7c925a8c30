/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the steps that talk to CloudStack; see cloud_step.h. */

#include "core/ops/cloud_step.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "cloud/cloud.h"
#include "cloud/cloud_refusals.h"
#include "core/engine/operation.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/volume.h"
#include "core/ops/ops.h"
#include "core/ops/refusal.h"

#define LOOK_AGAIN_MS 1000
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS 15000
/* If CloudStack limits its clients, or takes no changes, the cloud layer holds requests back, and
 * lets one through now and then, whose answer counts for all. */
#define RETRY_HELD_MS 2000
/* The end of a maintenance wakes the operations that wait for it. */
#define MAINTAINED_RETRY_MS 15000

/* The delay doubles from half a second on, because many programs share CloudStack. */
static int64_t retry_delay_ms(const struct operation *operation, const struct err *err)
{
	struct ops *ops = operation->ops;
	/* A maintenance holds back no reads, which have troubles of their own meanwhile. */
	bool is_maintained = ops->in_maintenance && err->reason == ERR_REASON_MAINTENANCE;
	int64_t max_ms = err->code == ERR_TOO_MANY || is_maintained ? RETRY_HELD_MS : RETRY_MAX_MS;
	int64_t delay_ms = RETRY_FIRST_MS;
	struct cloud_health health;

	for (unsigned i = 1; i < operation->runs && delay_ms < max_ms; i++)
		delay_ms *= 2;
	if (delay_ms > max_ms)
		delay_ms = max_ms;
	cloud_health(ops->env->cloud, &health);
	if (health.usable && !is_maintained)
		return delay_ms;
	return operation_retry_in(ops->engine, delay_ms);
}

/* The answer to a change tells all operations that a maintenance is over. */
static void note_maintenance(struct ops *ops)
{
	bool in_maintenance = cloud_in_maintenance(ops->env->cloud);

	if (ops->in_maintenance && !in_maintenance)
		operation_on_cloud_back(ops->engine);
	ops->in_maintenance = in_maintenance;
}

bool cloud_step_open_or_wait(struct operation *operation)
{
	struct ops *ops = operation->ops;
	struct cloud_health health;

	note_maintenance(ops);
	if (!ops->in_maintenance)
		return true;
	cloud_health(ops->env->cloud, &health);
	operation_again(operation, operation_retry_in(ops->engine, MAINTAINED_RETRY_MS), "%s",
			health.reason);
	return false;
}

/* Refusals count as one row as long as nothing else puts off the step between them. */
static bool is_hopeless(struct operation *operation, const struct err *err)
{
	struct cloud_refusals *refusals = operation_refusals(operation);

	if (!streq(refusals->words, operation->record.waits_for))
		cloud_refusals_clear(refusals);
	return cloud_refusals_note(refusals, err);
}

/* The engine decides whether the effect of the step can be undone all the same. */
static void end_unknown(struct operation *operation, const struct err *refusal)
{
	int64_t since_ms = clock_waking_ms() - operation->refusals->since_ms;
	struct err err = *refusal;

	err_reword(&err, "%s; CloudStack was asked for %lld s and answers so each time",
		   refusal->text, (long long)since_ms / 1000);
	operation->effect_unknown = true;
	operation_fail(operation, &err);
}

static void wait_or_end(struct operation *operation, const struct err *err)
{
	if (cloud_err_is_refusal(err) && is_hopeless(operation, err))
		end_unknown(operation, err);
	else
		operation_again(operation, retry_delay_ms(operation, err), "%s", err->text);
}

bool cloud_step_answered_or_wait(struct operation *operation, const struct cloud_result *result)
{
	note_maintenance(operation->ops);
	switch (result->outcome) {
	case CLOUD_OK:
	case CLOUD_REFUSED:
		return true;
	case CLOUD_AWAY:
	case CLOUD_UNKNOWN:
		wait_or_end(operation, &result->err);
		return false;
	}
	abort();
}

bool cloud_step_succeeded_or_end(struct operation *operation, const struct cloud_result *result)
{
	struct err err;

	if (!cloud_step_answered_or_wait(operation, result))
		return false;
	if (result->outcome == CLOUD_OK)
		return true;
	err = result->err;
	refusal_explain(operation, operation->record.vm_id, &err);
	operation_fail(operation, &err);
	return false;
}

bool cloud_step_shown_or_wait(struct operation *operation, const struct cloud_result *result)
{
	if (result->outcome == CLOUD_OK)
		return true;
	wait_or_end(operation, &result->err);
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

const struct cloud_vm *cloud_step_vm(const struct cloud_result *result, const char *vm_id)
{
	for (size_t i = 0; i < result->count; i++) {
		if (strcasecmp(result->vms[i].id, vm_id) == 0)
			return &result->vms[i];
	}
	return NULL;
}

void cloud_step_missing(struct operation *operation)
{
	struct err err = { 0 };

	volume_missing(operation->ops->model, operation->record.volume_id, &err);
	operation_fail(operation, &err);
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

void cloud_step_list(struct operation *operation, cloud_done_fn done)
{
	struct cloud_volume_filter filter = { .id = operation->record.volume_id };

	cloud_step_wait_call(operation, cloud_list_volumes(operation->ops->env->cloud, &filter,
							   done, operation));
}

void cloud_step_busy(struct operation *operation, const struct cloud_volume *volume)
{
	_cleanup_free_ char *other = NULL;

	if (!streq(volume->id, operation->record.volume_id))
		other = xasprintf("works on volume %s of the same VM", volume->id);
	operation_give_way(operation);
	operation_again(operation, LOOK_AGAIN_MS, "CloudStack %s (%s, job %s)",
			str_or(other, "still works on the volume"), str_or(volume->state, ""),
			str_or(volume->job_id, "not shown"));
}

void cloud_step_vm_busy(struct operation *operation, const struct cloud_vm *vm)
{
	operation_give_way(operation);
	operation_again(operation, LOOK_AGAIN_MS, "CloudStack works on VM %s (%s, job %s)", vm->id,
			str_or(vm->state, ""), str_or(vm->job_id, "not shown"));
}

void cloud_step_set_past_err(const struct operation *operation, struct err *err)
{
	err_set(err, ERR_CONFLICT,
		"the store was accepted as one from the past, and CloudStack does not show the change of operation %s as made; the change is not requested again: look at the volume, and ask anew if the change is still wanted",
		operation->record.id);
}

void cloud_step_new_job(char **slot)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_make_v7(uuid);
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
