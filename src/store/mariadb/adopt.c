/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tables that were there before this daemon. Other programs read these tables, so the tables are
 * changed in place, and no row is thrown away: missing columns are added, the daemon's columns get
 * the type and the character set that they need, and columns of other programs stay, but no longer
 * require a value, since the daemon has no value for them. Foreign keys of the old tables are
 * removed: they would take history along with a row that is moved, forbid later rows, or bind the
 * daemon's rows to tables of other programs.
 *
 * Rows of the old tables may break rules of the daemon: unique keys, required values, history that
 * belongs to an operation, known types of operations, texts that fit. The rows that break a rule
 * (the older rows, if rows collide) are named in the log and moved to a table <name>_set_aside, for
 * people to look at. Text that should be JSON and is not becomes {"text": …}. A statement that runs
 * a second time changes nothing.
 */

#include "store/mariadb/adopt.h"

#include <stdio.h>

#include "base/log.h"

struct adoption {
	struct mariadb_session *session;
	const struct mariadb_table *table;
	struct buf sql;
	bool any;
};

/* Sends the gathered statement. */
static enum mariadb_fault send(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault = mariadb_run(adoption->session, adoption->sql.data, err);

	buf_reset(&adoption->sql);
	return fault;
}

/* ---- foreign keys ---- */

struct drops {
	struct mariadb_session *session;
	enum mariadb_fault fault;
	struct err *err;
};

/* Columns: table, name. */
static bool drop_foreign_key(void *arg, char **row)
{
	struct drops *drops = arg;
	_cleanup_free_ char *sql =
		xasprintf("ALTER TABLE `%s` DROP FOREIGN KEY `%s`", row[0], row[1]);

	log_notice("store: foreign key %s of table %s is removed, the daemon makes its own", row[1],
		   row[0]);
	drops->fault = mariadb_run(drops->session, sql, drops->err);
	return drops->fault == MARIADB_OK;
}

/*
 * The foreign keys of the table, and the foreign keys by which other tables of the daemon refer to
 * this table. The daemon's own keys are made again when all columns and rows are in place.
 */
static enum mariadb_fault drop_foreign_keys(struct adoption *adoption, struct err *err)
{
	struct drops drops = { .session = adoption->session, .err = err };
	_cleanup_buf_ struct buf list = BUF_NULL;
	enum mariadb_fault fault;

	buf_printf(
		&list,
		"SELECT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE "
		"CONSTRAINT_SCHEMA = DATABASE() AND (TABLE_NAME = '%s' OR REFERENCED_TABLE_NAME = '%s') AND "
		"TABLE_NAME IN (",
		adoption->table->name, adoption->table->name);
	for (int table = 0; table < STORE_TABLE_COUNT; table++)
		buf_printf(&list, "%s'%s'", table ? ", " : "", store_tables[table].name);
	buf_add_char(&list, ')');
	fault = mariadb_query(adoption->session, list.data, drop_foreign_key, &drops, err);
	return fault == MARIADB_OK ? drops.fault : fault;
}

/* ---- columns ---- */

/*
 * A column without its own character set gets the character set of the table, also if the column is
 * changed later.
 */
static enum mariadb_fault add_columns(struct adoption *adoption, struct err *err)
{
	buf_printf(
		&adoption->sql,
		"ALTER TABLE %s ENGINE = InnoDB, DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		adoption->table->name);
	for (const struct mariadb_column *column = adoption->table->columns; column->name; column++)
		buf_printf(&adoption->sql, ", ADD COLUMN IF NOT EXISTS `%s` %s", column->name,
			   column->definition);
	return send(adoption, err);
}

static const struct mariadb_column *find_column(const struct mariadb_table *table, const char *name)
{
	for (const struct mariadb_column *column = table->columns; column->name; column++) {
		if (strcasecmp(column->name, name) == 0)
			return column;
	}
	return NULL;
}

/* Columns: name, type, whether it may be NULL, default, extra, collation. */
static bool change_column(void *arg, char **row)
{
	struct adoption *adoption = arg;
	const struct mariadb_column *ours = find_column(adoption->table, row[0]);
	bool insists = streq(row[2], "NO") && !row[3] && !strstr(row[4], "auto_increment");

	if (!ours && !insists)
		return true;
	buf_printf(&adoption->sql, adoption->any ? ", " : "ALTER TABLE %s ", adoption->table->name);
	buf_printf(&adoption->sql, "MODIFY COLUMN `%s` %s", row[0],
		   ours ? ours->definition : row[1]);
	if (!ours && row[5])
		buf_printf(&adoption->sql, " COLLATE %s", row[5]);
	adoption->any = true;
	return true;
}

static enum mariadb_fault change_columns(struct adoption *adoption, struct err *err)
{
	_cleanup_buf_ struct buf list = BUF_NULL;
	enum mariadb_fault fault;

