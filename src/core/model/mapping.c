/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which volume is which device.
 *
 * A mapping on this VM is tied to exactly one disk: by the disk's own identity, or, on buses that
 * carry none, by the kernel's sequence number of the disk that it was made for, which starts anew
 * in each boot. The kernel's name is only the present address of that disk and follows it: if the
 * disk is gone, the mapping says so, and does not keep a name that another disk may get next.
 */

#include "core/model/mapping.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "core/env.h"
#include "core/event.h"
#include "core/model/event.h"
#include "core/model/local_disk.h"
#include "core/model/model.h"
#include "core/model/notice.h"
#include "core/model/stable_name.h"
#include "core/model/volume.h"
#include "disk/device.h"
#include "disk/sysblock.h"

struct mapping *mapping_first(const struct model *model)
{
	return model->mappings;
}

size_t mapping_count(const struct model *model)
{
	return HASH_COUNT(model->mappings);
}

struct mapping *mapping_find(struct model *model, const char *volume_id)
{
	struct mapping *mapping;

	HASH_FIND_STR(model->mappings, volume_id, mapping);
	return mapping;
}

bool mapping_is_disk(struct model *model, const char *volume_id, const struct device *device)
{
	const struct mapping *mapping = mapping_find(model, volume_id);

	return mapping ? local_disk_is(model->env, &mapping->record, device)
		       : device_identity(device, volume_id) == IDENTITY_SAME;
}

const struct device *mapping_next_disk(struct model *model, const char *volume_id,
				       const struct device *previous)
{
	const struct sysblock *sysblock = model->env->sysblock;
	size_t first = previous ? (size_t)(previous - sysblock_at(sysblock, 0)) + 1 : 0;

	for (size_t i = first; i < sysblock_count(sysblock); i++) {
		if (mapping_is_disk(model, volume_id, sysblock_at(sysblock, i)))
			return sysblock_at(sysblock, i);
	}
	return NULL;
}

/* The disk with the noted name, or, if names have changed hands since, the only such disk. */
static bool is_mapping_disk(struct model *model, const struct mapping_record *record,
			    const struct device *device)
{
	const struct device *only;

	if (!env_is_appliance(model->env, record->vm_id) ||
	    !local_disk_is(model->env, record, device))
		return false;
	if (streq(record->device_path, device->path))
		return true;
	only = mapping_disk(model->env, record);
	return only && streq(only->path, device->path);
}

struct mapping *mapping_of_device(struct model *model, const struct device *device)
{
	struct mapping *mapping, *next;

	HASH_ITER(hh, model->mappings, mapping, next) {
		if (is_mapping_disk(model, &mapping->record, device))
			return mapping;
	}
	return NULL;
}

const struct device *mapping_device(struct model *model, const struct mapping *mapping)
{
	const struct device *device = mapping_disk(model->env, &mapping->record);

	return device && sysblock_verify(model->env->sysblock, device) ? device : NULL;
}

/* Without names (any more), no name is shown. */
static const char *name_here(struct model *model, const char *volume_id)
{
	return model->env->options.devmap ? name_find(model, volume_id) : NULL;
}

static void describe_name(struct model *model, const char *volume_id, char **name, char **path)
{
	str_set(name, name_here(model, volume_id));
	free(*path);
	*path = *name ? xasprintf("%s/mapper/%s", model->env->options.dev_root, *name) : NULL;
}

void device_note_volume(struct model *model, const char *volume_id, struct device_record *out)
{
	str_set(&out->volume_id, volume_id);
	describe_name(model, volume_id, &out->persistent_device_name, &out->symlink_path);
}

void device_to_record(struct model *model, const struct device *device, struct device_record *out)
{
	const struct mapping *mapping = mapping_of_device(model, device);

	str_set(&out->device_path, device->path);
	str_set(&out->bus, device_bus_names[device->bus]);
	str_set(&out->serial, device->serial[0] ? device->serial : NULL);
	out->size = device->size;
	out->diskseq = (int64_t)device->diskseq;
	out->read_only = device->read_only;
	if (mapping)
		device_note_volume(model, mapping->record.volume_id, out);
}

/* ---- records ---- */

/* The links that udev makes on the buses CloudStack uses; they are shown, never followed. */
static char *by_id_path(const struct device *device)
{
	if (!device->serial[0])
		return NULL;
	switch (device->bus) {
	case BUS_VIRTIO:
		return xasprintf("/dev/disk/by-id/virtio-%s", device->serial);
	case BUS_SCSI:
		return xasprintf("/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_%s", device->serial);
	case BUS_LOOP:
	case BUS_OTHER:
	case BUS_COUNT:
		break;
	}
	return NULL;
}

void mapping_make(struct model *model, const char *volume_id, const char *vm_id,
		  struct mapping_record *out)
{
	const struct mapping *mapping = mapping_find(model, volume_id);
	char uuid[UUID_TEXT_SIZE];

	record_init(&mapping_record, out);
	uuid_make_v7(uuid);
	str_set(&out->id, mapping ? mapping->record.id : uuid);
	str_set(&out->volume_id, volume_id);
	str_set(&out->volume_uuid, volume_id);
	str_set(&out->vm_id, vm_id);
	str_set(&out->cloudstack_state, "attached");
	out->created_at = out->attached_at = clock_record_ms();
}

