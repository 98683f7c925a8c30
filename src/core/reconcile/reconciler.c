/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Store, CloudStack and kernel compared, and brought together again.
 *
 * Every list of volumes that is fetched is compared with the mappings and the kernel's disks: the
 * whole list at the start, by request and every now and then, and every minute at least the volumes
 * that this machine has to do with. A difference is only suspected at first: the list is as old as
 * its first page, and pages shift. So CloudStack is asked again for each suspect alone, and
 * rules/drift judges it with the facts of that moment. Only then is the drift told and repaired: a
 * mapping is made, corrected or dropped at once; an ordinary operation, visible and safe against
 * crashes like any other, makes the changes in CloudStack.
 *
 * A volume with an operation under way is left alone, and so is a volume that had an operation
 * between question and answer.
 */

#include "core/reconcile/reconciler.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/volume.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"
#include "core/reconcile/drift_log.h"
#include "core/reconcile/drift_repair.h"
#include "core/reconcile/host_sync.h"
#include "core/reconcile/lost_volumes.h"
#include "core/reconcile/reattach.h"
#include "core/reconcile/volume_list.h"
#include "core/rules/drift.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "store/store.h"

/* One comparison checks at most so many suspects, each by a request of its own. */
#define SUSPECTS_MAX 200
#define LEFT_OVERS_MAX 1000
/* While CloudStack does not answer, it is asked this often whether it is back. */
#define AWAY_RETRY_MS 5000
/* After a request without an answer, CloudStack is asked again this soon. */
#define SOON_MS 500

struct reconcile_ticket {
	TAILQ_ENTRY(reconcile_ticket) entry;
	struct reconciler *reconciler;
	bool dry_run;
	bool served; /* by the comparison under way */
	reconcile_done_fn done;
	void *arg;
};

/* ---- the end ---- */

static void put_drifts(struct json_writer *writer, const char *name,
		       const struct comparison *comparison, int repaired)
{
	const struct suspect *suspect;

	json_put_name(writer, name);
	json_begin_array(writer);
	TAILQ_FOREACH(suspect, &comparison->suspects, entry) {
		if (suspect->record.kind != DRIFT_NONE &&
		    (repaired < 0 || suspect->record.repaired == repaired))
			record_to_json(&drift_record, &suspect->record, false, writer);
	}
	json_end_array(writer);
}

static char *report_json(const struct comparison *comparison)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	json_put_name(&writer, "checked");
	json_put_uint(&writer, comparison->checked);
	json_put_name(&writer, "dry_run");
	json_put_bool(&writer, comparison->dry_run);
	put_drifts(&writer, "drift", comparison, -1);
	put_drifts(&writer, "repaired", comparison, true);
	put_drifts(&writer, "failed", comparison, false);
	json_end_object(&writer);
	return buf_take(&out);
}

static char *message(const struct comparison *comparison)
{
	const struct suspect *suspect;
	size_t found = 0, repaired = 0;
	char left[64] = "";

	TAILQ_FOREACH(suspect, &comparison->suspects, entry) {
		found += suspect->record.kind != DRIFT_NONE;
		repaired += suspect->record.repaired;
	}
	if (comparison->left > 0)
		snprintf(left, sizeof(left), "; %zu more are looked at the next times",
			 comparison->left);
	if (found == 0)
		return xasprintf("%zu volumes compared, nothing differs%s", comparison->checked,
				 left);
	return xasprintf("%zu volumes compared, %zu differ: %zu repaired, %zu %s%s",
			 comparison->checked, found, repaired, found - repaired,
			 comparison->dry_run ? "only reported" : "for an administrator to settle",
			 left);
}

static void suspect_free(struct suspect *suspect)
{
	if (suspect->call)
		cloud_call_cancel(suspect->call);
	if (suspect->read)
		store_read_cancel(suspect->read);
	if (suspect->starting)
		operation_leave(suspect->starting);
	if (suspect->reattachment)
		reattachment_cancel(suspect->reattachment);
	TAILQ_REMOVE(&suspect->comparison->suspects, suspect, entry);
	record_clear(&operation_record, &suspect->origin);
	record_clear(&drift_record, &suspect->record);
	free(suspect->volume_id);
	free(suspect->origin_id);
	free(suspect->last_operation);
	free(suspect);
}

