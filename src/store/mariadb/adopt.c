/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tables that were there before this daemon. Other programs read these tables, so the tables are
 * changed in place, and no row is thrown away: missing columns are added, the daemon's columns get
 * the type and the character set that they need, and columns of other programs stay, but no longer
 * require a value, since the daemon has no value for them.
 *
 * Foreign keys from and to the old tables are removed: they would take history along with a row
 * that is moved, forbid later rows, or bind the daemon's rows to tables of other programs. So are
 * triggers, which would change rows behind the daemon's back, and unique keys that are stricter
 * than the daemon's own.
 *
 * The same steps, in the same order, only tell their intention if there is a plan. A statement that
 * runs a second time changes nothing.
 */

#include "store/mariadb/adoption.h"

/* ---- foreign keys and triggers ---- */

struct drops {
	struct adoption *adoption;
	enum mariadb_fault fault;
	struct err *err;
};

static enum mariadb_fault drop_all(struct adoption *adoption, const struct buf *list,
				   mariadb_row_fn drop, struct err *err)
{
	struct drops drops = { .adoption = adoption, .err = err };
	enum mariadb_fault fault = mariadb_query(adoption->session, list->data, drop, &drops, err);

	return fault == MARIADB_OK ? drops.fault : fault;
}

/* Columns: table, name, the table that the key refers to. */
static bool drop_foreign_key(void *arg, char **row)
{
	struct drops *drops = arg;

	buf_printf(&drops->adoption->sql, "ALTER TABLE `%s` DROP FOREIGN KEY `%s`", row[0], row[1]);
	adoption_tell(drops->adoption, "foreign key %s from table %s to table %s is removed",
		      row[1], row[0], row[2]);
	drops->fault = adoption_send(drops->adoption, drops->err);
	return drops->fault == MARIADB_OK;
}

/*
 * The foreign keys of the table, and those by which any table refers to it. The daemon's own keys
 * are made again when all columns and rows are in place. A plan tells a key between two of the
 * daemon's tables once.
 */
static enum mariadb_fault drop_foreign_keys(struct adoption *adoption, struct err *err)
{
	_cleanup_buf_ struct buf list = BUF_NULL;
	const char *name = adoption->table->name;

	buf_printf(
		&list,
		"SELECT TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_NAME FROM "
		"information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() AND "
		"(TABLE_NAME = '%s' OR (UNIQUE_CONSTRAINT_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME = '%s'",
		name, name);
	if (adoption->plan) {
		buf_add_text(&list, " AND TABLE_NAME NOT IN ('");
		for (int table = 0; table < STORE_TABLE_COUNT; table++)
			buf_printf(&list, "%s%s", table ? "', '" : "", store_tables[table].name);
		buf_add_text(&list, "')");
	}
	buf_add_text(&list, ")) ORDER BY 1, 2");
	return drop_all(adoption, &list, drop_foreign_key, err);
}

/* Columns: name, time, event, statement. */
static bool drop_trigger(void *arg, char **row)
{
	struct drops *drops = arg;

	buf_printf(&drops->adoption->sql, "DROP TRIGGER IF EXISTS `%s`", row[0]);
	adoption_tell(drops->adoption, "trigger %s (%s %s: %s) is removed", row[0], row[1], row[2],
		      row[3]);
	drops->fault = adoption_send(drops->adoption, drops->err);
	return drops->fault == MARIADB_OK;
}

/* The server shows triggers to a user with the right TRIGGER only. */
static enum mariadb_fault drop_triggers(struct adoption *adoption, struct err *err)
{
	_cleanup_buf_ struct buf list = BUF_NULL;

	buf_printf(
		&list,
		"SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT FROM "
		"information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = '%s' "
		"ORDER BY 1",
		adoption->table->name);
	return drop_all(adoption, &list, drop_trigger, err);
}

/* ---- columns ---- */

/* Columns: name, type, collation, whether a value is required. */
static bool note_column(void *arg, char **row)
{
	struct adoption *adoption = arg;
	size_t size = (adoption->found_count + 1) * sizeof(*adoption->found);

	adoption->found = xrealloc(adoption->found, size);
	adoption->found[adoption->found_count++] =
		(struct found_column){ .name = xstrdup(row[0]),
				       .type = xstrdup(row[1]),
				       .collation = xstrdup(row[2]),
				       .insists = streq(row[3], "1") };
	return true;
}

