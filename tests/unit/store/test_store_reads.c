/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every store promises about reads: each test runs against every variant. */

#include <stdio.h>

#include "fixture.h"
#include "store/prune.h"

static void put_listed(struct fixture *f)
{
	struct store_batch *batch = store_batch_new("list");

	for (int i = 0; i < 10; i++) {
		struct operation_record operation = { 0 };
		char id[16];

		snprintf(id, sizeof(id), "op-%d", (i * 7) % 10);
		make_operation(&operation, id, i % 2 ? OPERATION_COMPLETED : OPERATION_FAILED,
			       i < 5 ? "v1" : "v2");
		operation.type = i % 3 ? OPERATION_ATTACH : OPERATION_DETACH;
		str_set(&operation.vm_id, i < 8 ? VM_A : NULL);
		operation.created_at = 1000 + (i * 7) % 10;
		store_batch_operation(batch, &operation);
		record_clear(&operation_record, &operation);
	}
	assert_ok(fixture_commit(f, batch));
}

/* The last characters of the ids, in the order of the list; a + when there are more. */
static void assert_list(struct fixture *f, struct store_operation_filter filter,
			const char *expected)
{
	struct list list = fixture_list(f, &filter);
	char ids[64] = "";

	assert_ok(list.err);
	for (size_t i = 0; i < list.count; i++)
		ids[i] = list.items[i].id[3];
	if (list.more)
		ids[list.count] = '+';
	assert_string_equal(ids, expected);
	list_clear(&list);
}

static void lists_come_in_pages_newest_first(void **state)
{
	struct fixture *f = *state;
	struct store_operation_filter filter = LIST_ANY;

	assert_list(f, filter, "");
	put_listed(f);
	assert_list(f, filter, "9876543210");
	filter.limit = 10;
	assert_list(f, filter, "9876543210");
	filter.limit = 4;
	assert_list(f, filter, "9876+");
	filter.before_id = "op-6";
	assert_list(f, filter, "5432+");
	filter.before_id = "op-2";
	assert_list(f, filter, "10");
	filter.before_id = "op-0";
	assert_list(f, filter, "");
}

/* Ids of earlier daemons say nothing about age. */
static void lists_and_their_pages_go_by_age(void **state)
{
	static const struct {
		const char *id;
		int64_t created_at;
	} rows[] = { { "op-a", 3000 },
		     { "op-z", 1000 },
		     { "op-m", 2000 },
		     { "op-b", 2000 },
		     { "op-y", 500 } };
	struct fixture *f = *state;
	struct store_operation_filter filter = LIST_ANY;
	struct store_batch *batch = store_batch_new("list");
	struct list list;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct operation_record operation = { 0 };

		make_operation(&operation, rows[i].id, OPERATION_COMPLETED, "v");
		operation.created_at = rows[i].created_at;
		store_batch_operation(batch, &operation);
		record_clear(&operation_record, &operation);
	}
	assert_ok(fixture_commit(f, batch));
	for (int narrowed = 0; narrowed < 2; narrowed++) {
		filter = (struct store_operation_filter)LIST_ANY;
		filter.volume_id = narrowed ? "v" : NULL;
		assert_list(f, filter, "ambzy");
		filter.limit = 2;
		assert_list(f, filter, "am+");
		filter.before_id = "op-m";
		assert_list(f, filter, "bz+");
		filter.before_id = "op-z";
		assert_list(f, filter, "y");
		/* Also behind one that has left, for who knows when it was. */
		filter.before_id = "op-l";
		filter.before_ms = 2000;
		assert_list(f, filter, "bz+");
	}
	filter.before_ms = 0;
	list = fixture_list(f, &filter);
	assert_int_equal(list.err.code, ERR_INVALID);
	assert_string_equal(list.err.field, "cursor");
	assert_non_null(strstr(list.err.text, "op-l"));
	list_clear(&list);
}

#define ASSERT_FILTER(F, EXPECTED, ...)                                                            \
	assert_list(F, (struct store_operation_filter){ .limit = 100, __VA_ARGS__ }, EXPECTED)