static void comparison_drop(struct reconciler *reconciler)
{
	struct comparison *comparison = TAKE_PTR(reconciler->comparison);
	struct suspect *suspect;

	if (!comparison)
		return;
	while ((suspect = TAILQ_FIRST(&comparison->suspects)))
		suspect_free(suspect);
	if (comparison->left_overs)
		store_read_cancel(comparison->left_overs);
	free(comparison);
}

/* Each round begins with the first ticket, since a caller that is answered may cancel any other
 * ticket. */
static void answer_tickets(struct reconciler *reconciler, const struct sync_record *record,
			   bool dry_run, const struct err *err)
{
	struct reconcile_ticket *ticket;

	while ((ticket = TAILQ_FIRST(&reconciler->tickets_served))) {
		reconcile_done_fn done = ticket->done;
		void *arg = ticket->arg;

		reconcile_ticket_cancel(ticket);
		done(arg, record, dry_run, err);
	}
}

/* Only the volumes of a known appliance can be listed alone. */
static int64_t next_in_ms(const struct reconciler *reconciler)
{
	int64_t interval_ms = reconciler->env->options.reconcile_ms;
	int64_t whole_in_ms = volume_list_wait_ms(reconciler->volume_list);

	if (!reconciler->env->options.appliance_id || whole_in_ms < interval_ms)
		return whole_in_ms;
	return interval_ms;
}

static void finish(struct comparison *comparison)
{
	struct reconciler *reconciler = comparison->reconciler;
	struct sync_record record = { .timestamp = clock_wall_ms() };
	bool dry_run = comparison->dry_run;

	record.message = message(comparison);
	record.report = report_json(comparison);
	if (!comparison->dry_run) {
		if (comparison->is_whole && comparison->left == 0)
			drift_forget_old(reconciler->drift_log);
		host_sync_soon(reconciler->host_sync);
		store_heal_links(reconciler->env->store);
	}
	comparison_drop(reconciler);
	answer_tickets(reconciler, &record, dry_run, NULL);
	record_clear(&sync_record, &record);
	if (reconciler->is_stale)
		volume_list_expire(reconciler->volume_list);
	reconciler->is_stale = false;
	reconcile_in(reconciler, TAILQ_EMPTY(&reconciler->tickets) ? next_in_ms(reconciler) : 0);
	if (reconciler->is_unsure)
		reconcile_soon(reconciler);
	reconciler->is_unsure = false;
}

static void on_suspect_done(struct suspect *suspect)
{
	struct comparison *comparison = suspect->comparison;

	if (suspect->record.kind != DRIFT_NONE && !comparison->dry_run)
		drift_tell(comparison->reconciler->drift_log, &suspect->record);
	if (--comparison->waiting == 0)
		finish(comparison);
}

/* ---- looking closer ---- */

static const struct device *disk_here(struct reconciler *reconciler, const char *volume_id)
{
	const struct mapping *mapping = mapping_find(reconciler->model, volume_id);
	const struct device *found = NULL;

	if (mapping && env_is_appliance(reconciler->env, mapping->record.vm_id))
		return mapping_disk(reconciler->env, &mapping->record);
	for (size_t i = 0; i < sysblock_count(reconciler->env->sysblock) && !found; i++) {
		if (device_identity(sysblock_at(reconciler->env->sysblock, i), volume_id) ==
		    IDENTITY_SAME)
			found = sysblock_at(reconciler->env->sysblock, i);
	}
	return found;
}

static void gather(struct reconciler *reconciler, const char *volume_id,
		   const struct cloud_volume *cloud, struct drift_facts *out)
{
	const struct mapping *mapping = mapping_find(reconciler->model, volume_id);

	*out = (struct drift_facts){
		.volume_id = volume_id,
		.appliance_id = reconciler->env->options.appliance_id,
		.cloud = cloud && !cloud_volume_is_destroyed(cloud) ? cloud : NULL,
		.mapping = mapping ? &mapping->record : NULL,
		.device = disk_here(reconciler, volume_id),
	};
}

static const char *last_operation(struct reconciler *reconciler, const char *volume_id)
{
	const struct volume *volume = volume_find(reconciler->model, volume_id);

	return volume ? volume->last_operation_id : NULL;
}

/* may_exist: nothing proves that CloudStack has no such volume. */
static void note_lost(struct suspect *suspect, bool may_exist, struct drift_facts *facts)
{
	struct lost_volumes *lost = suspect->comparison->reconciler->lost_volumes;

	facts->is_lost = may_exist && op_attach_lost_volume(&suspect->origin);
	if (facts->is_lost && !facts->cloud)
		lost_volumes_put(lost, &suspect->origin);
	else
		lost_volumes_drop(lost, suspect->volume_id);
}

