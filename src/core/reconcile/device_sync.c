/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Keeping mappings true: if the kernel changes its disks - other names after a reboot, a disk that
 * goes or comes back or grows - the mappings follow at once, without a request. The store comes
 * first and the model second, so that a signal about a mapping can be believed.
 */

#include "core/reconcile/device_sync.h"

#include <stdio.h>

#include "base/log.h"
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

struct device_sync {
	struct env *env;
	struct model *model;
	struct engine *engine;
	struct content_probe *content_probe;
	struct loop_task task; /* mappings are compared with the kernel */
	bool again;            /* once the commit under way has ended */
	struct notice_listener listener;
};

/* Mappings that differ from the kernel, in their desired form. */
struct followers {
	struct device_sync *sync;
	struct mapping_record *records;
	size_t count;
};

static void followers_add(struct followers *followers, const struct mapping *mapping,
			  const struct device *device)
{
	struct mapping_record *record;

	followers->records =
		xrealloc(followers->records, (followers->count + 1) * sizeof(*followers->records));
	record = &followers->records[followers->count++];
	*record = (struct mapping_record){ 0 };
	record_copy(&mapping_record, record, &mapping->record);
	mapping_describe(followers->sync->model, record, device);
}

static void followers_commit(struct followers *followers)
{
	struct change *change;

	if (followers->count == 0)
		return;
	change = change_new(followers->sync->model, followers->records[0].volume_id);
	for (size_t i = 0; i < followers->count; i++)
		change_put_mapping(change, &followers->records[i]);
	mapping_change_submit(followers->sync->model, change);
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

	for (mapping = mapping_first(followers->sync->model); mapping;
	     mapping = mapping_next(mapping)) {
		if (streq(mapping->record.device_path, record->device_path) &&
		    streq(mapping->record.vm_id, record->vm_id) &&
		    !has_follower(followers, mapping->record.volume_id))
			return false;
	}
	return true;
}

/*
 * While an operation works on a volume, the volume's mapping does not follow the kernel, and the
 * name that the mapping notes stays taken: the store would refuse the whole batch for one such
 * name. A volume that has to wait keeps its own name, too, so the search is repeated until no
 * volume has to wait.
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

static void follow_kernel(struct device_sync *sync)
{
	struct followers followers = { .sync = sync };
	struct mapping *mapping;

	for (mapping = mapping_first(sync->model); mapping; mapping = mapping_next(mapping)) {
		const struct device *device;

		/* While an operation is under way, it alone changes the mapping. */
		if (!env_is_appliance(sync->env, mapping->record.vm_id) ||
		    operation_busy(sync->engine, mapping->record.volume_id))
			continue;
		device = mapping_disk(sync->env, &mapping->record);
		if (mapping_is_up_to_date(sync->model, &mapping->record, device)) {
			content_probe_retry(sync->content_probe, mapping->record.volume_id);
			continue;
		}
		if (!device || !streq(device->path, mapping->record.device_path))
			log_notice("volume=%s: was %s, is %s", mapping->record.volume_id,
				   mapping->record.device_path,
				   device ? device->path : "gone from the kernel");
		if (sync->env->options.devmap)
			name_give(sync->model, mapping->record.volume_id);
		followers_add(&followers, mapping, device);
	}
	drop_waiting(&followers);
	followers_commit(&followers);
	free(followers.records);
}

static void on_turn(struct loop_task *task)
{
	struct device_sync *sync = container_of(task, struct device_sync, task);

	/* One commit at a time, however long the store takes. */
	sync->again = change_has_mappings(sync->model);
	if (env_may_change(sync->env) && !sync->again)
		follow_kernel(sync);
}

void device_sync_soon(struct device_sync *sync)
{
	loop_task_queue(sync->env->loop, &sync->task);
}

static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	struct device_sync *sync = container_of(listener, struct device_sync, listener);

	if (notice->type == NOTICE_DEVICES_UNSURE ||
	    (notice->type == NOTICE_MAPPINGS_COMMITTED && sync->again))
		device_sync_soon(sync);
}

struct device_sync *device_sync_new(struct env *env, struct model *model, struct engine *engine,
				    struct content_probe *content_probe)
{
	struct device_sync *sync = xnew(struct device_sync);

	sync->env = env;
	sync->model = model;
	sync->engine = engine;
	sync->content_probe = content_probe;
	sync->task.run = on_turn;
	sync->listener.on_notice = on_notice;
	notice_listen(model, &sync->listener);
	return sync;
}

struct device_sync *device_sync_free(struct device_sync *sync)
{
	if (!sync)
		return NULL;
	notice_unlisten(sync->model, &sync->listener);
	loop_task_cancel(sync->env->loop, &sync->task);
	free(sync);
	return NULL;
}
