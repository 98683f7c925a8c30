/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rows and prepared statements, in MariaDB's dialect.
 *
 * "Insert or replace" is INSERT … ON DUPLICATE KEY UPDATE if the id is the only unique key. But
 * that statement reacts to any unique key: a mapping whose device path belongs to another volume
 * would overwrite that volume's row instead of being refused. So a table with other unique keys
 * gets an UPDATE by the volume and, if no such row exists, an INSERT.
 *
 * Columns are fetched as texts: short texts into a buffer in the row, longer texts in a second
 * step, since their length is not known beforehand.
 */

#include "store/mariadb/rows.h"

#include <assert.h>
#include <mysqld_error.h>
#include <stdio.h>

#include "store/loaded.h"
#include "store/mariadb/fault.h"

#define COLUMNS_MAX 32
_Static_assert(SQL_LIST_VALUES_MAX <= COLUMNS_MAX, "a list has fewer parameters than a row");

/* ---- statements ---- */

static enum mariadb_fault set_stmt_error(struct mariadb_session *session, MYSQL_STMT *stmt,
					 struct err *err)
{
	return mariadb_set_error(session, mysql_stmt_errno(stmt), mysql_stmt_error(stmt), err);
}

static enum mariadb_fault prepare(struct mariadb_session *session, const struct buf *sql,
				  MYSQL_STMT **out, struct err *err)
{
	MYSQL_STMT *stmt = mysql_stmt_init(session->mysql);
	enum mariadb_fault fault;

	if (mysql_stmt_prepare(stmt, sql->data, sql->length) == 0) {
		*out = stmt;
		return MARIADB_OK;
	}
	fault = set_stmt_error(session, stmt, err);
	mysql_stmt_close(stmt);
	return fault;
}

static void add_assignments(struct buf *sql, const struct record *record, bool from_insert)
{
	for (size_t i = 0; i < record->count; i++) {
		const char *name = record->fields[i].name;

		buf_printf(sql, "%s`%s` = ", i ? ", " : "", name);
		if (from_insert)
			buf_printf(sql, "VALUES(`%s`)", name);
		else
			buf_add_char(sql, '?');
	}
}

static void add_put(struct buf *sql, const struct store_table_view *view)
{
	buf_printf(sql, "INSERT INTO %s (", view->name);
	sql_add_columns(sql, view->record, '`');
	buf_add_text(sql, ") VALUES (");
	for (size_t i = 0; i < view->record->count; i++)
		buf_add_text(sql, i ? ", ?" : "?");
	buf_add_char(sql, ')');
	if (view->unique_key)
		return;
	buf_add_text(sql, " ON DUPLICATE KEY UPDATE ");
	add_assignments(sql, view->record, true);
}

/* The values of an insert, and the key once more. */
static void add_update(struct buf *sql, const struct store_table_view *view)
{
	buf_printf(sql, "UPDATE %s SET ", view->name);
	add_assignments(sql, view->record, false);
	buf_printf(sql, " WHERE `%s` = ?", view->key);
}

static void add_remove(struct buf *sql, const struct store_table_view *view)
{
	buf_printf(sql, "DELETE FROM %s WHERE `%s` = ?", view->name, view->key);
}

/* ---- binding ---- */

struct parameters {
	MYSQL_BIND binds[COLUMNS_MAX];
	struct sql_value values[COLUMNS_MAX];
	unsigned count;
};

static struct sql_value *parameters_add(struct parameters *parameters)
{
	assert(parameters->count < COLUMNS_MAX);
	return &parameters->values[parameters->count++];
}

/* An upper bound, as the binary protocol has it: head, types and lengths, and the values. */
static size_t packet_size(const struct parameters *parameters)
{
	size_t size = 32 + 16 * (size_t)parameters->count;

	for (unsigned i = 0; i < parameters->count; i++) {
		if (parameters->values[i].type == SQL_TEXT)
			size += strlen(parameters->values[i].text);
	}
	return size;
}

