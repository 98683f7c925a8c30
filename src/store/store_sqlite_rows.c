/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rows and statements. No column is named here: a statement's columns, what is bound to them and what is read from them
 * are walks over the table's record, so a field added to a record is stored once the schema has its column (a test
 * fails until it has). Statements are put together from constant pieces only; every value is bound.
 *
 * "Insert or replace" is an upsert by the table's key and never REPLACE, which would delete the row first and with it
 * the history that hangs on it.
 */

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "store/store_sqlite.h"

/* "2026-11-22 21:50:03.123", always this length. */
#define SQL_TIME_SIZE 24

/* Parameter ?1 is the limit, the others follow in the order of the enum. */
static const char *const clauses[] = {
	[LIST_BY_ID] = " AND id = ?2",
	[LIST_BY_TYPE] = " AND type = ?3",
	[LIST_BY_STATUS] = " AND status = ?4",
	[LIST_BY_VOLUME] = " AND volume_id = ?5",
	[LIST_BY_VM] = " AND vm_id = ?6",
	[LIST_BY_SINCE] = " AND created_at >= ?7",
	[LIST_BY_UNTIL] = " AND created_at < ?8",
	[LIST_BY_BEFORE] = " AND id < ?9",
	[LIST_BY_ATTENTION] = " AND needs_attention = ?10",
	[LIST_BY_REQUEST] = " AND request_id = ?11",
};
_Static_assert(ARRAY_SIZE(clauses) == LIST_BY_COUNT, "each clause has its text");
#define LIMIT_PARAMETER 1
#define CLAUSE_PARAMETER(CLAUSE) ((CLAUSE) + 2)

/* ---- values ---- */

static void time_to_sql(int64_t ms, char out[SQL_TIME_SIZE])
{
	char text[TIME_TEXT_SIZE];

	time_format(ms, text);
	text[10] = ' ';
	memcpy(out, text, SQL_TIME_SIZE - 1);
	out[SQL_TIME_SIZE - 1] = '\0';
}

/* Takes what people may have written by hand, too: a T, fewer digits. */
static int time_from_sql(const char *text, int64_t *out_ms)
{
	char rfc[40];

	if (strlen(text) < 19 || strlen(text) > 32)
		return -1;
	snprintf(rfc, sizeof(rfc), "%s%s", text, text[strlen(text) - 1] == 'Z' ? "" : "Z");
	rfc[10] = 'T';
	return time_parse(rfc, out_ms);
}

static int bind_text(sqlite3_stmt *stmt, int column, const char *text)
{
	/* Rows outlive the step they are bound for. */
	return text ? sqlite3_bind_text(stmt, column, text, -1, SQLITE_STATIC) : sqlite3_bind_null(stmt, column);
}

static int bind_time(sqlite3_stmt *stmt, int column, int64_t ms)
{
	char text[SQL_TIME_SIZE];

	if (ms == 0)
		return sqlite3_bind_null(stmt, column);
	time_to_sql(ms, text);
	return sqlite3_bind_text(stmt, column, text, -1, SQLITE_TRANSIENT);
}

static int bind_field(sqlite3_stmt *stmt, int column, const struct field *field, const void *row)
{
	const void *value = field_of_const(field, row);

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_OBJECT:
		return bind_text(stmt, column, *(char *const *)value);
	case FIELD_BOOL:
		return sqlite3_bind_int(stmt, column, *(const bool *)value);
	case FIELD_INT:
	case FIELD_DURATION:
		return sqlite3_bind_int64(stmt, column, *(const int64_t *)value);
	case FIELD_SIZE:
		return sqlite3_bind_int64(stmt, column, (int64_t) * (const uint64_t *)value);
	case FIELD_TIME:
		return bind_time(stmt, column, *(const int64_t *)value);
	case FIELD_ENUM:
		return bind_text(stmt, column, field_word(field, row));
	case FIELD_TYPE_COUNT:
		break;
	}
	assert(!"a field of no type");
	return SQLITE_MISUSE;
}

static int bind_row(sqlite3_stmt *stmt, const struct record *record, const void *row)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < record->count && rc == SQLITE_OK; i++)
		rc = bind_field(stmt, (int)i + 1, &record->fields[i], row);
	return rc;
}

static int enum_from_word(const struct field *field, const char *word, int *out)
{
	for (int i = 0; field->names[i]; i++) {
		if (streq(field->names[i], word)) {
			*out = i;
			return 0;
		}
	}
	return -1;
}

static int read_field(sqlite3_stmt *stmt, int column, const struct field *field, void *row)
{
	void *value = field_of(field, row);
	const char *text;

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_OBJECT:
		*(char **)value = xstrdup((const char *)sqlite3_column_text(stmt, column));
		return 0;
	case FIELD_BOOL:
		*(bool *)value = sqlite3_column_int(stmt, column);
		return 0;
	case FIELD_INT:
	case FIELD_DURATION:
		*(int64_t *)value = sqlite3_column_int64(stmt, column);
		return 0;
	case FIELD_SIZE:
		*(uint64_t *)value = (uint64_t)sqlite3_column_int64(stmt, column);
		return 0;
	case FIELD_TIME:
		text = (const char *)sqlite3_column_text(stmt, column);
		return text ? time_from_sql(text, value) : 0;
	case FIELD_ENUM:
		return enum_from_word(field, (const char *)sqlite3_column_text(stmt, column), value);
	case FIELD_TYPE_COUNT:
		break;
	}
	assert(!"a field of no type");
	return -1;
}

