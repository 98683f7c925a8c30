/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is on the disk of a mapped volume - file system, label, partition table - is read whenever the disk has changed, on
 * a worker, and noted in the mapping.
 */

#include "core/reconcile/content_probe.h"

#include "base/log.h"
#include "core/core_parts.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/mapping.h"
#include "core/reconcile/device_sync.h"
#include "disk/device.h"
#include "disk/probe.h"

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
	mapping_describe(core, &record, device);
	mapping_commit(core, record.volume_id, &record, NULL, NULL);
	record_clear(&mapping_record, &record);
}

void mapping_probe(struct mapping *mapping)
{
	struct core *core = mapping->core;

	if (mapping->probe)
		probe_cancel(TAKE_PTR(mapping->probe));
	if (core_is_appliance(core, mapping->record.vm_id) && streq(mapping->record.linux_state, "detected"))
		mapping->probe = probe_start(core->prober, mapping->record.device_path, on_probed, mapping);
}