static enum mariadb_fault find_columns(struct adoption *adoption, struct err *err)
{
	_cleanup_buf_ struct buf list = BUF_NULL;

	buf_printf(
		&list,
		"SELECT COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME, IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL "
		"AND EXTRA NOT LIKE '%%auto_increment%%' FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = "
		"DATABASE() AND TABLE_NAME = '%s' ORDER BY ORDINAL_POSITION",
		adoption->table->name);
	return mariadb_query(adoption->session, list.data, note_column, adoption, err);
}

static const struct mariadb_column *find_ours(const struct adoption *adoption, const char *name)
{
	for (const struct mariadb_column *column = adoption->table->columns; column->name;
	     column++) {
		if (strcasecmp(column->name, name) == 0)
			return column;
	}
	return NULL;
}

/*
 * A column without its own character set gets the character set of the table, also if the column is
 * changed later.
 */
static enum mariadb_fault add_columns(struct adoption *adoption, struct err *err)
{
	_cleanup_buf_ struct buf added = BUF_NULL;

	buf_printf(
		&adoption->sql,
		"ALTER TABLE %s ENGINE = InnoDB, DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		adoption->table->name);
	for (const struct mariadb_column *column = adoption->table->columns; column->name;
	     column++) {
		buf_printf(&adoption->sql, ", ADD COLUMN IF NOT EXISTS `%s` %s", column->name,
			   column->definition);
		if (!adoption_found(adoption, column->name))
			buf_printf(&added, "%s%s", added.length ? ", " : "", column->name);
	}
	if (added.length)
		adoption_tell(adoption, "columns are added: %s", added.data);
	return adoption_send(adoption, err);
}

/* "JSON" is this server's word for a longtext that is checked. */
static bool is_type(const struct found_column *found, const struct mariadb_column *ours)
{
	size_t length = strcspn(ours->definition, " ");

	if (strncmp(ours->definition, "JSON", length) == 0)
		return strcasecmp(found->type, "longtext") == 0;
	return strncasecmp(found->type, ours->definition, length) == 0;
}

static void change_column(struct adoption *adoption, const struct found_column *found)
{
	const struct mariadb_column *ours = find_ours(adoption, found->name);

	if (!ours && !found->insists)
		return;
	buf_printf(&adoption->sql, adoption->sql.length ? ", " : "ALTER TABLE %s ",
		   adoption->table->name);
	buf_printf(&adoption->sql, "MODIFY COLUMN `%s` %s", found->name,
		   ours ? ours->definition : found->type);
	if (!ours && found->collation)
		buf_printf(&adoption->sql, " COLLATE %s", found->collation);
	if (!ours)
		adoption_tell(adoption, "column %s of another program no longer needs a value",
			      found->name);
	else if (!is_type(found, ours))
		adoption_tell(adoption, "column %s: %s becomes %.*s", found->name, found->type,
			      (int)strcspn(ours->definition, " "), ours->definition);
}

static enum mariadb_fault change_columns(struct adoption *adoption, struct err *err)
{
	for (size_t i = 0; i < adoption->found_count; i++)
		change_column(adoption, &adoption->found[i]);
	return adoption->sql.length ? adoption_send(adoption, err) : MARIADB_OK;
}

/* Ids of history sort by time. Numbers that are sorted as texts do not: 10 comes before 9. */
static enum mariadb_fault pad_ids(struct adoption *adoption, struct err *err)
{
	if (!adoption->table->parent)
		return MARIADB_OK;
	buf_printf(&adoption->sql,
		   "UPDATE %s SET id = LPAD(id, 20, '0') WHERE id REGEXP '^[0-9]{1,19}$'",
		   adoption->table->name);
	return adoption_send(adoption, err);
}

/* ---- keys ---- */

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

/* Columns: name, column. */
static bool loosen_key(void *arg, char **row)
{
	struct drops *drops = arg;

	buf_printf(&drops->adoption->sql, "ALTER TABLE %s DROP KEY `%s`, ADD KEY `%s` (`%s`)",
		   drops->adoption->table->name, row[0], row[0], row[1]);
	adoption_tell(drops->adoption, "key %s (%s) is not unique any more", row[0], row[1]);
	drops->fault = adoption_send(drops->adoption, drops->err);
	return drops->fault == MARIADB_OK;
}

/* Of columns that are unique together, each alone may have a value twice. */
static enum mariadb_fault loosen_keys(struct adoption *adoption, const struct mariadb_key *key,
				      struct err *err)
{
	_cleanup_buf_ struct buf list = BUF_NULL;

