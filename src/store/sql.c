/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Values and pieces of statements. This file names only the columns that narrow lists. Statements,
 * bound values and read values come from walks over the table's record, so a new field of a record
 * is stored as soon as each schema has its column (until then a test fails). Statements are put
 * together from constant pieces only; every value from outside is bound.
 *
 * Times are text in UTC, "2026-11-22 21:50:03.123": readable, sortable, and accepted by date
 * functions. Enums are their words, JSON is text, bytes and truths are integers.
 */

#include "store/sql.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"

/* ---- values ---- */

static void set_text(struct sql_value *out, const char *text)
{
	*out = (struct sql_value){ .type = text ? SQL_TEXT : SQL_NULL, .text = text };
}

static void set_number(struct sql_value *out, int64_t number)
{
	*out = (struct sql_value){ .type = SQL_NUMBER, .number = number };
}

static void set_time(struct sql_value *out, int64_t ms)
{
	char text[TIME_TEXT_SIZE];

	*out = (struct sql_value){ .type = ms ? SQL_TEXT : SQL_NULL, .text = out->time };
	if (!ms)
		return;
	time_format(ms, text);
	text[10] = ' ';
	memcpy(out->time, text, SQL_TIME_SIZE - 1);
}

void sql_value_of_field(const struct field *field, const void *row, struct sql_value *out)
{
	const void *value = field_of_const(field, row);

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_OBJECT:
		set_text(out, *(char *const *)value);
		return;
	case FIELD_BOOL:
		set_number(out, *(const bool *)value);
		return;
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_DURATION:
		set_number(out, *(const int64_t *)value);
		return;
	case FIELD_SIZE:
		set_number(out, (int64_t) * (const uint64_t *)value);
		return;
	case FIELD_TIME:
		set_time(out, *(const int64_t *)value);
		return;
	case FIELD_ENUM:
		set_text(out, field_word(field, row));
		return;
	case FIELD_RATIO:
	case FIELD_ITEMS:
	case FIELD_DESCRIPTOR:
	case FIELD_TYPE_COUNT:
		break;
	}
	assert(!"a field that has no column");
}

/* Also takes times that people may have written by hand: a T, fewer digits. */
static int time_from_sql(const char *text, int64_t *out_ms)
{
	char rfc[40];

	if (strlen(text) < 19 || strlen(text) > 32)
		return -1;
	snprintf(rfc, sizeof(rfc), "%s%s", text, text[strlen(text) - 1] == 'Z' ? "" : "Z");
	rfc[10] = 'T';
	return time_parse(rfc, out_ms);
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

int sql_value_to_field(const struct field *field, void *row, const char *text)
{
	void *value = field_of(field, row);

	if (!text)
		return field->type == FIELD_ENUM ? -1 : 0;
	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_OBJECT:
		*(char **)value = xstrdup(text);
		return 0;
	case FIELD_BOOL:
		*(bool *)value = !streq(text, "0");
		return 0;
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_DURATION:
		return parse_i64(text, value);
	case FIELD_SIZE:
		return parse_u64(text, value);
	case FIELD_TIME:
		return time_from_sql(text, value);
	case FIELD_ENUM:
		return enum_from_word(field, text, value);
	case FIELD_RATIO:
	case FIELD_ITEMS:
	case FIELD_DESCRIPTOR:
	case FIELD_TYPE_COUNT:
		break;
	}
	assert(!"a field that has no column");
	return -1;
}

void sql_value_refuse(enum store_table table, const char *id, const struct field *field,
		      const char *text, struct err *err)
{
	err_set(err, ERR_INTERNAL,
		"table %s of the store, row %s: column %s holds \"%s\", which is not known",
		store_tables[table].name, str_or(id, ""), field->name, str_or(text, ""));
}

void sql_set_no_operation(const struct history_record *history, struct err *err)
{
	err_set(err, ERR_INTERNAL,
		"a transition of operation %s cannot be stored before the operation itself",
		history->operation_id);
}

/* ---- statements ---- */

void sql_add_columns(struct buf *sql, const struct record *record, char quote)
{
	for (size_t i = 0; i < record->count; i++)
		buf_printf(sql, "%s%c%s%c", i ? ", " : "", quote, record->fields[i].name, quote);
}

