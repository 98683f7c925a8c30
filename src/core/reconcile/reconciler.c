/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Store, CloudStack and kernel compared, and brought together again.
 *
 * Every whole list of volumes that is fetched (volume.c: at the start, every minute, when somebody asks) is laid beside
 * the mappings and the kernel's disks. Whatever differs is only suspected at first: the list is as old as its first
 * page and pages shift. So each suspect is asked for anew, alone, and judged again by core/drift with what is true now.
 * Only then is it told and repaired: a mapping is made, corrected or dropped at once; what has to be changed in
 * CloudStack is changed by an ordinary operation, visible and safe against crashes like any other.
 *
 * A volume with an operation under way is left alone, and so is one that had an operation between question and answer.
 */

#include "core/reconcile/reconciler.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "core/core_parts.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"
#include "core/reconcile/drift_log.h"
#include "core/reconcile/drift_repair.h"
#include "core/reconcile/host_sync.h"
#include "core/reconcile/volume_list.h"
#include "core/rules/drift.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "store/store.h"

/* So many are looked at closely in one comparison, each by a request of its own. */
#define SUSPECTS_MAX 200
#define LEFT_OVERS_MAX 1000

/* ---- the end ---- */

static void put_drifts(struct json_writer *writer, const char *name, const struct reconcile *reconcile, int repaired)
{
	const struct suspect *suspect;

	json_put_name(writer, name);
	json_begin_array(writer);
	TAILQ_FOREACH(suspect, &reconcile->suspects, entry) {
		if (suspect->record.kind != DRIFT_NONE && (repaired < 0 || suspect->record.repaired == repaired))
			record_to_json(&drift_record, &suspect->record, false, writer);
	}
	json_end_array(writer);
}

static char *report_json(const struct reconcile *reconcile)
{
	struct buf out = BUF_NULL;
	struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	json_put_name(&writer, "checked");
	json_put_uint(&writer, reconcile->checked);
	json_put_name(&writer, "dry_run");
	json_put_bool(&writer, reconcile->dry_run);
	put_drifts(&writer, "drift", reconcile, -1);
	put_drifts(&writer, "repaired", reconcile, true);
	put_drifts(&writer, "failed", reconcile, false);
	json_end_object(&writer);
	return buf_take(&out);
}

static char *message(const struct reconcile *reconcile)
{
	const struct suspect *suspect;
	size_t found = 0, repaired = 0;
	char left[64] = "";

	TAILQ_FOREACH(suspect, &reconcile->suspects, entry) {
		found += suspect->record.kind != DRIFT_NONE;
		repaired += suspect->record.repaired;
	}
	if (reconcile->left > 0)
		snprintf(left, sizeof(left), "; %zu more are looked at the next times", reconcile->left);
	if (found == 0)
		return xasprintf("%zu volumes compared, nothing differs%s", reconcile->checked, left);
	return xasprintf("%zu volumes compared, %zu differ: %zu repaired, %zu %s%s", reconcile->checked, found,
			 repaired, found - repaired,
			 reconcile->dry_run ? "only reported" : "for somebody else to settle", left);
}

static struct call *find_served(struct core *core)
{
	struct call *call;

	TAILQ_FOREACH(call, &core->calls, entry) {
		if (call->in_sync)
			return call;
	}
	return NULL;
}

static bool is_awaited(struct core *core)
{
	const struct call *call;

	TAILQ_FOREACH(call, &core->calls, entry) {
		if (call->awaits_sync)
			return true;
	}
	return false;
}

static void suspect_free(struct suspect *suspect)
{
	if (suspect->call)
		cloud_call_cancel(suspect->call);
	if (suspect->read)
		store_read_cancel(suspect->read);
	if (suspect->starting)
		operation_forget_asker(suspect->starting);
	TAILQ_REMOVE(&suspect->reconcile->suspects, suspect, entry);
	record_clear(&operation_record, &suspect->origin);
	record_clear(&drift_record, &suspect->record);
	free(suspect->volume_id);
	free(suspect->origin_id);
	free(suspect->last_operation);
	free(suspect);
}

