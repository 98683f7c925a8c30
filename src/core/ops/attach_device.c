/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which device has the volume become? core/rules/match decides. This file makes the question from
 * the kernel's disks and from the notes that the operation made when it began, and it reads the
 * answer from the kernel again before the answer is used.
 */

#include "core/ops/attach_device.h"

#include <stdio.h>

#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/mapping.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"
#include "core/rules/match.h"
#include "disk/device.h"
#include "disk/sysblock.h"

_Static_assert(offsetof(struct attach_context, silence) == 0, "a context starts with its silence");

static const struct field attach_fields[] = { ATTACH_FIELDS };
const struct record attach_context_record = RECORD("attach_context", attach_context, attach_fields);

void *op_attach_context(void)
{
	struct attach_context *context = xnew(struct attach_context);

	context->device_id = -1;
	cloud_step_new_job(&context->job_id);
	cloud_step_new_job(&context->undo_job_id);
	return context;
}

void *op_attach_again_context(void)
{
	struct attach_context *context = op_attach_context();

	context->only_here = true;
	return context;
}

const struct attach_context *op_attach_context_of(const struct operation *operation)
{
	enum operation_type type = operation->kind->type;

	return type == OPERATION_ATTACH || type == OPERATION_CLEANUP ? operation->context : NULL;
}

bool op_attach_is_here(const struct operation *operation, const struct cloud_volume *volume)
{
	return volume && volume->vm_id && streq(volume->vm_id, operation->record.vm_id);
}

/* True if another attachment to this VM could get a disk as large as ours at any moment. */
static bool has_rivals(const struct operation *operation)
{
	const struct attach_context *context = operation->context, *others;
	const struct operation *other;

	for (other = operation_first(operation->ops->engine); other;
	     other = operation_after(other)) {
		others = op_attach_context_of(other);
		if (other != operation && others && other->record.status == OPERATION_EXECUTING &&
		    op_on_appliance(other) && others->size == context->size)
			return true;
	}
	return false;
}

static const char *mapped_to(void *arg, const struct device *device)
{
	const struct mapping *mapping = mapping_of_device(arg, device);

	return mapping ? mapping->record.volume_id : NULL;
}

static struct match_query make_query(const struct operation *operation)
{
	struct ops *ops = operation->ops;
	const struct attach_context *context = operation->context;
	bool same_boot = streq(context->boot_id, ops->env->boot_id);

	return (struct match_query){
		.volume_id = operation->record.volume_id,
		.size = context->size,
		/* If the count at the beginning is not known, no disk counts as new. */
		.after_diskseq = same_boot && context->after_diskseq
					 ? (uint64_t)context->after_diskseq
					 : UINT64_MAX,
		.after_seen = context->began_here ? context->after_seen : UINT64_MAX,
		.crowded = !context->alone,
		.mapped_to = mapped_to,
		.arg = ops->model,
	};
}

static const struct device *all_devices(const struct sysblock *sysblock)
{
	return sysblock_count(sysblock) ? sysblock_at(sysblock, 0) : NULL;
}

static enum match_verdict look(struct operation *operation, struct match_result *result)
{
	const struct sysblock *sysblock = operation->ops->env->sysblock;
	struct match_query query = make_query(operation);

	query.rivals = has_rivals(operation);
	return match_device(&query, all_devices(sysblock), sysblock_count(sysblock), result);
}

const struct device *op_attach_new_disk(struct operation *operation)
{
	struct sysblock *sysblock = operation->ops->env->sysblock;
	const struct match_query query = make_query(operation);

	if (sysblock_scan(sysblock, NULL) < 0)
		return NULL;
	return match_new_identity(&query, all_devices(sysblock), sysblock_count(sysblock));
}

/* If size alone decides, the other disks of this moment count: a disk that came after the last
 * scan, or whose identity is still being read, may be the right one. */
static enum match_verdict look_closely(struct operation *operation, struct match_result *result)
{
	struct sysblock *sysblock = operation->ops->env->sysblock;
	enum match_verdict verdict = look(operation, result);
	struct err err = { 0 };

	if (verdict != MATCH_FOUND || result->matched_by != MATCHED_BY_SIZE)
		return verdict;
	if (sysblock_scan(sysblock, &err) < 0) {
		memcpy(result->reason, err.text, sizeof(result->reason));
		return MATCH_NONE;
	}
	verdict = look(operation, result);
	if (verdict == MATCH_FOUND && result->matched_by == MATCHED_BY_SIZE &&
	    sysblock_is_settling(sysblock)) {
		err_text_format(result->reason, sizeof(result->reason),
				"another disk has just appeared and may still identify itself");
		return MATCH_NONE;
	}
	return verdict;
}

/* Finds the device, then reads the kernel's attributes of it again to make sure that it is still
 * the same disk. */
const struct device *op_attach_device_or_wait(struct operation *operation)
{
	struct ops *ops = operation->ops;
	struct attach_context *context = operation->context;
	struct match_result result = { 0 };

	switch (look_closely(operation, &result)) {
	case MATCH_NONE:
		sysblock_ask_identities(ops->env->sysblock);
		operation_again(operation, ATTACH_LOOK_AGAIN_MS,
				"%s; check that this machine is VM %s (appliance.vm_id)",
				result.reason, operation->record.vm_id);
		return NULL;
	case MATCH_AMBIGUOUS:
		sysblock_ask_identities(ops->env->sysblock);
		operation_again(operation, ATTACH_LOOK_AGAIN_MS, "%s", result.reason);
		/* Disks that come or go may settle the doubt. If it stays, the step fails because
		 * of the doubt, not for lack of time. */
		operation->reason_code = ERR_CONFLICT;
		return NULL;
	case MATCH_FOUND:
		break;
	}
	if (!sysblock_verify(ops->env->sysblock, result.device)) {
		sysblock_wake(ops->env->sysblock);
		operation_again(operation, ATTACH_LOOK_AGAIN_MS,
				"%s changed while it was looked at", result.device->path);
		return NULL;
	}
	context->matched_by = result.matched_by;
	return result.device;
}

const struct device *op_attach_own_disk(struct operation *operation)
{
	struct match_result result;

	if (!op_on_appliance(operation) || look(operation, &result) != MATCH_FOUND ||
	    result.matched_by == MATCHED_BY_SIZE ||
	    !sysblock_verify(operation->ops->env->sysblock, result.device))
		return NULL;
	return result.device;
}
