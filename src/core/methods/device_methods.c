/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Questions about this machine's disks and their volumes. Device names may have passed to other
 * disks since the last scan, so the kernel is asked again before an answer names a device. */

#include "core/methods/device_methods.h"

#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/calls.h"
#include "core/model/mapping.h"
#include "disk/device.h"
#include "disk/kind.h"
#include "disk/sysblock.h"

static void answer_mapping(struct call *call, const struct mapping *mapping)
{
	struct mapping_record own = { 0 };

	call_answer(call, mapping_show(call->calls->model, mapping, &own));
	record_clear(&mapping_record, &own);
}

void volume_device(struct call *call)
{
	const struct volume_args *args = call->args;
	const struct mapping *mapping = mapping_find(call->calls->model, args->volume_id);

	if (mapping)
		answer_mapping(call, mapping);
	else
		call_failf(call, ERR_NOT_FOUND, "volume %s is mapped to no device",
			   args->volume_id);
}

static int by_volume(const void *a, const void *b)
{
	const struct mapping *const *left = a, *const *right = b;

	return strcmp((*left)->record.volume_id, (*right)->record.volume_id);
}

void mapping_list(struct call *call)
{
	const struct mapping_list_args *args = call->args;
	struct model *model = call->calls->model;
	size_t count = 0, limit = args->limit > 0 ? (size_t)args->limit : SIZE_MAX;
	_cleanup_free_ const struct mapping **found =
		xcalloc(mapping_count(model) + 1, sizeof(*found));
	struct mapping_record *records, *own;
	const char *cursor = NULL;

	for (const struct mapping *mapping = mapping_first(model); mapping;
	     mapping = mapping_next(mapping)) {
		if (str_empty(args->cursor) || strcmp(mapping->record.volume_id, args->cursor) > 0)
			found[count++] = mapping;
	}
	qsort(found, count, sizeof(*found), by_volume);
	if (count > limit) {
		count = limit;
		cursor = found[count - 1]->record.volume_id;
	}
	records = xcalloc(count + 1, sizeof(*records));
	own = xcalloc(count + 1, sizeof(*own));
	for (size_t i = 0; i < count; i++)
		records[i] = *mapping_show(model, found[i], &own[i]);
	call_answer_many(call, records, count, cursor);
	for (size_t i = 0; i < count; i++)
		record_clear(&mapping_record, &own[i]);
	free(own);
	free(records);
}

void device_list(struct call *call)
{
	struct calls *calls = call->calls;
	struct device_record *records;
	struct err err = { 0 };
	size_t count;

	/* The name may have changed hands since the last scan. */
	if (sysblock_scan(calls->env->sysblock, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	count = sysblock_count(calls->env->sysblock);
	records = xcalloc(count + 1, sizeof(*records));
	for (size_t i = 0; i < count; i++)
		device_to_record(calls->model, sysblock_at(calls->env->sysblock, i), &records[i]);
	call_answer_many(call, records, count, NULL);
	for (size_t i = 0; i < count; i++)
		record_clear(&device_record, &records[i]);
	free(records);
}

#define BY_ID_FOLDER "disk/by-id/"
#define PART_SUFFIX "-part"

/*
 * The rest of a device's path behind its folder: "vdb" of "/dev/vdb", the link's own name of a
 * by-id path. Another folder is not removed, since "/dev/mapper/vdb" is another device than
 * "/dev/vdb".
 */
static const char *name_in_dev(const struct calls *calls, const char *path)
{
	const char *const folders[] = { calls->env->options.dev_root, "/dev", "dev" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		size_t length = strlen(folders[i]);

		if (str_has_prefix(path, folders[i]) && path[length] == '/') {
			path += length + 1;
			break;
		}
	}
	return str_has_prefix(path, BY_ID_FOLDER) ? path + strlen(BY_ID_FOLDER) : path;
}

/* True: the text is the link, or one of the links that udev makes for the partitions of its
 * disk. */
static bool is_link(const char *text, const char *link)
{
	size_t length = strlen(link);
	const char *rest;

	if (!str_has_prefix(text, link))
		return false;
	rest = text + length;
	if (str_has_prefix(rest, PART_SUFFIX)) {
		rest += strlen(PART_SUFFIX);
		return *rest && rest[strspn(rest, "0123456789")] == '\0';
	}
	return *rest == '\0';
}

/* By-id links are compared by their names; the link itself may be stale and is not followed. */
static const struct mapping *mapping_by_link(struct calls *calls, const char *name)
{
	struct mapping *mapping;

	for (mapping = mapping_first(calls->model); mapping; mapping = mapping_next(mapping)) {
		const struct mapping_record *record = &mapping->record;

		if ((record->by_id_path && is_link(name, name_in_dev(calls, record->by_id_path))) ||
		    (record->symlink_path &&
		     streq(name_in_dev(calls, record->symlink_path), name)) ||
		    streq(record->persistent_device_name, name) || streq(record->device_path, name))
			return mapping;
	}
	return NULL;
}

/* The device, or the disk that it is a partition of, as it is at this moment; else NULL. */
static const struct device *disk_behind(struct calls *calls, const struct device_kind_info *kind)
{
	struct sysblock *sysblock = calls->env->sysblock;
	const struct device *device = sysblock_find(sysblock, kind->disk);

	/* The name may have changed hands since the last scan. */
	return device && sysblock_verify(sysblock, device) ? device : NULL;
}

/* Why no disk is listed under this name. */
static void refuse(struct call *call, const char *asked, const struct device_kind_info *kind)
{
	const struct core_options *options = &call->calls->env->options;

	switch (kind->kind) {
	case DEVICE_KIND_NONE:
		call_failf(call, ERR_NOT_FOUND, "there is no device %s", asked);
		break;
	case DEVICE_KIND_VIRTUAL:
		call_failf(call, ERR_NOT_FOUND,
			   "device %s is not a disk: it stands for other devices or for memory; "
			   "ask about the disk below it",
			   asked);
		break;
	case DEVICE_KIND_DISK:
		if (options->buses & 1U << kind->bus)
			call_failf(
				call, ERR_NOT_FOUND,
				"device %s: disk %s is empty, or has just come or gone; ask again",
				asked, kind->disk);
		else
			call_failf(call, ERR_NOT_FOUND,
				   "device %s: the daemon does not look at disk %s, since its bus "
				   "(\"%s\") is not in device.buses",
				   asked, kind->disk, device_bus_names[kind->bus]);
		break;
	}
}

void device_volume(struct call *call)
{
	const struct device_args *args = call->args;
	struct calls *calls = call->calls;
	const char *name = name_in_dev(calls, args->device);
	const struct mapping *mapping;
	const struct device *device;
	struct device_kind_info kind;

	device_kind_find(calls->env->options.sysfs_root, name, &kind);
	device = disk_behind(calls, &kind);
	mapping = device ? mapping_of_device(calls->model, device) : mapping_by_link(calls, name);
	if (mapping)
		answer_mapping(call, mapping);
	else if (device)
		call_failf(call, ERR_NOT_FOUND, "device %s is mapped to no volume", device->path);
	else
		refuse(call, args->device, &kind);
}