	buf_printf(
		&list,
		"SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, COLLATION_NAME FROM "
		"information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '%s'",
		adoption->table->name);
	adoption->any = false;
	fault = mariadb_query(adoption->session, list.data, change_column, adoption, err);
	return fault == MARIADB_OK && adoption->any ? send(adoption, err) : fault;
}

static enum mariadb_fault repair_json(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	for (const struct mariadb_column *column = adoption->table->columns; column->name;
	     column++) {
		if (!streq(column->definition, "JSON") || fault != MARIADB_OK)
			continue;
		buf_printf(
			&adoption->sql,
			"UPDATE %s SET `%s` = IF(`%s` = '', NULL, JSON_OBJECT('text', `%s`)) WHERE `%s` IS NOT NULL "
			"AND NOT JSON_VALID(`%s`)",
			adoption->table->name, column->name, column->name, column->name,
			column->name, column->name);
		fault = send(adoption, err);
	}
	return fault;
}

/* ---- rows that cannot stay ---- */

/* Columns: id, and the values that collide. */
static bool tell_row(void *arg, char **row)
{
	struct adoption *adoption = arg;

	adoption->any = true;
	log_warning("store: row %s of table %s (%s) was moved to %s_set_aside", row[0],
		    adoption->table->name, row[1], adoption->table->name);
	return true;
}

/* Moves the rows that `which` selects; the log names `values` for each. */
static enum mariadb_fault set_aside(struct adoption *adoption, const char *which,
				    const char *values, struct err *err)
{
	const char *name = adoption->table->name;
	_cleanup_buf_ struct buf list = BUF_NULL;
	enum mariadb_fault fault;

	buf_printf(&list, "SELECT id, %s FROM %s AS this WHERE %s", values, name, which);
	adoption->any = false;
	fault = mariadb_query(adoption->session, list.data, tell_row, adoption, err);
	if (fault != MARIADB_OK || !adoption->any)
		return fault;
	/* A copy without keys, so that nothing can collide there. */
	buf_printf(
		&adoption->sql,
		"CREATE TABLE IF NOT EXISTS %s_set_aside ENGINE=InnoDB AS SELECT * FROM %s WHERE 1 = 0",
		name, name);
	fault = send(adoption, err);
	if (fault == MARIADB_OK)
		fault = mariadb_run(adoption->session, "START TRANSACTION", err);
	buf_printf(&adoption->sql, "INSERT INTO %s_set_aside SELECT * FROM %s AS this WHERE %s",
		   name, name, which);
	if (fault == MARIADB_OK)
		fault = send(adoption, err);
	/*
	 * A statement that deletes from a table may read other rows of the same table only if it
	 * first makes a list of these rows.
	 */
	buf_reset(&adoption->sql);
	buf_printf(
		&adoption->sql,
		"DELETE FROM %s WHERE id IN (SELECT id FROM (SELECT id FROM %s AS this WHERE %s) AS list)",
		name, name, which);
	if (fault == MARIADB_OK)
		fault = send(adoption, err);
	if (fault == MARIADB_OK)
		fault = mariadb_run(adoption->session, "COMMIT", err);
	return fault;
}

static void add_same(struct buf *out, const char *columns)
{
	_cleanup_free_ char *copy = xstrdup(columns);
	char *column, *rest = copy;

	while ((column = strsep(&rest, ", "))) {
		if (*column)
			buf_printf(out, "other.`%s` = this.`%s` AND ", column, column);
	}
}

static enum mariadb_fault make_unique(struct adoption *adoption, const struct mariadb_key *key,
				      struct err *err)
{
	const char *age = find_column(adoption->table, "updated_at") ? "updated_at" : "created_at";
	_cleanup_buf_ struct buf which = BUF_NULL, values = BUF_NULL;