/*
 * The server would end the connection of a client that sends more than the server takes: to the
 * writer that looks like a server that is away, and every change would wait behind this one.
 */
static enum mariadb_fault check_size(struct mariadb_session *session,
				     const struct parameters *parameters, struct err *err)
{
	size_t size = packet_size(parameters);
	char text[120];

	if (size <= session->packet_max)
		return MARIADB_OK;
	snprintf(text, sizeof(text), "it has %zu bytes, max_allowed_packet is %llu", size,
		 (unsigned long long)session->packet_max);
	return mariadb_set_error(session, ER_NET_PACKET_TOO_LARGE, text, err);
}

static enum mariadb_fault execute(struct mariadb_session *session, MYSQL_STMT *stmt,
				  struct parameters *parameters, struct err *err)
{
	if (check_size(session, parameters, err) != MARIADB_OK)
		return MARIADB_OWN;
	memset(parameters->binds, 0, sizeof(parameters->binds[0]) * parameters->count);
	for (unsigned i = 0; i < parameters->count; i++) {
		struct sql_value *value = &parameters->values[i];
		MYSQL_BIND *bind = &parameters->binds[i];

		switch (value->type) {
		case SQL_NULL:
			bind->buffer_type = MYSQL_TYPE_NULL;
			break;
		case SQL_NUMBER:
			bind->buffer_type = MYSQL_TYPE_LONGLONG;
			bind->buffer = &value->number;
			break;
		case SQL_TEXT:
			bind->buffer_type = MYSQL_TYPE_STRING;
			bind->buffer = (void *)(uintptr_t)value->text; /* only read */
			bind->buffer_length = strlen(value->text);
			break;
		}
	}
	assert(mysql_stmt_param_count(stmt) == parameters->count);
	if (mysql_stmt_bind_param(stmt, parameters->binds) != 0 || mysql_stmt_execute(stmt) != 0)
		return set_stmt_error(session, stmt, err);
	return MARIADB_OK;
}

static enum mariadb_fault
run_change(struct mariadb_session *session, MYSQL_STMT **slot,
	   void (*add)(struct buf *sql, const struct store_table_view *view),
	   const struct store_table_view *view, struct parameters *parameters, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;
	enum mariadb_fault fault;

	if (!*slot) {
		add(&sql, view);
		fault = prepare(session, &sql, slot, err);
		if (fault != MARIADB_OK)
			return fault;
	}
	return execute(session, *slot, parameters, err);
}

/* *found: the volume had such a row. */
static enum mariadb_fault update_row(struct mariadb_session *session, struct parameters *parameters,
				     const struct store_change *change, bool *found,
				     struct err *err)
{
	MYSQL_STMT **stmt = &session->statements.update[change->table];
	enum mariadb_fault fault;

	sql_value_of_field(store_table_key(change->table), &change->row,
			   parameters_add(parameters));
	fault = run_change(session, stmt, add_update, &store_tables[change->table], parameters,
			   err);
	parameters->count--;
	/* With CLIENT_FOUND_ROWS this is the number of rows found, changed or not. */
	*found = fault == MARIADB_OK && mysql_stmt_affected_rows(*stmt) > 0;
	return fault;
}

enum mariadb_fault mariadb_apply(struct mariadb_session *session, const struct store_change *change,
				 struct err *err)
{
	struct mariadb_statements *statements = &session->statements;
	const struct store_table_view *view = &store_tables[change->table];
	struct parameters parameters = { .count = 0 };
	enum mariadb_fault fault = MARIADB_OK;
	bool found = false;

	if (change->remove) {
		sql_value_of_field(store_table_key(change->table), &change->row,
				   parameters_add(&parameters));
		return run_change(session, &statements->remove[change->table], add_remove, view,
				  &parameters, err);
	}
	for (size_t i = 0; i < view->record->count; i++)
		sql_value_of_field(&view->record->fields[i], &change->row,
				   parameters_add(&parameters));
	if (view->unique_key)
		fault = update_row(session, &parameters, change, &found, err);
	if (fault != MARIADB_OK || found)
		return fault;
	return run_change(session, &statements->put[change->table], add_put, view, &parameters,
			  err);
}