static void filters_narrow_lists(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("op-x");
	struct operation_record timeless = { 0 };
	struct store_operation_filter filter = LIST_ANY;

	put_listed(f);
	ASSERT_FILTER(f, "3210", .type = OPERATION_DETACH, .status = -1);
	ASSERT_FILTER(f, "97531", .type = -1, .status = OPERATION_COMPLETED);
	ASSERT_FILTER(f, "", .type = -1, .status = OPERATION_PENDING);
	ASSERT_FILTER(f, "87410", .type = -1, .status = -1, .volume_id = "v1");
	ASSERT_FILTER(f, "", .type = -1, .status = -1, .volume_id = "' OR ''='");
	ASSERT_FILTER(f, "98754210", .type = -1, .status = -1, .vm_id = VM_A);
	ASSERT_FILTER(f, "987654", .type = -1, .status = -1, .since_ms = 1004);
	ASSERT_FILTER(f, "3210", .type = -1, .status = -1, .until_ms = 1004);
	ASSERT_FILTER(f, "65432", .type = -1, .status = -1, .since_ms = 1002, .until_ms = 1007);
	/* A time that is not known is in no span. */
	make_operation(&timeless, "op-x", OPERATION_PENDING, "v3");
	timeless.created_at = 0;
	store_batch_operation(batch, &timeless);
	record_clear(&operation_record, &timeless);
	assert_ok(fixture_commit(f, batch));
	ASSERT_FILTER(f, "3210", .type = -1, .status = -1, .until_ms = 1004);
	ASSERT_FILTER(f, "x", .type = -1, .status = -1, .volume_id = "v3");
	ASSERT_FILTER(f, "x", .type = -1, .status = OPERATION_PENDING, .volume_id = "v3");
	ASSERT_FILTER(f, "975", .type = OPERATION_ATTACH, .status = OPERATION_COMPLETED);
	ASSERT_FILTER(f, "952", .type = -1, .status = -1, .volume_id = "v2", .vm_id = VM_A);
	ASSERT_FILTER(f, "", .type = -1, .status = -1, .volume_id = "v2", .vm_id = VM_A " ");
	/* All at once, and again, with other values in the same statement. */
	ASSERT_FILTER(f, "5", .type = OPERATION_ATTACH, .status = OPERATION_COMPLETED,
		      .volume_id = "v2", .vm_id = VM_A, .since_ms = 1001, .until_ms = 1009,
		      .before_id = "op-9");
	ASSERT_FILTER(f, "0", .type = OPERATION_DETACH, .status = OPERATION_FAILED,
		      .volume_id = "v1", .vm_id = VM_A, .since_ms = 1000, .until_ms = 1009,
		      .before_id = "op-9");
	/* In pages. */
	filter.volume_id = "v1";
	filter.vm_id = VM_A;
	filter.limit = 2;
	assert_list(f, filter, "87+");
	filter.before_id = "op-7";
	assert_list(f, filter, "41+");
	filter.before_id = "op-1";
	assert_list(f, filter, "0");
}

static const char *const alike[] = { "key",      "key ",      "key  ", "Key",
				     "k\u00e9y", "ke\u0301y", "key\t", " key" };

static struct list list_by_request(struct fixture *f, const char *request_id)
{
	struct store_operation_filter filter = LIST_ANY;

	filter.request_id = request_id;
	return fixture_list(f, &filter);
}

static void keys_that_look_alike_are_different_keys(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(alike); i++) {
		_cleanup_free_ char *id = xasprintf("op-%zu", i);
		struct store_batch *batch = store_batch_new(id);
		struct operation_record operation = { 0 };
		struct list list = list_by_request(f, alike[i]);

		assert_int_equal(list.count, 0);
		list_clear(&list);
		make_operation(&operation, id, OPERATION_COMPLETED, alike[i]);
		str_set(&operation.request_id, alike[i]);
		str_set(&operation.vm_id, alike[i]);
		store_batch_operation(batch, &operation);
		record_clear(&operation_record, &operation);
		assert_ok(fixture_commit(f, batch));
		list = list_by_request(f, alike[i]);
		assert_int_equal(list.count, 1);
		assert_string_equal(list.items[0].id, id);
		list_clear(&list);
	}
	for (size_t i = 0; i < ARRAY_SIZE(alike); i++) {
		struct store_operation_filter by_volume = LIST_ANY, by_vm = LIST_ANY;

		by_volume.volume_id = alike[i];
		by_vm.vm_id = alike[i];
		for (int which = 0; which < 2; which++) {
			struct list list = fixture_list(f, which ? &by_volume : &by_vm);

			assert_int_equal(list.count, 1);
			list_clear(&list);
		}
	}
}