/* row is zeroed. */
static int read_row(sqlite3_stmt *stmt, enum store_table table, void *row, struct err *err)
{
	const struct record *record = store_tables[table].record;
	const char *id;

	for (size_t i = 0; i < record->count; i++) {
		if (read_field(stmt, (int)i, &record->fields[i], row) == 0)
			continue;
		id = (const char *)sqlite3_column_text(stmt, 0);
		err_set(err, ERR_INTERNAL, "table %s of the store, row %s: column %s holds \"%s\", which is not known",
			store_tables[table].name, str_or(id, ""), record->fields[i].name,
			str_or((const char *)sqlite3_column_text(stmt, (int)i), ""));
		return SQLITE_MISMATCH;
	}
	return SQLITE_OK;
}

/* ---- statements ---- */

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
	return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
}

static void add_columns(struct buf *sql, const struct record *record)
{
	for (size_t i = 0; i < record->count; i++)
		buf_printf(sql, "%s\"%s\"", i ? ", " : "", record->fields[i].name);
}

static int prepare_put(sqlite3 *db, enum store_table table, sqlite3_stmt **out)
{
	const struct store_table_view *view = &store_tables[table];
	struct buf _cleanup_buf_ sql = BUF_NULL;
	const char *comma = "";

	buf_printf(&sql, "INSERT INTO %s (", view->name);
	add_columns(&sql, view->record);
	buf_add_text(&sql, ") VALUES (");
	for (size_t i = 0; i < view->record->count; i++)
		buf_printf(&sql, "%s?%zu", i ? ", " : "", i + 1);
	buf_printf(&sql, ") ON CONFLICT (%s) DO UPDATE SET ", view->key);
	for (size_t i = 0; i < view->record->count; i++) {
		const char *name = view->record->fields[i].name;

		if (streq(name, view->key))
			continue;
		buf_printf(&sql, "%s\"%s\" = excluded.\"%s\"", comma, name, name);
		comma = ", ";
	}
	return prepare(db, sql.data, out);
}

static int prepare_remove(sqlite3 *db, enum store_table table, sqlite3_stmt **out)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;

	buf_printf(&sql, "DELETE FROM %s WHERE \"%s\" = ?1", store_tables[table].name, store_tables[table].key);
	return prepare(db, sql.data, out);
}

static int prepare_list(sqlite3 *db, unsigned mask, sqlite3_stmt **out)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;

	buf_add_text(&sql, "SELECT ");
	add_columns(&sql, &operation_record);
	buf_printf(&sql, " FROM %s WHERE TRUE", store_tables[STORE_OPERATIONS].name);
	for (unsigned i = 0; i < LIST_BY_COUNT; i++) {
		if (mask & 1u << i)
			buf_add_text(&sql, clauses[i]);
	}
	buf_add_text(&sql, " ORDER BY id DESC LIMIT ?1");
	return prepare(db, sql.data, out);
}

