/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reads of operations. The caller's question is copied, so that it can be answered on another
 * thread after the caller has gone, and the result belongs to the read: it lasts as long as the
 * callback.
 */

#include "store/read.h"

#include <assert.h>

struct store_read *store_read_of(struct store_item *item)
{
	assert(item->type->kind == STORE_ITEM_READ);
	return container_of(item, struct store_read, item);
}

static void tell_history(const struct store_read *read, const struct err *err)
{
	struct store_history result = { .more = read->more };

	if (err) {
		result.err = *err;
	} else {
		result.items = read->items;
		result.count = read->count;
	}
	read->told(read->arg, &result);
}

static void tell_read(struct store_item *item)
{
	struct store_read *read = store_read_of(item);
	struct store_operations result = { .more = read->more };

	if (read->cancelled)
		return;
	if (read->counted) {
		if (item->err)
			read->counts = (struct store_counts){ .err = *item->err };
		read->counted(read->arg, &read->counts);
		return;
	}
	if (read->told) {
		tell_history(read, item->err);
		return;
	}
	if (item->err) {
		result.err = *item->err;
	} else {
		result.items = read->items;
		result.count = read->count;
	}
	read->done(read->arg, &result);
}

static void free_read(struct store_item *item)
{
	struct store_read *read = store_read_of(item);

	store_read_reset(read);
	free(read->id);
	free(read->after_id);
	free(read->also_id);
	freep(&read->filter.volume_id);
	freep(&read->filter.vm_id);
	freep(&read->filter.before_id);
	freep(&read->filter.request_id);
	free(read);
}

static const struct store_item_type read_type = { .kind = STORE_ITEM_READ,
						  .tell = tell_read,
						  .free = free_read };

static struct store_read *read_new(const char *id, const struct store_operation_filter *filter,
				   store_operations_fn done, void *arg)
{
	struct store_read *read = xnew(struct store_read);

	read->item.type = &read_type;
	read->table = STORE_OPERATIONS;
	read->id = xstrdup(id);
	read->filter = *filter;
	read->filter.volume_id = xstrdup(filter->volume_id);
	read->filter.vm_id = xstrdup(filter->vm_id);
	read->filter.before_id = xstrdup(filter->before_id);
	read->filter.request_id = xstrdup(filter->request_id);
	read->done = done;
	read->arg = arg;
	return read;
}

static struct store_read *submit(struct store *store, struct store_read *read)
{
	store_submit_item(store, &read->item);
	return read;
}

struct store_read *store_find_operation(struct store *store, const char *id,
					store_operations_fn done, void *arg)
{
	const struct store_operation_filter filter = { .type = -1, .status = -1, .limit = 1 };

	assert(id && done);
	return submit(store, read_new(id, &filter, done, arg));
}

struct store_read *store_list_operations(struct store *store,
					 const struct store_operation_filter *filter,
					 store_operations_fn done, void *arg)
{
	assert(done && filter->limit > 0 && filter->limit < INT32_MAX);
	assert(filter->type < OPERATION_TYPE_COUNT && filter->status < OPERATION_STATUS_COUNT);
	return submit(store, read_new(NULL, filter, done, arg));
}

struct store_read *store_list_history(struct store *store,
				      const struct store_history_filter *filter,
				      store_history_fn told, void *arg)
{
	const struct store_operation_filter rows = { .type = -1,
						     .status = -1,
						     .limit = filter->limit + !!filter->also_id };
	struct store_read *read = read_new(filter->operation_id, &rows, NULL, arg);

	assert(filter->operation_id && told);
	assert(filter->limit > 0 && filter->limit < INT32_MAX);
	assert(!filter->also_id || filter->after_id);
	read->after_id = xstrdup(filter->after_id);
	read->also_id = xstrdup(filter->also_id);
	read->table = STORE_HISTORY;
	read->told = told;
	return submit(store, read);
}

struct store_read *store_count_operations(struct store *store, int64_t since_ms,
					  store_counts_fn done, void *arg)
{
	const struct store_operation_filter filter = { .since_ms = since_ms };
	struct store_read *read = read_new(NULL, &filter, NULL, arg);

	assert(done && since_ms > 0);
	read->counted = done;
	return submit(store, read);
}

void store_read_cancel(struct store_read *read)
{
	assert(read->item.is_open);
	read->cancelled = true;
	store_item_close(&read->item);
}

/* ---- for backends ---- */

bool store_read_lacks_place(const struct store_read *read)
{
	return read->filter.before_id && !read->filter.before_ms;
}

int store_read_set_place(struct store_read *read, const struct operation_record *last,
			 struct err *err)
{
	if (!last)
		return err_set_field(
			err, "cursor", ERR_INVALID,
			"operation %s, where the page before ended, is not in the store any more: begin "
			"with the first page",
			read->filter.before_id);
	read->filter.before_ms = last->created_at;
	return 0;
}

static void *row_of(const struct store_read *read, size_t n)
{
	return (char *)read->items + n * store_tables[read->table].record->size;
}

void *store_read_add(struct store_read *read)
{
	read->items = store_table_grow(read->table, read->items, read->count);
	return row_of(read, read->count++);
}

void store_read_reset(struct store_read *read)
{
	for (size_t i = 0; i < read->count; i++)
		record_clear(store_tables[read->table].record, row_of(read, i));
	freep(&read->items);
	read->count = 0;
	read->counts = (struct store_counts){ 0 };
}

void store_read_trim(struct store_read *read)
{
	read->more = read->count > read->filter.limit;
	if (read->more)
		record_clear(store_tables[read->table].record, row_of(read, --read->count));
}
