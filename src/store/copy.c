/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The steps of a copy, as items of the store. */

#include "store/copy.h"

#include <assert.h>

#include "store/backend.h"

struct store_copy *store_copy_of(struct store_item *item)
{
	assert(item->type->kind == STORE_ITEM_COPY);
	return container_of(item, struct store_copy, item);
}

static void tell_copy(struct store_item *item)
{
	struct store_copy *copy = store_copy_of(item);

	if (copy->done)
		copy->done(copy->arg, copy);
}

static void free_copy(struct store_item *item)
{
	struct store_copy *copy = store_copy_of(item);

	free(copy->path);
	free(copy->url);
	free(copy);
}

static const struct store_item_type copy_type = { .kind = STORE_ITEM_COPY,
						  .tell = tell_copy,
						  .free = free_copy };

static void submit(struct store *store, struct store_copy *copy)
{
	assert(!store->backend->no_copy);
	copy->item.type = &copy_type;
	store_submit_item(store, &copy->item);
}

void store_copy_step(struct store *store, void (*done)(void *arg, const struct store_copy *copy),
		     void *arg)
{
	struct store_copy *copy = xnew(struct store_copy);

	copy->done = done;
	copy->arg = arg;
	submit(store, copy);
}

void store_copy_give_up(struct store *store)
{
	struct store_copy *copy = xnew(struct store_copy);

	copy->give_up = true;
	submit(store, copy);
}
