/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which volume is which device.
 *
 * A mapping on this VM is tied to one very disk: by the disk's own identity, or, for buses that carry none, by the
 * kernel's sequence number of the disk it was made for, which counts anew in each boot. The kernel's name is only the
 * present address of that disk and follows it: when the disk is gone the mapping says so instead of keeping a name that
 * another disk may get next.
 */

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/internal.h"

bool core_is_appliance(const struct core *core, const char *vm_id)
{
	return core->options.appliance_id && vm_id && strcasecmp(core->options.appliance_id, vm_id) == 0;
}

struct mapping *mapping_find(struct core *core, const char *volume_id)
{
	struct mapping *mapping;

	HASH_FIND_STR(core->mappings, volume_id, mapping);
	return mapping;
}

static bool is_this_boot(const struct core *core, const struct mapping_record *record)
{
	return streq(str_or(record->boot_id, ""), core->boot_id);
}

static bool is_same_disk(const struct core *core, const struct mapping_record *record, const struct device *device)
{
	switch (device_identity(device, record->volume_id)) {
	case IDENTITY_SAME:
		return true;
	case IDENTITY_OTHER:
		return false;
	case IDENTITY_NONE:
		break;
	}
	return record->diskseq && (uint64_t)record->diskseq == device->diskseq && is_this_boot(core, record);
}

bool mapping_is_disk(struct core *core, const char *volume_id, const struct device *device)
{
	const struct mapping *mapping = mapping_find(core, volume_id);

	return mapping ? is_same_disk(core, &mapping->record, device)
		       : device_identity(device, volume_id) == IDENTITY_SAME;
}

/* The one disk a mapping belongs to; two with the same identity are none. */
static const struct device *disk_of(struct core *core, const struct mapping_record *record)
{
	const struct device *found = NULL;

	for (size_t i = 0; i < sysblock_count(core->sysblock); i++) {
		const struct device *device = sysblock_at(core->sysblock, i);

		if (!is_same_disk(core, record, device))
			continue;
		if (found)
			return NULL;
		found = device;
	}
	return found;
}

/* By the name that was noted, or, when names have changed hands since, by being the only such disk. */
static bool is_disk_of(struct core *core, const struct mapping_record *record, const struct device *device)
{
	const struct device *only;

	if (!core_is_appliance(core, record->vm_id) || !is_same_disk(core, record, device))
		return false;
	if (streq(record->device_path, device->path))
		return true;
	only = disk_of(core, record);
	return only && streq(only->path, device->path);
}

struct mapping *mapping_of_device(struct core *core, const struct device *device)
{
	struct mapping *mapping, *next;

	HASH_ITER(hh, core->mappings, mapping, next) {
		if (is_disk_of(core, &mapping->record, device))
			return mapping;
	}
	return NULL;
}

const struct device *mapping_device(struct core *core, const struct mapping *mapping)
{
	const struct device *device = disk_of(core, &mapping->record);

	return device && sysblock_verify(core->sysblock, device) ? device : NULL;
}

void device_to_record(struct core *core, const struct device *device, struct device_record *out)
{
	const struct mapping *mapping = mapping_of_device(core, device);

	str_set(&out->device_path, device->path);
	str_set(&out->bus, device_bus_names[device->bus]);
	str_set(&out->serial, device->serial[0] ? device->serial : NULL);
	out->size = device->size;
	out->diskseq = (int64_t)device->diskseq;
	out->read_only = device->read_only;
	str_set(&out->volume_id, mapping ? mapping->record.volume_id : NULL);
}

/* ---- what is on it ---- */

static void commit_mapping(struct core *core, const struct mapping_record *record);
static void describe(const struct core *core, struct mapping_record *record, const struct device *device);

static const char *text_or_null(const char *text)
{
	return *text ? text : NULL;
}