static void judge(struct suspect *suspect, const struct cloud_volume *cloud, bool may_exist)
{
	struct comparison *comparison = suspect->comparison;
	struct drift_facts facts;
	struct drift drift = { 0 };

	gather(comparison->reconciler, suspect->volume_id, cloud, &facts);
	note_lost(suspect, may_exist, &facts);
	if (suspect->origin.id) {
		facts.origin = &suspect->origin;
		drift_judge_left_over(&facts, &drift);
	}
	if (drift.kind == DRIFT_NONE) {
		facts.origin = NULL;
		drift_judge(&facts, &drift);
	}
	if (drift.kind == DRIFT_NONE && suspect->origin.id) {
		facts.origin = &suspect->origin;
		drift_judge_name(&facts, &drift);
	}
	if (drift.kind != DRIFT_NONE) {
		suspect_repair(suspect, &facts, &drift);
		return;
	}
	/* Here all three agree; the kernel would show a disk that a detachment left behind. */
	if (suspect->origin.needs_attention && comparison_repairs(comparison) &&
	    !(cloud && cloud->job_id) &&
	    !op_displaced_is_away(comparison->reconciler->model, &suspect->origin))
		operation_settle(comparison->reconciler->engine, &suspect->origin);
	suspect_done(suspect);
}

static void on_looked_at(void *arg, const struct cloud_result *result)
{
	struct suspect *suspect = arg;
	struct reconciler *reconciler = suspect->comparison->reconciler;
	const struct cloud_volume *cloud = NULL;

	suspect->call = NULL;
	if (reconciler->env->draining)
		return;
	volume_list_note_look(reconciler->volume_list, suspect->volume_id, result);
	for (size_t i = 0; i < result->count; i++) {
		if (streq(result->volumes[i].id, suspect->volume_id))
			cloud = &result->volumes[i];
	}
	if ((result->outcome != CLOUD_OK && result->err.code != ERR_NOT_FOUND) ||
	    operation_busy(reconciler->engine, suspect->volume_id) ||
	    !streq(str_or(suspect->last_operation, ""),
		   str_or(last_operation(reconciler, suspect->volume_id), ""))) {
		suspect_done(suspect); /* the next comparison decides */
		return;
	}
	if (cloud)
		volume_update(reconciler->model, cloud);
	else
		volume_remove(reconciler->model, suspect->volume_id);
	judge(suspect, cloud, !result->is_unknown);
}

static void ask_cloud(struct suspect *suspect)
{
	struct reconciler *reconciler = suspect->comparison->reconciler;
	struct cloud_volume_filter filter = { .id = suspect->volume_id };

	if (operation_busy(reconciler->engine, suspect->volume_id)) {
		suspect_done(suspect);
		return;
	}
	str_set(&suspect->last_operation, last_operation(reconciler, suspect->volume_id));
	suspect->call = cloud_list_volumes(reconciler->env->cloud, &filter, on_looked_at, suspect);
}

static void on_origin(void *arg, const struct store_operations *result)
{
	struct suspect *suspect = arg;

	suspect->read = NULL;
	if (suspect->comparison->reconciler->env->draining)
		return;
	/* An operation that we do not know may be another daemon's. */
	if (result->count > 0 && operation_status_is_final(result->items[0].status))
		record_copy(&operation_record, &suspect->origin, &result->items[0]);
	ask_cloud(suspect);
}

/* The repair waits for a later turn, since no suspect may be done while other suspects are still
 * being started. */
static void look_closer(struct suspect *suspect)
{
	struct reconciler *reconciler = suspect->comparison->reconciler;

	if (suspect->origin_id && !suspect->origin.id)
		suspect->read = store_find_operation(reconciler->env->store, suspect->origin_id,
						     on_origin, suspect);
	else
		ask_cloud(suspect);
}

/* ---- finding suspects ---- */

static struct suspect *suspect_find(const struct comparison *comparison, const char *volume_id)
{
	struct suspect *suspect;

	TAILQ_FOREACH(suspect, &comparison->suspects, entry) {
		if (streq(suspect->volume_id, volume_id))
			return suspect;
	}
	return NULL;
}

static struct suspect *suspect_add(struct comparison *comparison, const char *volume_id)
{
	struct suspect *suspect = xnew(struct suspect);

	suspect->comparison = comparison;
	suspect->volume_id = xstrdup(volume_id);
	TAILQ_INSERT_TAIL(&comparison->suspects, suspect, entry);
	comparison->count++;
	return suspect;
}