static void a_cancelled_read_is_silent(void **state)
{
	struct fixture *f = *state;
	struct list cancelled = { .loop = f->loop }, other = { .loop = f->loop };
	struct store_read *read;

	put_listed(f);
	read = store_find_operation(f->store, "op-1", list_on_done, &cancelled);
	store_find_operation(f->store, "op-2", list_on_done, &other);
	assert_int_equal(fixture_health(f).waiting, 2);
	store_read_cancel(read);
	assert_int_equal(fixture_health(f).waiting, 1);
	fixture_wait(f, &other.done);
	/* Also when it had been read already, and also when the store closes. */
	read = store_find_operation(f->store, "op-1", list_on_done, &cancelled);
	store_read_cancel(read);
	fixture_close(f);
	assert_false(cancelled.done);
	list_clear(&other);
}

static void closing_answers_reads(void **state)
{
	struct fixture *f = *state;
	struct list list = { .loop = f->loop };

	put_listed(f);
	store_find_operation(f->store, "op-1", list_on_done, &list);
	fixture_close(f);
	assert_true(list.done);
	assert_int_equal(list.count, 1);
	list_clear(&list);
}

/* ---- counts ---- */

struct counted {
	struct loop *loop;
	struct store_counts counts;
	bool done;
};

static void on_counted(void *arg, const struct store_counts *counts)
{
	struct counted *counted = arg;

	counted->counts = *counts;
	counted->done = true;
	loop_stop(counted->loop);
}

static struct store_counts count_since(struct fixture *f, int64_t since_ms)
{
	struct counted counted = { .loop = f->loop };

	store_count_operations(f->store, since_ms, on_counted, &counted);
	assert_false(counted.done);
	fixture_wait(f, &counted.done);
	assert_ok(counted.counts.err);
	return counted.counts;
}

/* Operation n was accepted at 1000 + n s and took n ms, if it has ended. */
static void put_counted(struct fixture *f)
{
	static const int statuses[] = { OPERATION_COMPLETED, OPERATION_COMPLETED,
					OPERATION_FAILED,    OPERATION_CANCELLED,
					OPERATION_PENDING,   OPERATION_EXECUTING };
	struct store_batch *batch = store_batch_new("count");

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct operation_record operation = { 0 };
		char id[16];

		snprintf(id, sizeof(id), "op-%zu", i);
		make_operation(&operation, id, statuses[i], "v1");
		operation.type = i == 0 ? OPERATION_CREATE : OPERATION_ATTACH;
		operation.created_at = 1000000 + (int64_t)i * 1000;
		if (operation_status_is_final(statuses[i]))
			operation.completed_at = operation.created_at + (int64_t)i;
		store_batch_operation(batch, &operation);
		record_clear(&operation_record, &operation);
	}
	assert_ok(fixture_commit(f, batch));
}

static void operations_are_counted(void **state)
{
	struct fixture *f = *state;
	struct store_counts counts = count_since(f, 1);

	assert_int_equal(counts.operations, 0);
	assert_int_equal(counts.ended, 0);
	assert_int_equal(counts.mean_ms, 0);
	put_counted(f);
	counts = count_since(f, 1001000);
	assert_int_equal(counts.operations, 6);
	assert_int_equal(counts.by_type[OPERATION_CREATE], 1);
	assert_int_equal(counts.by_type[OPERATION_ATTACH], 5);
	assert_int_equal(counts.by_type[OPERATION_DETACH], 0);
	assert_int_equal(counts.by_status[OPERATION_COMPLETED], 2);
	assert_int_equal(counts.by_status[OPERATION_PENDING], 1);
	/* Without the first. */
	assert_int_equal(counts.ended, 3);
	assert_int_equal(counts.failed, 1);
	assert_int_equal(counts.mean_ms, 2);
}

struct told {
	struct loop *loop;
	bool done;
	struct err err;
	struct history_record rows[4];
	size_t count;
	bool more;
};

static void on_history(void *arg, const struct store_history *history)
{
	struct told *told = arg;

	told->err = history->err;
	told->count = history->count;
	told->more = history->more;
	for (size_t i = 0; i < history->count && i < ARRAY_SIZE(told->rows); i++)
		record_copy(&history_row, &told->rows[i], &history->items[i]);
	told->done = true;
	loop_stop(told->loop);
}

static struct told page_of(struct fixture *f, const struct store_history_filter *filter)
{
	struct told told = { .loop = f->loop };

	store_list_history(f->store, filter, on_history, &told);
	fixture_wait(f, &told.done);
	assert_ok(told.err);
	return told;
}