	/* NULL equals no value, here as in the key. */
	buf_printf(&which, "EXISTS (SELECT 1 FROM %s AS other WHERE ", adoption->table->name);
	add_same(&which, key->columns);
	buf_printf(
		&which,
		"(COALESCE(other.%s, '1000-01-01'), other.id) > (COALESCE(this.%s, '1000-01-01'), this.id))",
		age, age);
	buf_printf(&values, "CONCAT_WS(', ', %s)", key->columns);
	return set_aside(adoption, which.data, values.data, err);
}

/* *other: the table has a different key of this name. */
static enum mariadb_fault find_other_key(struct adoption *adoption, const struct mariadb_key *key,
					 bool *other, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;
	uint64_t count;
	enum mariadb_fault fault;

	buf_printf(
		&sql,
		"SELECT COUNT(*) FROM (SELECT GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX SEPARATOR ', ') AS list, "
		"MIN(NON_UNIQUE) AS plain, MAX(SUB_PART) AS part FROM information_schema.STATISTICS WHERE TABLE_SCHEMA "
		"= DATABASE() AND TABLE_NAME = '%s' AND INDEX_NAME = '%s' GROUP BY INDEX_NAME) AS there "
		"WHERE list <> '%s' OR plain <> %d OR part IS NOT NULL",
		adoption->table->name, key->name, key->columns, !key->unique);
	fault = mariadb_number(adoption->session, sql.data, &count, err);
	*other = count > 0;
	return fault;
}

static enum mariadb_fault add_key(struct adoption *adoption, const struct mariadb_key *key,
				  struct err *err)
{
	bool other;
	enum mariadb_fault fault = find_other_key(adoption, key, &other, err);

	if (fault == MARIADB_OK && key->unique)
		fault = make_unique(adoption, key, err);
	if (fault != MARIADB_OK)
		return fault;
	buf_printf(&adoption->sql, "ALTER TABLE %s ", adoption->table->name);
	if (other)
		buf_printf(&adoption->sql, "DROP KEY %s, ", key->name);
	buf_printf(&adoption->sql, "ADD %s %s %s (%s)", key->unique ? "UNIQUE KEY" : "KEY",
		   other ? "" : "IF NOT EXISTS", key->name, key->columns);
	return send(adoption, err);
}

static enum mariadb_fault add_keys(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	for (const struct mariadb_key *key = adoption->table->keys;
	     key->name && fault == MARIADB_OK; key++)
		fault = add_key(adoption, key, err);
	return fault;
}

/* A missing value gets the column's default; a row whose column has no default is set aside. */
static enum mariadb_fault fill_columns(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	for (const struct mariadb_column *column = adoption->table->columns;
	     column->name && fault == MARIADB_OK; column++) {
		const char *fallback = strstr(column->definition, "DEFAULT ");
		_cleanup_free_ char *which = xasprintf("`%s` IS NULL", column->name);

		if (!strstr(column->definition, "NOT NULL"))
			continue;
		if (!fallback) {
			fault = set_aside(adoption, which, "'no value'", err);
			continue;
		}
		buf_printf(&adoption->sql, "UPDATE %s SET `%s` = %s WHERE %s",
			   adoption->table->name, column->name, fallback + strlen("DEFAULT "),
			   which);
		fault = send(adoption, err);
	}
	return fault;
}

static enum mariadb_fault check_types(struct adoption *adoption, struct err *err)
{
	_cleanup_buf_ struct buf which = BUF_NULL;

