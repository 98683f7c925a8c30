/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Snapshots that clients keep. A request changes what the last request of the volume has left, also
 * if that is still on its way to the store; so two requests one after the other count in their
 * order.
 */

#include "core/methods/snapshot_methods.h"

#include "base/clock.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/plan.h"
#include "core/model/commit.h"
#include "core/model/mapping.h"
#include "core/model/snapshot.h"
#include "core/model/volume.h"

/* ---- one volume ---- */

/* A wrong id would be found nowhere later. While no list has been fetched, the client is trusted.
 */
static int check_volume(struct model *model, const char *volume_id, struct err *err)
{
	if (snapshot_find(model, volume_id) || mapping_find(model, volume_id) ||
	    !volumes_are_known(model) || volume_find(model, volume_id))
		return 0;
	return volume_missing(model, volume_id, err);
}

/* The record as the last request has left it, or a new one. */
static void begin(struct model *model, const char *volume_id, struct snapshot_record *out)
{
	const struct snapshot_record *record = snapshot_latest(model, volume_id);

	record_init(&snapshot_record, out);
	if (record)
		record_copy(&snapshot_record, out, record);
	str_set(&out->id, volume_id);
	out->updated_at = clock_record_ms();
}

/* An absent or empty text leaves what there is. */
static void take(char **to, const char *text)
{
	if (!str_empty(text))
		str_set(to, text);
}

static void take_snapshot(struct snapshot_record *record, const char *snapshot_id)
{
	if (str_empty(snapshot_id) || streq(record->snapshot_id, snapshot_id))
		return;
	str_set(&record->snapshot_id, snapshot_id);
	record->snapshot_created_at = clock_record_ms();
}

static void on_tracked(void *arg, const struct err *err)
{
	struct call *call = arg;
	const struct snapshot_track_args *args = call->args;
	struct snapshot_change_record record = { 0 };

	call_waited(call);
	if (err->code) {
		call_fail(call, err);
		return;
	}
	record.message =
		xasprintf("snapshot %s of volume %s is kept", args->snapshot_id, args->volume_uuid);
	str_set(&record.volume_uuid, args->volume_uuid);
	str_set(&record.snapshot_id, args->snapshot_id);
	str_set(&record.vm_context_id, args->vm_context_id);
	call_answer(call, &record);
	record_clear(&snapshot_tracked_record, &record);
}

void snapshot_track(struct call *call)
{
	const struct snapshot_track_args *args = call->args;
	struct model *model = call->calls->model;
	struct snapshot_record record = { 0 };
	struct err err = { 0 };

	if (check_volume(model, args->volume_uuid, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	if (plan_ends(call, "Keep in mind snapshot %s of volume %s for %s.", args->snapshot_id,
		      args->volume_uuid, args->vm_context_id))
		return;
	begin(model, args->volume_uuid, &record);
	str_set(&record.vm_context_id, args->vm_context_id);
	take_snapshot(&record, args->snapshot_id);
	str_set(&record.snapshot_name, args->snapshot_name);
	str_set(&record.snapshot_status,
		str_empty(args->snapshot_status) ? "ready" : args->snapshot_status);
	str_set(&record.disk_id, args->disk_id);
	call_wait_change(call, commit_snapshot(model, &record, on_tracked, call));
}

static void on_updated(void *arg, const struct err *err)
{
	struct call *call = arg;
	const struct snapshot_update_args *args = call->args;
	struct snapshot_change_record record = { 0 };

	call_waited(call);
	if (err->code) {
		call_fail(call, err);
		return;
	}
	record.message = xasprintf("the snapshot of volume %s was changed", args->id);
	str_set(&record.volume_uuid, args->id);
	call_answer(call, &record);
	record_clear(&snapshot_updated_record, &record);
}

void snapshot_update(struct call *call)
{
	const struct snapshot_update_args *args = call->args;
	struct model *model = call->calls->model;
	struct snapshot_record record = { 0 };
	struct err err = { 0 };

	if (check_volume(model, args->id, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	if (plan_ends(call, "Change what is kept about the snapshot of volume %s.", args->id))
		return;
	begin(model, args->id, &record);
	take_snapshot(&record, args->snapshot_id);
	take(&record.snapshot_name, args->snapshot_name);
	take(&record.snapshot_status, args->snapshot_status);
	call_wait_change(call, commit_snapshot(model, &record, on_updated, call));
}

/* ---- the volumes of a VM ---- */

void snapshot_list_asked(struct call *call)
{
	const struct vm_context_args *args = call->args;
	struct model *model = call->calls->model;
	struct snapshot_record *records = xcalloc(snapshot_count(model) + 1, sizeof(*records));
	const struct snapshot_kept *snapshot;
	size_t count = 0;

	for (snapshot = snapshot_first(model); snapshot; snapshot = snapshot_next(snapshot)) {
		if (streq(snapshot->record.vm_context_id, args->vm_context_id))
			snapshot_to_record(model, snapshot, &records[count++]);
	}
	call_answer_as(call, &(struct answer){ .record = &snapshot_record,
					       .items = records,
					       .count = count,
					       .list_subject = args->vm_context_id });
	for (size_t i = 0; i < count; i++)
		record_clear(&snapshot_record, &records[i]);
	free(records);
}

static void on_untracked(void *arg, const struct err *err)
{
	struct call *call = arg;
	const struct snapshot_untrack_args *args = call->args;
	const size_t *cleared = call->state;
	struct snapshot_change_record record = { 0 };

	call_waited(call);
	if (err->code) {
		call_fail(call, err);
		return;
	}
	record.snapshots_cleared = (int64_t)*cleared;
	record.message =
		xasprintf("%zu snapshots of %s are kept no longer", *cleared, args->vm_context_id);
	str_set(&record.vm_context_id, args->vm_context_id);
	call_answer(call, &record);
	record_clear(&snapshot_untracked_record, &record);
}

void snapshot_untrack(struct call *call)
{
	const struct snapshot_untrack_args *args = call->args;
	struct model *model = call->calls->model;
	struct change *change = change_new(model, SNAPSHOTS_ENTITY);
	size_t *cleared = xnew(size_t);

	*cleared = change_drop_snapshots(change, args->vm_context_id);
	call_keep(call, cleared, free);
	if (*cleared == 0) {
		change_free(change);
		on_untracked(call, &(struct err){ 0 });
		return;
	}
	if (plan_ends(call, "Forget %zu snapshots of %s; they stay in CloudStack.", *cleared,
		      args->vm_context_id)) {
		change_free(change);
		return;
	}
	change_submit(change, CHANGE_OPTIONAL, NULL, on_untracked, call);
	call_wait_change(call, change);
}
