/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tables that were there before this daemon. */

#include "store/mariadb/session.h"

struct mariadb_column {
	const char *name;
	const char *definition;
};

struct mariadb_key {
	const char *name;    /* NULL ends a list */
	const char *columns; /* "vm_id, device_path" */
	bool unique;
};

struct mariadb_table {
	unsigned version; /* the version that makes the table */
	const char *name;
	/* the first is the primary key; ended by a column without a name */
	const struct mariadb_column *columns;
	const struct mariadb_key *keys;
	const char *parent;       /* the table that operation_id refers to, or NULL */
	const char *const *types; /* the words that the daemon knows in the column type, or NULL */
};

/*
 * The take-over of several tables in advance: each sentence is told, and nothing is changed. The
 * tables come in their order, a parent before its children.
 */
struct mariadb_plan {
	store_sentence_fn tell;
	void *arg;
	/*
	 * "WITH …": the rows of each table as they would be, a name for each stage. <table>_kept
	 * are the rows that stay.
	 */
	struct buf with;
};
void mariadb_plan_tell(const struct mariadb_plan *plan, const char *format, ...) _printf_(2, 3);
/* The table is not there, and is made. */
void mariadb_plan_new(struct mariadb_plan *plan, const struct mariadb_table *table);

/*
 * Turns an existing table of any earlier daemon into a table of this daemon; the rows and the other
 * columns of the table stay. A row is moved to <name>_set_aside, with a line in the log, if it
 * collides with another row in a unique key, lacks a value, has no parent, has an unknown type, or
 * has texts that are too long. The function can run again after an interruption at any point.
 *
 * plan: only tells what would be done; NULL: does it.
 */
enum mariadb_fault mariadb_adopt(struct mariadb_session *session, const struct mariadb_table *table,
				 struct mariadb_plan *plan, struct err *err);
