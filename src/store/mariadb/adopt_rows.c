/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The rows of a table that is taken over.
 *
 * A row may break rules of the daemon: unique keys, required values, history that belongs to an
 * operation, known types of operations, texts that fit. The rows that break a rule (the older rows,
 * if rows collide) are named and moved to a table <name>_set_aside, with the reason, for people to
 * look at.
 *
 * A rule is a condition on a row `this` of the rows that the rules before have left. If the table
 * is changed, these rows are the table itself. In a plan they are a stage: a subquery that shows
 * the columns and the values that the table would have, and each rule that finds rows adds a stage
 * without them. So the plan finds the rows that the change will find.
 */

#include "store/mariadb/adoption.h"

#include <stdio.h>

#include "base/log.h"

/*
 * Columns in which an earlier daemon kept a value of this daemon: a row without a value takes the
 * first that it finds there.
 */
static const struct source {
	const char *table, *column, *from;
} sources[] = {
	{ "device_mappings", "volume_id", "volume_uuid" },
	{ "device_mappings", "volume_uuid", "volume_id" },
	{ "device_mappings", "attached_at", "created_at" },
	{ "nbd_exports", "volume_id", "volume_uuid" },
	{ "nbd_exports", "volume_id", "device_mapping_uuid" },
};

/* The source behind `previous` (NULL: the first) that the table has for the column; NULL: none. */
static const struct source *next_source(const struct adoption *adoption, const char *column,
					const struct source *previous)
{
	const struct source *source = previous ? previous + 1 : sources;

	for (; source < sources + ARRAY_SIZE(sources); source++) {
		if (streq(source->table, adoption->table->name) && streq(source->column, column) &&
		    adoption_found(adoption, source->from))
			return source;
	}
	return NULL;
}

static bool is_required(const struct mariadb_column *column)
{
	return strstr(column->definition, "NOT NULL") && !strstr(column->definition, "DEFAULT ");
}

static const char *fallback_of(const struct mariadb_column *column)
{
	const char *fallback = strstr(column->definition, "DEFAULT ");

	return fallback ? fallback + strlen("DEFAULT ") : NULL;
}

/* ---- stages of a plan ---- */

#define AS_TEXT "CONVERT(`%s` USING utf8mb4) COLLATE utf8mb4_bin"

static bool is_text(const struct mariadb_column *column)
{
	return str_has_prefix(column->definition, "VARCHAR") ||
	       str_has_prefix(column->definition, "TEXT");
}

static bool is_time(const struct mariadb_column *column)
{
	return str_has_prefix(column->definition, "DATETIME");
}

/* '0000-00-00' and the like, which old programs write where they have no time. */
#define IS_ZERO_TIME "YEAR(`%s`) * MONTH(`%s`) * DAYOFMONTH(`%s`) = 0"

/* The value of a column of the table, in the daemon's character set. */
static void add_value(struct buf *out, const struct mariadb_column *column, const char *name,
		      bool empty_counts)
{
	if (is_time(column))
		buf_printf(out, "IF(" IS_ZERO_TIME ", NULL, `%s`), ", name, name, name, name);
	else if (!is_text(column))
		buf_printf(out, "`%s`, ", name);
	else if (empty_counts)
		buf_printf(out, AS_TEXT ", ", name);
	else
		buf_printf(out, "NULLIF(" AS_TEXT ", ''), ", name);
}

/* The value that the daemon's column would have. */
static void add_column(const struct adoption *adoption, const struct mariadb_column *column,
		       struct buf *out)
{
	const struct source *source = next_source(adoption, column->name, NULL);

	buf_add_text(out, "COALESCE(");
	if (adoption_found(adoption, column->name))
		add_value(out, column, column->name, !source);
	for (; source; source = next_source(adoption, column->name, source))
		add_value(out, column, source->from, false);
	buf_printf(out, "%s) AS `%s`", str_or(fallback_of(column), "NULL"), column->name);
}