static void reconcile_drop(struct core *core)
{
	struct reconcile *reconcile = TAKE_PTR(core->reconcile);
	struct suspect *suspect;

	if (!reconcile)
		return;
	while ((suspect = TAILQ_FIRST(&reconcile->suspects)))
		suspect_free(suspect);
	if (reconcile->left_overs)
		store_read_cancel(reconcile->left_overs);
	free(reconcile);
}

static void finish(struct reconcile *reconcile)
{
	struct core *core = reconcile->core;
	struct sync_record record = { .timestamp = clock_wall_ms() };
	struct call *call;

	record.message = message(reconcile);
	record.report = report_json(reconcile);
	if (!reconcile->dry_run) {
		if (reconcile->left == 0)
			drift_forget_old(core);
		tidy_soon(core);
	}
	reconcile_drop(core);
	while ((call = find_served(core)))
		call_answer(call, &record);
	record_clear(&sync_record, &record);
	volumes_refresh_next(core, is_awaited(core));
}

void suspect_done(struct suspect *suspect)
{
	struct reconcile *reconcile = suspect->reconcile;

	if (suspect->record.kind != DRIFT_NONE && !reconcile->dry_run)
		drift_tell(reconcile->core, &suspect->record);
	if (--reconcile->waiting == 0)
		finish(reconcile);
}

/* ---- looking closer ---- */

static const struct device *disk_here(struct core *core, const char *volume_id)
{
	const struct mapping *mapping = mapping_find(core, volume_id);
	const struct device *found = NULL;

	if (mapping && core_is_appliance(core, mapping->record.vm_id))
		return mapping_disk(core, &mapping->record);
	for (size_t i = 0; i < sysblock_count(core->sysblock) && !found; i++) {
		if (device_identity(sysblock_at(core->sysblock, i), volume_id) == IDENTITY_SAME)
			found = sysblock_at(core->sysblock, i);
	}
	return found;
}

static void gather(struct core *core, const char *volume_id, const struct cloud_volume *cloud, struct drift_facts *out)
{
	const struct mapping *mapping = mapping_find(core, volume_id);

	*out = (struct drift_facts){
		.volume_id = volume_id,
		.appliance_id = core->options.appliance_id,
		.cloud = cloud && !cloud_volume_is_destroyed(cloud) ? cloud : NULL,
		.mapping = mapping ? &mapping->record : NULL,
		.device = disk_here(core, volume_id),
	};
}

static const char *last_operation(struct core *core, const char *volume_id)
{
	const struct volume *volume = volume_find(core, volume_id);

	return volume ? volume->last_operation_id : NULL;
}

static void judge(struct suspect *suspect, const struct cloud_volume *cloud)
{
	struct reconcile *reconcile = suspect->reconcile;
	struct drift_facts facts;
	struct drift drift = { 0 };

	gather(reconcile->core, suspect->volume_id, cloud, &facts);
	if (suspect->origin.id) {
		facts.origin = &suspect->origin;
		drift_judge_left_over(&facts, &drift);
	}
	if (drift.kind == DRIFT_NONE) {
		facts.origin = NULL;
		drift_judge(&facts, &drift);
	}
	if (drift.kind != DRIFT_NONE) {
		suspect_repair(suspect, &facts, &drift);
		return;
	}
	/* Only when all three agree: what a detachment leaves behind is the disk in the kernel. */
	if (suspect->origin.needs_attention && !reconcile->dry_run && !(cloud && cloud->job_id))
		operation_settle(reconcile->core, &suspect->origin);
	suspect_done(suspect);
}