/* The id of the operation that the volume's name contains; NULL: none. An attached volume is not
 * the remains of an operation, so its name can wait for a comparison of all volumes. */
static const char *origin_by_name(const struct comparison *comparison,
				  const struct cloud_volume *cloud)
{
	if (!cloud || (cloud->vm_id && !comparison->is_whole))
		return NULL;
	return op_create_of_name(cloud->name);
}

static void compare_one(struct comparison *comparison, const char *volume_id,
			const struct cloud_volume *cloud)
{
	const char *origin_id = origin_by_name(comparison, cloud);
	struct suspect *suspect;
	struct drift_facts facts;
	struct drift drift;

	comparison->checked++;
	if (operation_busy(comparison->reconciler->engine, volume_id))
		return;
	gather(comparison->reconciler, volume_id, cloud, &facts);
	drift_judge(&facts, &drift);
	if (drift.kind == DRIFT_NONE && !origin_id)
		return;
	suspect = suspect_add(comparison, volume_id);
	str_set(&suspect->origin_id, origin_id);
}

/* The volume is asked for by its id, as the list did not show it. */
static void compare_unlisted(struct comparison *comparison, const char *volume_id)
{
	const struct reconciler *reconciler = comparison->reconciler;

	if (operation_busy(reconciler->engine, volume_id))
		return;
	comparison->checked++;
	suspect_add(comparison, volume_id);
}

/* No list need show a volume that is attached to nothing, but its disk may be here. */
static bool has_unmapped_disk(const struct reconciler *reconciler, const char *volume_id)
{
	return !mapping_find(reconciler->model, volume_id) &&
	       mapping_next_disk(reconciler->model, volume_id, NULL);
}

static void compare_all(struct comparison *comparison)
{
	struct reconciler *reconciler = comparison->reconciler;
	struct mapping *mapping;
	struct volume *volume;
	struct err err;

	if (sysblock_scan(reconciler->env->sysblock, &err) < 0)
		log_warning("the kernel's disks could not be listed: %s", err.text);
	for (volume = volume_first(reconciler->model); volume; volume = volume_next(volume)) {
		if (volume_is_listed(reconciler->model, volume))
			compare_one(comparison, volume->id, &volume->cloud);
		else if ((comparison->is_whole && !mapping_find(reconciler->model, volume->id)) ||
			 has_unmapped_disk(reconciler, volume->id))
			compare_unlisted(comparison, volume->id);
	}
	for (mapping = mapping_first(reconciler->model); mapping; mapping = mapping_next(mapping)) {
		volume = volume_find(reconciler->model, mapping->record.volume_id);
		if (!volume || !volume_is_listed(reconciler->model, volume))
			compare_one(comparison, mapping->record.volume_id, NULL);
	}
}

/* A create that never learned its volume: if a volume had the create's name, that volume would be a
 * suspect, provided that all volumes were compared. */
static void settle_unknown(struct comparison *comparison, const struct operation_record *record)
{
	const struct suspect *suspect;

	TAILQ_FOREACH(suspect, &comparison->suspects, entry) {
		if (streq(suspect->origin_id, record->id))
			return;
	}
	if (comparison->is_whole && comparison_repairs(comparison))
		operation_settle(comparison->reconciler->engine, record);
}

/* If there are too many suspects, they take turns, since the suspects that only people can settle
 * come back each time. */
static void choose(struct comparison *comparison)
{
	struct reconciler *reconciler = comparison->reconciler;
	size_t count = comparison->count, first, index = 0;
	struct suspect *suspect, *next;

	if (count <= SUSPECTS_MAX) {
		reconciler->suspects_passed = 0;
		return;
	}
	first = reconciler->suspects_passed % count;
	for (suspect = TAILQ_FIRST(&comparison->suspects); suspect; suspect = next, index++) {
		next = TAILQ_NEXT(suspect, entry);
		if ((index + count - first) % count >= SUSPECTS_MAX)
			suspect_free(suspect);
	}
	reconciler->suspects_passed = first + SUSPECTS_MAX;
	comparison->count = SUSPECTS_MAX;
	comparison->left = count - SUSPECTS_MAX;
}

/* Neither a list of volumes nor the kernel shows a snapshot, or whose data a volume has. An
 * administrator settles such an operation. */
