/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tables of a store and the rows in them. */

#include "spec/records.h"

/*
 * What a store says of itself, see struct store_marks; a row for each mark, so that a mark can be
 * renewed alone.
 */
struct mark_record {
	char *id; /* "store_id" */
	char *value;
	int64_t updated_at;
};
extern const struct record mark_record;

/* A table comes after the tables that its rows refer to. */
enum store_table {
	STORE_OPERATIONS,
	STORE_MAPPINGS,
	STORE_HISTORY,
	STORE_NAMES,
	STORE_EXPORTS,
	STORE_MARKS,
	STORE_SNAPSHOTS,
	STORE_TOKENS,
	STORE_TABLE_COUNT
};

struct store_table_view {
	/* fixed by the contract; columns are named as the record's fields, the first is the id */
	const char *name;
	const struct record *record;
	const char *key; /* the column by which "insert or replace" finds a row */
	/*
	 * The columns whose combined values are unique, and the name of their key. NULL: only the
	 * id is unique.
	 */
	const char *unique[2];
	const char *unique_key;
};
extern const struct store_table_view store_tables[STORE_TABLE_COUNT];

/* A row of any table. */
union store_row {
	struct operation_record operation;
	struct mapping_record mapping;
	struct history_record history;
	struct name_record name;
	struct export_record export;
	struct mark_record mark;
	struct snapshot_record snapshot;
	struct token_record token;
};

const struct field *store_table_key(enum store_table table);
/* The n-th of the columns whose combined values are unique, NULL behind the last. */
const struct field *store_table_unique(enum store_table table, size_t n);
/* The id of a row: its first column, "" if it has none. */
const char *store_row_id(enum store_table table, const void *row);
/*
 * The column that the row must have a value in and has not: its key, or a value that is unique by
 * itself. NULL: it has these.
 */
const char *store_row_lacks(enum store_table table, const void *row);
/*
 * Makes room for one more row, zeroed, at the end of an array that only this function grows.
 * Returns the array.
 */
void *store_table_grow(enum store_table table, void *rows, size_t count);
/*
 * ERR_CONFLICT: the value that the row needs for its volume belongs to another volume, `owner`,
 * which is NULL if not known.
 */
void store_set_conflict(enum store_table table, const union store_row *row, const char *owner,
			struct err *err);
