/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The methods about volumes. A change begins an operation and is answered with it once it is
 * durable; questions about volumes are answered from memory. */

#include "core/methods/volume_methods.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

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
#include "core/reconcile/reconciler.h"
#include "core/reconcile/volume_list.h"

/* ---- changes ---- */

/* CloudStack's database takes no character beyond Unicode's basic plane: each request with such a
 * name ends in an error. */
int volume_check_name(const char *name, struct err *err)
{
	size_t left = strlen(name), size;
	uint32_t code;

	for (; left > 0; name += size, left -= size) {
		size = utf8_next(name, left, &code);
		if (size == 0 || code > 0xffff)
			return err_set_field(
				err, "name", ERR_INVALID,
				"name has a character that CloudStack cannot store (U+%04X, "
				"such as an emoji); give a name without it",
				code);
	}
	return 0;
}

/* In a project whose volumes CloudStack does not list, the daemon could not find the new volume. */
static int choose_project(const struct env *env, const char *asked, const char **project_id,
			  struct err *err)
{
	const char *listed = env->options.project_id;
	bool all = streq(listed, CLOUD_ALL_PROJECTS);

	*project_id = asked || all ? asked : listed;
	if (!asked || all || (listed && strcasecmp(asked, listed) == 0))
		return 0;
	return err_set_field(
		err, "project_id", ERR_INVALID,
		"project_id names a project whose volumes the daemon does not see; set "
		"cloud.project_id to this project or to all");
}

static void begin_create(struct call *call, const char *zone_id)
{
	const struct volume_create_args *args = call->args;
	const char *project_id;
	struct err err = { 0 };

	if (choose_project(call->calls->env, args->project_id, &project_id, &err) < 0)
		call_fail(call, &err);
	else
		begin_operation(call, NULL, NULL, op_create_context(args, zone_id, project_id));
}

static void on_zone(void *arg, const struct cloud_result *result)
{
	struct call *call = arg;
	const char *name = call->state;
	struct err err = { 0 };

	call_waited(call);
	if (result->outcome != CLOUD_OK) {
		call_fail(call, &result->err);
	} else if (!result->entity_id) {
		err_set_field(
			&err, "zone_id", ERR_INVALID,
			"zone_id is required: CloudStack shows no zone named \"%s\", which cloud.zone or a "
			"row of ossea_configs names for all",
			name);
		call_fail(call, &err);
	} else {
		env_note_zone(call->calls->env, name, result->entity_id);
		begin_create(call, result->entity_id);
	}
}

static void find_zone(struct call *call, const char *name)
{
	call_keep(call, xstrdup(name), free);
	call_wait_cloud(call, cloud_find_zone(call->calls->env->cloud, name, on_zone, call));
}

void volume_create(struct call *call)
{
	const struct volume_create_args *args = call->args;
	const struct env *env = call->calls->env;
	const char *zone_id = args->zone_id ? args->zone_id : env->zone_id;
	struct err err = { 0 };

	if (volume_check_name(args->name, &err) < 0) {
		call_fail(call, &err);
	} else if (zone_id) {
		begin_create(call, zone_id);
	} else if (env->zone) {
		find_zone(call, env->zone);
	} else {
		err_set_field(
			&err, "zone_id", ERR_INVALID,
			"zone_id is required: neither cloud.zone nor a row of ossea_configs names a zone for all");
		call_fail(call, &err);
	}
}

void volume_attach(struct call *call)
{
	const struct volume_attach_args *args = call->args;

	begin_operation(call, args->volume_id, args->vm_id, op_attach_context());
}

