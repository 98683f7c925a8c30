/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The face of an open store: its backend does the work. */

#include "store/store.h"

#include <assert.h>

#include "base/clock.h"
#include "store/backend.h"
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
	if (store->backend->load(store, out, err) == 0)
		return 0;
	store_loaded_clear(out);
	return -1;
}

int store_scan(struct store *store, enum store_table table, const char *after_id, size_t limit,
	       store_row_fn fn, void *arg, struct err *err)
{
	if (!store->backend->scan)
		return err_set(err, ERR_INVALID,
			       "a store in memory ends with the daemon, there is nothing to read");
	return store->backend->scan(store, table, after_id, limit, fn, arg, err);
}

void store_health(const struct store *store, struct store_health *out)
{
	const struct store_item *oldest = TAILQ_FIRST(&store->open);

	*out = (struct store_health){ .waiting = store->open_count };
	if (oldest)
		out->oldest_ms = clock_mono_ms() - oldest->since_ms;
	store->backend->health(store, out);
}