/* @ stands for the table. */
static const char *const clauses[] = {
	[SQL_BY_ID] = " AND @id = ?",
	[SQL_BY_TYPE] = " AND @type = ?",
	[SQL_BY_STATUS] = " AND @status = ?",
	[SQL_BY_COMPLETED] = " AND @status = ?",
	[SQL_BY_VOLUME] = " AND @volume_id = ?",
	[SQL_BY_VM] = " AND @vm_id = ?",
	[SQL_BY_SINCE] = " AND @created_at >= ?",
	[SQL_BY_UNTIL] = " AND @created_at < ?",
	[SQL_BY_ENDED] = " AND @completed_at < ?",
	[SQL_BY_ATTENTION] = " AND @needs_attention = ?",
	[SQL_BY_REQUEST] = " AND @request_id = ?",
	[SQL_BY_BEFORE] = NULL, /* the dialect's */
};
_Static_assert(ARRAY_SIZE(clauses) == SQL_CLAUSE_COUNT, "each clause has its text");

/* The clauses that compare a text from outside. */
static const bool texts[SQL_CLAUSE_COUNT] = {
	[SQL_BY_ID] = true,
	[SQL_BY_VOLUME] = true,
	[SQL_BY_VM] = true,
	[SQL_BY_REQUEST] = true,
};

unsigned sql_clauses_of(const struct store_read *read)
{
	const struct store_operation_filter *filter = &read->filter;
	const bool given[] = {
		[SQL_BY_ID] = read->id != NULL,
		[SQL_BY_TYPE] = filter->type >= 0,
		[SQL_BY_STATUS] = filter->status >= 0 && filter->status != OPERATION_COMPLETED,
		[SQL_BY_COMPLETED] = filter->status == OPERATION_COMPLETED,
		[SQL_BY_VOLUME] = filter->volume_id != NULL,
		[SQL_BY_VM] = filter->vm_id != NULL,
		[SQL_BY_SINCE] = filter->since_ms != 0,
		[SQL_BY_UNTIL] = filter->until_ms != 0,
		[SQL_BY_ENDED] = filter->ended_before_ms != 0,
		[SQL_BY_ATTENTION] = filter->needs_attention,
		[SQL_BY_REQUEST] = filter->request_id != NULL,
		[SQL_BY_BEFORE] = filter->before_id != NULL,
	};
	unsigned mask = 0;

	for (unsigned i = 0; i < SQL_CLAUSE_COUNT; i++)
		mask |= (unsigned)given[i] << i;
	return mask;
}

static void set_clause_value(enum sql_clause clause, const struct store_read *read,
			     struct sql_value *out)
{
	const struct store_operation_filter *filter = &read->filter;

	switch (clause) {
	case SQL_BY_ID:
		set_text(out, read->id);
		return;
	case SQL_BY_TYPE:
		set_text(out, operation_type_names[filter->type]);
		return;
	case SQL_BY_STATUS:
	case SQL_BY_COMPLETED:
		set_text(out, operation_status_names[filter->status]);
		return;
	case SQL_BY_VOLUME:
		set_text(out, filter->volume_id);
		return;
	case SQL_BY_VM:
		set_text(out, filter->vm_id);
		return;
	case SQL_BY_SINCE:
		set_time(out, filter->since_ms);
		return;
	case SQL_BY_UNTIL:
		set_time(out, filter->until_ms);
		return;
	case SQL_BY_ENDED:
		set_time(out, filter->ended_before_ms);
		return;
	case SQL_BY_ATTENTION:
		set_number(out, 1);
		return;
	case SQL_BY_REQUEST:
		set_text(out, filter->request_id);
		return;
	case SQL_BY_BEFORE:
		set_text(out, filter->before_id);
		return;
	case SQL_CLAUSE_COUNT:
		break;
	}
	assert(!"no such clause");
}

