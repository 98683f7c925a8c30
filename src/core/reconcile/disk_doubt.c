/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A disk is here, and CloudStack says that its volume is attached to nothing: two machines may soon
 * write to it, so the difference is told at once. It can begin at three moments, and each is looked
 * at: the kernel shows a disk, CloudStack says something new of a volume, an operation ends. The
 * look costs no request; the comparison that follows asks CloudStack before anything is told.
 */

#include "core/reconcile/disk_doubt.h"

#include "core/engine/operation_table.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/volume.h"
#include "disk/device.h"

struct disk_doubt {
	struct model *model;
	struct engine *engine;
	struct notice_listener listener;
};

/* An operation finds out by itself, and a difference that is noted was told. */
static bool is_in_doubt(const struct disk_doubt *doubt, const struct volume *volume)
{
	const struct mapping *mapping = mapping_find(doubt->model, volume->id);

	return !volume->cloud.vm_id &&
	       !(mapping && !streq(mapping->record.cloudstack_state, "attached")) &&
	       !operation_busy(doubt->engine, volume->id) &&
	       mapping_next_disk(doubt->model, volume->id, NULL);
}

static void look_at(const struct disk_doubt *doubt, const struct volume *volume)
{
	if (volume && is_in_doubt(doubt, volume))
		notice_tell(doubt->model, NOTICE_CLOUD_UNSURE);
}

/* The disk that an operation waits for comes before CloudStack shows the attachment. */
static bool is_awaited(const struct disk_doubt *doubt, const struct device *device)
{
	const struct operation *operation;

	for (operation = operation_first(doubt->engine); operation;
	     operation = operation_after(operation)) {
		if (!str_empty(operation->record.volume_id) &&
		    device_identity(device, operation->record.volume_id) == IDENTITY_SAME)
			return true;
	}
	return false;
}

void disk_doubt_added(struct disk_doubt *doubt, const struct device *device)
{
	const struct volume *volume;

	if (!device->has_identity || is_awaited(doubt, device))
		return;
	for (volume = volume_first(doubt->model); volume; volume = volume_next(volume)) {
		if (device_identity(device, volume->id) == IDENTITY_SAME)
			look_at(doubt, volume);
	}
}

static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	struct disk_doubt *doubt = container_of(listener, struct disk_doubt, listener);

	if (notice->type == NOTICE_VOLUME_CHANGED)
		look_at(doubt, volume_find(doubt->model, notice->volume_id));
}

struct disk_doubt *disk_doubt_new(struct model *model, struct engine *engine)
{
	struct disk_doubt *doubt = xnew(struct disk_doubt);

	doubt->model = model;
	doubt->engine = engine;
	doubt->listener.on_notice = on_notice;
	notice_listen(model, &doubt->listener);
	return doubt;
}

struct disk_doubt *disk_doubt_free(struct disk_doubt *doubt)
{
	if (!doubt)
		return NULL;
	notice_unlisten(doubt->model, &doubt->listener);
	free(doubt);
	return NULL;
}
