/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What an undo has left behind, and the mapping of a disk that is gone, wait for a person. The
 * person may say that it is settled, but not against the facts: CloudStack is asked for the volume
 * first, and a word that it contradicts is refused with what CloudStack shows. Nothing is changed
 * in CloudStack by these methods.
 */

#include "core/methods/attention_methods.h"

#include "base/json.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "core/call.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/plan.h"
#include "core/model/commit.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"
#include "core/ops/ops.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "store/store.h"

/* ---- what CloudStack shows ---- */

/* The volume in the answer, which the model follows; NULL: CloudStack does not list it. */
static const struct cloud_volume *note_volume(struct call *call, const char *volume_id,
					      const struct cloud_result *result)
{
	struct model *model = call->calls->model;

	for (size_t i = 0; i < result->count; i++) {
		if (str_empty(volume_id) || streq(result->volumes[i].id, volume_id)) {
			volume_update(model, &result->volumes[i]);
			return &result->volumes[i];
		}
	}
	if (!str_empty(volume_id) && !operation_busy(call->calls->engine, volume_id))
		volume_remove(model, volume_id);
	return NULL;
}

/* Half a sentence, to be freed. */
static char *describe(const char *volume_id, const struct cloud_volume *volume)
{
	if (!volume)
		return xasprintf("CloudStack shows no volume %s", str_or(volume_id, ""));
	if (volume->vm_id)
		return xasprintf("volume %s is attached to VM %s in CloudStack, with %llu bytes",
				 volume->id, volume->vm_id, (unsigned long long)volume->size);
	return xasprintf("volume %s is attached to no VM in CloudStack, and has %llu bytes",
			 volume->id, (unsigned long long)volume->size);
}

static bool needs_cloud(struct call *call)
{
	if (call->calls->env->cloud)
		return true;
	call_failf(call, ERR_UNAVAILABLE,
		   "no CloudStack is configured, so the volume cannot be looked at first");
	return false;
}

/* An operation or a job may change the volume at any moment. */
static bool is_busy(struct call *call, const char *volume_id, const struct cloud_volume *volume)
{
	if (!str_empty(volume_id) && operation_busy(call->calls->engine, volume_id))
		call_failf(call, ERR_CONFLICT,
			   "an operation on volume %s is under way; try again when it has ended",
			   volume_id);
	else if (volume && volume->job_id)
		call_failf(call, ERR_CONFLICT,
			   "CloudStack works on volume %s (job %s); try again when that has ended",
			   volume->id, volume->job_id);
	else
		return false;
	return true;
}

/* ---- an operation ---- */

struct resolving {
	struct operation_record record; /* as the store has it */
	uint64_t settlings;             /* operation_settlings(), before it was read */
};

static void free_resolving(void *state)
{
	struct resolving *resolving = state;

	record_clear(&operation_record, &resolving->record);
	free(resolving);
}

static bool is_done(const struct call *call)
{
	const struct operation_resolve_args *args = call->args;

	return streq(args->as, "done");
}

static void on_resolved(void *arg, const struct operation_record *record, const struct err *err)
{
	struct call *call = arg;

	call_waited(call);
	if (err->code)
		call_fail(call, err);
	else
		call_answer(call, record);
}

static char *details_json(const struct call *call)
{
	const struct operation_resolve_args *args = call->args;
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	json_put_member(&writer, "resolved", args->as);
	json_end_object(&writer);
	return buf_take(&out);
}

static void look_up(struct call *call);

/* Another call or the daemon itself may have settled it while CloudStack was asked. */
static bool is_settled_meanwhile(struct call *call)
{
	const struct resolving *resolving = call->state;
	struct engine *engine = call->calls->engine;

	if (operation_is_settling(engine, resolving->record.id))
		call_failf(call, ERR_CONFLICT, "operation %s is being resolved already",
			   resolving->record.id);
	else if (operation_settlings(engine) != resolving->settlings)
		look_up(call);
	else
		return false;
	return true;
}

static void resolve(struct call *call)
{
	const struct resolving *resolving = call->state;
	_cleanup_free_ char *details = details_json(call);
	_cleanup_free_ char *words =
		xasprintf("an administrator has settled it over %s: its change is %s",
			  call->caller.surface,
			  is_done(call) ? "made" : "not made, and nothing is left");

	if (is_settled_meanwhile(call))
		return;
	call_wait_settling(call, operation_resolve(call->calls->engine, &resolving->record, words,
						   details, call->asked_by, on_resolved, call));
}

