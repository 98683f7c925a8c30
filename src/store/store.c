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

static const struct histogram_scale commit_scale = {
	.bounds = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5 },
	.count = 12
};
static const struct histogram_scale batch_scale = { .bounds = { 1, 2, 4, 8, 16, 32, 64, 128 },
						    .count = 8 };

void store_note_commit(struct store *store, int64_t us, size_t batches)
{
	histogram_observe(&store->figures.seconds, &commit_scale, (double)us / 1000000);
	histogram_observe(&store->figures.batches, &batch_scale, (double)batches);
}

void store_put_metrics(const struct store *store, struct buf *out)
{
	struct store_health health;

	store_health(store, &health);
	metric_family(out, "volumed_store_commit_duration_seconds", METRIC_HISTOGRAM,
		      "Time of a commit that has landed.");
	metric_histogram(out, "volumed_store_commit_duration_seconds", NULL,
			 &store->figures.seconds, &commit_scale);
	metric_family(out, "volumed_store_batch_size", METRIC_HISTOGRAM,
		      "Changes that were committed together.");
	metric_histogram(out, "volumed_store_batch_size", NULL, &store->figures.batches,
			 &batch_scale);
	metric_family(out, "volumed_store_waiting", METRIC_GAUGE,
		      "Changes and reads that the store has not answered yet.");
	metric_value(out, "volumed_store_waiting", NULL, (double)health.waiting);
	metric_family(out, "volumed_store_oldest_waiting_seconds", METRIC_GAUGE,
		      "Age of the oldest of them.");
	metric_value(out, "volumed_store_oldest_waiting_seconds", NULL,
		     (double)health.oldest_ms / 1000);
}

void store_health(const struct store *store, struct store_health *out)
{
	const struct store_item *oldest = TAILQ_FIRST(&store->open);

	memset(out, 0, offsetof(struct store_health, reason));
	out->reason[0] = '\0';
	out->waiting = store->open_count;
	if (oldest)
		out->oldest_ms = clock_waking_ms() - oldest->since_ms;
	store->backend->health(store, out);
}