static struct told history_of(struct fixture *f, const char *operation_id)
{
	return page_of(f, &(struct store_history_filter){ .operation_id = operation_id,
							  .limit = 1000 });
}

static void told_clear(struct told *told)
{
	for (size_t i = 0; i < ARRAY_SIZE(told->rows); i++)
		record_clear(&history_row, &told->rows[i]);
}

static void the_history_of_one_operation(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = batch_with_operation("op-1", OPERATION_PENDING);
	struct told told;

	store_batch_history(batch, "op-1", "", "pending", NULL, "{\"surface\":\"bus\"}");
	store_batch_history(batch, "op-1", "pending", "executing", "{\"step\":\"claim\"}", NULL);
	assert_ok(fixture_commit(f, batch));
	batch = batch_with_operation("op-2", OPERATION_PENDING);
	store_batch_history(batch, "op-2", "", "pending", NULL, NULL);
	assert_ok(fixture_commit(f, batch));
	told = history_of(f, "op-1");
	assert_int_equal(told.count, 2);
	assert_false(told.more);
	assert_string_equal(told.rows[0].new_status, "pending");
	assert_string_equal(told.rows[0].caller, "{\"surface\":\"bus\"}");
	assert_null(told.rows[0].details);
	assert_string_equal(told.rows[1].previous_status, "pending");
	assert_string_equal(told.rows[1].new_status, "executing");
	assert_string_equal(told.rows[1].details, "{\"step\":\"claim\"}");
	assert_null(told.rows[1].caller);
	assert_true(told.rows[1].changed_at >= told.rows[0].changed_at);
	told_clear(&told);
	for (size_t i = 0; i < 3; i++) {
		static const char *const others[] = { "op-3", "op-1 ", "OP-1" };

		told = history_of(f, others[i]);
		assert_int_equal(told.count, 0);
	}
}

static void a_history_in_pages(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = batch_with_operation("op-1", OPERATION_PENDING);
	struct store_history_filter filter = { .operation_id = "op-1", .limit = 2 };
	struct told first, second, third;

	store_batch_history(batch, "op-1", "", "pending", NULL, "{\"surface\":\"bus\"}");
	for (size_t i = 1; i < 5; i++)
		store_batch_history(batch, "op-1", "pending", "executing", NULL, NULL);
	assert_ok(fixture_commit(f, batch));
	first = page_of(f, &filter);
	assert_int_equal(first.count, 2);
	assert_true(first.more);
	assert_string_equal(first.rows[0].new_status, "pending");
	/* Behind the first page; the transition that was asked for comes once more. */
	filter.after_id = first.rows[1].id;
	filter.also_id = first.rows[0].id;
	second = page_of(f, &filter);
	assert_int_equal(second.count, 3);
	assert_true(second.more);
	assert_string_equal(second.rows[0].id, first.rows[0].id);
	assert_true(strcmp(second.rows[1].id, first.rows[1].id) > 0);
	filter.after_id = second.rows[2].id;
	filter.also_id = NULL;
	third = page_of(f, &filter);
	assert_int_equal(third.count, 1);
	assert_false(third.more);
	assert_true(strcmp(third.rows[0].id, second.rows[2].id) > 0);
	told_clear(&third);
	/* A transition that has gone. */
	filter.after_id = "none";
	third = page_of(f, &filter);
	assert_int_equal(third.count, 0);
	told_clear(&first);
	told_clear(&second);
}

static void a_cancelled_count_is_silent(void **state)
{
	struct fixture *f = *state;
	struct counted cancelled = { .loop = f->loop };

	put_counted(f);
	store_read_cancel(store_count_operations(f->store, 1, on_counted, &cancelled));
	count_since(f, 1);
	assert_false(cancelled.done);
}

#define T(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_set_up, fixture_tear_down)

/* ---- old operations leave ---- */

#define DAY_MS INT64_C(86400000)
#define NOW_MS INT64_C(1795384203123)

#define AGED_ID_SIZE 32

/* Ids that say nothing about age, as those of earlier daemons. */
static void put_aged(struct fixture *f, int days_old, int status, bool needs_attention,
		     char id[AGED_ID_SIZE])
{
	struct operation_record operation = { 0 };
	struct store_batch *batch = store_batch_new("aged");

	snprintf(id, AGED_ID_SIZE, "op-%03u-%03d", (unsigned)days_old * 7919 % 1000, days_old);
	make_operation(&operation, id, status, "v");
	operation.created_at = NOW_MS - days_old * DAY_MS;
	operation.completed_at =
		operation_status_is_final(status) ? operation.created_at + 1000 : 0;
	operation.needs_attention = needs_attention;
	store_batch_operation(batch, &operation);
	store_batch_history(batch, id, "", "pending", NULL, NULL);
	assert_ok(fixture_commit(f, batch));
	record_clear(&operation_record, &operation);
}

