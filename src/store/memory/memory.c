/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store that tests use. It keeps the same promises as a real store (order, atomic batches,
 * unique paths, transitions only of stored operations, answers in a later turn), with rows in
 * sorted arrays and one commit for each batch, so that "the nth commit" means the same in every
 * run.
 *
 * A batch is applied change by change; the row that a change replaced goes to a list, and a failing
 * batch is undone by walking that list from its end.
 */

#include "store/memory/memory.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "store/backend.h"
#include "store/batch.h"
#include "store/loaded.h"
#include "store/read.h"

/* Rows sorted by key, each row on the heap. */
struct memory_table {
	void **rows;
	size_t count;
	size_t room;
};

struct memory_data {
	struct memory_table tables[STORE_TABLE_COUNT];
};

struct memory_store {
	struct store store;
	struct memory_data data;
	struct store_queue queue;
	struct loop_task task;
	struct loop_timer timer; /* armed while a slow store works */
	int64_t slow_ms;
	char *away;       /* the reason; NULL if the store is not away */
	uint64_t commits; /* tried since this store was opened */
	uint64_t landed;
	uint64_t fail_at; /* 0: never */
	enum err_code fail_code;
	uint64_t crash_at;
	bool crash_before;
	bool crashed;
};

/* The row that a change replaced, or NULL if there was none. */
struct undo {
	enum store_table table;
	char *key;
	void *old;
};

struct undo_list {
	struct undo *items;
	size_t count;
	size_t room;
};

static struct memory_store *memory_store_of(struct store *store)
{
	assert(store->backend == &store_memory_backend);
	return container_of(store, struct memory_store, store);
}

static const struct memory_store *memory_store_of_const(const struct store *store)
{
	return (const struct memory_store *)(const void *)((const char *)store -
							   offsetof(struct memory_store, store));
}

/* ---- tables ---- */

static const char *key_of(const struct field *key, const void *row)
{
	return *(char *const *)field_of_const(key, row);
}

static void *row_copy(enum store_table table, const void *row)
{
	const struct record *record = store_tables[table].record;
	void *copy = xcalloc(1, record->size);

	record_copy(record, copy, row);
	return copy;
}

static void row_free(enum store_table table, void *row)
{
	if (!row)
		return;
	record_clear(store_tables[table].record, row);
	free(row);
}

