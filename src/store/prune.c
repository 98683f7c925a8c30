/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Pruning reads a page of the list, removes the prunable operations of the page in a batch, and
 * goes on with the next page. The list begins at the time before which operations must have ended:
 * operations accepted later are never looked at. The batches are optional: a store that was away
 * has more urgent work when it is back. Each batch notes the newest id of the store, so that the
 * store still knows how far its ids went when their rows are gone. A younger id, made now, would
 * hide a store from the past: everything that CloudStack shows would seem to be known
 * (store_guard.c).
 */

#include "store/prune.h"

#include "store/backend.h"

struct store_prune {
	struct store *store;
	int64_t before_ms;
	store_prune_fn done;
	void *arg;
	struct store_read *read;
	bool committing, cancelled, more;
	int64_t last_ms; /* where the next page begins */
	char *last_id;
	size_t batch_count, removed;
};

static void end(struct store_prune *prune, const struct err *err)
{
	if (!prune->cancelled)
		prune->done(prune->arg, prune->removed, err);
	free(prune->last_id);
	free(prune);
}

static void next_page(struct store_prune *prune);

static void on_committed(void *arg, const struct err *err)
{
	struct store_prune *prune = arg;

	prune->committing = false;
	if (err->code == ERR_NONE)
		prune->removed += prune->batch_count;
	if (err->code || prune->cancelled || !prune->more)
		end(prune, err);
	else
		next_page(prune);
}

static void on_page(void *arg, const struct store_operations *result)
{
	struct store_prune *prune = arg;
	struct store_batch *batch;

	prune->read = NULL;
	if (result->err.code || result->count == 0) {
		end(prune, &result->err);
		return;
	}
	batch = store_batch_new("prune");
	store_batch_optional(batch);
	store_batch_mark(batch, STORE_MARK_NEWEST, prune->store->newest_id);
	prune->batch_count = 0;
	for (size_t i = 0; i < result->count; i++) {
		if (result->items[i].needs_attention ||
		    !operation_status_is_final(result->items[i].status))
			continue;
		store_batch_forget(batch, result->items[i].id);
		prune->batch_count++;
	}
	prune->last_ms = result->items[result->count - 1].created_at;
	str_set(&prune->last_id, result->items[result->count - 1].id);
	prune->more = result->more;
	prune->committing = true;
	store_submit(prune->store, batch, on_committed, prune);
}

static void next_page(struct store_prune *prune)
{
	const struct store_operation_filter filter = {
		.type = -1,
		.status = -1,
		.ended_before_ms = prune->before_ms,
		.before_ms = prune->last_ms,
		.before_id = prune->last_id,
		.limit = STORE_PRUNE_BATCH,
	};

	prune->read = store_list_operations(prune->store, &filter, on_page, prune);
}

struct store_prune *store_prune(struct store *store, int64_t before_ms, store_prune_fn done,
				void *arg)
{
	struct store_prune *prune = xnew(struct store_prune);

	prune->store = store;
	prune->before_ms = before_ms;
	prune->done = done;
	prune->arg = arg;
	prune->last_ms = before_ms;
	prune->last_id = xstrdup(""); /* and no operation of exactly that time */
	next_page(prune);
	return prune;
}

void store_prune_cancel(struct store_prune *prune)
{
	prune->cancelled = true;
	if (prune->committing)
		return;
	if (prune->read)
		store_read_cancel(prune->read);
	end(prune, NULL);
}