/* ---- reading ---- */

struct column {
	char text[256];
	unsigned long length;
	my_bool is_null, error;
};

static void bind_columns(MYSQL_BIND *binds, struct column *columns, size_t count)
{
	memset(binds, 0, sizeof(*binds) * count);
	for (size_t i = 0; i < count; i++) {
		binds[i].buffer_type = MYSQL_TYPE_STRING;
		binds[i].buffer = columns[i].text;
		binds[i].buffer_length = sizeof(columns[i].text) - 1;
		binds[i].length = &columns[i].length;
		binds[i].is_null = &columns[i].is_null;
		binds[i].error = &columns[i].error;
	}
}

/* The column's text; the caller frees *heap if the text was too long for the row's own buffer. */
static const char *column_text(MYSQL_STMT *stmt, struct column *column, unsigned index, char **heap)
{
	MYSQL_BIND bind = { .buffer_type = MYSQL_TYPE_STRING };
	unsigned long length = 0;

	if (column->is_null)
		return NULL;
	if (column->length < sizeof(column->text)) {
		column->text[column->length] = '\0';
		return column->text;
	}
	*heap = xmalloc(column->length + 1);
	bind.buffer = *heap;
	bind.buffer_length = column->length;
	bind.length = &length;
	mysql_stmt_fetch_column(stmt, &bind, index, 0);
	(*heap)[column->length] = '\0';
	return *heap;
}

/* row is zeroed. -1: a column holds a value that no record can hold. */
static int read_row(MYSQL_STMT *stmt, struct column *columns, enum store_table table, void *row,
		    struct err *err)
{
	const struct record *record = store_tables[table].record;
	_cleanup_free_ char *id = NULL;

	for (size_t i = 0; i < record->count; i++) {
		_cleanup_free_ char *heap = NULL;
		const char *text = column_text(stmt, &columns[i], (unsigned)i, &heap);

		if (i == 0)
			id = xstrdup(text);
		if (sql_value_to_field(&record->fields[i], row, text) == 0)
			continue;
		sql_value_refuse(table, id, &record->fields[i], text, err);
		return -1;
	}
	return 0;
}

/*
 * The sink of rows: each row is read into a zeroed place that add() gives, and shown with its error
 * to done(), if done is set. Without done() a row that cannot be read ends the list.
 */
struct sink {
	void *(*add)(void *arg);
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

static enum mariadb_fault read_rows(struct mariadb_session *session, MYSQL_STMT *stmt,
				    enum store_table table, const struct sink *sink,
				    struct err *err)
{
	size_t count = store_tables[table].record->count;
	MYSQL_BIND binds[COLUMNS_MAX];
	struct column columns[COLUMNS_MAX];
	enum mariadb_fault fault = MARIADB_OK;
	int r;

