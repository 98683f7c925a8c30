/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The volumes CloudStack shows, as last seen: the whole list is fetched page by page every now and then, for the
 * comparison of core/reconcile, and every operation brings what it learned. Nothing is decided from these copies - operations ask CloudStack when their turn
 * comes - they only answer questions quickly.
 */

#include "core/model/volume.h"

#include <assert.h>

#include "cloud/cloud.h"
#include "core/core_parts.h"
#include "core/env.h"
#include "core/event.h"
#include "core/model/event.h"

static void cloud_volume_assign(struct cloud_volume *to, const struct cloud_volume *from)
{
	str_set(&to->id, from->id);
	str_set(&to->name, from->name);
	str_set(&to->zone_id, from->zone_id);
	str_set(&to->type, from->type);
	str_set(&to->state, from->state);
	str_set(&to->vm_id, from->vm_id);
	str_set(&to->hypervisor, from->hypervisor);
	str_set(&to->raw, from->raw);
	to->size = from->size;
	to->device_id = from->device_id;
}

static void cloud_volume_release(struct cloud_volume *volume)
{
	cloud_volume_assign(volume, &(struct cloud_volume){ 0 });
}

struct volume *volume_first(const struct core *core)
{
	return core->volumes;
}

size_t volume_count(const struct core *core)
{
	return HASH_COUNT(core->volumes);
}

struct volume *volume_find(struct core *core, const char *id)
{
	struct volume *volume;

	HASH_FIND_STR(core->volumes, id, volume);
	return volume;
}

void volume_touch(struct core *core, const char *id)
{
	struct volume *volume = volume_find(core, id);

	if (!volume)
		return;
	volume->dirty = true;
	core->volumes_dirty = true;
	events_queue_volumes(core);
}

void volumes_tell_changed(struct core *core)
{
	struct volume *volume, *next;

	if (!core->volumes_dirty)
		return;
	core->volumes_dirty = false;
	HASH_ITER(hh, core->volumes, volume, next) {
		if (!volume->dirty)
			continue;
		volume->dirty = false;
		events_deliver(core, &(struct core_event){ .type = EVENT_VOLUME_CHANGED, .id = volume->id });
	}
}

struct volume *volume_update(struct core *core, const struct cloud_volume *cloud)
{
	struct volume *volume = volume_find(core, cloud->id);
	bool changed = true;

	if (!volume) {
		volume = xnew(struct volume);
		volume->id = xstrdup(cloud->id);
		HASH_ADD_KEYPTR(hh, core->volumes, volume->id, strlen(volume->id), volume);
		events_volume(core, EVENT_VOLUME_ADDED, volume->id);
	} else {
		changed = !streq(volume->cloud.raw, cloud->raw);
	}
	volume->round = core->refresh_round;
	if (changed) {
		cloud_volume_assign(&volume->cloud, cloud);
		volume_touch(core, volume->id);
	}
	return volume;
}

static void volume_free(struct core *core, struct volume *volume)
{
	HASH_DEL(core->volumes, volume);
	cloud_volume_release(&volume->cloud);
	free(volume->last_operation_id);
	free(volume->id);
	free(volume);
}

void volume_remove(struct core *core, const char *id)
{
	struct volume *volume = volume_find(core, id);

	if (!volume)
		return;
	events_volume(core, EVENT_VOLUME_REMOVED, id);
	volume_free(core, volume);
}

void volume_note_operation(struct core *core, const struct operation_record *record)
{
	struct volume *volume = volume_find(core, record->volume_id);

	if (!volume || (volume->last_operation_id && strcmp(volume->last_operation_id, record->id) > 0))
		return;
	str_set(&volume->last_operation_id, record->id);
	volume->last_operation_type = record->type;
	volume->last_operation_status = record->status;
	volume_touch(core, volume->id);
}

bool volume_is_own_root(const struct core *core, const struct cloud_volume *cloud)
{
	return streq(cloud->type, "ROOT") && core_is_appliance(core, cloud->vm_id);
}

bool volume_may_be_here(struct core *core, const char *id)
{
	const struct volume *volume = volume_find(core, id);

	return !volume || core_is_appliance(core, volume->cloud.vm_id);
}

/* ---- fetching the list ---- */

void volumes_begin_list(struct core *core)
{
	core->refresh_round++;
}

bool volume_is_listed(const struct core *core, const struct volume *volume)
{
	return volume->round == core->refresh_round;
}

void volumes_end_list(struct core *core)
{
	core->volumes_known = true;
}

bool volumes_are_known(const struct core *core)
{
	return core->volumes_known;
}

void volumes_free(struct core *core)
{
	struct volume *volume, *next;

	HASH_ITER(hh, core->volumes, volume, next)
		volume_free(core, volume);
}
