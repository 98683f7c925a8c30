/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Keeping mappings true: whatever the kernel does with its disks - other names after a reboot, a disk that goes or comes
 * back or grows - the mappings follow at once, without asking anybody. The store comes first and the model second, so
 * that a signal about a mapping can be believed.
 */

#include "core/reconcile/device_sync.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "core/core_parts.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/drift_event.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/stable_name.h"
#include "core/reconcile/content_probe.h"
#include "core/rules/drift.h"
#include "disk/device.h"
#include "store/store.h"

/* One batch: mappings that change, or one that is dropped. Applied to the model when it has landed. */
struct follow {
	TAILQ_ENTRY(follow) entry;
	struct core *core;
	struct mapping_record *records;
	size_t count;
	char *dropped;
	mapping_done_fn done;
	void *arg;
};

static struct follow *follow_new(struct core *core)
{
	struct follow *follow = xnew(struct follow);

	follow->core = core;
	TAILQ_INSERT_TAIL(&core->follows, follow, entry);
	return follow;
}

static void follow_free(struct follow *follow)
{
	TAILQ_REMOVE(&follow->core->follows, follow, entry);
	for (size_t i = 0; i < follow->count; i++)
		record_clear(&mapping_record, &follow->records[i]);
	free(follow->records);
	free(follow->dropped);
	free(follow);
}

static void follow_free_all(struct core *core)
{
	struct follow *follow;

	while ((follow = TAILQ_FIRST(&core->follows)))
		follow_free(follow);
}

/* A volume with another name or size than yesterday is worth a word; one that comes or goes has had its own. */
static void tell_drift(struct core *core, const struct mapping_record *old, const struct mapping_record *new)
{
	struct device device = { .size = new->size };
	const struct cloud_volume cloud = { .vm_id = new->vm_id };
	const struct drift_facts facts = {
		.volume_id = new->volume_id,
		.appliance_id = core->options.appliance_id,
		.cloud = &cloud,
		.mapping = old,
		.device = &device,
	};
	struct drift drift;

	if (!streq(old->linux_state, "detected") || !streq(new->linux_state, "detected"))
		return;
	snprintf(device.path, sizeof(device.path), "%s", new->device_path);
	drift_judge(&facts, &drift);
	if (drift.kind == DRIFT_DEVICE_RENAMED || drift.kind == DRIFT_SIZE_CHANGED)
		reconcile_tell(core, &facts, &drift);
}

static void apply(const struct follow *follow)
{
	struct core *core = follow->core;

	if (follow->dropped)
		mapping_remove(core, follow->dropped);
	for (size_t i = 0; i < follow->count; i++) {
		const struct mapping_record *record = &follow->records[i];
		const struct mapping *mapping = mapping_find(core, record->volume_id);

		/* An operation may have removed it meanwhile; it is newer than what the kernel showed before. */
		if (!mapping && !follow->done)
			continue;
		if (mapping && !follow->done)
			tell_drift(core, &mapping->record, record);
		mapping_put(core, record);
	}
}

static void on_committed(void *arg, const struct err *err)
{
	struct follow *follow = arg;
	struct core *core = follow->core;

	core->commits_waiting--;
	core->mappings_committing--;
	for (size_t i = 0; i < follow->count && !err->code; i++)
		name_on_committed(core, follow->records[i].volume_id);
	if (err->code == ERR_NONE)
		apply(follow);
	else if (!follow->done)
		log_error("a mapping could not be kept up to date: %s", err->text);
	if (follow->done)
		follow->done(follow->arg, err);
	notice_tell(core, NOTICE_MAPPINGS_COMMITTED);
	follow_free(follow);
}

/*
 * Two disks may have swapped names, so all rows that change are taken out before any is put back: the store's unique
 * key then sees no passing double.
 */
static void commit(struct follow *follow)
{
	struct store_batch *batch = store_batch_new(follow->dropped ? follow->dropped : follow->records[0].volume_id);

	if (follow->dropped)
		store_batch_unmap(batch, follow->dropped);
	for (size_t i = 0; i < follow->count; i++)
		store_batch_unmap(batch, follow->records[i].volume_id);
	for (size_t i = 0; i < follow->count; i++) {
		store_batch_mapping(batch, &follow->records[i]);
		name_stage(follow->core, follow->records[i].volume_id, batch);
	}
	if (follow->done)
		store_batch_optional(batch);
	follow->core->commits_waiting++;
	follow->core->mappings_committing++;
	store_submit(follow->core->store, batch, on_committed, follow);
}