	if (!strstr(key->columns, ", "))
		return MARIADB_OK;
	buf_printf(
		&list,
		"SELECT INDEX_NAME, MIN(COLUMN_NAME) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = "
		"DATABASE() AND TABLE_NAME = '%s' AND INDEX_NAME <> '%s' GROUP BY INDEX_NAME HAVING COUNT(*) = 1 "
		"AND MIN(NON_UNIQUE) = 0 AND FIND_IN_SET(MIN(COLUMN_NAME), REPLACE('%s', ' ', ''))",
		adoption->table->name, key->name, key->columns);
	return drop_all(adoption, &list, loosen_key, err);
}

static enum mariadb_fault add_key(struct adoption *adoption, const struct mariadb_key *key,
				  struct err *err)
{
	bool other;
	enum mariadb_fault fault = find_other_key(adoption, key, &other, err);

	if (fault == MARIADB_OK && key->unique)
		fault = loosen_keys(adoption, key, err);
	if (fault == MARIADB_OK && key->unique)
		fault = adoption_check_unique(adoption, key, err);
	if (fault != MARIADB_OK)
		return fault;
	buf_printf(&adoption->sql, "ALTER TABLE %s ", adoption->table->name);
	if (other)
		buf_printf(&adoption->sql, "DROP KEY %s, ", key->name);
	buf_printf(&adoption->sql, "ADD %s %s %s (%s)", key->unique ? "UNIQUE KEY" : "KEY",
		   other ? "" : "IF NOT EXISTS", key->name, key->columns);
	return adoption_send(adoption, err);
}

static enum mariadb_fault add_keys(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	for (const struct mariadb_key *key = adoption->table->keys;
	     key->name && fault == MARIADB_OK; key++)
		fault = add_key(adoption, key, err);
	return fault;
}

static enum mariadb_fault add_parent(struct adoption *adoption, struct err *err)
{
	const struct mariadb_table *table = adoption->table;
	enum mariadb_fault fault;

	if (!table->parent)
		return MARIADB_OK;
	fault = adoption_check_parent(adoption, err);
	buf_printf(
		&adoption->sql,
		"ALTER TABLE %s ADD CONSTRAINT %s_operation FOREIGN KEY IF NOT EXISTS (operation_id) REFERENCES %s "
		"(id) ON DELETE CASCADE",
		table->name, table->name, table->parent);
	return fault == MARIADB_OK ? adoption_send(adoption, err) : fault;
}

/* ---- all ---- */

static void clear(struct adoption *adoption)
{
	for (size_t i = 0; i < adoption->found_count; i++) {
		free(adoption->found[i].name);
		free(adoption->found[i].type);
		free(adoption->found[i].collation);
	}
	free(adoption->found);
	free(adoption->source);
	buf_clear(&adoption->sql);
}

enum mariadb_fault mariadb_adopt(struct mariadb_session *session, const struct mariadb_table *table,
				 struct mariadb_plan *plan, struct err *err)
{
	static enum mariadb_fault (*const steps[])(struct adoption * adoption, struct err * err) = {
		find_columns,
		drop_foreign_keys,
		drop_triggers,
		add_columns,
		adoption_repair_json,
		adoption_tell_zero_times,
		adoption_fill,
		adoption_check_values,
		adoption_check_lengths,
		change_columns,
		adoption_clear_zero_times,
		pad_ids,
		adoption_check_types,
		add_keys,
		add_parent,
		adoption_end_rows,
	};
	struct adoption adoption = {
		.session = session, .table = table, .plan = plan, .source = xstrdup(table->name)
	};
	enum mariadb_fault fault = MARIADB_OK;

	for (size_t i = 0; i < ARRAY_SIZE(steps) && fault == MARIADB_OK; i++)
		fault = steps[i](&adoption, err);
	if (fault == MARIADB_OWN)
		err_prefix(
			err,
			"table %s was there before this daemon and cannot be taken over (correct the named values, "
			"or rename the table so that an empty table is made)",
			table->name);
	clear(&adoption);
	return fault;
}