void mapping_place(struct model *model, struct mapping_record *record, int64_t device_id,
		   uint64_t size, const struct device *device)
{
	record->cloudstack_device_id = device_id;
	record->updated_at = record->last_sync = clock_record_ms();
	if (env_is_appliance(model->env, record->vm_id)) {
		if (model->env->options.devmap)
			name_give(model, record->volume_id);
		mapping_describe(model, record, device);
		return;
	}
	free(record->device_path);
	/* Not the slot: a hypervisor may give it twice, or none. */
	record->device_path = xasprintf("remote-vm-%s-%s", record->vm_id, record->volume_id);
	str_set(&record->linux_state, "n/a");
	str_set(&record->operation_mode, "failover");
	record->matched_by = MATCHED_NOT;
	record->size = size;
}

void mapping_describe(struct model *model, struct mapping_record *record,
		      const struct device *device)
{
	describe_name(model, record->volume_id, &record->persistent_device_name,
		      &record->symlink_path);
	str_set(&record->operation_mode, "oma");
	if (!device) {
		free(record->device_path);
		record->device_path = xasprintf("gone-%s", record->volume_id);
		str_set(&record->linux_state, "gone");
		return;
	}
	str_set(&record->device_path, device->path);
	free(record->by_id_path);
	record->by_id_path = by_id_path(device);
	str_set(&record->linux_state, "detected");
	/* Before this machine was the appliance, no scan looked for this disk; a disk that is found
	 * now was found by its identity. */
	if (record->matched_by == MATCHED_NOT)
		record->matched_by = MATCHED_BY_IDENTITY;
	record->size = device->size;
	record->diskseq = (int64_t)device->diskseq;
	str_set(&record->boot_id, model->env->boot_id);
}

const struct mapping_record *mapping_show(struct model *model, const struct mapping *mapping,
					  struct mapping_record *own)
{
	if (!env_is_appliance(model->env, mapping->record.vm_id))
		return &mapping->record;
	record_copy(&mapping_record, own, &mapping->record);
	mapping_describe(model, own, mapping_device(model, mapping));
	return own;
}

bool mapping_is_up_to_date(struct model *model, const struct mapping_record *record,
			   const struct device *device)
{
	const char *name = name_here(model, record->volume_id);

	if ((model->env->options.devmap && !name) ||
	    !streq(str_or(record->persistent_device_name, ""), str_or(name, "")))
		return false;
	if (!device)
		return streq(record->linux_state, "gone");
	return streq(record->linux_state, "detected") && streq(record->device_path, device->path) &&
	       record->size == device->size && (uint64_t)record->diskseq == device->diskseq &&
	       local_disk_is_this_boot(model->env, record);
}

/* ---- the model ---- */

static bool same_disk_as_before(const struct mapping *mapping, const struct mapping_record *record)
{
	return streq(mapping->record.device_path, record->device_path) &&
	       mapping->record.diskseq == record->diskseq &&
	       streq(mapping->record.linux_state, record->linux_state);
}

/* The record's texts become the model's. */
static struct mapping *assign(struct model *model, struct mapping_record *taken)
{
	struct mapping *mapping = mapping_find(model, taken->volume_id);

	if (mapping)
		HASH_DEL(model->mappings, mapping);
	else
		mapping = xnew(struct mapping);
	record_clear(&mapping_record, &mapping->record);
	mapping->record = *taken;
	*taken = (struct mapping_record){ 0 };
	HASH_ADD_KEYPTR(hh, model->mappings, mapping->record.volume_id,
			strlen(mapping->record.volume_id), mapping);
	return mapping;
}

void mapping_load(struct model *model, struct mapping_record *taken)
{
	assign(model, taken);
}

void mapping_put(struct model *model, const struct mapping_record *record)
{
	const struct mapping *mapping = mapping_find(model, record->volume_id);
	bool disk_changed = !mapping || !same_disk_as_before(mapping, record);
	struct mapping_record copy = { 0 }, shown = { 0 };

	record_copy(&mapping_record, &copy, record);
	mapping = assign(model, &copy);
	if (disk_changed)
		notice_tell_volume(model, NOTICE_DISK_CHANGED, mapping->record.volume_id);
	volume_touch(model, mapping->record.volume_id);
	/* The name may have changed hands while the store was busy. */
	events_mapping(model, EVENT_MAPPING_CHANGED, mapping_show(model, mapping, &shown));
	record_clear(&mapping_record, &shown);
}

static void mapping_free(struct model *model, struct mapping *mapping)
{
	HASH_DEL(model->mappings, mapping);
	record_clear(&mapping_record, &mapping->record);
	free(mapping);
}

void mapping_remove(struct model *model, const char *volume_id)
{
	struct mapping *mapping = mapping_find(model, volume_id);

	if (!mapping)
		return;
	volume_touch(model, volume_id);
	events_mapping(model, EVENT_MAPPING_REMOVED, &mapping->record);
	mapping_free(model, mapping);
	notice_tell_volume(model, NOTICE_DISK_CHANGED, volume_id);
	notice_tell(model, NOTICE_HOST_UNSURE);
}

void mappings_free(struct model *model)
{
	struct mapping *mapping, *next;

	HASH_ITER(hh, model->mappings, mapping, next)
		mapping_free(model, mapping);
}