unsigned sql_values_of_list(const struct store_read *read, unsigned mask,
			    const struct sql_dialect *dialect, struct sql_value *out)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SQL_CLAUSE_COUNT; i++) {
		if (!(mask & 1U << i))
			continue;
		for (unsigned n = 0; i == SQL_BY_BEFORE && n < dialect->times; n++)
			set_time(&out[count++], read->filter.before_ms);
		set_clause_value((enum sql_clause)i, read, &out[count++]);
		if (dialect->exactly && texts[i])
			set_clause_value((enum sql_clause)i, read, &out[count++]);
	}
	/* One row more than asked for tells whether there are more. */
	set_number(&out[count++], (int64_t)read->filter.limit + 1);
	return count;
}

/*
 * The clauses whose column has an index with created_at and id behind it, those first that fewer
 * operations fit.
 */
static const enum sql_clause indexed[] = { SQL_BY_VOLUME, SQL_BY_VM, SQL_BY_STATUS, SQL_BY_TYPE,
					   SQL_BY_COMPLETED };
/* All of their columns are in each of these indexes. */
#define IN_EACH_INDEX (1U << SQL_BY_SINCE | 1U << SQL_BY_UNTIL | 1U << SQL_BY_BEFORE)

/*
 * The table of each clause: the first one, or that of an index of its own. Returns their number; 1:
 * no indexes are joined, and the table has no other name.
 */
static unsigned choose_tables(unsigned mask, const char *tables[SQL_CLAUSE_COUNT])
{
	static const char *const names[ARRAY_SIZE(indexed)] = { "o0.", "o1.", "o2.", "o3.", "o4." };
	unsigned left = mask & ~IN_EACH_INDEX, count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(indexed); i++)
		left &= ~(1U << indexed[i]);
	for (size_t i = 0; i < ARRAY_SIZE(indexed) && !left; i++)
		count += (mask >> indexed[i]) & 1;
	for (size_t i = 0; i < SQL_CLAUSE_COUNT; i++)
		tables[i] = count > 1 ? names[0] : "";
	if (count < 2)
		return 1;
	count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(indexed); i++) {
		if (mask & 1U << indexed[i])
			tables[indexed[i]] = names[count++];
	}
	return count;
}

static void add_clause(struct buf *sql, const char *text, const char *table)
{
	for (; *text; text++) {
		if (*text == '@')
			buf_add_text(sql, table);
		else
			buf_add_char(sql, *text);
	}
}

static void add_joins(struct buf *sql, unsigned count, const struct sql_dialect *dialect)
{
	buf_add_text(sql, " JOIN (SELECT o0.id FROM volume_operations AS o0");
	for (unsigned i = 1; i < count; i++)
		buf_printf(sql, " %s volume_operations AS o%u%s", dialect->join, i,
			   dialect->by_index);
	buf_add_text(sql, " WHERE TRUE");
	for (unsigned i = 1; i < count; i++)
		buf_printf(sql, " AND o%u.created_at %s o0.created_at AND %so%u.id = o0.id", i,
			   dialect->same, dialect->id, i);
}

void sql_add_clauses(struct buf *sql, unsigned mask, const struct sql_dialect *dialect)
{
	const char *tables[SQL_CLAUSE_COUNT];
	unsigned count = choose_tables(mask, tables);

	if (count > 1)
		add_joins(sql, count, dialect);
	else
		buf_add_text(sql, " WHERE TRUE");
	for (unsigned i = 0; i < SQL_CLAUSE_COUNT; i++) {
		if (!(mask & 1U << i))
			continue;
		add_clause(sql, i == SQL_BY_BEFORE ? dialect->before : clauses[i], tables[i]);
		if (!dialect->exactly || !texts[i])
			continue;
		add_clause(sql, clauses[i], tables[i]);
		buf_printf(sql, " %s", dialect->exactly);
	}
	add_clause(sql, " ORDER BY @created_at DESC, @id DESC LIMIT ?", tables[SQL_BY_BEFORE]);
	if (count > 1)
		buf_add_text(sql, ") AS page USING (id) ORDER BY created_at DESC, id DESC");
}

void sql_add_history(struct buf *sql, const struct store_read *read,
		     const struct sql_dialect *dialect)
{
	buf_add_text(sql, " WHERE operation_id = ?");
	if (dialect->exactly)
		buf_printf(sql, " AND operation_id = ? %s", dialect->exactly);
	if (read->after_id)
		buf_add_text(sql,
			     " AND (id = ? OR (changed_at, id) > "
			     "(SELECT changed_at, id FROM volume_operation_history WHERE id = ?))");
	buf_add_text(sql, " ORDER BY changed_at, id LIMIT ?");
}