/* facts: half a sentence. */
static void resolve_unless(struct call *call, enum op_goal goal, const char *facts)
{
	const struct resolving *resolving = call->state;

	if (goal != GOAL_HALF && goal != (is_done(call) ? GOAL_MISSED : GOAL_REACHED)) {
		if (!plan_ends(call, "Mark operation %s as settled: its change is %s.",
			       resolving->record.id,
			       is_done(call) ? "made" : "not made, and nothing is left"))
			resolve(call);
		return;
	}
	call_failf(call, ERR_CONFLICT, "operation %s (%s) is %s: %s", resolving->record.id,
		   operation_type_names[resolving->record.type],
		   is_done(call) ? "not done" : "not undone", facts);
}

static char *describe_snapshot(const struct cloud_snapshot *snapshot)
{
	if (!snapshot)
		return xstrdup("CloudStack does not show its snapshot");
	return xasprintf("CloudStack shows snapshot %s (%s), which is %s", snapshot->id,
			 str_or(snapshot->name, ""), str_or(snapshot->state, "in no state"));
}

static void on_snapshot_looked_at(void *arg, const struct cloud_result *result)
{
	struct call *call = arg;
	const struct resolving *resolving = call->state;
	const struct cloud_snapshot *snapshot = result->count > 0 ? &result->snapshots[0] : NULL;
	_cleanup_free_ char *facts = NULL;

	call_waited(call);
	if (result->outcome != CLOUD_OK) {
		call_fail(call, &result->err);
		return;
	}
	facts = describe_snapshot(snapshot);
	resolve_unless(call, op_goal_look_at_snapshot(&resolving->record, snapshot), facts);
}

/* The volume of a snapshot tells nothing of it. */
static bool looks_at_snapshot(struct call *call)
{
	const struct resolving *resolving = call->state;
	_cleanup_free_ char *id = NULL, *name = NULL;
	struct cloud_snapshot_filter filter = { 0 };

	if (!op_goal_snapshot(&resolving->record, &id, &name))
		return false;
	filter.id = id;
	filter.name = name;
	filter.volume_id = name ? resolving->record.volume_id : NULL;
	call_wait_cloud(call, cloud_list_snapshots(call->calls->env->cloud, &filter,
						   on_snapshot_looked_at, call));
	return true;
}

static void on_goal_looked_at(void *arg, const struct cloud_result *result)
{
	struct call *call = arg;
	const struct resolving *resolving = call->state;
	const struct operation_record *record = &resolving->record;
	_cleanup_free_ char *facts = NULL;
	const struct cloud_volume *volume;

	call_waited(call);
	if (result->outcome != CLOUD_OK) {
		call_fail(call, &result->err);
		return;
	}
	volume = note_volume(call, record->volume_id, result);
	if (is_busy(call, record->volume_id, volume))
		return;
	if (looks_at_snapshot(call))
		return;
	facts = describe(record->volume_id, volume);
	resolve_unless(call, op_goal_look(record, volume), facts);
}

/* A creation that never learned its volume left it under a name of its own. */
static void look_at_goal(struct call *call, const struct operation_record *record)
{
	const char *text = str_or(record->request, "{}");
	_cleanup_json_ struct json *request = json_parse(text, strlen(text), NULL);
	const char *asked = json_text(json_get(request, "name"));
	bool by_name = str_empty(record->volume_id);
	_cleanup_free_ char *name = by_name ? op_create_name(str_or(asked, ""), record->id) : NULL;
	struct cloud_volume_filter filter = { .id = by_name ? NULL : record->volume_id,
					      .name = name };

	call_wait_cloud(call, cloud_list_volumes(call->calls->env->cloud, &filter,
						 on_goal_looked_at, call));
}

