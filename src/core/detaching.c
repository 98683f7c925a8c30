/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Taking a volume away from a virtual machine.
 *
 * Before CloudStack is asked, the kernel is: a disk that is mounted, used as swap or part of another device is not
 * pulled from under anybody, and the root disk never. Afterwards the step waits until the kernel has let go, since a
 * name that still leads to the old disk must not be promised to anybody else.
 */

#include "core/detaching.h"

#include "base/clock.h"
#include "base/log.h"
#include "disk/devmap.h"

#define LOOK_AGAIN_MS 1000

static struct detaching *detaching_of(const struct operation *operation)
{
	return operation->context;
}

/* ---- check ---- */

static void cancel_usage_check(void *awaited)
{
	usage_check_cancel(awaited);
}

static void check_next_disk(struct operation *operation);

static bool may_go(struct operation *operation, const struct usage_result *result)
{
	const struct detaching *detaching = detaching_of(operation);

	switch (result->kind) {
	case USAGE_NONE:
		return true;
	case USAGE_ROOT:
		operation_failf(operation, ERR_CONFLICT, "%s carries this system (%s); it is never detached",
				detaching->device_path, result->what);
		return false;
	case USAGE_HELD:
		if (detaching->force) {
			log_warning("volume=%s: %s is detached by force while %s", operation->record.volume_id,
				    detaching->device_path, result->what);
			return true;
		}
		operation_failf(operation, ERR_CONFLICT, "%s is in use: %s; release it, or use force",
				detaching->device_path, result->what);
		return false;
	}
	abort();
}

static void on_usage(void *arg, const struct usage_result *result)
{
	struct operation *operation = arg;

	if (result->err.code)
		operation_fail(operation, &result->err);
	else if (may_go(operation, result))
		check_next_disk(operation);
}

/* The first of the disks that are this volume, mapped or not, that has appeared after the one checked last. */
static const struct device *next_disk(struct operation *operation)
{
	struct core *core = operation->core;
	const struct detaching *detaching = detaching_of(operation);
	const struct device *next = NULL;

	for (size_t i = 0; i < sysblock_count(core->sysblock); i++) {
		const struct device *device = sysblock_at(core->sysblock, i);

		if (mapping_is_disk(core, operation->record.volume_id, device) && device->seen > detaching->checked &&
		    (!next || device->seen < next->seen))
			next = device;
	}
	return next;
}

/*
 * Asked of the kernel as it is now, and of every disk that is this volume: what is pulled out is what CloudStack
 * attached, not what we noted. A disk that comes while another is looked at, or gets its name, is checked in its turn.
 */
static void check_next_disk(struct operation *operation)
{
	static const struct wait_kind kind = { .cancel = cancel_usage_check };
	struct core *core = operation->core;
	struct detaching *detaching = detaching_of(operation);
	_cleanup_free_ char *map = xasprintf(DEVMAP_UUID_PREFIX "%s", operation->record.volume_id);
	const struct usage_ignore ours = { .map_uuid = map };
	const struct device *device;
	struct err err;

	if (sysblock_scan(core->sysblock, &err) < 0) {
		operation_fail(operation, &err);
		return;
	}
	device = next_disk(operation);
	if (!device) {
		operation_next(operation);
		return;
	}
	detaching->checked = device->seen;
	str_set(&detaching->device_path, device->path);
	operation_wait(operation, usage_check_start(core->usage_checker, device->name, &ours, on_usage, operation),
		       &kind);
}

static void on_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct detaching *detaching = detaching_of(operation);
	const struct cloud_volume *volume;

	if (cloud_step_failed(operation, result))
		return;
	volume = cloud_step_volume(operation, result, operation->record.volume_id);
	if (!volume) {
		operation_failf(operation, ERR_NOT_FOUND, "volume %s does not exist in CloudStack",
				operation->record.volume_id);
	} else if (volume->job_id) {
		cloud_step_busy(operation, volume);
	} else if (!volume->vm_id) {
		if (!detaching->if_attached)
			operation_failf(operation, ERR_CONFLICT, "volume %s is not attached to any VM",
					operation->record.volume_id);
		else
			operation_next(operation);
	} else {
		detaching->attached = true;
		detaching->checked = 0;
		str_set(&detaching->vm_id, volume->vm_id);
		str_set(&operation->record.vm_id, volume->vm_id);
		if (core_is_appliance(operation->core, volume->vm_id))
			check_next_disk(operation);
		else
			operation_next(operation);
	}
}