/* The first stage: the rows with the columns that the table would have. */
static void begin_rows(struct adoption *adoption)
{
	struct buf *with = &adoption->plan->with;

	str_set(&adoption->source, NULL);
	adoption->source = xasprintf("%s_0", adoption->table->name);
	buf_printf(with, "%s %s AS (SELECT ", with->length ? "," : "WITH", adoption->source);
	for (const struct mariadb_column *column = adoption->table->columns; column->name;
	     column++) {
		if (column != adoption->table->columns)
			buf_add_text(with, ", ");
		add_column(adoption, column, with);
	}
	buf_printf(with, " FROM %s)", adoption->table->name);
}

static void begin_next_stage(struct adoption *adoption, const char *which)
{
	char *next = xasprintf("%s_%u", adoption->table->name, ++adoption->stage);

	buf_printf(&adoption->plan->with,
		   ", %s AS (SELECT * FROM %s AS this WHERE (%s) IS NOT TRUE)", next,
		   adoption->source, which);
	free(adoption->source);
	adoption->source = next;
}

enum mariadb_fault adoption_end_rows(struct adoption *adoption, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;
	uint64_t count = 0;
	enum mariadb_fault fault;

	if (!adoption->plan)
		return MARIADB_OK;
	buf_printf(&adoption->plan->with, ", %s_kept AS (SELECT * FROM %s)", adoption->table->name,
		   adoption->source);
	buf_printf(&sql, "%s SELECT COUNT(*) FROM %s_kept", adoption->plan->with.data,
		   adoption->table->name);
	fault = mariadb_number(adoption->session, sql.data, &count, err);
	adoption_tell(adoption, "%llu row%s kept", (unsigned long long)count,
		      count == 1 ? " is" : "s are");
	return fault;
}

/* ---- values ---- */

/*
 * In an UPDATE: the age of a row decides which of two rows stays, and the earlier daemon's column
 * takes the time of each change if nothing is said.
 */
static const char *same_time(const struct adoption *adoption)
{
	return adoption_found(adoption, "updated_at") ? ", updated_at = updated_at" : "";
}

enum mariadb_fault adoption_repair_json(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	for (const struct mariadb_column *column = adoption->table->columns; column->name;
	     column++) {
		if (!streq(column->definition, "JSON") || fault != MARIADB_OK)
			continue;
		buf_printf(
			&adoption->sql,
			"UPDATE %s SET `%s` = IF(`%s` = '', NULL, JSON_OBJECT('text', `%s`))%s WHERE `%s` IS NOT NULL "
			"AND NOT JSON_VALID(`%s`)",
			adoption->table->name, column->name, column->name, column->name,
			same_time(adoption), column->name, column->name);
		fault = adoption_send(adoption, err);
	}
	return fault;
}

enum mariadb_fault adoption_tell_zero_times(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	if (!adoption->plan)
		return MARIADB_OK;
	for (const struct mariadb_column *column = adoption->table->columns;
	     column->name && fault == MARIADB_OK; column++) {
		_cleanup_buf_ struct buf sql = BUF_NULL;
		const char *name = column->name;
		uint64_t count;

		if (!is_time(column) || !adoption_found(adoption, name))
			continue;
		buf_printf(&sql, "SELECT COUNT(*) FROM %s WHERE " IS_ZERO_TIME,
			   adoption->table->name, name, name, name);
		fault = mariadb_number(adoption->session, sql.data, &count, err);
		if (count)
			adoption_tell(adoption, "column %s: %llu zero time%s NULL", name,
				      (unsigned long long)count,
				      count == 1 ? " becomes" : "s become");
	}
	return fault;
}

enum mariadb_fault adoption_clear_zero_times(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	for (const struct mariadb_column *column = adoption->table->columns;
	     column->name && fault == MARIADB_OK; column++) {
		const char *name = column->name;

		if (!is_time(column))
			continue;
		buf_printf(&adoption->sql, "UPDATE %s SET `%s` = NULL WHERE " IS_ZERO_TIME,
			   adoption->table->name, name, name, name, name);
		fault = adoption_send(adoption, err);
	}
	return fault;
}