void volume_attach_root(struct call *call)
{
	const struct volume_attach_root_args *args = call->args;
	struct err err = { 0 };

	if (args->device_id != 0) {
		err_set_field(&err, "device_id", ERR_INVALID,
			      "device_id of a root disk is 0, got %lld",
			      (long long)args->device_id);
		call_fail(call, &err);
	} else if (env_is_appliance(call->calls->env, args->vm_id)) {
		op_attach_root_refuse(args->vm_id, &err);
		call_fail(call, &err);
	} else {
		begin_operation(call, args->volume_id, args->vm_id,
				op_attach_root_context(args->replace));
	}
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
	const struct volume *volume = volume_find(call->calls->model, args->volume_id);

	begin_operation(call, args->volume_id, volume ? volume->cloud.vm_id : NULL,
			op_delete_context());
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

void volume_cleanup(struct call *call)
{
	const struct volume_cleanup_args *args = call->args;
	struct err err = { 0 };

	if (op_cleanup_check(call->calls->env, args->test_vm_id, args->oma_vm_id, &err) < 0)
		call_fail(call, &err);
	else
		begin_operation(call, args->volume_id, args->test_vm_id, op_cleanup_context(args));
}

/* ---- volumes ---- */

/* If the list has never been fetched, an empty answer would be a lie. */
static bool check_known(struct call *call)
{
	struct volume_list_health list;
	struct cloud_health health = { 0 };

	if (volumes_are_known(call->calls->model))
		return true;
	if (!call->calls->env->cloud) {
		call_failf(call, ERR_UNAVAILABLE,
			   "no CloudStack is configured, so no volumes are known");
		return false;
	}
	cloud_health(call->calls->env->cloud, &health);
	reconciler_list_health(call->calls->reconciler, &list);
	call_failf(call, ERR_UNAVAILABLE, "the volumes are not known yet: %s",
		   health.reason[0]            ? health.reason
		   : list.err.code != ERR_NONE ? list.err.text
					       : "CloudStack has not answered so far");
	return false;
}

/* The volumes to list. */
struct choice {
	const struct volume_list_args *args;
	bool only_data;
};

static bool volume_fits(const struct volume *volume, const struct choice *choice)
{
	const struct volume_list_args *args = choice->args;

	return (!choice->only_data || streq(volume->cloud.type, "DATADISK")) &&
	       (!args->state || streq(args->state, volume->cloud.state)) &&
	       (!args->vm_id || streq(args->vm_id, volume->cloud.vm_id)) &&
	       (!args->name || streq(args->name, volume->cloud.name)) &&
	       (!args->cursor || strcmp(volume->id, args->cursor) > 0);
}

static int by_id(const void *a, const void *b)
{
	const struct volume *const *left = a, *const *right = b;

	return strcmp((*left)->id, (*right)->id);
}

static void answer_volumes(struct call *call, const struct choice *choice)
{
	struct calls *calls = call->calls;
	int64_t asked = choice->args->limit;
	size_t count = 0, limit = asked > 0 ? (size_t)asked : SIZE_MAX;
	_cleanup_free_ const struct volume **found =
		xcalloc(volume_count(calls->model) + 1, sizeof(*found));
	_cleanup_free_ char *cursor = NULL;
	struct volume_list_health list;
	struct volume_record *records;
	struct volume_texts *texts;
	struct volume *volume;

	for (volume = volume_first(calls->model); volume; volume = volume_next(volume)) {
		if (volume_fits(volume, choice))
			found[count++] = volume;
	}
	qsort(found, count, sizeof(*found), by_id);
	if (count > limit) {
		count = limit;
		cursor = xstrdup(found[count - 1]->id);
	}
	records = xcalloc(count + 1, sizeof(*records));
	texts = xcalloc(count + 1, sizeof(*texts));
	for (size_t i = 0; i < count; i++)
		volume_show(calls->model, found[i], &texts[i], &records[i]);
	reconciler_list_health(calls->reconciler, &list);
	call_answer_as(call, &(struct answer){
				     .record = &volume_record,
				     .items = records,
				     .count = count,
				     .next_cursor = cursor,
				     .listed_ms = list.known_since_ms,
			     });
	for (size_t i = 0; i < count; i++)
		volume_texts_clear(&texts[i]);
	free(texts);
	free(records);
}

static void answer_list(struct call *call)
{
	answer_volumes(call, &(struct choice){ .args = call->args });
}

/* A new list comes with each comparison that a client asks for. */
static void on_compared(void *arg, const struct sync_record *record, bool dry_run,
			const struct err *err)
{
	struct call *call = arg;

	call_waited(call);
	if (record)
		call_list(call, answer_list);
	else
		call_fail(call, err);
}

void volume_list(struct call *call)
{
	const struct volume_list_args *args = call->args;

	if (args->refresh && call->calls->env->cloud)
		call_wait_comparison(call, reconcile_request(call->calls->reconciler, false,
							     on_compared, call));
	else if (check_known(call))
		answer_list(call);
}

/* Callers attach to another VM whatever is listed, so root disks are listed on demand only. */
void vm_volumes(struct call *call)
{
	const struct vm_volumes_args *args = call->args;
	const struct volume_list_args filter = { .vm_id = args->vm_id };

	if (check_known(call))
		answer_volumes(call,
			       &(struct choice){ .args = &filter,
						 .only_data = args->type == VOLUMES_OF_DATA });
}

static void answer_volume(struct call *call, const struct volume *volume)
{
	struct volume_texts texts = { 0 };
	struct volume_record record;

	volume_show(call->calls->model, volume, &texts, &record);
	call_answer(call, &record);
	volume_texts_clear(&texts);
}

static void on_volume_listed(void *arg, const struct cloud_result *result)
{
	struct call *call = arg;
	const struct volume_get_args *args = call->args;
	struct err err = { 0 };

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
	volume_missing(call->calls->model, args->volume_id, &err);
	if (!operation_busy(call->calls->engine, args->volume_id))
		volume_remove(call->calls->model, args->volume_id);
	call_fail(call, &err);
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
