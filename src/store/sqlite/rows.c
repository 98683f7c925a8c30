/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rows and statements, in SQLite's dialect.
 *
 * "Insert or replace" is an upsert by the table's key and never REPLACE, which would delete the row
 * first and, with the row, its history.
 *
 * SQLite writes all indexes anew whose columns an update names, also if the values stay, and these
 * pages are most of a commit. So an update of an operation names no column that never changes, and
 * if the operation only enters its next step, none that has an index.
 */

#include "store/sqlite/rows.h"

#include <assert.h>

#include "store/loaded.h"

/* ---- values ---- */

/* A bound text must outlive the step. Only a time, whose text is in the value itself, is copied. */
static int bind_value(sqlite3_stmt *stmt, int parameter, const struct sql_value *value)
{
	switch (value->type) {
	case SQL_NULL:
		return sqlite3_bind_null(stmt, parameter);
	case SQL_NUMBER:
		return sqlite3_bind_int64(stmt, parameter, value->number);
	case SQL_TEXT:
		return sqlite3_bind_text(stmt, parameter, value->text, -1,
					 value->text == value->time ? SQLITE_TRANSIENT
								    : SQLITE_STATIC);
	}
	assert(!"a value of no type");
	return SQLITE_MISUSE;
}

static int bind_field(sqlite3_stmt *stmt, int parameter, const struct field *field, const void *row)
{
	struct sql_value value;

	sql_value_of_field(field, row, &value);
	return bind_value(stmt, parameter, &value);
}

static int bind_row(sqlite3_stmt *stmt, const struct record *record, const void *row)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < record->count && rc == SQLITE_OK; i++)
		rc = bind_field(stmt, (int)i + 1, &record->fields[i], row);
	return rc;
}

/* The columns by which lists are narrowed, see store_batch_operation_stays(). */
static bool is_of_place(const struct field *field)
{
	return streq(field->name, "status") || streq(field->name, "volume_id") ||
	       streq(field->name, "vm_id") || streq(field->name, "needs_attention");
}

static bool may_change(const struct field *field, bool stays)
{
	return !(field->flags & FIELD_CONST) && !(stays && is_of_place(field));
}

/* row is zeroed. */
static int read_row(sqlite3_stmt *stmt, enum store_table table, void *row, struct err *err)
{
	const struct record *record = store_tables[table].record;

	for (size_t i = 0; i < record->count; i++) {
		const char *text = (const char *)sqlite3_column_text(stmt, (int)i);

		if (sql_value_to_field(&record->fields[i], row, text) == 0)
			continue;
		sql_value_refuse(table, (const char *)sqlite3_column_text(stmt, 0),
				 &record->fields[i], text, err);
		return SQLITE_MISMATCH;
	}
	return SQLITE_OK;
}

/* ---- statements ---- */

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
	return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
}

static int prepare_put(sqlite3 *db, enum store_table table, sqlite3_stmt **out)
{
	const struct store_table_view *view = &store_tables[table];
	struct buf _cleanup_buf_ sql = BUF_NULL;
	const char *comma = "";

	buf_printf(&sql, "INSERT INTO %s (", view->name);
	sql_add_columns(&sql, view->record, '"');
	buf_add_text(&sql, ") VALUES (");
	for (size_t i = 0; i < view->record->count; i++)
		buf_printf(&sql, "%s?%zu", i ? ", " : "", i + 1);
	buf_printf(&sql, ") ON CONFLICT (%s) DO UPDATE SET ", view->key);
	for (size_t i = 0; i < view->record->count; i++) {
		const char *name = view->record->fields[i].name;

		if (streq(name, view->key) ||
		    (table == STORE_OPERATIONS && !may_change(&view->record->fields[i], false)))
			continue;
		buf_printf(&sql, "%s\"%s\" = excluded.\"%s\"", comma, name, name);
		comma = ", ";
	}
	return prepare(db, sql.data, out);
}

static int prepare_stay(sqlite3 *db, sqlite3_stmt **out)
{
	const struct store_table_view *view = &store_tables[STORE_OPERATIONS];
	struct buf _cleanup_buf_ sql = BUF_NULL;
	const char *comma = "";

	buf_printf(&sql, "UPDATE %s SET ", view->name);
	for (size_t i = 0; i < view->record->count; i++) {
		if (!may_change(&view->record->fields[i], true))
			continue;
		buf_printf(&sql, "%s\"%s\" = ?", comma, view->record->fields[i].name);
		comma = ", ";
	}
	buf_printf(&sql, " WHERE \"%s\" = ?", view->key);
	return prepare(db, sql.data, out);
}

