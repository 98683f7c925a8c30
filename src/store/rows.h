/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Rows as they lie in a store, for tools that copy, check or prune a store: the daemon's own
 * functions are in store.h.
 */

#include "store/store.h"
#include "store/tables.h"

/*
 * The row, and with ERR_INTERNAL the reason if a column holds a value that no record can hold; the
 * columns behind it are unset.
 */
typedef void (*store_row_fn)(void *arg, const void *row, const struct err *err);
/*
 * Up to limit rows with ids above after_id ("" begins with the first row), in the order of ids.
 * Blocks, so only in tools, and only while nothing is submitted. ERR_INVALID for a store that lives
 * in memory.
 */
int store_scan(struct store *store, enum store_table table, const char *after_id, size_t limit,
	       store_row_fn fn, void *arg, struct err *err);
/* Every row of a table, page by page. */
int store_scan_all(struct store *store, enum store_table table, store_row_fn fn, void *arg,
		   struct err *err);
/* Writes a row unchanged. */
void store_batch_row(struct store_batch *batch, enum store_table table, const void *row);
/* Removes an operation and its history. */
void store_batch_forget(struct store_batch *batch, const char *operation_id);
