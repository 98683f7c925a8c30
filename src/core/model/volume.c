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
#include "core/model/notice.h"

void cloud_volume_assign(struct cloud_volume *to, const struct cloud_volume *from)
{
	str_set(&to->id, from->id);
	str_set(&to->name, from->name);
	str_set(&to->zone_id, from->zone_id);
	str_set(&to->type, from->type);
	str_set(&to->state, from->state);
	str_set(&to->vm_id, from->vm_id);
	str_set(&to->hypervisor, from->hypervisor);
	str_set(&to->owner, from->owner);
	str_set(&to->raw, from->raw);
	to->size = from->size;
	to->device_id = from->device_id;
	to->is_protected = from->is_protected;
}

static bool text_is_same(const char *a, const char *b)
{
	return streq(str_or(a, ""), str_or(b, ""));
}

/* The raw text alone does not tell: it is left out if the object is too long. */
static bool cloud_volume_is_same(const struct cloud_volume *a, const struct cloud_volume *b)
{
	return text_is_same(a->name, b->name) && text_is_same(a->zone_id, b->zone_id) &&
	       text_is_same(a->type, b->type) && text_is_same(a->state, b->state) &&
	       text_is_same(a->vm_id, b->vm_id) && text_is_same(a->hypervisor, b->hypervisor) &&
	       a->size == b->size && a->device_id == b->device_id &&
	       a->is_protected == b->is_protected && text_is_same(a->raw, b->raw);
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
	if (!volume->is_touched)
		TAILQ_INSERT_TAIL(&model->touched, volume, touched_entry);
	volume->is_touched = true;
	events_queue_volumes(model);
	notice_tell_volume(model, NOTICE_VOLUME_CHANGED, id);
}

static void untouch(struct model *model, struct volume *volume)
{
	if (volume->is_touched)
		TAILQ_REMOVE(&model->touched, volume, touched_entry);
	volume->is_touched = false;
}

void volumes_tell_changed(struct model *model)
{
	/* A listener may touch more, whose turn is the next one. */
	const struct volume *last = TAILQ_LAST(&model->touched, volume_list);
	struct volume *volume, *told = NULL;

	while (told != last && (volume = TAILQ_FIRST(&model->touched))) {
		told = volume;
		untouch(model, volume);
		if (!volume->is_new)
			events_deliver(model, &(struct core_event){ .type = EVENT_VOLUME_CHANGED,
								    .id = volume->id });
		volume->is_new = false;
	}
}

static struct volume *update(struct model *model, const struct cloud_volume *cloud)
{
	struct volume *volume = volume_find(model, cloud->id);
	bool changed = true;

	if (!volume) {
		volume = xnew(struct volume);
		volume->id = xstrdup(cloud->id);
		volume->by_id = true;
		HASH_ADD_KEYPTR(hh, model->volumes, volume->id, strlen(volume->id), volume);
		volume->is_new = true;
		events_volume(model, EVENT_VOLUME_ADDED, volume->id);
	} else {
		changed = !cloud_volume_is_same(&volume->cloud, cloud);
	}
	volume->round = model->list_round;
	if (changed) {
		cloud_volume_assign(&volume->cloud, cloud);
		volume_touch(model, volume->id);
	}
	return volume;
}

struct volume *volume_update(struct model *model, const struct cloud_volume *cloud)
{
	struct volume *volume = update(model, cloud);

	volume->asked_round = model->list_round;
	return volume;
}

struct volume *volume_update_listed(struct model *model, const struct cloud_volume *cloud)
{
	struct volume *volume = volume_find(model, cloud->id);

	if (!volume || volume->asked_round != model->list_round)
		volume = update(model, cloud);
	volume->by_id = false;
	return volume;
}

int volume_missing(struct model *model, const char *id, struct err *err)
{
	if (volume_find(model, id))
		return err_set(
			err, ERR_NOT_FOUND,
			"CloudStack no longer shows volume %s: it was deleted, or moved to another account or "
			"project; see cloud.project_id",
			id);
	return err_set(
		err, ERR_NOT_FOUND,
		"volume %s does not exist in CloudStack, or belongs to a project; see cloud.project_id",
		id);
}

static void volume_free(struct model *model, struct volume *volume)
{
	HASH_DEL(model->volumes, volume);
	untouch(model, volume);
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

	if (!volume || volume->last_operation_ms > record->created_at ||
	    (volume->last_operation_ms == record->created_at &&
	     strcmp(str_or(volume->last_operation_id, ""), record->id) > 0))
		return;
	str_set(&volume->last_operation_id, record->id);
	volume->last_operation_ms = record->created_at;
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

void volumes_end_list_here(struct model *model)
{
	model->volumes_here_known = true;
}

bool volumes_here_are_known(const struct model *model)
{
	return model->volumes_known || model->volumes_here_known;
}

void volumes_here_anew(struct model *model)
{
	model->volumes_here_known = false;
}

void volumes_free(struct model *model)
{
	struct volume *volume, *next;

	HASH_ITER(hh, model->volumes, volume, next)
		volume_free(model, volume);
}
