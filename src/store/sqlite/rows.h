/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Statements and rows in SQLite's dialect. */

#include <sqlite3.h>

#include "store/batch.h"
#include "store/read.h"
#include "store/sql.h"

/* Prepared statements, made when first needed. */
struct sqlite_statements {
	sqlite3_stmt *put[STORE_TABLE_COUNT];
	sqlite3_stmt *stay; /* of operations alone */
	sqlite3_stmt *remove[STORE_TABLE_COUNT];
	sqlite3_stmt *list[1 << SQL_CLAUSE_COUNT];
};
void sqlite_statements_clear(struct sqlite_statements *statements);

/* All return SQLite's extended result code, SQLITE_OK on success. */
int sqlite_apply(sqlite3 *db, struct sqlite_statements *statements,
		 const struct store_change *change);
/* A value in the file that no record can hold is SQLITE_MISMATCH with err set. */
int sqlite_list(sqlite3 *db, struct sqlite_statements *statements, struct store_read *read,
		struct err *err);
int sqlite_history(sqlite3 *db, struct store_read *read, struct err *err);
int sqlite_count(sqlite3 *db, struct store_read *read);
int sqlite_load(sqlite3 *db, struct store_loaded *out, struct err *err);
/* A page of store_scan(). */
int sqlite_scan(sqlite3 *db, enum store_table table, const char *after_id, size_t limit,
		store_row_fn fn, void *arg);
/*
 * The volume that has the value that the change needs; NULL if no volume has the value, or if the
 * owner cannot be found.
 */
char *sqlite_owner(sqlite3 *db, const struct store_change *change);
