/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The face of an open store: its backend does the work. */

#include "store/store.h"

#include <assert.h>

#include "base/clock.h"
#include "store/backend.h"
#include "store/loaded.h"
#include "store/rows.h"

struct store *store_close(struct store *store)
{
	if (!store)
		return NULL;
	assert(!store->closing);
	store->closing = true;
	store->backend->close(store);
	return NULL;
}

int store_load(struct store *store, struct store_loaded *out, struct err *err)
{
	*out = (struct store_loaded){ 0 };
	if (store->backend->load(store, out, err) < 0) {
		store_loaded_clear(out);
		return -1;
	}
	store_loaded_note_all(out);
	store_loaded_pass_over(out);
	memcpy(store->newest_id, out->newest_id, sizeof(store->newest_id));
	return 0;
}

bool store_is_local(const struct store *store)
{
	return store->backend->is_local;
}

int store_scan(struct store *store, enum store_table table, const char *after_id, size_t limit,
	       store_row_fn fn, void *arg, struct err *err)
{
	if (!store->backend->scan)
		return err_set(err, ERR_INVALID,
			       "a store in memory ends with the daemon, there is nothing to read");
	return store->backend->scan(store, table, after_id, limit, fn, arg, err);
}

#define PAGE_ROWS 500

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
	str_set(&page->last, store_row_id(page->table, row));
	page->fn(page->arg, row, err);
}

int store_scan_all(struct store *store, enum store_table table, store_row_fn fn, void *arg,
		   struct err *err)
{
	struct page page = { .table = table, .fn = fn, .arg = arg, .last = xstrdup("") };
	int r;

	do {
		_cleanup_free_ char *after = xstrdup(page.last);

		page.count = 0;
		r = store_scan(store, table, after, PAGE_ROWS, on_row, &page, err);
	} while (r == 0 && page.count == PAGE_ROWS);
	free(page.last);
	return r;
}

void store_health(const struct store *store, struct store_health *out)
{
	const struct store_item *oldest = TAILQ_FIRST(&store->open);

	*out = (struct store_health){ .waiting = store->open_count };
	if (oldest)
		out->oldest_ms = clock_waking_ms() - oldest->since_ms;
	store->backend->health(store, out);
}