/* The place of the key, or the place where the key would be put. */
static size_t table_place(const struct memory_data *data, enum store_table table, const char *key)
{
	const struct memory_table *t = &data->tables[table];
	const struct field *field = store_table_key(table);
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(key_of(field, t->rows[middle]), key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void *table_find(const struct memory_data *data, enum store_table table, const char *key)
{
	const struct memory_table *t = &data->tables[table];
	size_t place = table_place(data, table, key);

	return place < t->count && streq(key_of(store_table_key(table), t->rows[place]), key)
		       ? t->rows[place]
		       : NULL;
}

/* Puts the row (NULL: removes the present row) and gives back the row that it replaced. */
static void *table_set(struct memory_data *data, enum store_table table, const char *key, void *row)
{
	struct memory_table *t = &data->tables[table];
	size_t place = table_place(data, table, key);
	void *old = table_find(data, table, key);

	if (old && row) {
		t->rows[place] = row;
	} else if (old) {
		memmove(&t->rows[place], &t->rows[place + 1],
			(--t->count - place) * sizeof(t->rows[0]));
	} else if (row) {
		if (t->count == t->room) {
			t->room = t->room ? t->room * 2 : 16;
			t->rows = xrealloc(t->rows, t->room * sizeof(t->rows[0]));
		}
		memmove(&t->rows[place + 1], &t->rows[place],
			(t->count++ - place) * sizeof(t->rows[0]));
		t->rows[place] = row;
	}
	return old;
}

static void data_clear(struct memory_data *data)
{
	for (int table = 0; table < STORE_TABLE_COUNT; table++) {
		for (size_t i = 0; i < data->tables[table].count; i++)
			row_free((enum store_table)table, data->tables[table].rows[i]);
		free(data->tables[table].rows);
	}
	*data = (struct memory_data){ 0 };
}

/* ---- one batch ---- */

static void remember(struct undo_list *list, enum store_table table, const char *key, void *old)
{
	if (list->count == list->room) {
		list->room = list->room ? list->room * 2 : 8;
		list->items = xrealloc(list->items, list->room * sizeof(list->items[0]));
	}
	list->items[list->count++] =
		(struct undo){ .table = table, .key = xstrdup(key), .old = old };
}

static void undo_all(struct memory_data *data, struct undo_list *list)
{
	for (size_t i = list->count; i-- > 0;) {
		struct undo *undo = &list->items[i];

		row_free(undo->table, table_set(data, undo->table, undo->key, TAKE_PTR(undo->old)));
	}
}

static void undo_forget(struct undo_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		row_free(list->items[i].table, list->items[i].old);
		free(list->items[i].key);
	}
	free(list->items);
	*list = (struct undo_list){ 0 };
}

/* A key that is not set equals no other key, as in SQL. */
static bool collides(enum store_table table, const void *a, const void *b)
{
	const struct field *field;

	for (size_t i = 0; (field = store_table_unique(table, i)); i++) {
		if (!streq(key_of(field, a), key_of(field, b)))
			return false;
	}
	return true;
}

static int check_unique(const struct memory_data *data, const struct store_change *change,
			struct err *err)
{
	const struct memory_table *table = &data->tables[change->table];
	const struct field *key = store_table_key(change->table);
	const struct field *id = &store_tables[change->table].record->fields[0];

	for (size_t i = 0; i < table->count; i++) {
		const void *other = table->rows[i];

		if (streq(key_of(key, other), key_of(key, &change->row)))
			continue;
		if (collides(change->table, other, &change->row)) {
			store_set_conflict(change->table, &change->row, key_of(key, other), err);
			return -1;
		}
		if (streq(key_of(id, other), key_of(id, &change->row)))
			return err_set(
				err, ERR_INTERNAL,
				"the store refuses a row of table %s: id %s is that of volume %s",
				store_tables[change->table].name, key_of(id, other),
				key_of(key, other));
	}
	return 0;
}

static int check_change(const struct memory_data *data, const struct store_change *change,
			struct err *err)
{
	if (change->remove)
		return 0;
	switch (change->table) {
	case STORE_MAPPINGS:
	case STORE_NAMES:
	case STORE_EXPORTS:
		return check_unique(data, change, err);
	case STORE_HISTORY:
		if (table_find(data, STORE_OPERATIONS, change->row.history.operation_id))
			return 0;
		return err_set(
			err, ERR_INTERNAL,
			"a transition of operation %s cannot be stored before the operation itself",
			change->row.history.operation_id);
	case STORE_OPERATIONS:
	case STORE_MARKS:
	case STORE_SNAPSHOTS:
	case STORE_TOKENS:
	case STORE_TABLE_COUNT:
		break;
	}
	return 0;
}

/* Removes the history with its operation, as a foreign key does. */
static void forget_history(struct memory_data *data, const char *operation_id,
			   struct undo_list *undo)
{
	struct memory_table *table = &data->tables[STORE_HISTORY];

	for (size_t i = table->count; i-- > 0;) {
		struct history_record *history = table->rows[i];
		_cleanup_free_ char *id = xstrdup(history->id);

		if (streq(history->operation_id, operation_id))
			remember(undo, STORE_HISTORY, id, table_set(data, STORE_HISTORY, id, NULL));
	}
}

static void apply_batch(struct memory_data *data, struct store_batch *batch)
{
	struct undo_list undo = { 0 };
	struct store_change *change;
	struct err err;

	STAILQ_FOREACH(change, &batch->changes, entry) {
		const char *key = key_of(store_table_key(change->table), &change->row);
		void *row;

		if (check_change(data, change, &err) < 0) {
			store_item_set_err(&batch->item, &err);
			undo_all(data, &undo);
			break;
		}
		row = change->remove ? NULL : row_copy(change->table, &change->row);
		remember(&undo, change->table, key, table_set(data, change->table, key, row));
		if (change->table == STORE_OPERATIONS && change->remove)
			forget_history(data, key, &undo);
	}
	undo_forget(&undo);
}

/* ---- reads ---- */

static int compare_age(int64_t a_ms, const char *a_id, int64_t b_ms, const char *b_id)
{
	return a_ms != b_ms ? (a_ms < b_ms ? -1 : 1) : strcmp(a_id, b_id);
}

static int newest_first(const void *a, const void *b)
{
	const struct operation_record *x = *(void *const *)a, *y = *(void *const *)b;

	return compare_age(y->created_at, y->id, x->created_at, x->id);
}

static bool matches(const struct operation_record *operation, const struct store_read *read)
{
	const struct store_operation_filter *filter = &read->filter;

	/* As in SQL, where a time that is not set is neither before nor after another. */
	if ((filter->since_ms || filter->until_ms) && operation->created_at == 0)
		return false;
	return (!read->id || streq(operation->id, read->id)) &&
	       (filter->type < 0 || operation->type == filter->type) &&
	       (filter->status < 0 || operation->status == filter->status) &&
	       (!filter->volume_id || streq(operation->volume_id, filter->volume_id)) &&
	       (!filter->vm_id || streq(operation->vm_id, filter->vm_id)) &&
	       (!filter->since_ms || operation->created_at >= filter->since_ms) &&
	       (!filter->until_ms || operation->created_at < filter->until_ms) &&
	       (!filter->ended_before_ms ||
		(operation->completed_at && operation->completed_at < filter->ended_before_ms)) &&
	       (!filter->request_id || streq(operation->request_id, filter->request_id)) &&
	       (!filter->needs_attention || operation->needs_attention) &&
	       (!filter->before_id || compare_age(operation->created_at, operation->id,
						  filter->before_ms, filter->before_id) < 0);
}

static void count(const struct memory_data *data, struct store_read *read)
{
	const struct memory_table *table = &data->tables[STORE_OPERATIONS];
	struct store_counts *counts = &read->counts;
	int64_t sum_ms = 0, timed = 0;

	for (size_t i = 0; i < table->count; i++) {
		const struct operation_record *operation = table->rows[i];

		counts->operations++;
		counts->by_type[operation->type]++;
		counts->by_status[operation->status]++;
		if (!operation_status_is_final(operation->status) ||
		    operation->created_at < read->filter.since_ms)
			continue;
		counts->ended++;
		counts->failed += operation->status == OPERATION_FAILED;
		timed += operation->completed_at != 0;
		if (operation->completed_at > operation->created_at)
			sum_ms += operation->completed_at - operation->created_at;
	}
	counts->mean_ms = timed ? sum_ms / timed : 0;
}

static void list(const struct memory_data *data, struct store_read *read)
{
	const struct memory_table *table = &data->tables[STORE_OPERATIONS];
	void **found;
	size_t count = 0;
	struct err err;

	if (store_read_lacks_place(read) &&
	    store_read_set_place(read, table_find(data, STORE_OPERATIONS, read->filter.before_id),
				 &err) < 0) {
		store_item_set_err(&read->item, &err);
		return;
	}
	found = xcalloc(table->count + 1, sizeof(found[0]));
	for (size_t i = 0; i < table->count; i++) {
		if (matches(table->rows[i], read))
			found[count++] = table->rows[i];
	}
	qsort(found, count, sizeof(found[0]), newest_first);
	for (size_t i = 0; i < count && i <= read->filter.limit; i++)
		record_copy(&operation_record, store_read_add(read), found[i]);
	free(found);
	store_read_trim(read);
}

static int oldest_transition_first(const void *a, const void *b)
{
	const struct history_record *x = *(void *const *)a, *y = *(void *const *)b;

	return compare_age(x->changed_at, x->id, y->changed_at, y->id);
}

static bool is_listed(const struct history_record *row, const struct history_record *after,
		      const struct store_read *read)
{
	if (!streq(row->operation_id, read->id))
		return false;
	if (!read->after_id || streq(row->id, read->also_id))
		return true;
	return after && compare_age(row->changed_at, row->id, after->changed_at, after->id) > 0;
}

static void list_history(const struct memory_data *data, struct store_read *read)
{
	const struct memory_table *table = &data->tables[STORE_HISTORY];
	const struct history_record *after =
		read->after_id ? table_find(data, STORE_HISTORY, read->after_id) : NULL;
	void **found = xcalloc(table->count + 1, sizeof(found[0]));
	size_t count = 0;

	for (size_t i = 0; i < table->count; i++) {
		if (is_listed(table->rows[i], after, read))
			found[count++] = table->rows[i];
	}
	qsort(found, count, sizeof(found[0]), oldest_transition_first);
	for (size_t i = 0; i < count && i <= read->filter.limit; i++)
		record_copy(&history_row, store_read_add(read), found[i]);
	free(found);
	store_read_trim(read);
}

static void run_read(const struct memory_data *data, struct store_read *read)
{
	if (read->counted)
		count(data, read);
	else if (read->told)
		list_history(data, read);
	else
		list(data, read);
}

/* ---- the queue ---- */

/* From here on no caller hears of any commit. */
static void crash(struct memory_store *store)
{
	store->crashed = true;
	loop_task_cancel(store->store.loop, &store->store.answer_task);
}

/* True when the batch has an answer; false when the store crashed at it. */
static bool run_batch(struct memory_store *store, struct store_batch *batch)
{
	uint64_t nth = ++store->commits;
	struct err err;

	if (nth == store->crash_at && store->crash_before) {
		crash(store);
		return false;
	}
	if (nth == store->fail_at) {
		err_set(&err, store->fail_code, "the test wants commit %llu to fail",
			(unsigned long long)nth);
		store_item_set_err(&batch->item, &err);
		return true;
	}
	apply_batch(&store->data, batch);
	if (nth == store->crash_at) {
		crash(store);
		return false;
	}
	store->landed++;
	return true;
}

/* Items that cannot wait for a store that is away. */
static bool is_impatient(struct store_item *item)
{
	return item->type->kind == STORE_ITEM_READ || store_batch_of(item)->optional;
}

static void refuse_impatient(struct memory_store *store, bool all)
{
	struct store_queue kept = TAILQ_HEAD_INITIALIZER(kept);
	struct store_item *item;

	while ((item = TAILQ_FIRST(&store->queue))) {
		TAILQ_REMOVE(&store->queue, item, queue);
		if (all || is_impatient(item))
			store_refuse(item, store->away);
		else
			TAILQ_INSERT_TAIL(&kept, item, queue);
	}
	TAILQ_CONCAT(&store->queue, &kept, queue);
}

/*
 * Commits and answers batch by batch, so that a crash at the nth commit keeps the answers before
 * it.
 */
static void run_queue(struct memory_store *store, const struct store_item *last)
{
	struct store_item *item;

	while (!store->crashed && !store->away && (item = TAILQ_FIRST(&store->queue))) {
		bool was_last = item == last;

		if (item->type->kind == STORE_ITEM_READ)
			run_read(&store->data, store_read_of(item));
		else if (!run_batch(store, store_batch_of(item)))
			return;
		TAILQ_REMOVE(&store->queue, item, queue);
		store_answer(item);
		if (was_last)
			break;
	}
}

static void run_soon(struct memory_store *store)
{
	if (store->slow_ms == 0)
		loop_task_queue(store->store.loop, &store->task);
	else if (!loop_timer_is_set(&store->timer))
		loop_timer_set(store->store.loop, &store->timer, store->slow_ms);
}

static void on_task(struct loop_task *task)
{
	struct memory_store *store = container_of(task, struct memory_store, task);

	if (store->crashed)
		return;
	if (store->away)
		refuse_impatient(store, false);
	else
		run_queue(store, TAILQ_LAST(&store->queue, store_queue));
	/* Items that the answers have added are for the next turn. */
	if (!store->crashed && !store->away && !TAILQ_EMPTY(&store->queue))
		run_soon(store);
}

static void on_timer(struct loop_timer *timer)
{
	on_task(&container_of(timer, struct memory_store, timer)->task);
}

static void memory_submit(struct store *base, struct store_item *item)
{
	struct memory_store *store = memory_store_of(base);

	TAILQ_INSERT_TAIL(&store->queue, item, queue);
	if (!store->crashed)
		run_soon(store);
}

/* ---- opening, closing, loading ---- */

struct store *store_memory_new(struct loop *loop)
{
	struct memory_store *store = xnew(struct memory_store);

	store_init(&store->store, &store_memory_backend, loop);
	store->task.run = on_task;
	store->timer.fire = on_timer;
	TAILQ_INIT(&store->queue);
	return &store->store;
}

static struct store *memory_open(struct loop *loop, const struct store_options *options,
				 struct err *err)
{
	if (!streq(options->url, "memory:")) {
		err_set_field(err, "store", ERR_INVALID, "nothing can stand behind \"memory:\"");
		return NULL;
	}
	return store_memory_new(loop);
}

static void drop_queue(struct store_queue *queue)
{
	struct store_item *item;

	while ((item = TAILQ_FIRST(queue))) {
		TAILQ_REMOVE(queue, item, queue);
		store_drop(item);
	}
}

static void memory_free(struct memory_store *store)
{
	loop_task_cancel(store->store.loop, &store->task);
	loop_timer_clear(store->store.loop, &store->timer);
	loop_task_cancel(store->store.loop, &store->store.answer_task);
	drop_queue(&store->queue);
	drop_queue(&store->store.answers);
	store_fini(&store->store);
	data_clear(&store->data);
	free(store->away);
	free(store);
}

static void memory_close(struct store *base)
{
	struct memory_store *store = memory_store_of(base);

	run_queue(store, NULL);
	if (!store->crashed) {
		refuse_impatient(store, true);
		store_answer_all(base);
	}
	memory_free(store);
}

static void load_table(const struct memory_data *data, enum store_table table,
		       struct store_loaded *out)
{
	const struct memory_table *t = &data->tables[table];

	for (size_t i = 0; i < t->count; i++) {
		const struct operation_record *operation = t->rows[i];

		store_loaded_note(out, table, t->rows[i]);
		if (store_table_is_loaded(table) &&
		    (table != STORE_OPERATIONS || !operation_status_is_final(operation->status)))
			record_copy(store_tables[table].record, store_loaded_add(out, table),
				    t->rows[i]);
	}
}

static int oldest_first(const void *a, const void *b)
{
	const struct operation_record *x = a, *y = b;

	return compare_age(x->created_at, x->id, y->created_at, y->id);
}

static int memory_load(struct store *base, struct store_loaded *out, struct err *err)
{
	struct memory_store *store = memory_store_of(base);

	assert(TAILQ_EMPTY(&store->queue));
	if (store->away)
		return err_set(err, ERR_UNAVAILABLE, "the store is away: %s", store->away);
	for (int table = 0; table < STORE_TABLE_COUNT; table++)
		load_table(&store->data, (enum store_table)table, out);
	if (out->operation_count)
		qsort(out->operations, out->operation_count, sizeof(out->operations[0]),
		      oldest_first);
	return 0;
}

static void memory_health(const struct store *base, struct store_health *out)
{
	const struct memory_store *store = memory_store_of_const(base);

	out->transactions = store->landed;
	out->away = store->away != NULL;
	snprintf(out->reason, sizeof(out->reason), "%s", str_or(store->away, ""));
}

const struct store_backend store_memory_backend = {
	.scheme = "memory:",
	.example = "memory: (for tests, forgets everything)",
	.is_local = true,
	.open = memory_open,
	.close = memory_close,
	.submit = memory_submit,
	.load = memory_load,
	.no_copy = "a store in memory ends with the daemon, there is nothing to back up",
	.health = memory_health,
};

/* ---- obedience ---- */

struct store *store_memory_reopen(struct store *old)
{
	struct memory_store *from = memory_store_of(old);
	struct store *reopened = store_memory_new(old->loop);

	memory_store_of(reopened)->data = from->data;
	from->data = (struct memory_data){ 0 };
	memory_free(from);
	return reopened;
}

void store_memory_set_away(struct store *base, const char *reason)
{
	struct memory_store *store = memory_store_of(base);

	str_set(&store->away, reason);
	if (!store->crashed && !TAILQ_EMPTY(&store->queue))
		loop_task_queue(base->loop, &store->task);
}

void store_memory_set_slow(struct store *base, int64_t ms)
{
	memory_store_of(base)->slow_ms = ms;
}

void store_memory_fail_at(struct store *base, uint64_t nth_commit, enum err_code code)
{
	struct memory_store *store = memory_store_of(base);

	assert(code != ERR_NONE && nth_commit > store->commits);
	store->fail_at = nth_commit;
	store->fail_code = code;
}

void store_memory_crash_at(struct store *base, uint64_t nth_commit, bool before)
{
	struct memory_store *store = memory_store_of(base);

	assert(nth_commit > store->commits);
	store->crash_at = nth_commit;
	store->crash_before = before;
}

bool store_memory_has_crashed(const struct store *base)
{
	return memory_store_of_const(base)->crashed;
}

size_t store_memory_history(const struct store *base, const char *operation_id,
			    struct store_memory_transition *out, size_t max)
{
	const struct memory_store *store = memory_store_of_const(base);
	const struct memory_table *table = &store->data.tables[STORE_HISTORY];
	size_t count = 0;

	for (size_t i = 0; i < table->count; i++) {
		const struct history_record *row = table->rows[i];

		if (!streq(row->operation_id, operation_id))
			continue;
		if (count < max)
			out[count] =
				(struct store_memory_transition){ row->previous_status,
								  row->new_status, row->details };
		count++;
	}
	return count;
}
