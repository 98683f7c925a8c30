/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The rows that are read when the daemon starts. */

#include "store/loaded.h"

#include <assert.h>

#include "base/log.h"

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
	case STORE_MARKS:
		loaded->marks = store_table_grow(table, loaded->marks, loaded->mark_count);
		return &loaded->marks[loaded->mark_count++];
	case STORE_SNAPSHOTS:
		loaded->snapshots =
			store_table_grow(table, loaded->snapshots, loaded->snapshot_count);
		return &loaded->snapshots[loaded->snapshot_count++];
	case STORE_TOKENS:
		loaded->tokens = store_table_grow(table, loaded->tokens, loaded->token_count);
		return &loaded->tokens[loaded->token_count++];
	case STORE_HISTORY:
	case STORE_TABLE_COUNT:
		break;
	}
	assert(!"a table that is not loaded");
	return NULL;
}

/*
 * Ids of other tables are in no order. An earlier daemon's id is random, and its time is not. The
 * mark stands for the ids that have left the store.
 */
static void note_id(struct store_loaded *loaded, enum store_table table, const void *row)
{
	const struct mark_record *mark = row;
	const char *id =
		str_or(*(char *const *)field_of_const(&store_tables[table].record->fields[0], row),
		       "");

	if (table == STORE_OPERATIONS && strncmp(id, "op-", 3) == 0)
		id += 3;
	else if (table == STORE_MARKS && streq(id, STORE_MARK_NEWEST))
		id = str_or(mark->value, "");
	else if (table != STORE_HISTORY)
		return;
	if (uuid_is_v7(id) && strcmp(id, loaded->newest_id) > 0)
		memcpy(loaded->newest_id, id, UUID_TEXT_SIZE);
}

void store_loaded_note(struct store_loaded *loaded, enum store_table table, const void *row)
{
	const struct record *record = store_tables[table].record;

	note_id(loaded, table, row);
	for (size_t i = 0; i < record->count; i++) {
		const int64_t *time = field_of_const(&record->fields[i], row);

		if (record->fields[i].type == FIELD_TIME && *time > loaded->newest_ms)
			loaded->newest_ms = *time;
	}
}

static void note_rows(struct store_loaded *loaded, enum store_table table, const void *rows,
		      size_t count)
{
	for (size_t i = 0; i < count; i++)
		store_loaded_note(loaded, table,
				  (const char *)rows + i * store_tables[table].record->size);
}

void store_loaded_note_all(struct store_loaded *loaded)
{
	note_rows(loaded, STORE_OPERATIONS, loaded->operations, loaded->operation_count);
	note_rows(loaded, STORE_MAPPINGS, loaded->mappings, loaded->mapping_count);
	note_rows(loaded, STORE_NAMES, loaded->names, loaded->name_count);
	note_rows(loaded, STORE_EXPORTS, loaded->exports, loaded->export_count);
	note_rows(loaded, STORE_MARKS, loaded->marks, loaded->mark_count);
	note_rows(loaded, STORE_SNAPSHOTS, loaded->snapshots, loaded->snapshot_count);
	note_rows(loaded, STORE_TOKENS, loaded->tokens, loaded->token_count);
}

/*
 * A row without a value in its key, which another program wrote, is no row of the model. It stays
 * in the store, and a check names it.
 */
static void pass_over(enum store_table table, void *rows, size_t *count)
{
	const struct record *record = store_tables[table].record;
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++) {
		char *row = (char *)rows + i * record->size;
		const char *lacks = store_row_lacks(table, row);

		if (lacks) {
			log_warning(
				"store: row \"%s\" of table %s has no %s and is passed over; correct or "
				"remove the row",
				store_row_id(table, row), store_tables[table].name, lacks);
			record_clear(record, row);
			continue;
		}
		memmove((char *)rows + kept++ * record->size, row, record->size);
	}
	*count = kept;
}

void store_loaded_pass_over(struct store_loaded *loaded)
{
	pass_over(STORE_OPERATIONS, loaded->operations, &loaded->operation_count);
	pass_over(STORE_MAPPINGS, loaded->mappings, &loaded->mapping_count);
	pass_over(STORE_NAMES, loaded->names, &loaded->name_count);
	pass_over(STORE_EXPORTS, loaded->exports, &loaded->export_count);
	pass_over(STORE_MARKS, loaded->marks, &loaded->mark_count);
	pass_over(STORE_SNAPSHOTS, loaded->snapshots, &loaded->snapshot_count);
	pass_over(STORE_TOKENS, loaded->tokens, &loaded->token_count);
}

const char *store_loaded_mark(const struct store_loaded *loaded, const char *id)
{
	for (size_t i = 0; i < loaded->mark_count; i++) {
		if (streq(loaded->marks[i].id, id))
			return str_empty(loaded->marks[i].value) ? NULL : loaded->marks[i].value;
	}
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
	clear_rows(STORE_MARKS, loaded->marks, loaded->mark_count);
	clear_rows(STORE_SNAPSHOTS, loaded->snapshots, loaded->snapshot_count);
	clear_rows(STORE_TOKENS, loaded->tokens, loaded->token_count);
	*loaded = (struct store_loaded){ 0 };
}