	if (!adoption->table->types)
		return MARIADB_OK;
	for (size_t i = 0; adoption->table->types[i]; i++)
		buf_printf(&which, "%s'%s'", i ? ", " : "type NOT IN (", adoption->table->types[i]);
	buf_add_char(&which, ')');
	return set_aside(adoption, which.data, "type", err);
}

/* A condition, "" if the column takes any text; bytes are counted in the daemon's character set. */
static void add_too_long(struct buf *sql, const struct mariadb_column *column)
{
	unsigned room;

	if (sscanf(column->definition, "VARCHAR(%u)", &room) == 1)
		buf_printf(sql, "CHAR_LENGTH(`%s`) > %u", column->name, room);
	else if (str_has_prefix(column->definition, "TEXT"))
		buf_printf(sql, "LENGTH(CONVERT(`%s` USING utf8mb4)) > 65535", column->name);
}

/* A strict server would end the change of the table at the first text that is too long. */
static enum mariadb_fault check_lengths(struct adoption *adoption, struct err *err)
{
	_cleanup_buf_ struct buf which = BUF_NULL, values = BUF_NULL;

	buf_add_text(&which, "FALSE");
	buf_add_text(&values, "CONCAT_WS(', '");
	for (const struct mariadb_column *column = adoption->table->columns; column->name;
	     column++) {
		_cleanup_buf_ struct buf condition = BUF_NULL;

		add_too_long(&condition, column);
		if (!condition.length)
			continue;
		buf_printf(&which, " OR %s", condition.data);
		buf_printf(&values, ", IF(%s, '%s is too long', NULL)", condition.data,
			   column->name);
	}
	buf_add_char(&values, ')');
	return set_aside(adoption, which.data, values.data, err);
}

/* Ids of history sort by time. Numbers that are sorted as texts do not: 10 comes before 9. */
static enum mariadb_fault pad_ids(struct adoption *adoption, struct err *err)
{
	if (!adoption->table->parent)
		return MARIADB_OK;
	buf_printf(&adoption->sql,
		   "UPDATE %s SET id = LPAD(id, 20, '0') WHERE id REGEXP '^[0-9]{1,19}$'",
		   adoption->table->name);
	return send(adoption, err);
}

static enum mariadb_fault add_parent(struct adoption *adoption, struct err *err)
{
	const struct mariadb_table *table = adoption->table;
	_cleanup_buf_ struct buf which = BUF_NULL;
	enum mariadb_fault fault;

	if (!table->parent)
		return MARIADB_OK;
	buf_printf(&which,
		   "NOT EXISTS (SELECT 1 FROM %s AS parent WHERE parent.id = this.operation_id)",
		   table->parent);
	fault = set_aside(adoption, which.data, "operation_id", err);
	buf_printf(
		&adoption->sql,
		"ALTER TABLE %s ADD CONSTRAINT %s_operation FOREIGN KEY IF NOT EXISTS (operation_id) REFERENCES %s "
		"(id) "
		"ON DELETE CASCADE",
		table->name, table->name, table->parent);
	return fault == MARIADB_OK ? send(adoption, err) : fault;
}

enum mariadb_fault mariadb_adopt(struct mariadb_session *session, const struct mariadb_table *table,
				 struct err *err)
{
	struct adoption adoption = { .session = session, .table = table };
	enum mariadb_fault fault;

	log_notice("store: table %s of %s is there already and is taken over", table->name,
		   session->cluster->url.shown);
	fault = drop_foreign_keys(&adoption, err);
	if (fault == MARIADB_OK)
		fault = add_columns(&adoption, err);
	if (fault == MARIADB_OK)
		fault = repair_json(&adoption, err);
	if (fault == MARIADB_OK)
		fault = fill_columns(&adoption, err);
	if (fault == MARIADB_OK)
		fault = check_lengths(&adoption, err);
	if (fault == MARIADB_OK)
		fault = change_columns(&adoption, err);
	if (fault == MARIADB_OK)
		fault = pad_ids(&adoption, err);
	if (fault == MARIADB_OK)
		fault = check_types(&adoption, err);
	if (fault == MARIADB_OK)
		fault = add_keys(&adoption, err);
	if (fault == MARIADB_OK)
		fault = add_parent(&adoption, err);
	if (fault == MARIADB_OWN)
		err_prefix(
			err,
			"table %s was there before this daemon and cannot be taken over (correct the named values, "
			"or rename the table so that an empty table is made)",
			table->name);
	buf_clear(&adoption.sql);
	return fault;
}
