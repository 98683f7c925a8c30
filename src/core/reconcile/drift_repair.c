/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Repairing a drift that has been confirmed. No repair destroys data: a mapping is only a note, a
 * detachment refuses a disk in use, and the only volumes that are deleted were never attached and
 * so never had storage. A drift is told once, however long it lasts.
 */

#include "core/reconcile/drift_repair.h"

#include "cloud/cloud.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/commit.h"
#include "core/model/drift_event.h"
#include "core/model/mapping.h"
#include "core/ops/ops.h"
#include "core/reconcile/drift_log.h"
#include "core/reconcile/host_sync.h"
#include "core/reconcile/reattach.h"
#include "core/rules/drift.h"
#include "core/rules/match.h"
#include "disk/device.h"
#include "disk/sysblock.h"

/* ---- repairs ---- */

static void on_mapping_repaired(void *arg, const struct err *err)
{
	struct suspect *suspect = arg;

	if (err->code) {
		suspect->record.repaired = false;
		str_set(&suspect->record.action, err->text);
	}
	suspect_done(suspect);
}

/* The disk must identify itself at this moment; a disk that does not is reported and left alone. */
static const struct device *proven_disk(struct reconciler *reconciler,
					const struct drift_facts *facts, struct err *err)
{
	const struct match_query query = {
		.volume_id = facts->volume_id,
		.size = facts->cloud->size,
		.after_diskseq = UINT64_MAX,
		.after_seen = UINT64_MAX,
	};
	struct match_result match;

	/* A disk that was mapped before is known by its sequence number, too. */
	if (facts->mapping && env_is_appliance(reconciler->env, facts->mapping->vm_id))
		match = (struct match_result){ .device = facts->device };
	else
		match_device(&query, sysblock_at(reconciler->env->sysblock, 0),
			     sysblock_count(reconciler->env->sysblock), &match);
	if (!match.device) {
		err_set(err, ERR_CONFLICT, "%s", match.reason);
		return NULL;
	}
	if (!sysblock_verify(reconciler->env->sysblock, match.device)) {
		err_set(err, ERR_CONFLICT, "%s changed while it was looked at", match.device->path);
		return NULL;
	}
	return match.device;
}

static void map(struct suspect *suspect, const struct drift_facts *facts)
{
	struct reconciler *reconciler = suspect->comparison->reconciler;
	const struct cloud_volume *cloud = facts->cloud;
	const struct device *device = NULL;
	struct mapping_record record = { 0 };
	struct err err;

	if (env_is_appliance(reconciler->env, cloud->vm_id)) {
		device = proven_disk(reconciler, facts, &err);
		if (!device) {
			str_set(&suspect->record.action, err.text);
			suspect_done(suspect);
			return;
		}
	}
	mapping_make(reconciler->model, facts->volume_id, cloud->vm_id, &record);
	if (facts->mapping && streq(facts->mapping->vm_id, cloud->vm_id))
		record_copy(&mapping_record, &record, facts->mapping);
	str_set(&record.cloudstack_state, "attached");
	mapping_place(reconciler->model, &record, cloud->device_id, cloud->size, device);
	suspect->record.repaired = true;
	commit_mapping(reconciler->model, facts->volume_id, &record, CHANGE_OPTIONAL,
		       on_mapping_repaired, suspect);
}

static void note(struct suspect *suspect, const struct drift_facts *facts)
{
	struct mapping_record record = { 0 };

	record_copy(&mapping_record, &record, facts->mapping);
	str_set(&record.cloudstack_state, "detached");
	commit_mapping(suspect->comparison->reconciler->model, facts->volume_id, &record,
		       CHANGE_OPTIONAL, on_mapping_repaired, suspect);
}

static void on_accepted(void *arg, struct operation *operation, const struct err *err)
{
	struct suspect *suspect = arg;

	suspect->starting = NULL;
	if (operation) {
		suspect->record.repaired = true;
		str_set(&suspect->record.operation_id, operation->record.id);
	} else {
		str_set(&suspect->record.action, err->text);
	}
	suspect_done(suspect);
}

static char *repair_request(const struct suspect *suspect)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	json_put_name(&writer, "volume_id");
	json_put_text(&writer, suspect->volume_id);
	json_put_name(&writer, "repairs");
	json_put_text(&writer, suspect->origin.id);
	json_end_object(&writer);
	return buf_take(&out);
}

static void start(struct suspect *suspect, enum operation_type type)
{
	struct reconciler *reconciler = suspect->comparison->reconciler;
	struct known_drift *known = known_get(reconciler->drift_log, &suspect->record);
	struct operation_order order = {
		.type = type,
		.volume_id = suspect->volume_id,
		.vm_id = suspect->origin.vm_id,
	};

	if (!known_is_due(known)) {
		str_set(&suspect->record.action,
			"the repair failed so far and will be tried again later");
		suspect_done(suspect);
		return;
	}
	known_note_repair(known);
	order.context = type == OPERATION_DETACH
				? op_detach_context(&(struct volume_detach_args){ 0 })
				: op_delete_context();
	order.request = repair_request(suspect);
	suspect->starting = operation_start(reconciler->engine, &order, on_accepted, suspect);
}

bool comparison_repairs(const struct comparison *comparison)
{
	return !comparison->dry_run && !comparison->reconciler->env->paused;
}

void suspect_repair(struct suspect *suspect, const struct drift_facts *facts,
		    const struct drift *drift)
{
	drift_fill_record(&suspect->record, facts, drift);
	if (!comparison_repairs(suspect->comparison)) {
		suspect_done(suspect);
		return;
	}
	switch (drift->repair) {
	case REPAIR_NONE:
		if (drift->kind == DRIFT_SIZE_CHANGED)
			host_sync_outgrown(suspect->comparison->reconciler->host_sync,
					   facts->device);
		suspect_done(suspect);
		break;
	case REPAIR_MAP:
		map(suspect, facts);
		break;
	case REPAIR_UNMAP:
		suspect->record.repaired = true;
		commit_mapping(suspect->comparison->reconciler->model, facts->volume_id, NULL,
			       CHANGE_OPTIONAL, on_mapping_repaired, suspect);
		break;
	case REPAIR_NOTE:
		reattach_later(suspect);
		note(suspect, facts);
		break;
	case REPAIR_ATTACH:
		reattach(suspect);
		break;
	case REPAIR_DETACH:
		start(suspect, OPERATION_DETACH);
		break;
	case REPAIR_DELETE:
		start(suspect, OPERATION_DELETE);
		break;
	}
}
