/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The face of the store, the same for every backend: batches are put together here, urls choose the backend, and every
 * answer leaves through store_answer().
 *
 * A batch is a list of rows to put or to remove. What a row is, is told by its record: backends walk store_tables[] and
 * the fields behind it, and know no column by name. Rows are made equal here, before any backend sees them (a text
 * with a default is never NULL, a path that is not known is never ""), so that what comes back from a file is what
 * comes back from memory.
 */

#include "store/store_internal.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/uuid.h"

#define F(MEMBER, TYPE, ...) FIELD(history_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field history_fields[] = {
	F(id, TEXT, .doc = "Identifier of the transition; sorts by time."),
	F(operation_id, TEXT, .doc = "The operation."),
	F(previous_status, TEXT, .doc = "Its status before."),
	F(new_status, TEXT, .doc = "Its status after; the same when only the step changed."),
	F(changed_at, TIME, .doc = "When."),
	F(details, OBJECT, .doc = "The step and, if there was one, the error."),
};
#undef F
const struct record history_record = RECORD("history", history_record, history_fields);

const struct store_table_view store_tables[] = {
	[STORE_OPERATIONS] = { "volume_operations", &operation_record, "id" },
	[STORE_MAPPINGS] = { "device_mappings",
			     &mapping_record,
			     "volume_id",
			     { "vm_id", "device_path" },
			     "unique_device_path" },
	[STORE_HISTORY] = { "volume_operation_history", &history_record, "id" },
	[STORE_NAMES] = { "device_names", &name_record, "volume_id", { "name" }, "unique_name" },
	[STORE_EXPORTS] = { "nbd_exports", &export_row, "volume_id", { "export_name" }, "unique_export_name" },
};
_Static_assert(ARRAY_SIZE(store_tables) == STORE_TABLE_COUNT, "each table has one row");

static const struct store_backend *const backends[] = { &store_sqlite_backend, &store_mariadb_backend,
							&store_memory_backend };

const struct field *store_table_key(enum store_table table)
{
	const struct field *key = record_find(store_tables[table].record, store_tables[table].key);

	assert(key);
	return key;
}

const struct field *store_table_unique(enum store_table table, size_t n)
{
	const struct store_table_view *view = &store_tables[table];

	return n < ARRAY_SIZE(view->unique) && view->unique[n] ? record_find(view->record, view->unique[n]) : NULL;
}

void store_set_conflict(const struct store_change *change, const char *owner, struct err *err)
{
	const union store_row *row = &change->row;

	owner = str_or(owner, "unknown");
	switch (change->table) {
	case STORE_MAPPINGS:
		err_set(err, ERR_CONFLICT,
			"%s on virtual machine %s is mapped to volume %s already, volume %s cannot have it",
			row->mapping.device_path, row->mapping.vm_id, owner, row->mapping.volume_id);
		return;
	case STORE_NAMES:
		err_set(err, ERR_CONFLICT, "the device name %s is that of volume %s already, volume %s cannot have it",
			row->name.name, owner, row->name.volume_id);
		return;
	case STORE_EXPORTS:
		err_set(err, ERR_CONFLICT, "the export name %s is that of volume %s already, volume %s cannot have it",
			row->export.export_name, owner, row->export.volume_id);
		return;
	case STORE_OPERATIONS:
	case STORE_HISTORY:
	case STORE_TABLE_COUNT:
		break;
	}
	assert(!"nothing in this table is one volume's only");
}

/* ---- batches ---- */

struct store_batch *store_batch_new(const char *entity_key)
{
	struct store_batch *batch = xnew(struct store_batch);

	assert(!str_empty(entity_key));
	batch->item.kind = STORE_ITEM_BATCH;
	batch->entity_key = xstrdup(entity_key);
	STAILQ_INIT(&batch->changes);
	return batch;
}

void store_batch_free(struct store_batch *batch)
{
	struct store_change *change;

	if (!batch)
		return;
	assert(!batch->item.is_open && !batch->under_way);
	while ((change = STAILQ_FIRST(&batch->changes))) {
		STAILQ_REMOVE_HEAD(&batch->changes, entry);
		record_clear(store_tables[change->table].record, &change->row);
		free(change);
	}
	free(batch->entity_key);
	free(batch);
}

void store_batch_optional(struct store_batch *batch)
{
	assert(!batch->item.store);
	batch->optional = true;
}

static struct store_change *add_change(struct store_batch *batch, enum store_table table)
{
	struct store_change *change = xnew(struct store_change);