static void on_listed(void *arg, const struct cloud_result *result)
{
	struct suspect *suspect = arg;
	struct core *core = suspect->reconcile->core;
	const struct cloud_volume *cloud = NULL;

	suspect->call = NULL;
	if (core->draining)
		return;
	for (size_t i = 0; i < result->count; i++) {
		if (streq(result->volumes[i].id, suspect->volume_id))
			cloud = &result->volumes[i];
	}
	if ((result->outcome != CLOUD_OK && result->err.code != ERR_NOT_FOUND) ||
	    operation_busy(core, suspect->volume_id) ||
	    !streq(str_or(suspect->last_operation, ""), str_or(last_operation(core, suspect->volume_id), ""))) {
		suspect_done(suspect); /* the next comparison will tell */
		return;
	}
	if (cloud)
		volume_update(core, cloud);
	judge(suspect, cloud);
}

static void ask_cloud(struct suspect *suspect)
{
	struct core *core = suspect->reconcile->core;
	struct cloud_volume_filter filter = { .id = suspect->volume_id };

	if (operation_busy(core, suspect->volume_id)) {
		suspect_done(suspect);
		return;
	}
	str_set(&suspect->last_operation, last_operation(core, suspect->volume_id));
	suspect->call = cloud_list_volumes(core->cloud, &filter, on_listed, suspect);
}

static void on_origin(void *arg, const struct store_operations *result)
{
	struct suspect *suspect = arg;

	suspect->read = NULL;
	if (suspect->reconcile->core->draining)
		return;
	/* An operation nobody remembers may be another daemon's. */
	if (result->count > 0 && operation_status_is_final(result->items[0].status))
		record_copy(&operation_record, &suspect->origin, &result->items[0]);
	ask_cloud(suspect);
}

/* What can be done about it has to wait for a later turn, as nothing may end while suspects are still being begun. */
static void look_closer(struct suspect *suspect)
{
	struct core *core = suspect->reconcile->core;

	if (suspect->origin_id && !suspect->origin.id)
		suspect->read = store_find_operation(core->store, suspect->origin_id, on_origin, suspect);
	else
		ask_cloud(suspect);
}

/* ---- finding suspects ---- */

static struct suspect *suspect_find(const struct reconcile *reconcile, const char *volume_id)
{
	struct suspect *suspect;

	TAILQ_FOREACH(suspect, &reconcile->suspects, entry) {
		if (streq(suspect->volume_id, volume_id))
			return suspect;
	}
	return NULL;
}

static struct suspect *suspect_add(struct reconcile *reconcile, const char *volume_id)
{
	struct suspect *suspect = xnew(struct suspect);

	suspect->reconcile = reconcile;
	suspect->volume_id = xstrdup(volume_id);
	TAILQ_INSERT_TAIL(&reconcile->suspects, suspect, entry);
	reconcile->count++;
	return suspect;
}

static void compare_one(struct reconcile *reconcile, const char *volume_id, const struct cloud_volume *cloud)
{
	const char *origin_id = cloud && !cloud->vm_id ? op_create_of_name(cloud->name) : NULL;
	struct suspect *suspect;
	struct drift_facts facts;
	struct drift drift;

	reconcile->checked++;
	if (operation_busy(reconcile->core, volume_id))
		return;
	gather(reconcile->core, volume_id, cloud, &facts);
	drift_judge(&facts, &drift);
	if (drift.kind == DRIFT_NONE && !origin_id)
		return;
	suspect = suspect_add(reconcile, volume_id);
	str_set(&suspect->origin_id, origin_id);
}

static void compare_all(struct reconcile *reconcile)
{
	struct core *core = reconcile->core;
	struct mapping *mapping, *next_mapping;
	struct volume *volume, *next_volume;
	struct err err;

	if (sysblock_scan(core->sysblock, &err) < 0)
		log_warning("the kernel's disks could not be listed: %s", err.text);
	HASH_ITER(hh, core->volumes, volume, next_volume) {
		if (volume->round == core->refresh_round)
			compare_one(reconcile, volume->id, &volume->cloud);
	}
	HASH_ITER(hh, core->mappings, mapping, next_mapping) {
		volume = volume_find(core, mapping->record.volume_id);
		if (!volume || volume->round != core->refresh_round)
			compare_one(reconcile, mapping->record.volume_id, NULL);
	}
}

