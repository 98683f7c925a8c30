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
 * Makes a table that is there already, from any earlier daemon, a table of this daemon: its rows
 * and its other columns stay. A row that cannot stand beside others in a unique key, whose parent
 * is missing, whose type is unknown or whose texts are too long, is moved to <name>_set_aside, with
 * a line in the log. Can be run again after it was interrupted anywhere.
 */
enum mariadb_fault mariadb_adopt(struct mariadb_session *session, const struct mariadb_table *table,
				 struct err *err);
