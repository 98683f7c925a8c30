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
	unsigned version; /* that makes it */
	const char *name;
	/* the first is the primary key; ended by one without a name */
	const struct mariadb_column *columns;
	const struct mariadb_key *keys;
	const char *parent;       /* the table that operation_id refers to, or NULL */
	const char *const *types; /* the words we know in the column type, or NULL */
};

/*
 * Makes a table that is there already, from whatever daemon, one of ours: its rows and its other
 * columns stay. Rows that cannot stand beside others in a unique key, whose parent is missing,
 * whose type nobody knows or whose texts are too long, are moved to <name>_set_aside, each with a
 * line in the log. Can be run again after it was interrupted anywhere.
 */
enum mariadb_fault mariadb_adopt(struct mariadb_session *session, const struct mariadb_table *table,
				 struct err *err);