	assert(!batch->item.store);
	change->table = table;
	STAILQ_INSERT_TAIL(&batch->changes, change, entry);
	return change;
}

/* A text that has a default is never NULL in a row. */
static void fill_texts(const struct record *record, void *row)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		char **text = field_of(field, row);

		if ((field->type == FIELD_TEXT || field->type == FIELD_UUID) && field->fallback && !*text)
			*text = xstrdup(field->fallback);
	}
}

void store_batch_operation(struct store_batch *batch, const struct operation_record *operation)
{
	struct store_change *change = add_change(batch, STORE_OPERATIONS);

	assert(!str_empty(operation->id));
	record_copy(&operation_record, &change->row, operation);
	fill_texts(&operation_record, &change->row);
}

void store_batch_history(struct store_batch *batch, const char *operation_id, const char *previous_status,
			 const char *new_status, const char *details)
{
	struct history_record *row = &add_change(batch, STORE_HISTORY)->row.history;
	char id[UUID_TEXT_SIZE];

	assert(!str_empty(operation_id) && !str_empty(new_status));
	uuid_make_v7(id);
	row->id = xstrdup(id);
	row->operation_id = xstrdup(operation_id);
	row->previous_status = xstrdup(previous_status);
	row->new_status = xstrdup(new_status);
	row->changed_at = clock_wall_ms();
	row->details = xstrdup(details);
}

void store_batch_mapping(struct store_batch *batch, const struct mapping_record *mapping)
{
	struct mapping_record *row = &add_change(batch, STORE_MAPPINGS)->row.mapping;

	assert(!str_empty(mapping->id) && !str_empty(mapping->volume_id));
	record_copy(&mapping_record, row, mapping);
	fill_texts(&mapping_record, row);
	/* Two volumes of one machine may wait for a device at once; only paths that are known can collide. */
	if (str_empty(row->device_path))
		str_set(&row->device_path, NULL);
}

void store_batch_name(struct store_batch *batch, const struct name_record *name)
{
	struct name_record *row = &add_change(batch, STORE_NAMES)->row.name;

	assert(!str_empty(name->id) && !str_empty(name->volume_id) && !str_empty(name->name));
	record_copy(&name_record, row, name);
}

void store_batch_export(struct store_batch *batch, const struct export_record *export)
{
	struct export_record *row = &add_change(batch, STORE_EXPORTS)->row.export;

	assert(!str_empty(export->id) && !str_empty(export->volume_id) && !str_empty(export->export_name));
	record_copy(&export_row, row, export);
}

void store_batch_row(struct store_batch *batch, enum store_table table, const void *row)
{
	record_copy(store_tables[table].record, &add_change(batch, table)->row, row);
}

void store_batch_forget(struct store_batch *batch, const char *operation_id)
{
	struct store_change *change = add_change(batch, STORE_OPERATIONS);

	change->remove = true;
	change->row.operation.id = xstrdup(operation_id);
}

static void remove_row(struct store_batch *batch, enum store_table table, const char *volume_id)
{
	struct store_change *change = add_change(batch, table);

	assert(!str_empty(volume_id));
	change->remove = true;
	*(char **)field_of(store_table_key(table), &change->row) = xstrdup(volume_id);
}

void store_batch_unmap(struct store_batch *batch, const char *volume_id)
{
	remove_row(batch, STORE_MAPPINGS, volume_id);
}

void store_batch_unname(struct store_batch *batch, const char *volume_id)
{
	remove_row(batch, STORE_NAMES, volume_id);
}

void store_batch_unexport(struct store_batch *batch, const char *volume_id)
{
	remove_row(batch, STORE_EXPORTS, volume_id);
}

bool store_batch_claim(struct store_batch *batch)
{
	int claim = STORE_BATCH_FREE;

	return atomic_compare_exchange_strong(&batch->claim, &claim, STORE_BATCH_TAKEN) || claim == STORE_BATCH_TAKEN;
}

/* ---- items ---- */

struct store_batch *store_batch_of(struct store_item *item)
{
	assert(item->kind == STORE_ITEM_BATCH);
	return container_of(item, struct store_batch, item);
}

struct store_read *store_read_of(struct store_item *item)
{
	assert(item->kind == STORE_ITEM_READ);
	return container_of(item, struct store_read, item);
}

void store_submit_item(struct store *store, struct store_item *item)
{
	assert(!item->store);
	item->store = store;
	item->since_ms = clock_mono_ms();
	item->is_open = true;
	TAILQ_INSERT_TAIL(&store->open, item, open);
	store->open_count++;
	if (store->closing)
		store_refuse(item, "the daemon is stopping");
	else
		store->backend->submit(store, item);
}

