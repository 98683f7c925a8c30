/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A volume for clients: CloudStack's facts, its device and its export on this machine, and its last
 * operation. */

#include "core/model/volume_view.h"

#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"

static char *last_operation_json(const struct volume *volume)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	if (!volume->last_operation_id)
		return NULL;
	json_begin_object(&writer);
	json_put_name(&writer, "id");
	json_put_text(&writer, volume->last_operation_id);
	json_put_name(&writer, "type");
	json_put_text(&writer, operation_type_names[volume->last_operation_type]);
	json_put_name(&writer, "status");
	json_put_text(&writer, operation_status_names[volume->last_operation_status]);
	json_end_object(&writer);
	return buf_take(&out);
}

static void put_text_member(struct json_writer *writer, const char *name, const char *text)
{
	if (!text)
		return;
	json_put_name(writer, name);
	json_put_text(writer, text);
}

static char *linux_json(const struct mapping_record *record, const struct export *export)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	put_text_member(&writer, "device_path", record->device_path);
	put_text_member(&writer, "state", record->linux_state);
	json_put_name(&writer, "size");
	json_put_uint(&writer, record->size);
	put_text_member(&writer, "by_id_path", record->by_id_path);
	put_text_member(&writer, "filesystem", record->filesystem);
	put_text_member(&writer, "label", record->label);
	put_text_member(&writer, "filesystem_uuid", record->filesystem_uuid);
	put_text_member(&writer, "partition_table", record->partition_table);
	if (export) {
		put_text_member(&writer, "export_status",
				export_status_names[export->record.status]);
		put_text_member(&writer, "export_error", export->record.error);
	}
	json_end_object(&writer);
	return buf_take(&out);
}

void volume_to_record(struct model *model, const struct volume *volume, struct volume_record *out)
{
	const struct mapping *mapping = mapping_find(model, volume->id);
	struct mapping_record shown = { 0 };

	if (mapping)
		mapping_to_record(model, mapping, &shown);
	str_set(&out->volume_id, volume->id);
	str_set(&out->name, volume->cloud.name);
	str_set(&out->vm_id, volume->cloud.vm_id);
	str_set(&out->device_path, shown.device_path);
	str_set(&out->linux_state, shown.linux_state);
	str_set(&out->state, volume->cloud.state);
	str_set(&out->type, volume->cloud.type);
	str_set(&out->zone_id, volume->cloud.zone_id);
	str_set(&out->cloudstack_data, str_or(volume->cloud.raw, "{}"));
	out->size = volume->cloud.size;
	out->attached_at = shown.attached_at;
	free(out->linux_data);
	out->linux_data =
		mapping ? linux_json(&shown, export_find(model, volume->id)) : xstrdup("{}");
	free(out->last_operation);
	out->last_operation = last_operation_json(volume);
	record_clear(&mapping_record, &shown);
}