/* A look that found nothing new is not worth a commit and a signal. */
static bool same_contents(const struct mapping_record *record, const struct probe_result *result)
{
	return streq(str_or(record->filesystem, ""), result->filesystem) &&
	       streq(str_or(record->label, ""), result->label) &&
	       streq(str_or(record->filesystem_uuid, ""), result->uuid) &&
	       streq(str_or(record->partition_table, ""), result->partition_table);
}

static void on_probed(void *arg, const struct probe_result *result)
{
	struct mapping *mapping = arg;
	struct core *core = mapping->core;
	struct mapping_record record = { 0 };
	const struct device *device;

	mapping->probe = NULL;
	if (result->err.code) {
		log_notice("volume=%s: what is on %s could not be read: %s", mapping->record.volume_id,
			   mapping->record.device_path, result->err.text);
		return;
	}
	mapping->unread = operation_busy(core, mapping->record.volume_id);
	if (core->draining || mapping->unread || same_contents(&mapping->record, result))
		return;
	/* The name that was read may lead to another disk by now; then a new look is on its way. */
	device = mapping_device(core, mapping);
	if (!device || !streq(device->path, mapping->record.device_path))
		return;
	record_copy(&mapping_record, &record, &mapping->record);
	str_set(&record.filesystem, text_or_null(result->filesystem));
	str_set(&record.label, text_or_null(result->label));
	str_set(&record.filesystem_uuid, text_or_null(result->uuid));
	str_set(&record.partition_table, text_or_null(result->partition_table));
	describe(core, &record, device);
	commit_mapping(core, &record);
	record_clear(&mapping_record, &record);
}

static void probe_contents(struct mapping *mapping)
{
	struct core *core = mapping->core;

	if (mapping->probe)
		probe_cancel(TAKE_PTR(mapping->probe));
	if (core_is_appliance(core, mapping->record.vm_id) && streq(mapping->record.linux_state, "detected"))
		mapping->probe = probe_start(core->prober, mapping->record.device_path, on_probed, mapping);
}

/* ---- the model ---- */

static bool same_disk_as_before(const struct mapping *mapping, const struct mapping_record *record)
{
	return streq(mapping->record.device_path, record->device_path) && mapping->record.diskseq == record->diskseq &&
	       streq(mapping->record.linux_state, record->linux_state);
}

void mapping_put(struct core *core, const struct mapping_record *record)
{
	struct mapping *mapping = mapping_find(core, record->volume_id);
	bool look = !mapping || !same_disk_as_before(mapping, record);

	if (!mapping) {
		mapping = xnew(struct mapping);
		mapping->core = core;
		record_copy(&mapping_record, &mapping->record, record);
		HASH_ADD_KEYPTR(hh, core->mappings, mapping->record.volume_id, strlen(mapping->record.volume_id),
				mapping);
	} else {
		HASH_DEL(core->mappings, mapping);
		record_copy(&mapping_record, &mapping->record, record);
		HASH_ADD_KEYPTR(hh, core->mappings, mapping->record.volume_id, strlen(mapping->record.volume_id),
				mapping);
	}
	if (look)
		probe_contents(mapping);
	volume_touch(core, mapping->record.volume_id);
	events_mapping(core, EVENT_MAPPING_CHANGED, &mapping->record);
}

static void mapping_free(struct core *core, struct mapping *mapping)
{
	HASH_DEL(core->mappings, mapping);
	if (mapping->probe)
		probe_cancel(TAKE_PTR(mapping->probe));
	record_clear(&mapping_record, &mapping->record);
	free(mapping);
}

void mapping_remove(struct core *core, const char *volume_id)
{
	struct mapping *mapping = mapping_find(core, volume_id);

	if (!mapping)
		return;
	volume_touch(core, volume_id);
	events_mapping(core, EVENT_MAPPING_REMOVED, &mapping->record);
	mapping_free(core, mapping);
}

void mappings_free(struct core *core)
{
	struct mapping *mapping, *next;

	loop_task_cancel(core->loop, &core->follow_task);
	HASH_ITER(hh, core->mappings, mapping, next)
		mapping_free(core, mapping);
}