void sqlite_statements_clear(struct sqlite_statements *statements)
{
	for (size_t i = 0; i < STORE_TABLE_COUNT; i++) {
		sqlite3_finalize(statements->put[i]);
		sqlite3_finalize(statements->remove[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(statements->list); i++)
		sqlite3_finalize(statements->list[i]);
	*statements = (struct sqlite_statements){ 0 };
}

/* Steps a statement that gives no rows and makes it ready for the next use. */
static int finish(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);

	/* Gives the same code again, and the error text stays with the connection. */
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int sqlite_apply(sqlite3 *db, struct sqlite_statements *statements, const struct store_change *change)
{
	const struct store_table_view *view = &store_tables[change->table];
	sqlite3_stmt **stmt = change->remove ? &statements->remove[change->table] : &statements->put[change->table];
	int rc = SQLITE_OK;

	if (!*stmt)
		rc = change->remove ? prepare_remove(db, change->table, stmt) : prepare_put(db, change->table, stmt);
	if (rc != SQLITE_OK)
		return rc;
	if (change->remove)
		rc = bind_field(*stmt, 1, store_table_key(change->table), &change->row);
	else
		rc = bind_row(*stmt, view->record, &change->row);
	return rc == SQLITE_OK ? finish(*stmt) : rc;
}

/* ---- lists ---- */

static unsigned clauses_of(const struct store_read *read)
{
	const struct store_operation_filter *filter = &read->filter;

	return (unsigned)!!read->id << LIST_BY_ID | (unsigned)(filter->type >= 0) << LIST_BY_TYPE |
	       (unsigned)(filter->status >= 0) << LIST_BY_STATUS | (unsigned)!!filter->volume_id << LIST_BY_VOLUME |
	       (unsigned)!!filter->vm_id << LIST_BY_VM | (unsigned)!!filter->since_ms << LIST_BY_SINCE |
	       (unsigned)!!filter->until_ms << LIST_BY_UNTIL | (unsigned)!!filter->before_id << LIST_BY_BEFORE |
	       (unsigned)filter->needs_attention << LIST_BY_ATTENTION |
	       (unsigned)!!filter->request_id << LIST_BY_REQUEST;
}

static int bind_clause(sqlite3_stmt *stmt, enum list_clause clause, const struct store_read *read)
{
	const struct store_operation_filter *filter = &read->filter;
	int parameter = CLAUSE_PARAMETER((int)clause);

	switch (clause) {
	case LIST_BY_ID:
		return bind_text(stmt, parameter, read->id);
	case LIST_BY_TYPE:
		return bind_text(stmt, parameter, operation_type_names[filter->type]);
	case LIST_BY_STATUS:
		return bind_text(stmt, parameter, operation_status_names[filter->status]);
	case LIST_BY_VOLUME:
		return bind_text(stmt, parameter, filter->volume_id);
	case LIST_BY_VM:
		return bind_text(stmt, parameter, filter->vm_id);
	case LIST_BY_SINCE:
		return bind_time(stmt, parameter, filter->since_ms);
	case LIST_BY_UNTIL:
		return bind_time(stmt, parameter, filter->until_ms);
	case LIST_BY_BEFORE:
		return bind_text(stmt, parameter, filter->before_id);
	case LIST_BY_ATTENTION:
		return sqlite3_bind_int(stmt, parameter, 1);
	case LIST_BY_REQUEST:
		return bind_text(stmt, parameter, filter->request_id);
	case LIST_BY_COUNT:
		break;
	}
	assert(!"no such clause");
	return SQLITE_MISUSE;
}

int sqlite_list(sqlite3 *db, struct sqlite_statements *statements, struct store_read *read, struct err *err)
{
	unsigned mask = clauses_of(read);
	sqlite3_stmt **stmt = &statements->list[mask];
	int rc = SQLITE_OK;

	if (!*stmt)
		rc = prepare_list(db, mask, stmt);
	for (unsigned i = 0; i < LIST_BY_COUNT && rc == SQLITE_OK; i++) {
		if (mask & 1u << i)
			rc = bind_clause(*stmt, (enum list_clause)i, read);
	}
	/* One more than asked for tells whether there are more. */
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(*stmt, LIMIT_PARAMETER, (int64_t)read->filter.limit + 1);
	while (rc == SQLITE_OK && (rc = sqlite3_step(*stmt)) == SQLITE_ROW)
		rc = read_row(*stmt, STORE_OPERATIONS, store_read_add(read), err);
	sqlite3_reset(*stmt);
	if (rc != SQLITE_DONE)
		return rc;
	store_read_trim(read);
	return SQLITE_OK;
}

/* ---- at start ---- */

static void sqlite_finalizep(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}

int sqlite_load_operations(sqlite3 *db, struct store_loaded *out, struct err *err)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;
	sqlite3_stmt _cleanup_(sqlite_finalizep) *stmt = NULL;
	const char *comma = "";
	int rc, parameter = 0;

	buf_add_text(&sql, "SELECT ");
	add_columns(&sql, &operation_record);
	buf_printf(&sql, " FROM %s WHERE status IN (", store_tables[STORE_OPERATIONS].name);
	for (int i = 0; i < OPERATION_STATUS_COUNT; i++) {
		if (operation_status_is_final(i))
			continue;
		buf_printf(&sql, "%s?", comma);
		comma = ", ";
	}
	buf_add_text(&sql, ") ORDER BY id");
	rc = prepare(db, sql.data, &stmt);
	for (int i = 0; i < OPERATION_STATUS_COUNT && rc == SQLITE_OK; i++) {
		if (!operation_status_is_final(i))
			rc = bind_text(stmt, ++parameter, operation_status_names[i]);
	}
	while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		rc = read_row(stmt, STORE_OPERATIONS, store_loaded_add_operation(out), err);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int sqlite_load_mappings(sqlite3 *db, struct store_loaded *out, struct err *err)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;
	sqlite3_stmt _cleanup_(sqlite_finalizep) *stmt = NULL;
	int rc;

	buf_add_text(&sql, "SELECT ");
	add_columns(&sql, &mapping_record);
	buf_printf(&sql, " FROM %s ORDER BY volume_id", store_tables[STORE_MAPPINGS].name);
	rc = prepare(db, sql.data, &stmt);
	while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		rc = read_row(stmt, STORE_MAPPINGS, store_loaded_add_mapping(out), err);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

char *sqlite_path_owner(sqlite3 *db, const char *vm_id, const char *device_path)
{
	sqlite3_stmt _cleanup_(sqlite_finalizep) *stmt = NULL;

	if (prepare(db, "SELECT volume_id FROM device_mappings WHERE vm_id = ?1 AND device_path = ?2", &stmt) !=
		    SQLITE_OK ||
	    bind_text(stmt, 1, vm_id) != SQLITE_OK || bind_text(stmt, 2, device_path) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW)
		return NULL;
	return xstrdup((const char *)sqlite3_column_text(stmt, 0));
}