	assert(count <= COLUMNS_MAX);
	bind_columns(binds, columns, count);
	if (mysql_stmt_bind_result(stmt, binds) != 0 || mysql_stmt_store_result(stmt) != 0)
		return set_stmt_error(session, stmt, err);
	while ((r = mysql_stmt_fetch(stmt)) == 0 || r == MYSQL_DATA_TRUNCATED) {
		struct err found = { 0 };
		int bad = read_row(stmt, columns, table, sink->add(sink->arg), &found);

		if (sink->done) {
			sink->done(sink->arg, &found);
		} else if (bad) {
			*err = found;
			fault = MARIADB_OWN;
			break;
		}
	}
	if (r == 1)
		fault = set_stmt_error(session, stmt, err);
	mysql_stmt_free_result(stmt);
	return fault;
}

static void *add_read(void *arg)
{
	return store_read_add(arg);
}

static void add_select(struct buf *sql, enum store_table table)
{
	buf_add_text(sql, "SELECT ");
	sql_add_columns(sql, store_tables[table].record, '`');
	buf_printf(sql, " FROM %s", store_tables[table].name);
}

/*
 * Two ranges of an index: the server makes no range from a row comparison. And no key is named that
 * may be missing, since the server then refuses the statement.
 */
static const struct sql_dialect dialect = {
	.before = " AND (@created_at < ? OR (@created_at = ? AND @id < ?))",
	.times = 2,
	.join = "STRAIGHT_JOIN",
	.by_index = " IGNORE INDEX (PRIMARY)",
	.id = "",
	.same = "<=>",
	.exactly = "COLLATE utf8mb4_nopad_bin",
	.mean = "CAST(ROUND(AVG(GREATEST(0, TIMESTAMPDIFF(MICROSECOND, created_at, completed_at))) / 1000) "
		"AS SIGNED)",
};

static bool take_count(void *arg, char **columns)
{
	sql_note_count(arg, columns[0], columns[1], columns[2]);
	return true;
}

enum mariadb_fault mariadb_count(struct mariadb_session *session, struct store_read *read,
				 struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;

	sql_add_counts(&sql, read, &dialect);
	return mariadb_query(session, sql.data, take_count, read, err);
}

enum mariadb_fault mariadb_list(struct mariadb_session *session, struct store_read *read,
				struct err *err)
{
	unsigned mask = sql_clauses_of(read);
	MYSQL_STMT **stmt = &session->statements.list[mask];
	struct parameters parameters;
	_cleanup_buf_ struct buf sql = BUF_NULL;
	enum mariadb_fault fault = MARIADB_OK;

	if (!*stmt) {
		add_select(&sql, STORE_OPERATIONS);
		sql_add_clauses(&sql, mask, &dialect);
		fault = prepare(session, &sql, stmt, err);
	}
	if (fault != MARIADB_OK)
		return fault;
	parameters.count = sql_values_of_list(read, mask, &dialect, parameters.values);
	fault = execute(session, *stmt, &parameters, err);
	if (fault == MARIADB_OK)
		fault = read_rows(session, *stmt, STORE_OPERATIONS,
				  &(struct sink){ .add = add_read, .arg = read }, err);
	if (fault == MARIADB_OK)
		store_read_trim(read);
	return fault;
}

static enum mariadb_fault read_table(struct mariadb_session *session, enum store_table table,
				     const struct buf *sql, const struct sink *sink,
				     struct parameters *parameters, struct err *err)
{
	MYSQL_STMT *stmt = NULL;
	enum mariadb_fault fault = prepare(session, sql, &stmt, err);

	if (fault != MARIADB_OK)
		return fault;
	fault = execute(session, stmt, parameters, err);
	if (fault == MARIADB_OK)
		fault = read_rows(session, stmt, table, sink, err);
	mysql_stmt_close(stmt);
	return fault;
}

enum mariadb_fault mariadb_history(struct mariadb_session *session, struct store_read *read,
				   struct err *err)
{
	const struct sink sink = { .add = add_read, .arg = read };
	struct parameters parameters;
	_cleanup_buf_ struct buf sql = BUF_NULL;
	enum mariadb_fault fault;

	add_select(&sql, STORE_HISTORY);
	sql_add_history(&sql, read, &dialect);
	parameters.count = sql_values_of_history(read, &dialect, parameters.values);
	fault = read_table(session, STORE_HISTORY, &sql, &sink, &parameters, err);
	if (fault == MARIADB_OK)
		store_read_trim(read);
	return fault;
}

struct load {
	enum store_table table;
	struct store_loaded *out;
};

static void *add_loaded(void *arg)
{
	const struct load *load = arg;

	return store_loaded_add(load->out, load->table);
}

struct newest {
	enum store_table table;
	union store_row row;
	struct store_loaded *out;
};

static void *add_newest(void *arg)
{
	return &((struct newest *)arg)->row;
}

/* A row that cannot be read says as much as can be read of it. */
static void note_row(void *arg, const struct err *err)
{
	struct newest *newest = arg;

	store_loaded_note(newest->out, newest->table, &newest->row);
	record_clear(store_tables[newest->table].record, &newest->row);
}

static enum mariadb_fault note_newest(struct mariadb_session *session,
				      const struct sql_newest *which, struct store_loaded *out,
				      struct err *err)
{
	struct newest newest = { .table = which->table, .out = out };
	const struct sink sink = { .add = add_newest, .done = note_row, .arg = &newest };
	struct parameters none = { .count = 0 };
	_cleanup_buf_ struct buf sql = BUF_NULL;