struct pruned {
	struct loop *loop;
	size_t removed;
	struct err err;
	bool done;
};

static void on_pruned(void *arg, size_t removed, const struct err *err)
{
	struct pruned *pruned = arg;

	pruned->removed += removed;
	pruned->err = *err;
	pruned->done = true;
	loop_stop(pruned->loop);
}

/* How many operations left. As the daemon does, it asks again if a busy machine makes the store
 * late. */
static size_t prune(struct fixture *f, int64_t before_ms)
{
	struct pruned pruned = { .loop = f->loop };
	size_t removed = 0;

	do {
		pruned.done = false;
		store_prune(f->store, before_ms, on_pruned, &pruned);
		fixture_wait(f, &pruned.done);
		removed += pruned.removed;
	} while (pruned.err.code == ERR_UNAVAILABLE);
	assert_ok(pruned.err);
	return removed;
}

static void old_operations_leave(void **state)
{
	struct fixture *f = *state;
	struct store_loaded loaded;
	char newest[UUID_TEXT_SIZE];
	char old[AGED_ID_SIZE], marked[AGED_ID_SIZE], living[AGED_ID_SIZE], young[AGED_ID_SIZE];
	_cleanup_free_ char *history = NULL;
	struct store_operation_filter any = LIST_ANY;
	struct list list;

	put_aged(f, 100, OPERATION_COMPLETED, false, old);
	put_aged(f, 99, OPERATION_FAILED, true, marked);
	put_aged(f, 98, OPERATION_EXECUTING, false, living);
	put_aged(f, 89, OPERATION_COMPLETED, false, young);
	for (size_t i = 0; i < 2 * STORE_PRUNE_BATCH + 1; i++) {
		char many[AGED_ID_SIZE];

		put_aged(f, (int)(200 + i), OPERATION_CANCELLED, false, many);
	}
	loaded = fixture_load(f);
	memcpy(newest, loaded.newest_id, sizeof(newest));
	store_loaded_clear(&loaded);
	assert_int_equal(prune(f, NOW_MS - 90 * DAY_MS), 2 * STORE_PRUNE_BATCH + 2);
	list = fixture_list(f, &any);
	assert_int_equal(list.count, 3);
	assert_string_equal(list.items[0].id, young);
	assert_string_equal(list.items[1].id, living);
	assert_string_equal(list.items[2].id, marked);
	list_clear(&list);
	/* The store knows how far the ids went, also of the removed operations, and no further. */
	loaded = fixture_load(f);
	assert_true(uuid_is_v7(newest));
	assert_string_equal(loaded.newest_id, newest);
	store_loaded_clear(&loaded);
	history = f->variant->history(f, old);
	assert_string_equal(str_or(history, ""), "");
}

static void never_done(void *arg, size_t removed, const struct err *err)
{
	fail();
}

static void a_cancelled_prune_is_silent(void **state)
{
	struct fixture *f = *state;
	char id[AGED_ID_SIZE];

	for (int turns = 0; turns < 6; turns++) {
		struct store_prune *prune;

		put_aged(f, 100 + turns, OPERATION_COMPLETED, false, id);
		prune = store_prune(f->store, NOW_MS, never_done, NULL);
		for (int i = 0; i < turns && i < 1; i++)
			loop_turn(f->loop);
		store_prune_cancel(prune);
	}
	fixture_close(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(lists_come_in_pages_newest_first),
		T(lists_and_their_pages_go_by_age),
		T(filters_narrow_lists),
		T(keys_that_look_alike_are_different_keys),
		T(a_cancelled_read_is_silent),
		T(closing_answers_reads),
		T(operations_are_counted),
		T(a_cancelled_count_is_silent),
		T(the_history_of_one_operation),
		T(a_history_in_pages),
		T(old_operations_leave),
		T(a_cancelled_prune_is_silent),
	};

	if (!fixture_choose(argc, argv))
		return 77;
	return cmocka_run_group_tests_name(fixture_variant->name, tests, NULL, NULL);
}