static struct mapping_record *follow_add(struct follow *follow, const struct mapping_record *record)
{
	struct mapping_record *copy;

	follow->records = xrealloc(follow->records, (follow->count + 1) * sizeof(*follow->records));
	copy = &follow->records[follow->count++];
	memset(copy, 0, sizeof(*copy));
	record_copy(&mapping_record, copy, record);
	copy->updated_at = copy->last_sync = clock_wall_ms();
	return copy;
}

void mapping_commit(struct core *core, const char *volume_id, const struct mapping_record *record, mapping_done_fn done,
		    void *arg)
{
	struct follow *follow = follow_new(core);

	follow->done = done;
	follow->arg = arg;
	if (record)
		follow_add(follow, record);
	else
		follow->dropped = xstrdup(volume_id);
	commit(follow);
}

static bool follow_has(const struct follow *follow, const char *volume_id)
{
	for (size_t i = 0; i < follow->count; i++) {
		if (streq(follow->records[i].volume_id, volume_id))
			return true;
	}
	return false;
}

static bool is_name_free(const struct follow *follow, const struct mapping_record *record)
{
	struct mapping *mapping, *next;

	HASH_ITER(hh, follow->core->mappings, mapping, next) {
		if (streq(mapping->record.device_path, record->device_path) &&
		    streq(mapping->record.vm_id, record->vm_id) && !follow_has(follow, mapping->record.volume_id))
			return false;
	}
	return true;
}

/*
 * Names that are noted for somebody who does not change now, because of an operation on him, are not free before its
 * end; the store would refuse all for one. Who has to wait keeps a name himself, so this is asked until nobody has to.
 */
static void drop_waiting(struct follow *follow)
{
	for (size_t i = 0; i < follow->count;) {
		if (is_name_free(follow, &follow->records[i])) {
			i++;
			continue;
		}
		record_clear(&mapping_record, &follow->records[i]);
		follow->records[i] = follow->records[--follow->count];
		i = 0;
	}
}

static void follow_kernel(struct core *core)
{
	struct follow *follow = follow_new(core);
	struct mapping *mapping, *next;

	HASH_ITER(hh, core->mappings, mapping, next) {
		const struct device *device;

		/* While an operation is under way, it alone says what becomes of the mapping. */
		if (!core_is_appliance(core, mapping->record.vm_id) || operation_busy(core, mapping->record.volume_id))
			continue;
		device = mapping_disk(core, &mapping->record);
		if (mapping_is_up_to_date(core, &mapping->record, device)) {
			content_probe_retry(core->content_probe, mapping->record.volume_id);
			continue;
		}
		if (!device || !streq(device->path, mapping->record.device_path))
			log_notice("volume=%s: was %s, is %s", mapping->record.volume_id, mapping->record.device_path,
				   device ? device->path : "gone from the kernel");
		if (core->options.devmap)
			name_give(core, mapping->record.volume_id);
		mapping_describe(core, follow_add(follow, &mapping->record), device);
	}
	drop_waiting(follow);
	if (follow->count > 0)
		commit(follow);
	else
		follow_free(follow);
}

static void on_follow_task(struct loop_task *task)
{
	struct core *core = container_of(task, struct core, follow_task);

	/* One commit at a time, however long the store takes. */
	core->follow_again = core->mappings_committing > 0;
	if (!core->draining && !core->follow_again)
		follow_kernel(core);
}

void mappings_follow_kernel(struct core *core)
{
	core->follow_task.run = on_follow_task;
	loop_task_queue(core->loop, &core->follow_task);
}

static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	struct core *core = container_of(listener, struct core, follow_listener);

	if (notice->type == NOTICE_DEVICES_UNSURE || (notice->type == NOTICE_MAPPINGS_COMMITTED && core->follow_again))
		mappings_follow_kernel(core);
}

void follow_begin(struct core *core)
{
	core->follow_listener.on_notice = on_notice;
	notice_listen(core, &core->follow_listener);
}

void follow_end(struct core *core)
{
	notice_unlisten(core, &core->follow_listener);
	loop_task_cancel(core->loop, &core->follow_task);
	follow_free_all(core);
}