/* A create that never learned of a volume: a volume with its name would be a suspect by itself. */
static void settle_unknown(struct reconcile *reconcile, const struct operation_record *record)
{
	const struct suspect *suspect;

	TAILQ_FOREACH(suspect, &reconcile->suspects, entry) {
		if (streq(suspect->origin_id, record->id))
			return;
	}
	if (!reconcile->dry_run)
		operation_settle(reconcile->core, record);
}

/* More than can be looked at take turns: those that only people can settle are there each time. */
static void choose(struct reconcile *reconcile)
{
	struct core *core = reconcile->core;
	size_t count = reconcile->count, first, index = 0;
	struct suspect *suspect, *next;

	if (count <= SUSPECTS_MAX) {
		core->suspects_passed = 0;
		return;
	}
	first = core->suspects_passed % count;
	for (suspect = TAILQ_FIRST(&reconcile->suspects); suspect; suspect = next, index++) {
		next = TAILQ_NEXT(suspect, entry);
		if ((index + count - first) % count >= SUSPECTS_MAX)
			suspect_free(suspect);
	}
	core->suspects_passed = first + SUSPECTS_MAX;
	reconcile->count = SUSPECTS_MAX;
	reconcile->left = count - SUSPECTS_MAX;
}

static void on_left_overs(void *arg, const struct store_operations *result)
{
	struct reconcile *reconcile = arg;
	struct suspect *suspect, *next;

	reconcile->left_overs = NULL;
	if (reconcile->core->draining)
		return;
	for (size_t i = 0; i < result->count; i++) {
		if (!operation_status_is_final(result->items[i].status))
			continue;
		if (str_empty(result->items[i].volume_id)) {
			settle_unknown(reconcile, &result->items[i]);
			continue;
		}
		suspect = suspect_find(reconcile, result->items[i].volume_id);
		if (!suspect)
			suspect = suspect_add(reconcile, result->items[i].volume_id);
		if (!suspect->origin.id)
			record_copy(&operation_record, &suspect->origin, &result->items[i]);
	}
	choose(reconcile);
	reconcile->waiting = reconcile->count + 1;
	for (suspect = TAILQ_FIRST(&reconcile->suspects); suspect; suspect = next) {
		next = TAILQ_NEXT(suspect, entry);
		look_closer(suspect);
	}
	if (--reconcile->waiting == 0)
		finish(reconcile);
}

/* ---- for volume.c and the call ---- */

void reconcile_begin(struct core *core)
{
	struct call *call, *first = NULL;

	assert(!core->reconcile);
	core->reconcile = xnew(struct reconcile);
	core->reconcile->core = core;
	TAILQ_INIT(&core->reconcile->suspects);
	/* Whoever asked first says how; the others wait if they want it otherwise. */
	TAILQ_FOREACH(call, &core->calls, entry) {
		const struct sync_args *args = call->args, *first_args = first ? first->args : args;

		if (!call->awaits_sync || args->dry_run != first_args->dry_run)
			continue;
		first = first ? first : call;
		call->awaits_sync = false;
		call->in_sync = true;
		core->reconcile->dry_run = args->dry_run;
	}
}

void reconcile_compare(struct core *core)
{
	const struct store_operation_filter filter = {
		.type = -1,
		.status = -1,
		.needs_attention = true,
		.limit = LEFT_OVERS_MAX,
	};
	struct reconcile *reconcile = core->reconcile;

	compare_all(reconcile);
	reconcile->left_overs = store_list_operations(core->store, &filter, on_left_overs, reconcile);
}

void reconcile_fail(struct core *core, const struct err *err)
{
	struct call *call;

	reconcile_drop(core);
	while ((call = find_served(core)))
		call_fail(call, err);
}

void reconcile_request(struct call *call)
{
	call->awaits_sync = true;
	if (!call->core->reconcile)
		volumes_refresh_next(call->core, true);
}

void reconcile_free(struct core *core)
{
	reconcile_drop(core);
	drift_forget_all(core);
}