/* ---- following the kernel ---- */

/* The records of one batch, to be applied to the model when it has landed. */
struct follow {
	struct core *core;
	struct mapping_record *records;
	size_t count;
};

static void follow_free(struct follow *follow)
{
	for (size_t i = 0; i < follow->count; i++)
		record_clear(&mapping_record, &follow->records[i]);
	free(follow->records);
	free(follow);
}

static void on_followed(void *arg, const struct err *err)
{
	struct follow *follow = arg;
	struct core *core = follow->core;

	core->commits_waiting--;
	core->mappings_committing--;
	if (err->code) {
		log_error("a mapping could not be kept up to date: %s", err->text);
	} else {
		for (size_t i = 0; i < follow->count; i++) {
			/* An operation may have removed it meanwhile; it is newer than this. */
			if (mapping_find(core, follow->records[i].volume_id))
				mapping_put(core, &follow->records[i]);
		}
	}
	if (core->follow_again)
		mappings_follow_kernel(core);
	follow_free(follow);
}

/*
 * Two disks may have swapped names, so all rows that change are taken out before any is put back: the store's unique
 * key then sees no passing double.
 */
static void commit_follow(struct follow *follow)
{
	struct store_batch *batch = store_batch_new(follow->records[0].volume_id);

	for (size_t i = 0; i < follow->count; i++)
		store_batch_unmap(batch, follow->records[i].volume_id);
	for (size_t i = 0; i < follow->count; i++)
		store_batch_mapping(batch, &follow->records[i]);
	follow->core->commits_waiting++;
	follow->core->mappings_committing++;
	store_submit(follow->core->store, batch, on_followed, follow);
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

static void commit_mapping(struct core *core, const struct mapping_record *record)
{
	struct follow *follow = xnew(struct follow);

	follow->core = core;
	follow_add(follow, record);
	commit_follow(follow);
}

static bool is_up_to_date(const struct core *core, const struct mapping_record *record, const struct device *device)
{
	if (!device)
		return streq(record->linux_state, "gone");
	return streq(record->linux_state, "detected") && streq(record->device_path, device->path) &&
	       record->size == device->size && (uint64_t)record->diskseq == device->diskseq &&
	       is_this_boot(core, record);
}

static void describe(const struct core *core, struct mapping_record *record, const struct device *device)
{
	if (!device) {
		free(record->device_path);
		record->device_path = xasprintf("gone-%s", record->volume_id);
		str_set(&record->linux_state, "gone");
		return;
	}
	str_set(&record->device_path, device->path);
	str_set(&record->linux_state, "detected");
	record->size = device->size;
	record->diskseq = (int64_t)device->diskseq;
	str_set(&record->boot_id, core->boot_id);
}

void mapping_to_record(struct core *core, const struct mapping *mapping, struct mapping_record *out)
{
	record_copy(&mapping_record, out, &mapping->record);
	if (core_is_appliance(core, out->vm_id))
		describe(core, out, mapping_device(core, mapping));
}

static void follow_kernel(struct core *core)
{
	struct follow *follow = xnew(struct follow);
	struct mapping *mapping, *next;

	follow->core = core;
	HASH_ITER(hh, core->mappings, mapping, next) {
		const struct device *device;

		/* While an operation is under way, it alone says what becomes of the mapping. */
		if (!core_is_appliance(core, mapping->record.vm_id) || operation_busy(core, mapping->record.volume_id))
			continue;
		device = disk_of(core, &mapping->record);
		if (is_up_to_date(core, &mapping->record, device)) {
			if (mapping->unread)
				probe_contents(mapping);
			continue;
		}
		log_notice("volume=%s: was %s, is %s", mapping->record.volume_id, mapping->record.device_path,
			   device ? device->path : "gone from the kernel");
		describe(core, follow_add(follow, &mapping->record), device);
	}
	if (follow->count > 0)
		commit_follow(follow);
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
