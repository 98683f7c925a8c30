/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The shape of a store: the tables and columns that the database really has. A backend adds each of
 * them, and the check compares them with the tables and columns that the daemon needs.
 */

#include "store/tables.h"

struct store_shape {
	bool tables[STORE_TABLE_COUNT];
	uint64_t columns[STORE_TABLE_COUNT]; /* a bit for each field of the record */
	struct buf strangers;                /* triggers on the tables and views in their place */
};

/* kind: "table", "column", "view" or "trigger". Names of other programs' tables are passed over. */
void store_shape_add(struct store_shape *shape, const char *kind, const char *table,
		     const char *name);
/* ERR_CONFLICT: names every table and column that is missing, and every view and trigger. */
int store_shape_check(const struct store_shape *shape, const char *store_name, struct err *err);
void store_shape_clear(struct store_shape *shape);
