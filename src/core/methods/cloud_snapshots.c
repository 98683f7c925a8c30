/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Snapshots in CloudStack. They are known nowhere else: a list is asked for with each question, and
 * a change of a snapshot begins with the question which volume it is of, since operations stand in
 * the queue of their volume.
 */

#include "core/methods/cloud_snapshots.h"

#include "cloud/cloud.h"
#include "core/call.h"
#include "core/env.h"
#include "core/methods/begin_operation.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/volume_methods.h"
#include "core/model/volume.h"
#include "core/ops/ops.h"

/* ---- changes ---- */

void snapshot_create(struct call *call)
{
	const struct snapshot_create_args *args = call->args;
	const struct volume *volume = volume_find(call->calls->model, args->volume_id);
	struct err err = { 0 };

	if (args->name && volume_check_name(args->name, &err) < 0)
		call_fail(call, &err);
	else
		begin_operation(call, args->volume_id, volume ? volume->cloud.vm_id : NULL,
				op_snapshot_context(args));
}

static void begin(struct call *call, const struct cloud_snapshot *snapshot)
{
	const struct volume *volume = volume_find(call->calls->model, snapshot->volume_id);

	if (call->method == &methods[METHOD_VOLUME_REVERT])
		begin_operation(call, snapshot->volume_id, volume ? volume->cloud.vm_id : NULL,
				op_revert_context(snapshot->id));
	else
		begin_operation(call, snapshot->volume_id, NULL,
				op_delete_snapshot_context(snapshot->id));
}

static void on_found(void *arg, const struct cloud_result *result)
{
	struct call *call = arg;
	const struct snapshot_args *args = call->args;

	call_waited(call);
	if (result->outcome != CLOUD_OK)
		call_fail(call, &result->err);
	else if (result->count == 0 || str_empty(result->snapshots[0].volume_id))
		call_failf(call, ERR_NOT_FOUND, "CloudStack shows no snapshot %s", args->id);
	else
		begin(call, &result->snapshots[0]);
}

static void find(struct call *call)
{
	const struct snapshot_args *args = call->args;
	struct cloud_snapshot_filter filter = { .id = args->id };

	call_wait_cloud(call,
			cloud_list_snapshots(call->calls->env->cloud, &filter, on_found, call));
}

void snapshot_revert(struct call *call)
{
	find(call);
}

void snapshot_delete(struct call *call)
{
	find(call);
}

/* ---- the list ---- */

struct listing {
	struct call *call;
	struct volume_snapshot_record *records;
	size_t count;
	bool is_unknown; /* CloudStack has never had the volume */
};

static void listing_free(void *state)
{
	struct listing *listing = state;

	for (size_t i = 0; i < listing->count; i++)
		record_clear(&volume_snapshot_record, &listing->records[i]);
	free(listing->records);
	free(listing);
}

static void on_page(void *arg, const struct cloud_result *result)
{
	struct listing *listing = arg;

	listing->is_unknown |= result->is_unknown;
	listing->records = xrealloc(listing->records, (listing->count + result->count + 1) *
							      sizeof(*listing->records));
	for (size_t i = 0; i < result->count; i++) {
		const struct cloud_snapshot *snapshot = &result->snapshots[i];

		listing->records[listing->count++] = (struct volume_snapshot_record){
			.id = xstrdup(snapshot->id),
			.volume_id = xstrdup(snapshot->volume_id),
			.name = xstrdup(snapshot->name),
			.state = xstrdup(snapshot->state),
			.size = snapshot->size,
			.created_at = snapshot->created_ms,
			.revertable = snapshot->revertable,
		};
	}
}

static void on_walked(void *arg, const struct cloud_result *result)
{
	struct listing *listing = arg;
	struct call *call = listing->call;
	const struct volume_args *args = call->args;
	struct err err = { 0 };

	call_waited(call);
	if (result->outcome != CLOUD_OK) {
		call_fail(call, &result->err);
	} else if (listing->is_unknown) {
		volume_missing(call->calls->model, args->volume_id, &err);
		call_fail(call, &err);
	} else {
		call_answer_many(call, listing->records, listing->count, NULL);
	}
}

void volume_snapshots(struct call *call)
{
	const struct volume_args *args = call->args;
	struct listing *listing;

	if (!call->calls->env->cloud) {
		call_failf(call, ERR_UNAVAILABLE,
			   "no CloudStack is configured, so its snapshots cannot be listed");
		return;
	}
	listing = xnew(struct listing);
	listing->call = call;
	call_keep(call, listing, listing_free);
	call_wait_walk(call, cloud_walk_snapshots(call->calls->env->cloud, args->volume_id, on_page,
						  on_walked, listing));
}