static enum mariadb_fault fill_from(struct adoption *adoption, const struct mariadb_column *column,
				    const char *from, struct err *err)
{
	const char *name = column->name;

	buf_printf(&adoption->sql,
		   "UPDATE %s SET `%s` = `%s`%s WHERE `%s` IS NOT NULL AND (`%s` IS NULL%s",
		   adoption->table->name, name, from, same_time(adoption), from, name,
		   is_text(column) ? "" : ")");
	if (is_text(column))
		buf_printf(&adoption->sql, " OR `%s` = '')", name);
	adoption_tell(adoption, "column %s is filled from column %s where it is empty", name, from);
	return adoption_send(adoption, err);
}

static enum mariadb_fault fill_column(struct adoption *adoption,
				      const struct mariadb_column *column, struct err *err)
{
	const struct source *source = next_source(adoption, column->name, NULL);
	const char *fallback = fallback_of(column);
	enum mariadb_fault fault = MARIADB_OK;

	for (; source && fault == MARIADB_OK; source = next_source(adoption, column->name, source))
		fault = fill_from(adoption, column, source->from, err);
	if (fault != MARIADB_OK || !fallback)
		return fault;
	buf_printf(&adoption->sql, "UPDATE %s SET `%s` = %s%s WHERE `%s` IS NULL",
		   adoption->table->name, column->name, fallback, same_time(adoption),
		   column->name);
	return adoption_send(adoption, err);
}

enum mariadb_fault adoption_fill(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	for (const struct mariadb_column *column = adoption->table->columns;
	     column->name && fault == MARIADB_OK; column++)
		fault = fill_column(adoption, column, err);
	if (adoption->plan)
		begin_rows(adoption);
	return fault;
}

/* ---- setting rows aside ---- */

/* Columns: id, reason. */
static bool tell_row(void *arg, char **row)
{
	struct adoption *adoption = arg;
	const char *table = adoption->table->name;

	adoption->any = true;
	adoption_tell(adoption, "row %s is moved to table %s_set_aside: %s", row[0], table, row[1]);
	if (!adoption->plan)
		log_warning("store: row %s of table %s was moved to table %s_set_aside: %s", row[0],
			    table, table, row[1]);
	return true;
}

static void add_name(struct buf *names, const char *name)
{
	buf_printf(names, "%s`%s`", names->length ? ", " : "", name);
}

/*
 * The table for people: every column that the rows have, without keys, so that nothing can collide
 * there, and without a column that insists on a value. names: these columns.
 */
static enum mariadb_fault make_set_aside(struct adoption *adoption, struct buf *names,
					 struct err *err)
{
	const char *table = adoption->table->name;
	enum mariadb_fault fault;

