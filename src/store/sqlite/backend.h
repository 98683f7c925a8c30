/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside the SQLite backend: the files as others see them, the schema, the statements and rows, and the thread. */

#include <sqlite3.h>
#include <sys/types.h>

#include "store/migrate.h"
#include "store/sql.h"

extern const struct migration sqlite_migrations[];
extern const size_t sqlite_migration_count;

/* The database and its log, as they were when they were opened. */
struct sqlite_files {
	struct {
		char *path;
		dev_t device;
		ino_t inode;
	} items[2];
};
int sqlite_files_note(struct sqlite_files *files, const char *path, struct err *err);
/* -1 and what to do when their names do not lead to them any more. */
int sqlite_files_check(const struct sqlite_files *files, struct err *err);
void sqlite_files_clear(struct sqlite_files *files);
/* Who has locked the file, in words; NULL when it cannot be told. */
char *sqlite_file_holder(const char *path);

/* Prepared statements, made when first needed. */
struct sqlite_statements {
	sqlite3_stmt *put[STORE_TABLE_COUNT];
	sqlite3_stmt *remove[STORE_TABLE_COUNT];
	sqlite3_stmt *list[1 << SQL_CLAUSE_COUNT];
};
void sqlite_statements_clear(struct sqlite_statements *statements);

/* All return SQLite's extended result code, SQLITE_OK when done. */
int sqlite_apply(sqlite3 *db, struct sqlite_statements *statements, const struct store_change *change);
/* A value in the file that no record can hold is SQLITE_MISMATCH with err set. */
int sqlite_list(sqlite3 *db, struct sqlite_statements *statements, struct store_read *read, struct err *err);
int sqlite_load(sqlite3 *db, struct store_loaded *out, struct err *err);
/* A page of store_scan(). */
int sqlite_scan(sqlite3 *db, enum store_table table, const char *after_id, size_t limit, store_row_fn fn, void *arg);
/* The volume that has what the change wants for its own; NULL when none has or it cannot be told. */
char *sqlite_owner(sqlite3 *db, const struct store_change *change);