static void close_item(struct store_item *item)
{
	if (!item->is_open)
		return;
	TAILQ_REMOVE(&item->store->open, item, open);
	item->store->open_count--;
	item->is_open = false;
}

static void read_free(struct store_read *read)
{
	store_read_reset(read);
	free(read->id);
	freep(&read->filter.volume_id);
	freep(&read->filter.vm_id);
	freep(&read->filter.before_id);
	freep(&read->filter.request_id);
	free(read);
}

void store_drop(struct store_item *item)
{
	close_item(item);
	switch (item->kind) {
	case STORE_ITEM_BATCH:
		store_batch_free(store_batch_of(item));
		break;
	case STORE_ITEM_READ:
		read_free(store_read_of(item));
		break;
	case STORE_ITEM_ACCESS:
		store_look_free(store_look_of(item));
		break;
	case STORE_ITEM_TIDY:
		break;
	}
}

static void tell_read(struct store_read *read)
{
	struct store_operations result = { .err = read->item.err, .more = read->more };

	if (read->cancelled)
		return;
	if (result.err.code == ERR_NONE) {
		result.items = read->items;
		result.count = read->count;
	}
	read->done(read->arg, &result);
}

void store_answer(struct store_item *item)
{
	struct store_batch *batch;

	close_item(item);
	if (item->kind == STORE_ITEM_READ) {
		tell_read(store_read_of(item));
	} else if (item->kind == STORE_ITEM_ACCESS) {
		store_look_answer(store_look_of(item));
	} else {
		batch = store_batch_of(item);
		if (batch->done)
			batch->done(batch->arg, &item->err);
		batch->done = NULL;
		/* Withdrawn from a thread that is stuck: the lane frees it when the thread gives it back. */
		if (batch->under_way)
			return;
	}
	store_drop(item);
}

void store_answer_later(struct store_item *item)
{
	TAILQ_INSERT_TAIL(&item->store->answers, item, queue);
	loop_task_queue(item->store->loop, &item->store->answer_task);
}

void store_refuse(struct store_item *item, const char *reason)
{
	err_set(&item->err, ERR_UNAVAILABLE, "the store is away, nothing was changed, try again later: %s", reason);
	store_answer_later(item);
}

static void on_answer_task(struct loop_task *task)
{
	struct store *store = container_of(task, struct store, answer_task);
	struct store_item *last = TAILQ_LAST(&store->answers, store_queue), *item;

	/* Up to what was there at first: an answer may lead to the next question. */
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

void store_submit(struct store *store, struct store_batch *batch, store_done_fn done, void *arg)
{
	batch->done = done;
	batch->arg = arg;
	store_submit_item(store, &batch->item);
}

/* ---- reads ---- */

static struct store_read *start_read(struct store *store, const char *id, const struct store_operation_filter *filter,
				     store_operations_fn done, void *arg)
{
	struct store_read *read = xnew(struct store_read);

	assert(done);
	read->item.kind = STORE_ITEM_READ;
	read->id = xstrdup(id);
	read->filter = *filter;
	read->filter.volume_id = xstrdup(filter->volume_id);
	read->filter.vm_id = xstrdup(filter->vm_id);
	read->filter.before_id = xstrdup(filter->before_id);
	read->filter.request_id = xstrdup(filter->request_id);
	read->done = done;
	read->arg = arg;
	store_submit_item(store, &read->item);
	return read;
}

struct store_read *store_find_operation(struct store *store, const char *id, store_operations_fn done, void *arg)
{
	const struct store_operation_filter filter = { .type = -1, .status = -1, .limit = 1 };

	assert(id);
	return start_read(store, id, &filter, done, arg);
}

struct store_read *store_list_operations(struct store *store, const struct store_operation_filter *filter,
					 store_operations_fn done, void *arg)
{
	assert(filter->limit > 0 && filter->limit < INT32_MAX);
	assert(filter->type < OPERATION_TYPE_COUNT && filter->status < OPERATION_STATUS_COUNT);
	return start_read(store, NULL, filter, done, arg);
}

void store_read_cancel(struct store_read *read)
{
	assert(read->item.is_open);
	read->cancelled = true;
	close_item(&read->item);
}

bool store_read_lacks_place(const struct store_read *read)
{
	return read->filter.before_id && !read->filter.before_ms;
}

int store_read_set_place(struct store_read *read, const struct operation_record *last)
{
	if (!last)
		return err_set_field(&read->item.err, "cursor", ERR_INVALID,
				     "operation %s, where the page before ended, is not in the store any more: begin "
				     "with the first page",
				     read->filter.before_id);
	read->filter.before_ms = last->created_at;
	return 0;
}

/* Room for one more of `size` bytes in an array that doubles. */
static void *grow(void *items, size_t count, size_t size)
{
	/* Powers of two need no second number to remember the room by. */
	if ((count & (count - 1)) == 0)
		items = xrealloc(items, size * (count ? count * 2 : 1));
	memset((char *)items + count * size, 0, size);
	return items;
}

struct operation_record *store_read_add(struct store_read *read)
{
	read->items = grow(read->items, read->count, sizeof(read->items[0]));
	return &read->items[read->count++];
}

void store_read_reset(struct store_read *read)
{
	for (size_t i = 0; i < read->count; i++)
		record_clear(&operation_record, &read->items[i]);
	freep(&read->items);
	read->count = 0;
}

void store_read_trim(struct store_read *read)
{
	read->more = read->count > read->filter.limit;
	if (read->more)
		record_clear(&operation_record, &read->items[--read->count]);
}

/* ---- opening, loading, health ---- */

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
	assert(TAILQ_EMPTY(&store->open) && TAILQ_EMPTY(&store->answers) && !store->answer_task.queued);
}