static bool shows_nothing(const struct operation_record *record)
{
	return record->type == OPERATION_SNAPSHOT || record->type == OPERATION_REVERT ||
	       record->type == OPERATION_DELETE_SNAPSHOT;
}

static void on_left_overs(void *arg, const struct store_operations *result)
{
	struct comparison *comparison = arg;
	struct suspect *suspect, *next;

	comparison->left_overs = NULL;
	if (comparison->reconciler->env->draining)
		return;
	for (size_t i = 0; i < result->count; i++) {
		if (!operation_status_is_final(result->items[i].status) ||
		    shows_nothing(&result->items[i]))
			continue;
		if (str_empty(result->items[i].volume_id)) {
			settle_unknown(comparison, &result->items[i]);
			continue;
		}
		suspect = suspect_find(comparison, result->items[i].volume_id);
		if (!suspect)
			suspect = suspect_add(comparison, result->items[i].volume_id);
		if (!suspect->origin.id)
			record_copy(&operation_record, &suspect->origin, &result->items[i]);
	}
	choose(comparison);
	comparison->waiting = comparison->count + 1;
	for (suspect = TAILQ_FIRST(&comparison->suspects); suspect; suspect = next) {
		next = TAILQ_NEXT(suspect, entry);
		look_closer(suspect);
	}
	if (--comparison->waiting == 0)
		finish(comparison);
}

static void compare(struct comparison *comparison)
{
	const struct store_operation_filter filter = {
		.type = -1,
		.status = -1,
		.needs_attention = true,
		.limit = LEFT_OVERS_MAX,
	};

	comparison->has_listed = true;
	compare_all(comparison);
	comparison->left_overs = store_list_operations(comparison->reconciler->env->store, &filter,
						       on_left_overs, comparison);
}

/* ---- when ---- */

/* After a list that failed. */
static int64_t retry_in_ms(const struct reconciler *reconciler, bool was_whole)
{
	struct cloud_health health;

	cloud_health(reconciler->env->cloud, &health);
	if (!health.usable)
		return AWAY_RETRY_MS;
	if (!TAILQ_EMPTY(&reconciler->tickets))
		return SOON_MS;
	/* Only the whole list fails: the volumes that matter here are listed without it. */
	if (was_whole && reconciler->env->options.appliance_id)
		return SOON_MS;
	return next_in_ms(reconciler);
}

static void on_listed(void *arg, const struct err *err)
{
	struct reconciler *reconciler = arg;
	bool is_whole = reconciler->comparison->is_whole;

	if (!err) {
		compare(reconciler->comparison);
		return;
	}
	comparison_drop(reconciler);
	answer_tickets(reconciler, NULL, false, err);
	loop_timer_set(reconciler->env->loop, &reconciler->timer,
		       retry_in_ms(reconciler, is_whole));
}

/*
 * The first ticket decides whether this is a dry run; tickets of the other kind wait. While nothing
 * may be repaired, or changes are paused, each comparison is a dry run and serves all tickets: a
 * client that only wants a fresh list gets it, and one that wanted repairs learns that there are
 * none.
 */
static void take_tickets(struct comparison *comparison)
{
	struct reconciler *reconciler = comparison->reconciler;
	bool may_repair = env_trusts_store(reconciler->env) && !reconciler->env->paused;
	struct reconcile_ticket *ticket, *next;

	ticket = TAILQ_FIRST(&reconciler->tickets);
	comparison->dry_run = !may_repair || (ticket && ticket->dry_run);
	for (; ticket; ticket = next) {
		next = TAILQ_NEXT(ticket, entry);
		if (may_repair && ticket->dry_run != comparison->dry_run)
			continue;
		TAILQ_REMOVE(&reconciler->tickets, ticket, entry);
		TAILQ_INSERT_TAIL(&reconciler->tickets_served, ticket, entry);
		ticket->served = true;
	}
}

/* A comparison that a client asks for is of all volumes. */
static void fetch(struct comparison *comparison)
{
	struct reconciler *reconciler = comparison->reconciler;

	comparison->is_whole = !TAILQ_EMPTY(&reconciler->tickets_served) ||
			       volume_list_wait_ms(reconciler->volume_list) == 0 ||
			       !reconciler->env->options.appliance_id;
	if (comparison->is_whole)
		volume_list_fetch(reconciler->volume_list, on_listed, reconciler);
	else
		volume_list_fetch_ours(reconciler->volume_list, on_listed, reconciler);
}

