/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Looks at what another program writes about CloudStack: the same for every backend that can have it. */

#include <assert.h>

#include "base/secret.h"
#include "store/store_internal.h"

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
	free(access->zone_id);
	*access = (struct store_access){ 0 };
}

void store_read_access(struct store *store, struct store_access *out)
{
	assert(store_has_access(store));
	*out = (struct store_access){ 0 };
	store->backend->read_access(store, out);
}

void store_look_access(struct store *store, const char *mark, store_access_fn done, void *arg)
{
	struct store_look *look = xnew(struct store_look);

	assert(store_has_access(store) && done);
	look->item.kind = STORE_ITEM_ACCESS;
	look->mark = xstrdup(mark);
	look->done = done;
	look->arg = arg;
	store_submit_item(store, &look->item);
}

struct store_look *store_look_of(struct store_item *item)
{
	assert(item->kind == STORE_ITEM_ACCESS);
	return container_of(item, struct store_look, item);
}

void store_look_answer(struct store_look *look)
{
	/* Refused before the backend has seen it. */
	if (look->item.err.code)
		look->access.err = look->item.err;
	look->done(look->arg, &look->access);
	look->access = (struct store_access){ 0 };
}

void store_look_free(struct store_look *look)
{
	store_access_clear(&look->access);
	free(look->mark);
	free(look);
}
