/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Rows as they lie in a store, for tools that copy, check or prune one: what the daemon itself needs is in store.h.
 */

#include "store/store.h"

/* One transition of one operation, in volume_operation_history. */
struct history_record {
	char *id; /* made by us, so that a batch written twice is one row; sorts by time */
	char *operation_id;
	char *previous_status;
	char *new_status;
	int64_t changed_at;
	char *details; /* JSON object or NULL */
};
extern const struct record history_record;

/* A row stands behind those it refers to. */
enum store_table {
	STORE_OPERATIONS,
	STORE_MAPPINGS,
	STORE_HISTORY,
	STORE_NAMES,
	STORE_EXPORTS,
	STORE_TABLE_COUNT
};

struct store_table_view {
	const char *name; /* fixed by the contract; columns are named as the record's fields, the first is the id */
	const struct record *record;
	const char *key; /* the column that "insert or replace" goes by */
	/* What else can be one row's only: the columns, and the key they make. NULL: nothing but the id. */
	const char *unique[2];
	const char *unique_key;
};
extern const struct store_table_view store_tables[STORE_TABLE_COUNT];

/* The row, and with ERR_INTERNAL what is wrong when a column holds what no record can; what stands behind it is unset. */
typedef void (*store_row_fn)(void *arg, const void *row, const struct err *err);
/*
 * Up to limit rows with ids above after_id ("" from the first), in the order of ids. Blocks, so only in tools, and only
 * while nothing is submitted. ERR_INVALID for a store that lives in memory.
 */
int store_scan(struct store *store, enum store_table table, const char *after_id, size_t limit, store_row_fn fn,
	       void *arg, struct err *err);
/* A row as it is. */
void store_batch_row(struct store_batch *batch, enum store_table table, const void *row);
/* An operation and its history go. */
void store_batch_forget(struct store_batch *batch, const char *operation_id);