void detaching_check(struct operation *operation)
{
	cloud_step_list(operation, on_checked);
}

/* ---- ask-cloud ---- */

static void on_asked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct detaching *detaching = detaching_of(operation);

	if (operation->resumed || result->outcome == CLOUD_UNKNOWN)
		detaching->in_doubt = true;
	if (cloud_step_retried(operation, result))
		return;
	/* When an earlier request may have arrived, its job and the volume decide, not what became of this one. */
	if (result->outcome == CLOUD_REFUSED && !detaching->in_doubt && !cloud_err_is_duplicate_job(&result->err) &&
	    !(operation_is_rerun(operation) && cloud_err_is_not_attached(&result->err))) {
		operation_fail(operation, &result->err);
		return;
	}
	cloud_step_note_job(&detaching->job_id, result);
	operation_next(operation);
}

void detaching_ask_cloud(struct operation *operation)
{
	struct detaching *detaching = detaching_of(operation);

	if (!detaching->attached) {
		operation_next(operation);
		return;
	}
	cloud_step_wait_call(operation, cloud_detach_volume(operation->core->cloud, operation->record.volume_id,
							    detaching->job_id, on_asked, operation));
}

/* ---- await-job ---- */

/* A request whose answer got lost can arrive until its time-out; only then is it certain that nothing comes of it. */
static bool may_still_arrive(const struct operation *operation)
{
	struct detaching *detaching = detaching_of(operation);

	if (!detaching->looking_since)
		detaching->looking_since = clock_mono_ms();
	return (detaching->in_doubt || operation->resumed) &&
	       clock_mono_ms() - detaching->looking_since < operation->core->options.request_ms;
}

static void on_outcome_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	const struct cloud_volume *volume;

	if (result->err.code != ERR_NOT_FOUND && cloud_step_unseen(operation, result))
		return;
	volume = cloud_step_volume(operation, result, operation->record.volume_id);
	if (volume && volume->job_id)
		cloud_step_busy(operation, volume);
	else if (volume && volume->vm_id && may_still_arrive(operation))
		operation_again(operation, LOOK_AGAIN_MS, "waiting until the request can no longer arrive");
	else if (volume && volume->vm_id)
		operation_failf(
			operation, ERR_CLOUD,
			"CloudStack lost the job that detached volume %s, and the volume is still attached; try "
			"again",
			operation->record.volume_id);
	else
		operation_next(operation);
}

static void on_job_ended(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	bool lost = cloud_step_job_lost(operation, result);

	if (result->job_status == CLOUD_JOB_FAILED && !lost && !cloud_err_is_not_attached(&result->err)) {
		operation_fail(operation, &result->err);
		return;
	}
	/* Whatever the job says, the volume decides. */
	cloud_step_list(operation, on_outcome_checked);
}

void detaching_await_job(struct operation *operation)
{
	struct detaching *detaching = detaching_of(operation);

	if (!detaching->attached) {
		operation_next(operation);
		return;
	}
	cloud_step_wait_job(operation,
			    cloud_job_watch(operation->core->cloud, detaching->job_id, on_job_ended, operation));
}

/* ---- await-gone ---- */

void detaching_await_gone(struct operation *operation)
{
	struct core *core = operation->core;
	const struct detaching *detaching = detaching_of(operation);

	if (detaching->attached && core_is_appliance(core, detaching->vm_id)) {
		for (size_t i = 0; i < sysblock_count(core->sysblock); i++) {
			const struct device *device = sysblock_at(core->sysblock, i);

			if (mapping_is_disk(core, operation->record.volume_id, device)) {
				operation_again(operation, LOOK_AGAIN_MS,
						"CloudStack says it is detached, but the kernel still shows it as %s",
						device->path);
				return;
			}
		}
	}
	operation_stage_unmap(operation);
	operation_next(operation);
}

char *detaching_left_over(const struct operation *operation)
{
	return xasprintf("volume %s may be detached from VM %s or not", operation->record.volume_id,
			 str_or(detaching_of(operation)->vm_id, ""));
}