static void on_found(void *arg, const struct store_operations *result)
{
	struct call *call = arg;
	const struct operation_resolve_args *args = call->args;
	struct resolving *resolving = call->state;

	call_waited(call);
	if (result->err.code) {
		call_fail(call, &result->err);
	} else if (result->count == 0) {
		call_failf(call, ERR_NOT_FOUND, "operation %s does not exist", args->operation_id);
	} else if (!operation_status_is_final(result->items[0].status)) {
		call_failf(call, ERR_CONFLICT,
			   "operation %s has not ended; cancel it, or wait for its end",
			   args->operation_id);
	} else if (!result->items[0].needs_attention) {
		call_failf(call, ERR_CONFLICT, "operation %s needs no attention: it is %s",
			   args->operation_id, operation_status_names[result->items[0].status]);
	} else if (needs_cloud(call)) {
		record_clear(&operation_record, &resolving->record);
		record_copy(&operation_record, &resolving->record, &result->items[0]);
		look_at_goal(call, &resolving->record);
	}
}

static void look_up(struct call *call)
{
	const struct operation_resolve_args *args = call->args;
	struct resolving *resolving = call->state;

	resolving->settlings = operation_settlings(call->calls->engine);
	call_wait_read(call, store_find_operation(call->calls->env->store, args->operation_id,
						  on_found, call));
}

void operation_resolve_asked(struct call *call)
{
	const struct operation_resolve_args *args = call->args;
	struct err err = { 0 };

	if (is_done(call) || streq(args->as, "undone")) {
		call_keep(call, xnew(struct resolving), free_resolving);
		look_up(call);
		return;
	}
	err_set_field(&err, "as", ERR_INVALID, "as must be done or undone, got \"%s\"", args->as);
	call_fail(call, &err);
}

/* ---- a mapping ---- */

static void on_forgotten(void *arg, const struct err *err)
{
	struct call *call = arg;
	const struct volume_forget_args *args = call->args;
	struct message_record record = { 0 };

	call_waited(call);
	if (err->code) {
		call_fail(call, err);
		return;
	}
	record.message = xasprintf("the mapping of volume %s is dropped", args->volume_id);
	call_answer(call, &record);
	record_clear(&message_record, &record);
}

/* NULL if the mapping may be dropped; else why not, to be freed. */
static char *why_kept(struct call *call, const struct mapping *mapping,
		      const struct cloud_volume *volume)
{
	const struct mapping_record *record = &mapping->record;
	struct calls *calls = call->calls;
	const struct device *device = mapping_next_disk(calls->model, record->volume_id, NULL);

	if (device)
		return xasprintf("its disk %s is here; detach the volume", device->path);
	if (volume && streq(volume->vm_id, record->vm_id) &&
	    !env_is_appliance(calls->env, record->vm_id))
		return xasprintf("it is attached to VM %s, as the mapping says; detach the volume",
				 record->vm_id);
	return NULL;
}

static void on_volume_looked_at(void *arg, const struct cloud_result *result)
{
	struct call *call = arg;
	const struct volume_forget_args *args = call->args;
	struct model *model = call->calls->model;
	const struct mapping *mapping = mapping_find(model, args->volume_id);
	const struct cloud_volume *volume;
	_cleanup_free_ char *why = NULL;
	struct err err = { 0 };

	call_waited(call);
	if (result->outcome != CLOUD_OK) {
		call_fail(call, &result->err);
		return;
	}
	volume = note_volume(call, args->volume_id, result);
	if (is_busy(call, args->volume_id, volume))
		return;
	if (!mapping) {
		on_forgotten(call, &err);
		return;
	}
	if (sysblock_scan(call->calls->env->sysblock, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	why = why_kept(call, mapping, volume);
	if (why) {
		call_failf(call, ERR_CONFLICT, "the mapping of volume %s is kept: %s",
			   args->volume_id, why);
		return;
	}
	if (plan_ends(call, "Drop the mapping of volume %s; CloudStack is not changed.",
		      args->volume_id))
		return;
	log_notice("volume=%s %s: its mapping to %s is dropped by an administrator",
		   args->volume_id, call->caller.surface, mapping->record.device_path);
	call_wait_change(call, commit_mapping(model, args->volume_id, NULL, CHANGE_OPTIONAL,
					      on_forgotten, call));
}

void volume_forget(struct call *call)
{
	const struct volume_forget_args *args = call->args;
	struct cloud_volume_filter filter = { .id = args->volume_id };

	if (!mapping_find(call->calls->model, args->volume_id))
		call_failf(call, ERR_NOT_FOUND, "volume %s is mapped to no device",
			   args->volume_id);
	else if (needs_cloud(call))
		call_wait_cloud(call, cloud_list_volumes(call->calls->env->cloud, &filter,
							 on_volume_looked_at, call));
}