static void on_due(struct loop_timer *timer)
{
	struct reconciler *reconciler = container_of(timer, struct reconciler, timer);

	assert(!reconciler->comparison);
	reconciler->comparison = xnew(struct comparison);
	reconciler->comparison->reconciler = reconciler;
	reconciler->comparison->on_done = on_suspect_done;
	TAILQ_INIT(&reconciler->comparison->suspects);
	take_tickets(reconciler->comparison);
	fetch(reconciler->comparison);
}

void reconcile_in(struct reconciler *reconciler, int64_t delay_ms)
{
	if (!reconciler->env->draining)
		loop_timer_set(reconciler->env->loop, &reconciler->timer, delay_ms);
}

void reconcile_anew(struct reconciler *reconciler)
{
	volume_list_expire(reconciler->volume_list);
	if (reconciler->comparison)
		reconciler->is_stale = true;
	else
		reconcile_in(reconciler, 0);
}

void reconcile_soon(struct reconciler *reconciler)
{
	int64_t soon_ms = clock_mono_ms() + SOON_MS;

	if (loop_timer_is_set(&reconciler->timer) && reconciler->timer.due_ms > soon_ms)
		loop_timer_set(reconciler->env->loop, &reconciler->timer, SOON_MS);
}

struct reconcile_ticket *reconcile_request(struct reconciler *reconciler, bool dry_run,
					   reconcile_done_fn done, void *arg)
{
	struct reconcile_ticket *ticket = xnew(struct reconcile_ticket);

	ticket->reconciler = reconciler;
	ticket->dry_run = dry_run;
	ticket->done = done;
	ticket->arg = arg;
	TAILQ_INSERT_TAIL(&reconciler->tickets, ticket, entry);
	if (!reconciler->comparison)
		reconcile_in(reconciler, 0);
	return ticket;
}

void reconcile_ticket_cancel(struct reconcile_ticket *ticket)
{
	if (ticket->served)
		TAILQ_REMOVE(&ticket->reconciler->tickets_served, ticket, entry);
	else
		TAILQ_REMOVE(&ticket->reconciler->tickets, ticket, entry);
	free(ticket);
}

static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	struct reconciler *reconciler = container_of(listener, struct reconciler, listener);

	if (notice->type != NOTICE_CLOUD_UNSURE)
		return;
	reconciler->is_unsure |= reconciler->comparison && reconciler->comparison->has_listed;
	reconcile_soon(reconciler);
}

struct reconciler *reconciler_new(struct env *env, struct model *model, struct engine *engine,
				  struct host *host, struct host_sync *host_sync)
{
	struct reconciler *reconciler = xnew(struct reconciler);

	reconciler->env = env;
	reconciler->model = model;
	reconciler->engine = engine;
	reconciler->host = host;
	reconciler->host_sync = host_sync;
	reconciler->volume_list = volume_list_new(env, model, engine);
	reconciler->drift_log = drift_log_new(model, engine);
	reconciler->lost_volumes = lost_volumes_new(model, engine);
	TAILQ_INIT(&reconciler->tickets);
	TAILQ_INIT(&reconciler->tickets_served);
	reconciler->timer.fire = on_due;
	reconciler->listener.on_notice = on_notice;
	notice_listen(model, &reconciler->listener);
	return reconciler;
}

void reconciler_lost_volumes(const struct reconciler *reconciler, char *out, size_t size)
{
	lost_volumes_names(reconciler->lost_volumes, out, size);
}

void reconciler_list_health(const struct reconciler *reconciler, struct volume_list_health *out)
{
	volume_list_health(reconciler->volume_list, out);
}

bool reconciler_is_waiting(const struct reconciler *reconciler)
{
	return loop_timer_is_set(&reconciler->timer);
}

bool reconciler_is_comparing(const struct reconciler *reconciler)
{
	return reconciler->comparison != NULL;
}

void reconciler_drain(struct reconciler *reconciler)
{
	loop_timer_clear(reconciler->env->loop, &reconciler->timer);
}

struct reconciler *reconciler_free(struct reconciler *reconciler)
{
	if (!reconciler)
		return NULL;
	assert(TAILQ_EMPTY(&reconciler->tickets) && TAILQ_EMPTY(&reconciler->tickets_served));
	notice_unlisten(reconciler->model, &reconciler->listener);
	reconciler_drain(reconciler);
	comparison_drop(reconciler);
	volume_list_free(reconciler->volume_list);
	drift_log_free(reconciler->drift_log);
	lost_volumes_free(reconciler->lost_volumes);
	free(reconciler);
	return NULL;
}