static int bind_stay(sqlite3_stmt *stmt, const void *row)
{
	const struct record *record = store_tables[STORE_OPERATIONS].record;
	int rc = SQLITE_OK, parameter = 0;

	for (size_t i = 0; i < record->count && rc == SQLITE_OK; i++) {
		if (may_change(&record->fields[i], true))
			rc = bind_field(stmt, ++parameter, &record->fields[i], row);
	}
	return rc == SQLITE_OK
		       ? bind_field(stmt, ++parameter, store_table_key(STORE_OPERATIONS), row)
		       : rc;
}

static int prepare_remove(sqlite3 *db, enum store_table table, sqlite3_stmt **out)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;

	buf_printf(&sql, "DELETE FROM %s WHERE \"%s\" = ?1", store_tables[table].name,
		   store_tables[table].key);
	return prepare(db, sql.data, out);
}

static void add_select(struct buf *sql, enum store_table table)
{
	buf_add_text(sql, "SELECT ");
	sql_add_columns(sql, store_tables[table].record, '"');
	buf_printf(sql, " FROM %s", store_tables[table].name);
}

static const struct sql_dialect dialect = {
	.before = " AND (@created_at, @id) < (?, ?)",
	.times = 1,
	.join = "CROSS JOIN",
	.by_index = "",
	.id = "+", /* an expression, for which no index is looked for */
	.same = "IS",
	.mean = "CAST(ROUND(AVG(MAX(0, (JULIANDAY(completed_at) - JULIANDAY(created_at)) * 86400000))) "
		"AS INTEGER)",
};

static int prepare_list(sqlite3 *db, unsigned mask, sqlite3_stmt **out)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;

	add_select(&sql, STORE_OPERATIONS);
	sql_add_clauses(&sql, mask, &dialect);
	return prepare(db, sql.data, out);
}

void sqlite_statements_clear(struct sqlite_statements *statements)
{
	for (size_t i = 0; i < STORE_TABLE_COUNT; i++) {
		sqlite3_finalize(statements->put[i]);
		sqlite3_finalize(statements->remove[i]);
	}
	sqlite3_finalize(statements->stay);
	for (size_t i = 0; i < ARRAY_SIZE(statements->list); i++)
		sqlite3_finalize(statements->list[i]);
	*statements = (struct sqlite_statements){ 0 };
}

/* Steps a statement that gives no rows and makes it ready for the next use. */
static int finish(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);

	/* The reset gives the same code again, and the error text stays with the connection. */
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* *found: there was such a row. */
static int stay(sqlite3 *db, struct sqlite_statements *statements,
		const struct store_change *change, bool *found)
{
	int rc = statements->stay ? SQLITE_OK : prepare_stay(db, &statements->stay);

	if (rc == SQLITE_OK)
		rc = bind_stay(statements->stay, &change->row);
	if (rc == SQLITE_OK)
		rc = finish(statements->stay);
	*found = rc == SQLITE_OK && sqlite3_changes(db) > 0;
	return rc;
}

int sqlite_apply(sqlite3 *db, struct sqlite_statements *statements,
		 const struct store_change *change)
{
	const struct store_table_view *view = &store_tables[change->table];
	sqlite3_stmt **stmt = change->remove ? &statements->remove[change->table]
					     : &statements->put[change->table];
	bool found = false;
	int rc = SQLITE_OK;

	if (change->stays)
		rc = stay(db, statements, change, &found);
	if (rc != SQLITE_OK || found)
		return rc;
	if (!*stmt)
		rc = change->remove ? prepare_remove(db, change->table, stmt)
				    : prepare_put(db, change->table, stmt);
	if (rc != SQLITE_OK)
		return rc;
	if (change->remove)
		rc = bind_field(*stmt, 1, store_table_key(change->table), &change->row);
	else
		rc = bind_row(*stmt, view->record, &change->row);
	return rc == SQLITE_OK ? finish(*stmt) : rc;
}

/* ---- lists ---- */

int sqlite_list(sqlite3 *db, struct sqlite_statements *statements, struct store_read *read,
		struct err *err)
{
	unsigned mask = sql_clauses_of(read);
	sqlite3_stmt **stmt = &statements->list[mask];
	struct sql_value values[SQL_LIST_VALUES_MAX];
	unsigned count = sql_values_of_list(read, mask, &dialect, values);
	int rc = SQLITE_OK;

	if (!*stmt)
		rc = prepare_list(db, mask, stmt);
	for (unsigned i = 0; i < count && rc == SQLITE_OK; i++)
		rc = bind_value(*stmt, (int)i + 1, &values[i]);
	while (rc == SQLITE_OK && (rc = sqlite3_step(*stmt)) == SQLITE_ROW)
		rc = read_row(*stmt, STORE_OPERATIONS, store_read_add(read), err);
	sqlite3_reset(*stmt);
	if (rc != SQLITE_DONE)
		return rc;
	store_read_trim(read);
	return SQLITE_OK;
}

