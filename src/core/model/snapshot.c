/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Snapshots that clients keep: for each volume the one that a client has told, with words of the
 * client's own. The daemon does nothing with them. They are told while a volume is attached and
 * needed when the volume is attached elsewhere, so they outlive its mapping, and end when the
 * daemon deletes the volume or a client lets go of them.
 */

#include "core/model/snapshot.h"

#include "core/model/mapping.h"
#include "core/model/model.h"

struct snapshot_kept *snapshot_first(const struct model *model)
{
	return model->snapshots;
}

size_t snapshot_count(const struct model *model)
{
	return HASH_COUNT(model->snapshots);
}

struct snapshot_kept *snapshot_find(struct model *model, const char *volume_id)
{
	struct snapshot_kept *snapshot;

	HASH_FIND_STR(model->snapshots, volume_id, snapshot);
	return snapshot;
}

void snapshot_put(struct model *model, const struct snapshot_record *record)
{
	struct snapshot_kept *snapshot = snapshot_find(model, record->id);

	if (snapshot)
		HASH_DEL(model->snapshots, snapshot);
	else
		snapshot = xnew(struct snapshot_kept);
	record_copy(&snapshot_record, &snapshot->record, record);
	HASH_ADD_KEYPTR(hh, model->snapshots, snapshot->record.id, strlen(snapshot->record.id),
			snapshot);
}

static void snapshot_free(struct model *model, struct snapshot_kept *snapshot)
{
	HASH_DEL(model->snapshots, snapshot);
	record_clear(&snapshot_record, &snapshot->record);
	free(snapshot);
}

void snapshot_drop(struct model *model, const char *volume_id)
{
	struct snapshot_kept *snapshot = snapshot_find(model, volume_id);

	if (snapshot)
		snapshot_free(model, snapshot);
}

void snapshot_to_record(struct model *model, const struct snapshot_kept *snapshot,
			struct snapshot_record *out)
{
	const struct mapping *mapping = mapping_find(model, snapshot->record.id);

	record_copy(&snapshot_record, out, &snapshot->record);
	str_set(&out->volume_uuid, out->id);
	str_set(&out->device_path, mapping ? mapping->record.device_path : NULL);
	str_set(&out->operation_mode, mapping ? mapping->record.operation_mode : NULL);
}

void snapshots_forget(struct model *model)
{
	struct snapshot_kept *snapshot, *next;

	HASH_ITER(hh, model->snapshots, snapshot, next)
		snapshot_free(model, snapshot);
}
