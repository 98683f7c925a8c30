/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The common part of SQL backends: how the value of a field looks in a column, and the pieces that
 * statements are put together from. Everything that differs between dialects stays with them.
 */

#include "base/buf.h"
#include "store/read.h"
#include "store/tables.h"

/* "2026-11-22 21:50:03.123", always this length. */
#define SQL_TIME_SIZE 24

/* A value to be bound. */
struct sql_value {
	enum sql_value_type { SQL_NULL, SQL_NUMBER, SQL_TEXT } type;
	int64_t number;
	const char *text; /* the row's, or `time` below */
	char time[SQL_TIME_SIZE];
};
void sql_value_of_field(const struct field *field, const void *row, struct sql_value *out);
/*
 * Converts the text that a database gives for a column back into the member; NULL leaves the member
 * zeroed. -1: the member cannot hold the value.
 */
int sql_value_to_field(const struct field *field, void *row, const char *text) _must_check_;
/* The error of a column that cannot be read into its record. */
void sql_value_refuse(enum store_table table, const char *id, const struct field *field,
		      const char *text, struct err *err);

/* ERR_INTERNAL: the operation of this transition does not exist. */
void sql_set_no_operation(const struct history_record *history, struct err *err);

/* `"id", "type", …` with the dialect's quote. */
void sql_add_columns(struct buf *sql, const struct record *record, char quote);

/*
 * The conditions that narrow a list of operations; a set of them is a bit mask and names one
 * prepared statement.
 */
enum sql_clause {
	SQL_BY_ID,
	SQL_BY_TYPE,
	SQL_BY_STATUS,    /* of few operations, */
	SQL_BY_COMPLETED, /* and the one of most */
	SQL_BY_VOLUME,
	SQL_BY_VM,
	SQL_BY_SINCE,
	SQL_BY_UNTIL,
	SQL_BY_ENDED,
	SQL_BY_ATTENTION,
	SQL_BY_REQUEST,
	SQL_BY_BEFORE,
	SQL_CLAUSE_COUNT
};
unsigned sql_clauses_of(const struct store_read *read);
/* The parts of a list in which the dialects differ. */
struct sql_dialect {
	/*
	 * The form of (created_at, id) < (?, ?) that finds this place in an index, with @ before
	 * each column. Its parameters are the time, as often as `times` says, and then the id.
	 */
	const char *before;
	unsigned times;
	/*
	 * Behind the ? of a second comparison of texts, which heeds blanks at their end; the first
	 * comparison, which finds the rows in an index, ignores them. NULL: the first heeds them.
	 */
	const char *exactly;
	/*
	 * Between tables that are joined in this order, behind the second one, and before its id:
	 * its rows are found in the index of the column that narrows the list, and not by their
	 * key. And between two values of which both may be NULL.
	 */
	const char *join, *by_index, *id, *same;
	/* the mean of the milliseconds from created_at to completed_at, as a whole number */
	const char *mean;
};
#define SQL_TIMES_MAX 2
#define SQL_TEXTS_MAX 4
/*
 * " WHERE TRUE AND id = ? … ORDER BY created_at DESC, id DESC LIMIT ?", behind the table's name.
 *
 * Several columns with an index each: the entries of one index are walked in the order of the list,
 * and looked up in the others, which have the same order. So only the rows of the page are read,
 * and not each row of the one index, of which each may lie on a page of its own.
 */
void sql_add_clauses(struct buf *sql, unsigned mask, const struct sql_dialect *dialect);
/*
 * Lists the parameters of that text in their order and returns their number. A parameter may point
 * into itself and must not be moved.
 */
#define SQL_LIST_VALUES_MAX (SQL_CLAUSE_COUNT + SQL_TIMES_MAX + SQL_TEXTS_MAX + 1)
unsigned sql_values_of_list(const struct store_read *read, unsigned mask,
			    const struct sql_dialect *dialect, struct sql_value *out);
/* " WHERE operation_id = ? … LIMIT ?": the history of an operation; its parameters likewise. */
void sql_add_history(struct buf *sql, const struct store_read *read,
		     const struct sql_dialect *dialect);
unsigned sql_values_of_history(const struct store_read *read, const struct sql_dialect *dialect,
			       struct sql_value *out);
/*
 * A count: rows of a kind, a word and a number, for sql_note_count(). Types and statuses are
 * counted in their indexes alone.
 */
void sql_add_counts(struct buf *sql, const struct store_read *read,
		    const struct sql_dialect *dialect);
void sql_note_count(struct store_read *read, const char *kind, const char *word,
		    const char *number);
/* " WHERE id > ? ORDER BY id LIMIT ?": a page of store_scan(). */
void sql_add_page(struct buf *sql);
/* " WHERE `vm_id` = ? AND …": finds the row that has the unique value. */
void sql_add_unique(struct buf *sql, enum store_table table, char quote);
/* Selects and sorts the rows that are loaded at start: of the operations only the unfinished. */
void sql_add_loaded(struct buf *sql, enum store_table table);
/* Each query finds one row or none; these rows have the greatest ids and the latest times. */
struct sql_newest {
	enum store_table table;
	const char *clauses;
};
#define SQL_NEWEST_COUNT 3
extern const struct sql_newest sql_newest[SQL_NEWEST_COUNT];
