/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A look reads the values about CloudStack that another program keeps. This part of a look is the
 * same for every backend that can have such values.
 */

#include "store/access.h"

#include <assert.h>

#include "base/secret.h"
#include "store/backend.h"

bool store_has_access(const struct store *store)
{
	return store->backend->read_access != NULL;
}

void store_access_clear(struct store_access *access)
{
	free(access->mark);
	free(access->name);
	free(access->url);
	secret_free(access->api_key);
	secret_free(access->secret_key);
	free(access->appliance_id);
	free(access->zone);
	*access = (struct store_access){ 0 };
}

void store_read_access(struct store *store, struct store_access *out)
{
	assert(store_has_access(store));
	*out = (struct store_access){ 0 };
	store->backend->read_access(store, out);
}

struct store_look *store_look_of(struct store_item *item)
{
	assert(item->type->kind == STORE_ITEM_ACCESS);
	return container_of(item, struct store_look, item);
}

static void tell_look(struct store_item *item)
{
	struct store_look *look = store_look_of(item);

	/* The look was refused before the backend saw it. */
	if (item->err)
		look->access.err = *item->err;
	look->done(look->arg, &look->access);
	look->access = (struct store_access){ 0 };
}

static void free_look(struct store_item *item)
{
	struct store_look *look = store_look_of(item);

	store_access_clear(&look->access);
	free(look->mark);
	free(look);
}

static const struct store_item_type look_type = { .kind = STORE_ITEM_ACCESS,
						  .tell = tell_look,
						  .free = free_look };

void store_look_access(struct store *store, const char *mark, store_access_fn done, void *arg)
{
	struct store_look *look = xnew(struct store_look);

	assert(store_has_access(store) && done);
	look->item.type = &look_type;
	look->mark = xstrdup(mark);
	look->done = done;
	look->arg = arg;
	store_submit_item(store, &look->item);
}
