/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Items: requests to the store that wait for an answer, and their way out. A backend may decide an
 * answer on any thread, but each answer leaves through store_answer(), on the loop, in a turn after
 * the turn of the request.
 */

#include "store/item.h"

#include <assert.h>

#include "base/clock.h"
#include "store/backend.h"

void store_submit_item(struct store *store, struct store_item *item)
{
	assert(!item->store);
	item->store = store;
	item->since_ms = clock_waking_ms();
	item->is_open = true;
	TAILQ_INSERT_TAIL(&store->open, item, open);
	store->open_count++;
	if (store->closing)
		store_refuse(item, "the daemon is stopping");
	else
		store->backend->submit(store, item);
}

void store_item_close(struct store_item *item)
{
	if (!item->is_open)
		return;
	TAILQ_REMOVE(&item->store->open, item, open);
	item->store->open_count--;
	item->is_open = false;
}

void store_item_set_err(struct store_item *item, const struct err *err)
{
	err_keep(&item->err, err);
}

void store_drop(struct store_item *item)
{
	store_item_close(item);
	store_item_set_err(item, NULL);
	item->type->free(item);
}

void store_answer(struct store_item *item)
{
	store_item_close(item);
	item->type->tell(item);
	/*
	 * The batch was withdrawn from a stuck thread: the writer frees the batch when the thread
	 * gives it back.
	 */
	if (!item->under_way)
		store_drop(item);
}

void store_answer_later(struct store_item *item)
{
	TAILQ_INSERT_TAIL(&item->store->answers, item, queue);
	loop_task_queue(item->store->loop, &item->store->answer_task);
}

void store_refuse(struct store_item *item, const char *reason)
{
	struct err err;

	err_set(&err, ERR_UNAVAILABLE,
		"the store is away, nothing was changed, try again later: %s", reason);
	store_item_set_err(item, &err);
	store_answer_later(item);
}

static void on_answer_task(struct loop_task *task)
{
	struct store *store = container_of(task, struct store, answer_task);
	struct store_item *last = TAILQ_LAST(&store->answers, store_queue), *item;

	/* Stops after the item that was last at the start, since an answer may add a request. */
	while ((item = TAILQ_FIRST(&store->answers))) {
		bool was_last = item == last;

		TAILQ_REMOVE(&store->answers, item, queue);
		store_answer(item);
		if (was_last)
			break;
	}
	if (!TAILQ_EMPTY(&store->answers))
		loop_task_queue(store->loop, task);
}

void store_answer_all(struct store *store)
{
	struct store_item *item;

	while ((item = TAILQ_FIRST(&store->answers))) {
		TAILQ_REMOVE(&store->answers, item, queue);
		store_answer(item);
	}
	loop_task_cancel(store->loop, &store->answer_task);
}

void store_init(struct store *store, const struct store_backend *backend, struct loop *loop)
{
	store->backend = backend;
	store->loop = loop;
	store->answer_task.run = on_answer_task;
	TAILQ_INIT(&store->open);
	TAILQ_INIT(&store->answers);
}

void store_fini(struct store *store)
{
	assert(TAILQ_EMPTY(&store->open) && TAILQ_EMPTY(&store->answers) &&
	       !store->answer_task.queued);
}
