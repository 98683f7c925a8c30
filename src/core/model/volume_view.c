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

void volume_texts_clear(struct volume_texts *texts)
{
	record_clear(&mapping_record, &texts->mapping);
	freep(&texts->linux_data);
	freep(&texts->last_operation);
}

void volume_show(struct model *model, const struct volume *volume, struct volume_texts *texts,
		 struct volume_record *out)
{
	static char nothing[] = "{}";
	const struct mapping *mapping = mapping_find(model, volume->id);
	const struct mapping_record *shown =
		mapping ? mapping_show(model, mapping, &texts->mapping) : &texts->mapping;

	if (mapping)
		texts->linux_data = linux_json(shown, export_find(model, volume->id));
	texts->last_operation = last_operation_json(volume);
	*out = (struct volume_record){
		.volume_id = volume->id,
		.name = volume->cloud.name,
		.vm_id = volume->cloud.vm_id,
		.device_path = shown->device_path,
		.linux_state = shown->linux_state,
		.state = volume->cloud.state,
		.size = volume->cloud.size,
		.type = volume->cloud.type,
		.attached_at = shown->attached_at,
		.zone_id = volume->cloud.zone_id,
		.cloudstack_data = volume->cloud.raw ? volume->cloud.raw : nothing,
		.linux_data = mapping ? texts->linux_data : nothing,
		.last_operation = texts->last_operation,
	};
}
