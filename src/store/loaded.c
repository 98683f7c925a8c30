/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The rows that are read when the daemon starts. */

#include "store/loaded.h"

#include <assert.h>

bool store_table_is_loaded(enum store_table table)
{
	return table != STORE_HISTORY;
}

void *store_loaded_add(struct store_loaded *loaded, enum store_table table)
{
	switch (table) {
	case STORE_OPERATIONS:
		loaded->operations =
			store_table_grow(table, loaded->operations, loaded->operation_count);
		return &loaded->operations[loaded->operation_count++];
	case STORE_MAPPINGS:
		loaded->mappings = store_table_grow(table, loaded->mappings, loaded->mapping_count);
		return &loaded->mappings[loaded->mapping_count++];
	case STORE_NAMES:
		loaded->names = store_table_grow(table, loaded->names, loaded->name_count);
		return &loaded->names[loaded->name_count++];
	case STORE_EXPORTS:
		loaded->exports = store_table_grow(table, loaded->exports, loaded->export_count);
		return &loaded->exports[loaded->export_count++];
	case STORE_HISTORY:
	case STORE_TABLE_COUNT:
		break;
	}
	assert(!"a table that is not loaded");
	return NULL;
}

static void clear_rows(enum store_table table, void *rows, size_t count)
{
	const struct record *record = store_tables[table].record;

	for (size_t i = 0; i < count; i++)
		record_clear(record, (char *)rows + i * record->size);
	free(rows);
}

void store_loaded_clear(struct store_loaded *loaded)
{
	clear_rows(STORE_OPERATIONS, loaded->operations, loaded->operation_count);
	clear_rows(STORE_MAPPINGS, loaded->mappings, loaded->mapping_count);
	clear_rows(STORE_NAMES, loaded->names, loaded->name_count);
	clear_rows(STORE_EXPORTS, loaded->exports, loaded->export_count);
	*loaded = (struct store_loaded){ 0 };
}
