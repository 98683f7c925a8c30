/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A store that a tool works on: opening it with the password it needs, and reading a whole table
 * page by page.
 */

#include "storectl/place.h"

#include "store/open.h"

int place_open(struct place *place, const char *url, const char *password_file, bool must_exist,
	       struct err *err)
{
	struct store_options options = { .url = url, .must_exist = must_exist };

	*place = (struct place){ .url = url };
	if (password_file) {
		place->password = secret_read(password_file, SECRET_PASSWORD, err);
		if (!place->password)
			return -1;
	}
	place->loop = loop_new();
	options.password = place->password;
	place->store = store_open(place->loop, &options, err);
	return place->store ? 0 : -1;
}

void place_close(struct place *place)
{
	store_close(place->store);
	if (place->loop)
		loop_free(place->loop);
	secret_free(place->password);
}

const char *row_id(enum store_table table, const void *row)
{
	const char *id =
		*(char *const *)field_of_const(&store_tables[table].record->fields[0], row);

	return str_or(id, "");
}

struct page {
	enum store_table table;
	store_row_fn fn;
	void *arg;
	char *last;
	size_t count;
};

static void on_row(void *arg, const void *row, const struct err *err)
{
	struct page *page = arg;

	page->count++;
	str_set(&page->last, row_id(page->table, row));
	page->fn(page->arg, row, err);
}

int place_scan(struct place *place, enum store_table table, store_row_fn fn, void *arg,
	       struct err *err)
{
	struct page page = { .table = table, .fn = fn, .arg = arg, .last = xstrdup("") };
	int r;

	do {
		_cleanup_free_ char *after = xstrdup(page.last);

		page.count = 0;
		r = store_scan(place->store, table, after, PLACE_PAGE, on_row, &page, err);
	} while (r == 0 && page.count == PLACE_PAGE);
	free(page.last);
	return r;
}
