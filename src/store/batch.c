/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Batches: lists of rows to put or to remove.
 *
 * Rows are made equal here, before any backend sees them (a text with a default is never NULL, a
 * path that is not known is never ""), so that a file and memory give back the same rows.
 */

#include "store/batch.h"

#include <assert.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "store/backend.h"

static void tell_batch(struct store_item *item)
{
	static const struct err none = { 0 };
	struct store_batch *batch = store_batch_of(item);

	if (batch->done)
		batch->done(batch->arg, item->err ? item->err : &none);
	batch->done = NULL;
}

static void free_batch(struct store_item *item)
{
	store_batch_free(store_batch_of(item));
}

static const struct store_item_type batch_type = { .kind = STORE_ITEM_BATCH,
						   .tell = tell_batch,
						   .free = free_batch };

struct store_batch *store_batch_new(const char *entity_key)
{
	struct store_batch *batch = xnew(struct store_batch);

	assert(!str_empty(entity_key));
	batch->item.type = &batch_type;
	batch->entity_key = xstrdup(entity_key);
	STAILQ_INIT(&batch->changes);
	return batch;
}

struct store_batch *store_batch_of(struct store_item *item)
{
	assert(item->type->kind == STORE_ITEM_BATCH);
	return container_of(item, struct store_batch, item);
}

void store_batch_free(struct store_batch *batch)
{
	struct store_change *change;

	if (!batch)
		return;
	assert(!batch->item.is_open && !batch->item.under_way);
	while ((change = STAILQ_FIRST(&batch->changes))) {
		STAILQ_REMOVE_HEAD(&batch->changes, entry);
		record_clear(store_tables[change->table].record, &change->row);
		free(change);
	}
	free(batch->entity_key);
	free(batch);
}

bool store_batch_claim(struct store_batch *batch)
{
	int claim = STORE_BATCH_FREE;

	return atomic_compare_exchange_strong(&batch->claim, &claim, STORE_BATCH_TAKEN) ||
	       claim == STORE_BATCH_TAKEN;
}

/* Each change of an operation has a row of history, whose id is its newest. */
static void note_newest(struct store *store, const struct store_batch *batch)
{
	const struct store_change *change;

	STAILQ_FOREACH(change, &batch->changes, entry) {
		const char *id = change->row.history.id;

		if (change->table == STORE_HISTORY && uuid_is_v7(id) &&
		    strcmp(id, store->newest_id) > 0)
			memcpy(store->newest_id, id, sizeof(store->newest_id));
	}
}

void store_submit(struct store *store, struct store_batch *batch, store_done_fn done, void *arg)
{
	batch->done = done;
	batch->arg = arg;
	note_newest(store, batch);
	store_submit_item(store, &batch->item);
}

void store_heal_links(struct store *store)
{
	struct store_batch *batch;

	if (!store->backend->has_links)
		return;
	batch = store_batch_new("links");
	batch->heals_links = true;
	store_batch_optional(batch);
	store_submit(store, batch, NULL, NULL);
}

/* ---- assembly ---- */

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

		if ((field->type == FIELD_TEXT || field->type == FIELD_UUID) && field->fallback &&
		    !*text)
			*text = xstrdup(field->fallback);
	}
}

static void put_operation(struct store_batch *batch, const struct operation_record *operation,
			  bool stays)
{
	struct store_change *change = add_change(batch, STORE_OPERATIONS);

	assert(!str_empty(operation->id));
	record_copy(&operation_row, &change->row, operation);
	fill_texts(&operation_row, &change->row);
	change->stays = stays;
}

void store_batch_operation(struct store_batch *batch, const struct operation_record *operation)
{
	put_operation(batch, operation, false);
}

void store_batch_operation_stays(struct store_batch *batch,
				 const struct operation_record *operation)
{
	put_operation(batch, operation, true);
}

void store_batch_history(struct store_batch *batch, const char *operation_id,
			 const char *previous_status, const char *new_status, const char *details,
			 const char *caller)
{
	struct history_record *row = &add_change(batch, STORE_HISTORY)->row.history;
	char id[UUID_TEXT_SIZE];

	assert(!str_empty(operation_id) && !str_empty(new_status));
	uuid_make_v7(id);
	row->id = xstrdup(id);
	row->operation_id = xstrdup(operation_id);
	row->previous_status = xstrdup(previous_status);
	row->new_status = xstrdup(new_status);
	row->changed_at = clock_record_ms();
	row->details = xstrdup(details);
	row->caller = xstrdup(caller);
}

void store_batch_mapping(struct store_batch *batch, const struct mapping_record *mapping)
{
	struct mapping_record *row = &add_change(batch, STORE_MAPPINGS)->row.mapping;

	assert(!str_empty(mapping->id) && !str_empty(mapping->volume_id));
	record_copy(&mapping_record, row, mapping);
	fill_texts(&mapping_record, row);
	/*
	 * Two volumes of one machine may wait for a device at once; only known paths can collide.
	 */
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

	assert(!str_empty(export->id) && !str_empty(export->volume_id) &&
	       !str_empty(export->export_name));
	record_copy(&export_row, row, export);
}

void store_batch_snapshot(struct store_batch *batch, const struct snapshot_record *snapshot)
{
	struct snapshot_record *row = &add_change(batch, STORE_SNAPSHOTS)->row.snapshot;

	assert(!str_empty(snapshot->id));
	record_copy(&snapshot_row, row, snapshot);
	fill_texts(&snapshot_row, row);
}

void store_batch_token(struct store_batch *batch, const struct token_record *token)
{
	assert(!str_empty(token->id) && !str_empty(token->digest));
	record_copy(&token_row, &add_change(batch, STORE_TOKENS)->row.token, token);
}

void store_batch_mark(struct store_batch *batch, const char *id, const char *value)
{
	struct mark_record *row = &add_change(batch, STORE_MARKS)->row.mark;

	row->id = xstrdup(id);
	row->value = xstrdup(str_or(value, ""));
	row->updated_at = clock_record_ms();
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

static void remove_row(struct store_batch *batch, enum store_table table, const char *key)
{
	struct store_change *change = add_change(batch, table);

	assert(!str_empty(key));
	change->remove = true;
	*(char **)field_of(store_table_key(table), &change->row) = xstrdup(key);
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

void store_batch_unsnapshot(struct store_batch *batch, const char *volume_id)
{
	remove_row(batch, STORE_SNAPSHOTS, volume_id);
}

void store_batch_untoken(struct store_batch *batch, const char *name)
{
	remove_row(batch, STORE_TOKENS, name);
}
