/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is done about a drift that has been confirmed. Nothing here takes away data: a mapping is only a note, a
 * detachment refuses a disk in use, and the one thing that is deleted is a volume that was never attached and so never
 * had storage. Everybody is told once, however long it lasts.
 */

#include "base/clock.h"
#include "base/log.h"
#include "core/ops/ops.h"
#include "core/reconcile/reconcile_internal.h"
#include "core/rules/match.h"

/* A repair that CloudStack has to make is tried again after this long, doubled each time. */
#define AGAIN_FIRST_MS 60000
#define AGAIN_MAX_MS 3600000

/* What has been told already and still is so. */
struct known_drift {
	char *key; /* kind and volume */
	bool told;
	bool seen; /* in the comparison under way */
	unsigned repairs;
	int64_t next_repair_ms; /* clock_mono_ms() */
	UT_hash_handle hh;
};

/* ---- who has been told ---- */

static struct known_drift *known_get(struct core *core, const struct drift_record *record)
{
	_cleanup_free_ char *key = xasprintf("%s %s", drift_kind_names[record->kind], record->volume_id);
	struct known_drift *known;

	HASH_FIND_STR(core->known_drift, key, known);
	if (known)
		return known;
	known = xnew(struct known_drift);
	known->key = TAKE_PTR(key);
	HASH_ADD_KEYPTR(hh, core->known_drift, known->key, strlen(known->key), known);
	return known;
}

static void known_free(struct core *core, struct known_drift *known)
{
	HASH_DEL(core->known_drift, known);
	free(known->key);
	free(known);
}

void drift_forget_old(struct core *core)
{
	struct known_drift *known, *next;

	HASH_ITER(hh, core->known_drift, known, next) {
		if (!known->seen && known->next_repair_ms < clock_mono_ms())
			known_free(core, known);
		else
			known->seen = false;
	}
}

void drift_forget_all(struct core *core)
{
	struct known_drift *known, *next;

	HASH_ITER(hh, core->known_drift, known, next)
		known_free(core, known);
}

/* A repair takes its time; a name is told only if it is the disk's at this moment. */
static bool is_path_true(struct core *core, const struct drift_record *record)
{
	for (size_t i = 0; i < sysblock_count(core->sysblock); i++) {
		const struct device *device = sysblock_at(core->sysblock, i);

		if (streq(device->path, record->device_path))
			return mapping_is_disk(core, record->volume_id, device) &&
			       sysblock_verify(core->sysblock, device);
	}
	return false;
}

static void tell(struct core *core, struct drift_record *record)
{
	if (!is_path_true(core, record))
		str_set(&record->device_path, NULL);
	log_notice("drift: %s: %s; %s", drift_kind_names[record->kind], record->found, record->action);
	events_drift(core, record);
}

void drift_tell(struct core *core, struct drift_record *record)
{
	struct known_drift *known = known_get(core, record);

	/* What lasts is told once. */
	if (record->repaired || !known->told)
		tell(core, record);
	known->told = known->seen = true;
}

static void fill_record(struct drift_record *record, const struct drift_facts *facts, const struct drift *drift)
{
	record->kind = (int)drift->kind;
	str_set(&record->volume_id, facts->volume_id);
	str_set(&record->vm_id, facts->cloud ? facts->cloud->vm_id : NULL);
	str_set(&record->device_path, facts->device ? facts->device->path : NULL);
	str_set(&record->operation_id, facts->origin ? facts->origin->id : NULL);
	str_set(&record->found, drift->found);
	str_set(&record->action, drift->action);
}

void reconcile_tell(struct core *core, const struct drift_facts *facts, const struct drift *drift)
{
	struct drift_record record = { 0 };

	fill_record(&record, facts, drift);
	record.repaired = true;
	tell(core, &record);
	record_clear(&drift_record, &record);
}

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

/* The disk must prove who it is, at this moment; a disk that does not is reported and left alone. */
static const struct device *proven_disk(struct core *core, const struct drift_facts *facts, struct err *err)
{
	const struct match_query query = {
		.volume_id = facts->volume_id,
		.size = facts->cloud->size,
		.after_diskseq = UINT64_MAX,
		.after_seen = UINT64_MAX,
	};
	struct match_result match;

	/* One that was mapped before is known by its sequence number, too. */
	if (facts->mapping && core_is_appliance(core, facts->mapping->vm_id))
		match = (struct match_result){ .device = facts->device };
	else
		match_device(&query, sysblock_at(core->sysblock, 0), sysblock_count(core->sysblock), &match);
	if (!match.device) {
		err_set(err, ERR_CONFLICT, "%s", match.reason);
		return NULL;
	}
	if (!sysblock_verify(core->sysblock, match.device)) {
		err_set(err, ERR_CONFLICT, "%s changed while it was looked at", match.device->path);
		return NULL;
	}
	return match.device;
}

