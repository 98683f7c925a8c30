/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The tables of the store. The record of a row describes its columns: backends walk store_tables[]
 * and the fields behind it, and know no column by name.
 */

#include "store/tables.h"

#include <assert.h>

#define F(MEMBER, TYPE, ...) FIELD(mark_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field mark_fields[] = {
	F(id, TEXT, .doc = "The name of the mark."),
	F(value, TEXT, .doc = "Its value."),
	F(updated_at, TIME, .doc = "When it was set."),
};
#undef F
const struct record mark_record = RECORD("mark", mark_record, mark_fields);

const struct store_table_view store_tables[] = {
	[STORE_OPERATIONS] = { "volume_operations", &operation_row, "id" },
	[STORE_MAPPINGS] = { "device_mappings",
			     &mapping_record,
			     "volume_id",
			     { "vm_id", "device_path" },
			     "unique_device_path" },
	[STORE_HISTORY] = { "volume_operation_history", &history_row, "id" },
	[STORE_NAMES] = { "device_names", &name_record, "volume_id", { "name" }, "unique_name" },
	[STORE_EXPORTS] = { "nbd_exports",
			    &export_row,
			    "volume_id",
			    { "export_name" },
			    "unique_export_name" },
	[STORE_MARKS] = { "volume_daemon_marks", &mark_record, "id" },
	[STORE_SNAPSHOTS] = { "tracked_snapshots", &snapshot_row, "id" },
	[STORE_TOKENS] = { "volume_daemon_tokens", &token_row, "id" },
};
_Static_assert(ARRAY_SIZE(store_tables) == STORE_TABLE_COUNT, "each table has one row");

const struct field *store_table_key(enum store_table table)
{
	const struct field *key = record_find(store_tables[table].record, store_tables[table].key);

	assert(key);
	return key;
}

const struct field *store_table_unique(enum store_table table, size_t n)
{
	const struct store_table_view *view = &store_tables[table];

	return n < ARRAY_SIZE(view->unique) && view->unique[n]
		       ? record_find(view->record, view->unique[n])
		       : NULL;
}

const char *store_row_id(enum store_table table, const void *row)
{
	const char *id =
		*(char *const *)field_of_const(&store_tables[table].record->fields[0], row);

	return str_or(id, "");
}

const char *store_row_lacks(enum store_table table, const void *row)
{
	const struct store_table_view *view = &store_tables[table];
	const char *const required[] = { view->record->fields[0].name, view->key,
					 view->unique[1] ? NULL : view->unique[0] };

	for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
		const struct field *field =
			required[i] ? record_find(view->record, required[i]) : NULL;

		if (field && str_empty(*(char *const *)field_of_const(field, row)))
			return field->name;
	}
	return NULL;
}

void *store_table_grow(enum store_table table, void *rows, size_t count)
{
	size_t size = store_tables[table].record->size;

	/* The room is always a power of two, so it need not be stored beside the count. */
	if ((count & (count - 1)) == 0)
		rows = xrealloc(rows, size * (count ? count * 2 : 1));
	memset((char *)rows + count * size, 0, size);
	return rows;
}

void store_set_conflict(enum store_table table, const union store_row *row, const char *owner,
			struct err *err)
{
	owner = str_or(owner, "unknown");
	switch (table) {
	case STORE_MAPPINGS:
		err_set(err, ERR_CONFLICT,
			"%s on virtual machine %s is mapped to volume %s already, volume %s cannot have it",
			row->mapping.device_path, row->mapping.vm_id, owner,
			row->mapping.volume_id);
		return;
	case STORE_NAMES:
		err_set(err, ERR_CONFLICT,
			"the device name %s is that of volume %s already, volume %s cannot have it",
			row->name.name, owner, row->name.volume_id);
		return;
	case STORE_EXPORTS:
		err_set(err, ERR_CONFLICT,
			"the export name %s is that of volume %s already, volume %s cannot have it",
			row->export.export_name, owner, row->export.volume_id);
		return;
	case STORE_OPERATIONS:
	case STORE_HISTORY:
	case STORE_MARKS:
	case STORE_SNAPSHOTS:
	case STORE_TOKENS:
	case STORE_TABLE_COUNT:
		break;
	}
	assert(!"nothing in this table is one volume's only");
}
