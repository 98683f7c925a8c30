/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Keeping mappings true: whatever the kernel does with its disks - other names after a reboot, a disk that goes or comes
 * back or grows - the mappings follow at once, without asking anybody. The store comes first and the model second, so
 * that a signal about a mapping can be believed.
 */

#include "core/reconcile/device_sync.h"

#include <stdio.h>

#include "base/log.h"
#include "core/core_parts.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/commit.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/stable_name.h"
#include "core/reconcile/content_probe.h"
#include "core/reconcile/mapping_change.h"
#include "disk/device.h"

/* Mappings that differ from the kernel, as they shall be. */
struct followers {
	struct core *core;
	struct mapping_record *records;
	size_t count;
};

static void followers_add(struct followers *followers, const struct mapping *mapping, const struct device *device)
{
	struct mapping_record *record;

	followers->records = xrealloc(followers->records, (followers->count + 1) * sizeof(*followers->records));
	record = &followers->records[followers->count++];
	*record = (struct mapping_record){ 0 };
	record_copy(&mapping_record, record, &mapping->record);
	mapping_describe(followers->core, record, device);
}

static void followers_commit(struct followers *followers)
{
	struct change *change;

	if (followers->count == 0)
		return;
	change = change_new(followers->core, followers->records[0].volume_id);
	for (size_t i = 0; i < followers->count; i++)
		change_put_mapping(change, &followers->records[i]);
	mapping_change_submit(followers->core, change);
}

static bool has_follower(const struct followers *followers, const char *volume_id)
{
	for (size_t i = 0; i < followers->count; i++) {
		if (streq(followers->records[i].volume_id, volume_id))
			return true;
	}
	return false;
}

static bool is_name_free(const struct followers *followers, const struct mapping_record *record)
{
	struct mapping *mapping;

	for (mapping = mapping_first(followers->core); mapping; mapping = mapping_next(mapping)) {
		if (streq(mapping->record.device_path, record->device_path) &&
		    streq(mapping->record.vm_id, record->vm_id) && !has_follower(followers, mapping->record.volume_id))
			return false;
	}
	return true;
}

/*
 * Names that are noted for somebody who does not change now, because of an operation on him, are not free before its
 * end; the store would refuse all for one. Who has to wait keeps a name himself, so this is asked until nobody has to.
 */
static void drop_waiting(struct followers *followers)
{
	for (size_t i = 0; i < followers->count;) {
		if (is_name_free(followers, &followers->records[i])) {
			i++;
			continue;
		}
		record_clear(&mapping_record, &followers->records[i]);
		followers->records[i] = followers->records[--followers->count];
		i = 0;
	}
}

static void follow_kernel(struct core *core)
{
	struct followers followers = { .core = core };
	struct mapping *mapping;

	for (mapping = mapping_first(core); mapping; mapping = mapping_next(mapping)) {
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
		followers_add(&followers, mapping, device);
	}
	drop_waiting(&followers);
	followers_commit(&followers);
	free(followers.records);
}

static void on_follow_task(struct loop_task *task)
{
	struct core *core = container_of(task, struct core, follow_task);

	/* One commit at a time, however long the store takes. */
	core->follow_again = change_has_mappings(core);
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
}
