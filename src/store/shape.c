/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The version of a store says which tables it should have. A person or another program may have
 * dropped a table or a column, put a view in the place of a table, or hung a trigger on a table.
 * Then a statement would fail later, perhaps after CloudStack has made its change, or would change
 * other rows than the daemon believes. So the daemon checks the shape when it opens the store.
 */

#include "store/shape.h"

static void add_stranger(struct buf *out, const char *kind, const char *name)
{
	buf_add_text(out, out->length ? ", " : "");
	buf_add_text(out, kind);
	buf_add_char(out, ' ');
	buf_add_text(out, name);
}

static uint64_t column_bit(const struct record *record, const char *name)
{
	for (size_t i = 0; i < record->count; i++) {
		if (strcasecmp(record->fields[i].name, name) == 0)
			return UINT64_C(1) << i;
	}
	return 0;
}

void store_shape_add(struct store_shape *shape, const char *kind, const char *table,
		     const char *name)
{
	for (int i = 0; i < STORE_TABLE_COUNT; i++) {
		if (strcasecmp(store_tables[i].name, table) != 0)
			continue;
		if (streq(kind, "table"))
			shape->tables[i] = true;
		else if (streq(kind, "column"))
			shape->columns[i] |= column_bit(store_tables[i].record, name);
		else
			add_stranger(&shape->strangers, kind, name);
	}
}

static void add_missing(struct buf *out, const char *kind, const char *table, const char *column)
{
	buf_printf(out, "%s%s %s%s%s", out->length ? ", " : "", kind, table, column ? "." : "",
		   str_or(column, ""));
}

static void find_missing(const struct store_shape *shape, struct buf *out)
{
	for (int i = 0; i < STORE_TABLE_COUNT; i++) {
		const struct record *record = store_tables[i].record;

		if (!shape->tables[i]) {
			add_missing(out, "table", store_tables[i].name, NULL);
			continue;
		}
		for (size_t n = 0; n < record->count; n++) {
			if (!(shape->columns[i] & UINT64_C(1) << n))
				add_missing(out, "column", store_tables[i].name,
					    record->fields[n].name);
		}
	}
}

int store_shape_check(const struct store_shape *shape, const char *store_name, struct err *err)
{
	struct buf _cleanup_buf_ missing = BUF_NULL;
	bool strange = shape->strangers.length > 0;

	find_missing(shape, &missing);
	if (!missing.length && !strange)
		return 0;
	return err_set(
		err, ERR_CONFLICT,
		"the store %s was changed by another program: %s%s%s%s%s; undo that, or restore the store from a "
		"backup",
		store_name, missing.length ? "missing: " : "", str_or(missing.data, ""),
		missing.length && strange ? "; " : "", strange ? "in the way: " : "",
		str_or(shape->strangers.data, ""));
}

void store_shape_clear(struct store_shape *shape)
{
	buf_clear(&shape->strangers);
}
