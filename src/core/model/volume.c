/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * CloudStack's volumes, as last seen. core/reconcile fetches the whole list page by page every now
 * and then, and every operation brings the volumes that it has seen. These copies decide nothing -
 * operations ask CloudStack when their turn comes - they only answer questions quickly.
 */

#include "core/model/volume.h"

#include <assert.h>

#include "cloud/cloud.h"
#include "core/env.h"
#include "core/event.h"
#include "core/model/event.h"
#include "core/model/model.h"

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

struct volume *volume_first(const struct model *model)
{
	return model->volumes;
}

size_t volume_count(const struct model *model)
{
	return HASH_COUNT(model->volumes);
}

struct volume *volume_find(struct model *model, const char *id)
{
	struct volume *volume;

	HASH_FIND_STR(model->volumes, id, volume);
	return volume;
}

void volume_touch(struct model *model, const char *id)
{
	struct volume *volume = volume_find(model, id);

	if (!volume)
		return;
	volume->dirty = true;
	model->volumes_dirty = true;
	events_queue_volumes(model);
}

void volumes_tell_changed(struct model *model)
{
	struct volume *volume, *next;

	if (!model->volumes_dirty)
		return;
	model->volumes_dirty = false;
	HASH_ITER(hh, model->volumes, volume, next) {
		if (!volume->dirty)
			continue;
		volume->dirty = false;
		events_deliver(model, &(struct core_event){ .type = EVENT_VOLUME_CHANGED,
							    .id = volume->id });
	}
}

struct volume *volume_update(struct model *model, const struct cloud_volume *cloud)
{
	struct volume *volume = volume_find(model, cloud->id);
	bool changed = true;

	if (!volume) {
		volume = xnew(struct volume);
		volume->id = xstrdup(cloud->id);
		HASH_ADD_KEYPTR(hh, model->volumes, volume->id, strlen(volume->id), volume);
		events_volume(model, EVENT_VOLUME_ADDED, volume->id);
	} else {
		changed = !streq(volume->cloud.raw, cloud->raw);
	}
	volume->round = model->list_round;
	if (changed) {
		cloud_volume_assign(&volume->cloud, cloud);
		volume_touch(model, volume->id);
	}
	return volume;
}

static void volume_free(struct model *model, struct volume *volume)
{
	HASH_DEL(model->volumes, volume);
	cloud_volume_release(&volume->cloud);
	free(volume->last_operation_id);
	free(volume->id);
	free(volume);
}

void volume_remove(struct model *model, const char *id)
{
	struct volume *volume = volume_find(model, id);

	if (!volume)
		return;
	events_volume(model, EVENT_VOLUME_REMOVED, id);
	volume_free(model, volume);
}

void volume_note_operation(struct model *model, const struct operation_record *record)
{
	struct volume *volume = volume_find(model, record->volume_id);

	if (!volume ||
	    (volume->last_operation_id && strcmp(volume->last_operation_id, record->id) > 0))
		return;
	str_set(&volume->last_operation_id, record->id);
	volume->last_operation_type = record->type;
	volume->last_operation_status = record->status;
	volume_touch(model, volume->id);
}

bool volume_is_own_root(const struct model *model, const struct cloud_volume *cloud)
{
	return streq(cloud->type, "ROOT") && env_is_appliance(model->env, cloud->vm_id);
}

bool volume_may_be_here(struct model *model, const char *id)
{
	const struct volume *volume = volume_find(model, id);

	return !volume || env_is_appliance(model->env, volume->cloud.vm_id);
}

/* ---- fetching the list ---- */

void volumes_begin_list(struct model *model)
{
	model->list_round++;
}

bool volume_is_listed(const struct model *model, const struct volume *volume)
{
	return volume->round == model->list_round;
}

void volumes_end_list(struct model *model)
{
	model->volumes_known = true;
}

bool volumes_are_known(const struct model *model)
{
	return model->volumes_known;
}

void volumes_free(struct model *model)
{
	struct volume *volume, *next;

	HASH_ITER(hh, model->volumes, volume, next)
		volume_free(model, volume);
}
