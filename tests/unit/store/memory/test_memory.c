/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What only the memory store can: fail, or "crash", at the nth commit. */

#include "fixture.h"
#include "store/memory/memory.h"

static int set_up(void **state)
{
	*state = fixture_new(&variant_memory);
	return 0;
}

static int tear_down(void **state)
{
	fixture_free(*state);
	return 0;
}

/* "op-1", "op-2", … as far as there are */
static void assert_operations(struct fixture *f, size_t count)
{
	struct store_loaded loaded = fixture_load(f);

	assert_int_equal(loaded.operation_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(loaded.operations[i].id[3], '1' + (int)i);
	store_loaded_clear(&loaded);
}

static void the_nth_commit_fails(void **state)
{
	struct fixture *f = *state;
	struct answer answers[3];

	store_memory_fail_at(f->store, 3, ERR_INTERNAL);
	fixture_submit(f, batch_with_operation("op-1", OPERATION_PENDING), &answers[0]);
	fixture_submit(f, batch_with_operation("op-2", OPERATION_PENDING), &answers[1]);
	fixture_submit(f, batch_with_operation("op-3", OPERATION_PENDING), &answers[2]);
	fixture_wait_answer(f, &answers[2]);
	assert_int_equal(answers[0].err.code, ERR_NONE);
	assert_int_equal(answers[1].err.code, ERR_NONE);
	assert_int_equal(answers[2].err.code, ERR_INTERNAL);
	assert_operations(f, 2);
	/* Only that one. */
	assert_int_equal(fixture_commit(f, batch_with_operation("op-3", OPERATION_PENDING)).code,
			 ERR_NONE);
	assert_operations(f, 3);
	assert_int_equal(fixture_health(f).transactions, 3);
}

static void names_and_exports_crash_like_the_rest(void **state)
{
	struct fixture *f = *state;
	struct store_loaded loaded;

	for (int before = 1; before >= 0; before--) {
		struct store_batch *batch = store_batch_new("v");
		struct answer answer;

		store_memory_crash_at(f->store, 1, before);
		put_name(batch, "v", "vol1");
		put_export(batch, "v", "migration-vol-v");
		fixture_submit(f, batch, &answer);
		while (loop_turn(f->loop))
			;
		assert_true(store_memory_has_crashed(f->store) && !answer.done);
		fixture_reopen(f);
		loaded = fixture_load(f);
		assert_int_equal(loaded.name_count, !before);
		assert_int_equal(loaded.export_count, !before);
		store_loaded_clear(&loaded);
	}
}

static void crash(struct fixture *f, bool before)
{
	struct list list = { .loop = f->loop };
	struct answer answers[3];
	struct answer late;

	store_memory_crash_at(f->store, 2, before);
	fixture_submit(f, batch_with_operation("op-1", OPERATION_PENDING), &answers[0]);
	fixture_submit(f, batch_with_operation("op-2", OPERATION_PENDING), &answers[1]);
	fixture_submit(f, batch_with_operation("op-3", OPERATION_PENDING), &answers[2]);
	store_find_operation(f->store, "op-1", list_on_done, &list);
	assert_false(store_memory_has_crashed(f->store));
	fixture_wait_answer(f, &answers[0]);
	assert_true(store_memory_has_crashed(f->store));
	/* Dead from then on. */
	fixture_submit(f, batch_with_operation("op-4", OPERATION_PENDING), &late);
	while (loop_turn(f->loop))
		;
	store_memory_set_away(f->store, "away");
	while (loop_turn(f->loop))
		;
	fixture_reopen(f);
	while (loop_turn(f->loop))
		;
	assert_false(answers[1].done || answers[2].done || late.done || list.done);
	assert_false(store_memory_has_crashed(f->store));
	assert_operations(f, before ? 1 : 2);
	/* The new one counts from the beginning and lives. */
	assert_int_equal(fixture_commit(f, batch_with_operation("op-2", OPERATION_PENDING)).code,
			 ERR_NONE);
	assert_int_equal(fixture_commit(f, batch_with_operation("op-3", OPERATION_PENDING)).code,
			 ERR_NONE);
	assert_operations(f, 3);
}

static void a_crash_before_the_commit_loses_it(void **state)
{
	crash(*state, true);
}

static void a_crash_behind_the_commit_keeps_it(void **state)
{
	crash(*state, false);
}

static void closing_a_crashed_store_is_silent(void **state)
{
	struct fixture *f = *state;
	struct answer crashed;

	store_memory_crash_at(f->store, 1, true);
	fixture_submit(f, batch_with_operation("op-1", OPERATION_PENDING), &crashed);
	while (loop_turn(f->loop))
		;
	fixture_close(f);
	assert_false(crashed.done);
}

static void reads_do_not_wait_for_an_away_store(void **state)
{
	struct fixture *f = *state;
	struct list list;

	store_memory_set_away(f->store, "the database is stopped");
	list = fixture_find(f, "op-1");
	assert_int_equal(list.err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(list.err.text, "the database is stopped"));
	list_clear(&list);
}

#define T(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_nth_commit_fails),
		T(a_crash_before_the_commit_loses_it),
		T(a_crash_behind_the_commit_keeps_it),
		T(names_and_exports_crash_like_the_rest),
		T(closing_a_crashed_store_is_silent),
		T(reads_do_not_wait_for_an_away_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