static void map(struct suspect *suspect, const struct drift_facts *facts)
{
	struct core *core = suspect->reconcile->core;
	const struct cloud_volume *cloud = facts->cloud;
	const struct device *device = NULL;
	struct mapping_record record = { 0 };
	struct err err;

	if (core_is_appliance(core, cloud->vm_id)) {
		device = proven_disk(core, facts, &err);
		if (!device) {
			str_set(&suspect->record.action, err.text);
			suspect_done(suspect);
			return;
		}
	}
	mapping_make(core, facts->volume_id, cloud->vm_id, &record);
	if (facts->mapping && streq(facts->mapping->vm_id, cloud->vm_id))
		record_copy(&mapping_record, &record, facts->mapping);
	str_set(&record.cloudstack_state, "attached");
	mapping_place(core, &record, cloud->device_id, cloud->size, device);
	suspect->record.repaired = true;
	mapping_commit(core, facts->volume_id, &record, on_mapping_repaired, suspect);
	record_clear(&mapping_record, &record);
}

static void note(struct suspect *suspect, const struct drift_facts *facts)
{
	struct mapping_record record = { 0 };

	record_copy(&mapping_record, &record, facts->mapping);
	str_set(&record.cloudstack_state, "detached");
	mapping_commit(suspect->reconcile->core, facts->volume_id, &record, on_mapping_repaired, suspect);
	record_clear(&mapping_record, &record);
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
	struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	json_put_name(&writer, "volume_id");
	json_put_text(&writer, suspect->volume_id);
	json_put_name(&writer, "repairs");
	json_put_text(&writer, suspect->origin.id);
	json_end_object(&writer);
	return buf_take(&out);
}

/* CloudStack may refuse for hours what it refused a minute ago. */
static bool is_time_to_repair(struct suspect *suspect)
{
	struct known_drift *known = known_get(suspect->reconcile->core, &suspect->record);
	int64_t now_ms = clock_mono_ms(), wait_ms = AGAIN_FIRST_MS;

	if (now_ms < known->next_repair_ms)
		return false;
	for (unsigned i = 0; i < known->repairs && wait_ms < AGAIN_MAX_MS; i++)
		wait_ms *= 2;
	known->repairs++;
	known->next_repair_ms = now_ms + (wait_ms < AGAIN_MAX_MS ? wait_ms : AGAIN_MAX_MS);
	return true;
}

static void start(struct suspect *suspect, enum operation_type type)
{
	struct core *core = suspect->reconcile->core;
	struct operation_order order = {
		.type = type,
		.volume_id = suspect->volume_id,
		.vm_id = suspect->origin.vm_id,
	};

	if (!is_time_to_repair(suspect)) {
		str_set(&suspect->record.action, "it could not be taken back so far and will be tried again later");
		suspect_done(suspect);
		return;
	}
	order.context =
		type == OPERATION_DETACH ? op_detach_context(&(struct volume_detach_args){ 0 }) : op_delete_context();
	order.request = repair_request(suspect);
	suspect->starting = operation_start(core, &order, on_accepted, suspect);
}

void suspect_repair(struct suspect *suspect, const struct drift_facts *facts, const struct drift *drift)
{
	fill_record(&suspect->record, facts, drift);
	if (suspect->reconcile->dry_run) {
		suspect_done(suspect);
		return;
	}
	switch (drift->repair) {
	case REPAIR_NONE:
		suspect_done(suspect);
		break;
	case REPAIR_MAP:
		map(suspect, facts);
		break;
	case REPAIR_UNMAP:
		suspect->record.repaired = true;
		mapping_commit(suspect->reconcile->core, facts->volume_id, NULL, on_mapping_repaired, suspect);
		break;
	case REPAIR_NOTE:
		note(suspect, facts);
		break;
	case REPAIR_DETACH:
		start(suspect, OPERATION_DETACH);
		break;
	case REPAIR_DELETE:
		start(suspect, OPERATION_DELETE);
		break;
	}
}