struct store *store_open(struct loop *loop, const struct store_options *options, struct err *err)
{
	const char *url = options->url;
	int scheme = (int)strcspn(url, ":/");
	struct buf _cleanup_buf_ allowed = BUF_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		if (str_has_prefix(url, backends[i]->scheme))
			return backends[i]->open(loop, options, err);
		buf_printf(&allowed, "%s%s", i ? " or " : "", backends[i]->example);
	}
	/* Only the scheme is repeated: what stands behind it may hold a password. */
	err_set_field(err, "store", ERR_INVALID, "a store url cannot begin with \"%.*s\"; it is %s",
		      scheme < 32 ? scheme : 32, url, allowed.data);
	return NULL;
}

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

int store_scan(struct store *store, enum store_table table, const char *after_id, size_t limit, store_row_fn fn,
	       void *arg, struct err *err)
{
	if (!store->backend->scan)
		return err_set(err, ERR_INVALID, "a store in memory ends with the daemon, there is nothing to read");
	return store->backend->scan(store, table, after_id, limit, fn, arg, err);
}

bool store_table_is_loaded(enum store_table table)
{
	return table != STORE_HISTORY;
}

void *store_loaded_add(struct store_loaded *loaded, enum store_table table)
{
	switch (table) {
	case STORE_OPERATIONS:
		loaded->operations = grow(loaded->operations, loaded->operation_count, sizeof(loaded->operations[0]));
		return &loaded->operations[loaded->operation_count++];
	case STORE_MAPPINGS:
		loaded->mappings = grow(loaded->mappings, loaded->mapping_count, sizeof(loaded->mappings[0]));
		return &loaded->mappings[loaded->mapping_count++];
	case STORE_NAMES:
		loaded->names = grow(loaded->names, loaded->name_count, sizeof(loaded->names[0]));
		return &loaded->names[loaded->name_count++];
	case STORE_EXPORTS:
		loaded->exports = grow(loaded->exports, loaded->export_count, sizeof(loaded->exports[0]));
		return &loaded->exports[loaded->export_count++];
	case STORE_HISTORY:
	case STORE_TABLE_COUNT:
		break;
	}
	assert(!"a table that is not loaded");
	return NULL;
}

static void clear_rows(enum store_table table, void *rows, size_t count)
{
	const struct record *record = store_tables[table].record;

	for (size_t i = 0; i < count; i++)
		record_clear(record, (char *)rows + i * record->size);
	free(rows);
}

void store_loaded_clear(struct store_loaded *loaded)
{
	clear_rows(STORE_OPERATIONS, loaded->operations, loaded->operation_count);
	clear_rows(STORE_MAPPINGS, loaded->mappings, loaded->mapping_count);
	clear_rows(STORE_NAMES, loaded->names, loaded->name_count);
	clear_rows(STORE_EXPORTS, loaded->exports, loaded->export_count);
	*loaded = (struct store_loaded){ 0 };
}

void store_health(const struct store *store, struct store_health *out)
{
	const struct store_item *oldest = TAILQ_FIRST(&store->open);

	*out = (struct store_health){ .waiting = store->open_count };
	if (oldest)
		out->oldest_ms = clock_mono_ms() - oldest->since_ms;
	store->backend->health(store, out);
}
