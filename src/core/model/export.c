/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The desired exports: the store remembers them and the NBD engine serves them. Every attachment to
 * this machine makes an export, which the detachment removes; other exports are made and removed by
 * request. As with mappings the store comes first, the model second, and events tell of durable
 * changes only.
 */

#include "core/model/export.h"

#include "base/clock.h"
#include "base/uuid.h"
#include "core/env.h"
#include "core/event.h"
#include "core/model/event.h"
#include "core/model/model.h"
#include "core/model/notice.h"
#include "core/model/stable_name.h"
#include "core/model/volume.h"
#include "disk/device.h"
#include "nbd/exporter.h"

/* ---- the model ---- */

struct export *export_first(const struct model *model)
{
	return model->exports;
}

size_t export_count(const struct model *model)
{
	return HASH_COUNT(model->exports);
}

struct export *export_find(struct model *model, const char *volume_id)
{
	struct export *export;

	HASH_FIND_STR(model->exports, volume_id, export);
	return export;
}

char *export_name_of(const char *volume_id)
{
	return xasprintf(EXPORT_NAME_PREFIX "%s", volume_id);
}

const char *export_volume_of(const char *name)
{
	const char *volume_id = name + strlen(EXPORT_NAME_PREFIX);

	return str_has_prefix(name, EXPORT_NAME_PREFIX) && uuid_is_valid(volume_id) ? volume_id
										    : NULL;
}

void export_make(struct model *model, const char *volume_id, struct export_record *out)
{
	const struct export *export = export_find(model, volume_id);
	char uuid[UUID_TEXT_SIZE];

	record_init(&export_record, out);
	if (export) {
		record_copy(&export_record, out, &export->record);
	} else {
		uuid_make_v7(uuid);
		str_set(&out->id, uuid);
		str_set(&out->volume_id, volume_id);
		out->export_name = export_name_of(volume_id);
		out->created_at = clock_record_ms();
	}
	out->updated_at = clock_record_ms();
}

/* The store does not have it, and the engine may have got another address since. */
void export_show_place(struct model *model, struct export_record *record)
{
	const struct exporter *exporter = model->env->options.exporter;

	free(record->uri);
	record->uri = exporter ? export_uri(exporter, record->export_name) : NULL;
}

void export_place(struct model *model, struct export_record *record, const struct device *device)
{
	free(record->device_path);
	record->device_path = name_path(model, record->volume_id, device);
	record->size = device->size;
	record->port = export_port(model->env->options.exporter);
	record->status = EXPORT_ACTIVE;
	str_set(&record->error, NULL);
	record->updated_at = clock_record_ms();
}

void export_put(struct model *model, const struct export_record *record)
{
	struct export *export = export_find(model, record->volume_id);
	bool is_new = !export;

	if (is_new)
		export = xnew(struct export);
	else
		HASH_DEL(model->exports, export);
	record_copy(&export_record, &export->record, record);
	export_show_place(model, &export->record);
	HASH_ADD_KEYPTR(hh, model->exports, export->record.volume_id,
			strlen(export->record.volume_id), export);
	events_export(model, is_new ? EVENT_EXPORT_ADDED : EVENT_EXPORT_CHANGED, record->volume_id);
	volume_touch(model, record->volume_id);
	if (record->status == EXPORT_PENDING)
		notice_tell(model, NOTICE_EXPORT_PENDING);
}

static void export_free(struct model *model, struct export *export)
{
	HASH_DEL(model->exports, export);
	record_clear(&export_record, &export->record);
	free(export);
}

void export_drop(struct model *model, const char *volume_id)
{
	struct export *export = export_find(model, volume_id);

	if (!export)
		return;
	events_export(model, EVENT_EXPORT_REMOVED, volume_id);
	volume_touch(model, volume_id);
	export_free(model, export);
}

void exports_free(struct model *model)
{
	struct export *export, *next;

	HASH_ITER(hh, model->exports, export, next)
		export_free(model, export);
}