static void sqlite_finalizep(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}

int sqlite_history(sqlite3 *db, struct store_read *read, struct err *err)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;
	sqlite3_stmt _cleanup_(sqlite_finalizep) *stmt = NULL;
	struct sql_value values[SQL_LIST_VALUES_MAX];
	unsigned count = sql_values_of_history(read, &dialect, values);
	int rc;

	add_select(&sql, STORE_HISTORY);
	sql_add_history(&sql, read, &dialect);
	rc = sqlite3_prepare_v2(db, sql.data, -1, &stmt, NULL);
	for (unsigned i = 0; i < count && rc == SQLITE_OK; i++)
		rc = bind_value(stmt, (int)i + 1, &values[i]);
	while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		rc = read_row(stmt, STORE_HISTORY, store_read_add(read), err);
	if (rc != SQLITE_DONE)
		return rc;
	store_read_trim(read);
	return SQLITE_OK;
}

int sqlite_count(sqlite3 *db, struct store_read *read)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;
	sqlite3_stmt _cleanup_(sqlite_finalizep) *stmt = NULL;
	int rc;

	sql_add_counts(&sql, read, &dialect);
	rc = sqlite3_prepare_v2(db, sql.data, -1, &stmt, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		sql_note_count(read, (const char *)sqlite3_column_text(stmt, 0),
			       (const char *)sqlite3_column_text(stmt, 1),
			       (const char *)sqlite3_column_text(stmt, 2));
	}
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- at start ---- */

static int load_table(sqlite3 *db, enum store_table table, struct store_loaded *out,
		      struct err *err)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;
	sqlite3_stmt _cleanup_(sqlite_finalizep) *stmt = NULL;
	int rc;

	add_select(&sql, table);
	sql_add_loaded(&sql, table);
	rc = prepare(db, sql.data, &stmt);
	while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		rc = read_row(stmt, table, store_loaded_add(out, table), err);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* A row that cannot be read says as much as can be read of it. */
static int note_newest(sqlite3 *db, const struct sql_newest *newest, struct store_loaded *out)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;
	sqlite3_stmt _cleanup_(sqlite_finalizep) *stmt = NULL;
	union store_row row = { 0 };
	int rc;

	add_select(&sql, newest->table);
	buf_add_text(&sql, newest->clauses);
	rc = prepare(db, sql.data, &stmt);
	if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		read_row(stmt, newest->table, &row, NULL);
		store_loaded_note(out, newest->table, &row);
		record_clear(store_tables[newest->table].record, &row);
		return SQLITE_OK;
	}
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int sqlite_load(sqlite3 *db, struct store_loaded *out, struct err *err)
{
	int rc = SQLITE_OK;

	for (int table = 0; table < STORE_TABLE_COUNT && rc == SQLITE_OK; table++) {
		if (store_table_is_loaded((enum store_table)table))
			rc = load_table(db, (enum store_table)table, out, err);
	}
	for (size_t i = 0; i < SQL_NEWEST_COUNT && rc == SQLITE_OK; i++)
		rc = note_newest(db, &sql_newest[i], out);
	return rc;
}

int sqlite_scan(sqlite3 *db, enum store_table table, const char *after_id, size_t limit,
		store_row_fn fn, void *arg)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;
	sqlite3_stmt _cleanup_(sqlite_finalizep) *stmt = NULL;
	int rc;

	add_select(&sql, table);
	sql_add_page(&sql);
	rc = prepare(db, sql.data, &stmt);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(stmt, 1, after_id, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(stmt, 2, (int64_t)limit);
	while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		union store_row row = { 0 };
		struct err err = { 0 };

		rc = SQLITE_OK;
		read_row(stmt, table, &row, &err);
		fn(arg, &row, &err);
		record_clear(store_tables[table].record, &row);
	}
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

char *sqlite_owner(sqlite3 *db, const struct store_change *change)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;
	sqlite3_stmt _cleanup_(sqlite_finalizep) *stmt = NULL;
	const struct field *field;
	int rc;

	buf_printf(&sql, "SELECT \"%s\" FROM %s", store_tables[change->table].key,
		   store_tables[change->table].name);
	sql_add_unique(&sql, change->table, '"');
	rc = prepare(db, sql.data, &stmt);
	for (size_t i = 0; (field = store_table_unique(change->table, i)) && rc == SQLITE_OK; i++)
		rc = bind_field(stmt, (int)i + 1, field, &change->row);
	if (rc != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW)
		return NULL;
	return xstrdup((const char *)sqlite3_column_text(stmt, 0));
}
