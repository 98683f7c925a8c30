/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The methods about volumes. A change begins an operation and is answered with it once it is
 * durable; questions about volumes are answered from memory. */

#include "core/methods/volume_methods.h"

#include <assert.h>
#include <stdio.h>

#include "cloud/cloud.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/methods/begin_operation.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/detach_precheck.h"
#include "core/model/volume.h"
#include "core/model/volume_view.h"
#include "core/ops/ops.h"

/* ---- changes ---- */

void volume_create(struct call *call)
{
	const struct volume_create_args *args = call->args;
	const char *zone_id = args->zone_id ? args->zone_id : call->calls->env->zone_id;
	struct err err = { 0 };

	if (zone_id) {
		begin_operation(call, NULL, NULL, op_create_context(args, zone_id));
		return;
	}
	err_set_field(
		&err, "zone_id", ERR_INVALID,
		"zone_id is required: neither cloud.zone_id nor a row of ossea_configs names a zone for all");
	call_fail(call, &err);
}

void volume_attach(struct call *call)
{
	const struct volume_attach_args *args = call->args;

	begin_operation(call, args->volume_id, args->vm_id, op_attach_context());
}

static void begin_detach(struct call *call)
{
	const struct volume_detach_args *args = call->args;
	const struct volume *volume = volume_find(call->calls->model, args->volume_id);

	begin_operation(call, args->volume_id, volume ? volume->cloud.vm_id : NULL,
			op_detach_context(args));
}

void volume_detach(struct call *call)
{
	const struct volume_detach_args *args = call->args;
	enum in_use_leave leave = IN_USE_REFUSED;

	/* If the name is kept, its users wait with it. */
	if (args->keep_name && call->calls->env->options.devmap)
		leave = IN_USE_BY_NAME;
	if (args->force)
		leave = IN_USE_BY_FORCE;
	detach_precheck(call, args->volume_id, leave, begin_detach);
}

static void begin_delete(struct call *call)
{
	const struct volume_delete_args *args = call->args;

	begin_operation(call, args->volume_id, NULL, op_delete_context());
}

void volume_delete(struct call *call)
{
	const struct volume_delete_args *args = call->args;

	detach_precheck(call, args->volume_id, IN_USE_REFUSED, begin_delete);
}

void volume_resize(struct call *call)
{
	const struct volume_resize_args *args = call->args;
	const struct volume *volume = volume_find(call->calls->model, args->volume_id);

	begin_operation(call, args->volume_id, volume ? volume->cloud.vm_id : NULL,
			op_resize_context(args));
}

/* ---- volumes ---- */

/* If the list has never been fetched, an empty answer would be a lie. */
static bool check_known(struct call *call)
{
	struct cloud_health health = { 0 };

	if (volumes_are_known(call->calls->model))
		return true;
	if (!call->calls->env->cloud) {
		call_failf(call, ERR_UNAVAILABLE,
			   "no CloudStack is configured, so no volumes are known");
		return false;
	}
	cloud_health(call->calls->env->cloud, &health);
	call_failf(call, ERR_UNAVAILABLE, "the volumes are not known yet: %s",
		   health.reason[0] ? health.reason : "CloudStack has not answered so far");
	return false;
}

static bool volume_fits(const struct volume *volume, const struct volume_list_args *args)
{
	return (!args->state || streq(args->state, volume->cloud.state)) &&
	       (!args->vm_id || streq(args->vm_id, volume->cloud.vm_id)) &&
	       (!args->name || streq(args->name, volume->cloud.name)) &&
	       (!args->cursor || strcmp(volume->id, args->cursor) > 0);
}

static int by_id(const void *a, const void *b)
{
	const struct volume *const *left = a, *const *right = b;

	return strcmp((*left)->id, (*right)->id);
}

static void answer_volumes(struct call *call, const struct volume_list_args *args)
{
	struct calls *calls = call->calls;
	size_t count = 0, limit = args->limit > 0 ? (size_t)args->limit : SIZE_MAX;
	_cleanup_free_ const struct volume **found =
		xcalloc(volume_count(calls->model) + 1, sizeof(*found));
	_cleanup_free_ char *cursor = NULL;
	struct volume_record *records;
	struct volume *volume;

	for (volume = volume_first(calls->model); volume; volume = volume_next(volume)) {
		if (volume_fits(volume, args))
			found[count++] = volume;
	}
	qsort(found, count, sizeof(*found), by_id);
	if (count > limit) {
		count = limit;
		cursor = xstrdup(found[count - 1]->id);
	}
	records = xcalloc(count + 1, sizeof(*records));
	for (size_t i = 0; i < count; i++)
		volume_to_record(calls->model, found[i], &records[i]);
	call_answer_many(call, records, count, cursor);
	for (size_t i = 0; i < count; i++)
		record_clear(&volume_record, &records[i]);
	free(records);
}

void volume_list(struct call *call)
{
	if (check_known(call))
		answer_volumes(call, call->args);
}

void vm_volumes(struct call *call)
{
	const struct vm_args *args = call->args;
	struct volume_list_args filter = { .vm_id = args->vm_id };

	if (check_known(call))
		answer_volumes(call, &filter);
}

static void answer_volume(struct call *call, const struct volume *volume)
{
	struct volume_record record = { 0 };

	volume_to_record(call->calls->model, volume, &record);
	call_answer(call, &record);
	record_clear(&volume_record, &record);
}

static void on_volume_listed(void *arg, const struct cloud_result *result)
{
	struct call *call = arg;
	const struct volume_get_args *args = call->args;

	call_waited(call);
	if (result->outcome != CLOUD_OK) {
		call_fail(call, &result->err);
		return;
	}
	for (size_t i = 0; i < result->count; i++) {
		if (streq(result->volumes[i].id, args->volume_id)) {
			answer_volume(call, volume_update(call->calls->model, &result->volumes[i]));
			return;
		}
	}
	if (!operation_busy(call->calls->engine, args->volume_id))
		volume_remove(call->calls->model, args->volume_id);
	call_failf(call, ERR_NOT_FOUND, "volume %s does not exist in CloudStack", args->volume_id);
}

void volume_get(struct call *call)
{
	const struct volume_get_args *args = call->args;
	const struct volume *volume = volume_find(call->calls->model, args->volume_id);
	struct cloud_volume_filter filter = { .id = args->volume_id };

	if (volume && !args->refresh)
		answer_volume(call, volume);
	else if (call->calls->env->cloud)
		call_wait_cloud(call, cloud_list_volumes(call->calls->env->cloud, &filter,
							 on_volume_listed, call));
	else
		call_failf(call, ERR_UNAVAILABLE,
			   "no CloudStack is configured, so volume %s cannot be looked up",
			   args->volume_id);
}