	buf_printf(
		&adoption->sql,
		"CREATE TABLE IF NOT EXISTS %s_set_aside (set_aside_because TEXT) ENGINE=InnoDB DEFAULT "
		"CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		table);
	fault = adoption_send(adoption, err);
	buf_printf(&adoption->sql, "ALTER TABLE %s_set_aside", table);
	for (size_t i = 0; i < adoption->found_count; i++) {
		buf_printf(&adoption->sql, "%s ADD COLUMN IF NOT EXISTS `%s` %s", i ? "," : "",
			   adoption->found[i].name, adoption->found[i].type);
		add_name(names, adoption->found[i].name);
	}
	for (const struct mariadb_column *column = adoption->table->columns; column->name;
	     column++) {
		if (adoption_found(adoption, column->name))
			continue;
		buf_printf(&adoption->sql, ", ADD COLUMN IF NOT EXISTS `%s` LONGTEXT",
			   column->name);
		add_name(names, column->name);
	}
	return fault == MARIADB_OK ? adoption_send(adoption, err) : fault;
}

static enum mariadb_fault move_rows(struct adoption *adoption, const char *which,
				    const char *reason, struct err *err)
{
	_cleanup_buf_ struct buf names = BUF_NULL;
	const char *table = adoption->table->name;
	enum mariadb_fault fault = make_set_aside(adoption, &names, err);

	/* At this isolation the rows that are copied, and no others, are those that are deleted. */
	if (fault == MARIADB_OK)
		fault = mariadb_run(adoption->session,
				    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", err);
	if (fault == MARIADB_OK)
		fault = mariadb_run(adoption->session, "START TRANSACTION", err);
	buf_reset(&adoption->sql);
	buf_printf(&adoption->sql,
		   "INSERT INTO %s_set_aside (set_aside_because, %s) SELECT %s, %s FROM %s AS this "
		   "WHERE %s",
		   table, names.data, reason, names.data, table, which);
	if (fault == MARIADB_OK)
		fault = adoption_send(adoption, err);
	/*
	 * A statement that deletes from a table may read other rows of the same table only if it
	 * first makes a list of these rows.
	 */
	buf_reset(&adoption->sql);
	buf_printf(
		&adoption->sql,
		"DELETE FROM %s WHERE id IN (SELECT id FROM (SELECT id FROM %s AS this WHERE %s) AS list)",
		table, table, which);
	if (fault == MARIADB_OK)
		fault = adoption_send(adoption, err);
	if (fault == MARIADB_OK)
		fault = mariadb_run(adoption->session, "COMMIT", err);
	return fault;
}

/* Sets aside the rows that `which` selects; reason: a text for each. */
static enum mariadb_fault set_aside(struct adoption *adoption, const char *which,
				    const char *reason, struct err *err)
{
	_cleanup_buf_ struct buf list = BUF_NULL;
	enum mariadb_fault fault;

	buf_printf(&list, "%s SELECT id, %s FROM %s AS this WHERE %s",
		   adoption->plan ? adoption->plan->with.data : "", reason, adoption->source,
		   which);
	adoption->any = false;
	fault = mariadb_query(adoption->session, list.data, tell_row, adoption, err);
	if (fault != MARIADB_OK || !adoption->any)
		return fault;
	if (!adoption->plan)
		return move_rows(adoption, which, reason, err);
	begin_next_stage(adoption, which);
	return MARIADB_OK;
}

/* ---- the rules ---- */

/* Conditions on single columns, and the reasons that go with them. */
struct rule {
	struct buf which, reason;
};
#define RULE_NULL                                                                                  \
	{                                                                                          \
		BUF_NULL, BUF_NULL                                                                 \
	}

static void rule_clear(struct rule *rule)
{
	buf_clear(&rule->which);
	buf_clear(&rule->reason);
}

static void rule_add(struct rule *rule, const struct buf *condition, const char *reason)
{
	buf_printf(&rule->which, "%s(%s)", rule->which.length ? " OR " : "", condition->data);
	buf_printf(&rule->reason, "%s, IF(%s, '%s', NULL)",
		   rule->reason.length ? "" : "CONCAT_WS(', '", condition->data, reason);
}

static enum mariadb_fault rule_apply(struct adoption *adoption, struct rule *rule, struct err *err)
{
	if (!rule->which.length)
		return MARIADB_OK;
	buf_add_char(&rule->reason, ')');
	return set_aside(adoption, rule->which.data, rule->reason.data, err);
}

static const struct record *record_of(const struct mariadb_table *table)
{
	for (size_t i = 0; i < STORE_TABLE_COUNT; i++) {
		if (streq(store_tables[i].name, table->name))
			return store_tables[i].record;
	}
	return NULL;
}

static void check_required(const struct mariadb_column *column, struct rule *rule)
{
	_cleanup_free_ char *reason = xasprintf("it has no %s", column->name);
	_cleanup_buf_ struct buf condition = BUF_NULL;

	buf_printf(&condition, "`%s` IS NULL OR CONVERT(`%s`, CHAR) = ''", column->name,
		   column->name);
	rule_add(rule, &condition, reason);
}

static void check_size(const struct mariadb_column *column, struct rule *rule)
{
	_cleanup_free_ char *reason = xasprintf("its %s is below 0", column->name);
	_cleanup_buf_ struct buf condition = BUF_NULL;

	buf_printf(&condition, "`%s` < 0", column->name);
	rule_add(rule, &condition, reason);
}

/*
 * A value that is not there, or an empty text: a key of the model, which cannot be empty. And a
 * size that no record can hold: the daemon would not start.
 */
enum mariadb_fault adoption_check_values(struct adoption *adoption, struct err *err)
{
	const struct record *record = record_of(adoption->table);
	_cleanup_(rule_clear) struct rule rule = RULE_NULL;

	for (const struct mariadb_column *column = adoption->table->columns; column->name;
	     column++) {
		const struct field *field = record_find(record, column->name);

		if (is_required(column))
			check_required(column, &rule);
		if (field && field->type == FIELD_SIZE)
			check_size(column, &rule);
	}
	return rule_apply(adoption, &rule, err);
}

/* Nothing if the column takes any text; bytes are counted in the daemon's character set. */
static void add_too_long(struct buf *sql, const struct mariadb_column *column)
{
	unsigned room;

	if (sscanf(column->definition, "VARCHAR(%u)", &room) == 1)
		buf_printf(sql, "CHAR_LENGTH(`%s`) > %u", column->name, room);
	else if (str_has_prefix(column->definition, "TEXT"))
		buf_printf(sql, "LENGTH(CONVERT(`%s` USING utf8mb4)) > 65535", column->name);
}

/* A strict server would end the change of the table at the first text that is too long. */
enum mariadb_fault adoption_check_lengths(struct adoption *adoption, struct err *err)
{
	_cleanup_(rule_clear) struct rule rule = RULE_NULL;

	for (const struct mariadb_column *column = adoption->table->columns; column->name;
	     column++) {
		_cleanup_buf_ struct buf condition = BUF_NULL;
		_cleanup_free_ char *reason = xasprintf("its %s is too long", column->name);

		add_too_long(&condition, column);
		if (condition.length)
			rule_add(&rule, &condition, reason);
	}
	return rule_apply(adoption, &rule, err);
}

enum mariadb_fault adoption_check_types(struct adoption *adoption, struct err *err)
{
	_cleanup_buf_ struct buf which = BUF_NULL;

	if (!adoption->table->types)
		return MARIADB_OK;
	for (size_t i = 0; adoption->table->types[i]; i++)
		buf_printf(&which, "%s'%s'", i ? ", " : "type NOT IN (", adoption->table->types[i]);
	buf_add_char(&which, ')');
	return set_aside(adoption, which.data, "CONCAT('its type is ', type)", err);
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

static bool has_column(const struct mariadb_table *table, const char *name)
{
	for (const struct mariadb_column *column = table->columns; column->name; column++) {
		if (streq(column->name, name))
			return true;
	}
	return false;
}

enum mariadb_fault adoption_check_unique(struct adoption *adoption, const struct mariadb_key *key,
					 struct err *err)
{
	const char *age = has_column(adoption->table, "updated_at") ? "updated_at" : "created_at";
	_cleanup_buf_ struct buf which = BUF_NULL, reason = BUF_NULL;

	/* NULL equals no value, here as in the key. */
	buf_printf(&which, "EXISTS (SELECT 1 FROM %s AS other WHERE ", adoption->source);
	add_same(&which, key->columns);
	buf_printf(
		&which,
		"(COALESCE(other.%s, '1000-01-01'), other.id) > (COALESCE(this.%s, '1000-01-01'), this.id))",
		age, age);
	buf_printf(&reason, "CONCAT('a newer row has the same %s: ', CONCAT_WS(', ', %s))",
		   key->columns, key->columns);
	return set_aside(adoption, which.data, reason.data, err);
}

enum mariadb_fault adoption_check_parent(struct adoption *adoption, struct err *err)
{
	_cleanup_free_ char *which = xasprintf(
		"NOT EXISTS (SELECT 1 FROM %s%s AS parent WHERE parent.id = this.operation_id)",
		adoption->table->parent, adoption->plan ? "_kept" : "");

	return set_aside(adoption, which, "CONCAT('there is no operation ', operation_id)", err);
}