	add_select(&sql, which->table);
	buf_add_text(&sql, which->clauses);
	return read_table(session, which->table, &sql, &sink, &none, err);
}

enum mariadb_fault mariadb_load(struct mariadb_session *session, struct store_loaded *out,
				struct err *err)
{
	struct load load = { .out = out };
	const struct sink sink = { .add = add_loaded, .arg = &load };
	struct parameters none = { .count = 0 };
	enum mariadb_fault fault = MARIADB_OK;

	for (int table = 0; table < STORE_TABLE_COUNT && fault == MARIADB_OK; table++) {
		_cleanup_buf_ struct buf sql = BUF_NULL;

		load.table = (enum store_table)table;
		if (!store_table_is_loaded(load.table))
			continue;
		add_select(&sql, load.table);
		sql_add_loaded(&sql, load.table);
		fault = read_table(session, load.table, &sql, &sink, &none, err);
	}
	for (size_t i = 0; i < SQL_NEWEST_COUNT && fault == MARIADB_OK; i++)
		fault = note_newest(session, &sql_newest[i], out, err);
	return fault;
}

/* ---- for tools ---- */

struct scan {
	enum store_table table;
	union store_row row;
	store_row_fn fn;
	void *arg;
};

static void *add_scanned(void *arg)
{
	return &((struct scan *)arg)->row;
}

static void show_scanned(void *arg, const struct err *err)
{
	struct scan *scan = arg;

	scan->fn(scan->arg, &scan->row, err);
	record_clear(store_tables[scan->table].record, &scan->row);
}

enum mariadb_fault mariadb_scan(struct mariadb_session *session, enum store_table table,
				const char *after_id, size_t limit, store_row_fn fn, void *arg,
				struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;
	struct scan scan = { .table = table, .fn = fn, .arg = arg };
	const struct sink sink = { .add = add_scanned, .done = show_scanned, .arg = &scan };
	struct parameters parameters = { .count = 0 };

	add_select(&sql, table);
	sql_add_page(&sql);
	*parameters_add(&parameters) = (struct sql_value){ .type = SQL_TEXT, .text = after_id };
	*parameters_add(&parameters) =
		(struct sql_value){ .type = SQL_NUMBER, .number = (int64_t)limit };
	return read_table(session, table, &sql, &sink, &parameters, err);
}

struct owner {
	enum store_table table;
	char *key;
};

static void take_key(void *arg, const void *row, const struct err *err)
{
	struct owner *owner = arg;

	str_set(&owner->key, *(char *const *)field_of_const(store_table_key(owner->table), row));
}

char *mariadb_owner(struct mariadb_session *session, const struct store_change *change)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;
	struct owner owner = { .table = change->table };
	struct scan scan = { .table = change->table, .fn = take_key, .arg = &owner };
	const struct sink sink = { .add = add_scanned, .done = show_scanned, .arg = &scan };
	struct parameters parameters = { .count = 0 };
	const struct field *field;

	add_select(&sql, change->table);
	sql_add_unique(&sql, change->table, '`');
	for (size_t i = 0; (field = store_table_unique(change->table, i)); i++)
		sql_value_of_field(field, &change->row, parameters_add(&parameters));
	read_table(session, change->table, &sql, &sink, &parameters, NULL);
	return owner.key;
}