unsigned sql_values_of_history(const struct store_read *read, const struct sql_dialect *dialect,
			       struct sql_value *out)
{
	unsigned count = 0;

	set_text(&out[count++], read->id);
	if (dialect->exactly)
		set_text(&out[count++], read->id);
	if (read->after_id) {
		set_text(&out[count++], read->also_id);
		set_text(&out[count++], read->after_id);
	}
	set_number(&out[count++], (int64_t)read->filter.limit + 1);
	return count;
}

#define COUNT_BY(COLUMN)                                                                           \
	"SELECT '" COLUMN "', " COLUMN ", COUNT(*) FROM volume_operations GROUP BY " COLUMN
#define ENDED_SINCE                                                                                \
	"FROM volume_operations WHERE status IN ('completed', 'failed', 'cancelled') AND created_at >= "

void sql_add_counts(struct buf *sql, const struct store_read *read,
		    const struct sql_dialect *dialect)
{
	struct sql_value since;

	/* The text is digits of our own, so it needs no binding. */
	set_time(&since, read->filter.since_ms);
	buf_printf(
		sql,
		COUNT_BY("type") " UNION ALL " COUNT_BY(
			"status") " UNION ALL SELECT 'ended', status, COUNT(*) " ENDED_SINCE
				  "'%s' GROUP BY status UNION ALL SELECT 'mean', '', %s " ENDED_SINCE
				  "'%s'",
		since.time, dialect->mean, since.time);
}

static void add_count(uint64_t *counts, const char *const *words, const char *word, uint64_t number)
{
	for (int i = 0; words[i]; i++) {
		if (streq(words[i], word))
			counts[i] += number;
	}
}

void sql_note_count(struct store_read *read, const char *kind, const char *word, const char *number)
{
	struct store_counts *counts = &read->counts;
	uint64_t value = 0;

	if (!number || parse_u64(number, &value) < 0)
		return; /* the mean of no operations */
	if (streq(kind, "type")) {
		add_count(counts->by_type, operation_type_names, word, value);
		counts->operations += value;
	} else if (streq(kind, "status")) {
		add_count(counts->by_status, operation_status_names, word, value);
	} else if (streq(kind, "ended")) {
		counts->ended += value;
		if (streq(word, operation_status_names[OPERATION_FAILED]))
			counts->failed += value;
	} else {
		counts->mean_ms = (int64_t)value;
	}
}

void sql_add_page(struct buf *sql)
{
	buf_add_text(sql, " WHERE id > ? ORDER BY id LIMIT ?");
}

void sql_add_unique(struct buf *sql, enum store_table table, char quote)
{
	const struct field *field;

	for (size_t i = 0; (field = store_table_unique(table, i)); i++)
		buf_printf(sql, "%s%c%s%c = ?", i ? " AND " : " WHERE ", quote, field->name, quote);
}

void sql_add_loaded(struct buf *sql, enum store_table table)
{
	const char *comma = " WHERE status IN (";

	if (table != STORE_OPERATIONS) {
		buf_printf(sql, " ORDER BY %s", store_tables[table].key);
		return;
	}
	for (int i = 0; i < OPERATION_STATUS_COUNT; i++) {
		if (operation_status_is_final(i))
			continue;
		buf_printf(sql, "%s'%s'", comma, operation_status_names[i]);
		comma = ", ";
	}
	buf_add_text(sql, ") ORDER BY created_at, id");
}

/* Ids of version 7 are in order; the others, which an earlier daemon made, are passed over. */
const struct sql_newest sql_newest[SQL_NEWEST_COUNT] = {
	{ STORE_OPERATIONS, " WHERE SUBSTR(id, 1, 3) = 'op-' AND SUBSTR(id, 18, 1) = '7'"
			    " ORDER BY id DESC LIMIT 1" },
	{ STORE_OPERATIONS, " ORDER BY created_at DESC, id DESC LIMIT 1" },
	{ STORE_HISTORY, " WHERE SUBSTR(id, 15, 1) = '7' ORDER BY id DESC LIMIT 1" },
};
