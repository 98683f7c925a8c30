/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which objects there are, seen by an owner that does not settle them: a bus that does not read. */

#include <stdio.h>

#include "api/bus/directory.h"
#include "bus_fixture.h"

struct scene {
	struct loop *loop;
	struct core core;
	struct directory directory;
	size_t stirred; /* calls of on_dirty */
};

static void on_dirty(void *arg)
{
	struct scene *scene = arg;

	scene->stirred++;
}

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	scene->loop = loop_new();
	assert_non_null(scene->loop);
	fake_core_init(&scene->core, scene->loop);
	directory_init(&scene->directory, scene->loop, &scene->core, on_dirty, scene);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	directory_fini(&scene->directory);
	fake_core_fini(&scene->core);
	loop_free(scene->loop);
	free(scene);
	return 0;
}

static size_t held(const struct scene *scene, enum method_scope scope)
{
	return HASH_COUNT(scene->directory.shelves[scope].by_id);
}

static void settle_all(struct scene *scene)
{
	struct bus_object *object;
	uint64_t fields;

	while ((object = directory_dirty(&scene->directory)))
		directory_settle(&scene->directory, object, &fields);
}

/* Each operation begins, ends and is named; values: as they are told with its signals. */
static void have_operations(struct scene *scene, size_t first, size_t count)
{
	struct operation_record record;
	char id[48];

	record_init(&operation_record, &record);
	for (size_t i = first; i < first + count; i++) {
		snprintf(id, sizeof(id), "op-%zu", i);
		str_set(&record.id, id);
		directory_keep(&scene->directory, SCOPE_OPERATION, id, false);
		directory_change(&scene->directory, SCOPE_OPERATION, id, &record);
		directory_release(&scene->directory, SCOPE_OPERATION, id);
		directory_change(&scene->directory, SCOPE_OPERATION, id, &record);
	}
	record_clear(&operation_record, &record);
}

static void test_what_was_never_told_does_not_stay(void **state)
{
	struct scene *scene = *state;
	char id[37];

	have_operations(scene, 0, 3 * DIRECTORY_NAMED_MAX);
	assert_int_equal(held(scene, SCOPE_OPERATION), DIRECTORY_NAMED_MAX);
	for (size_t i = 0; i < 100; i++) {
		fake_volume_id(i, id);
		directory_keep(&scene->directory, SCOPE_VOLUME, id, false);
		directory_drop(&scene->directory, SCOPE_VOLUME, id);
	}
	assert_int_equal(held(scene, SCOPE_VOLUME), 0);
}

static void test_what_was_told_stays_until_its_end_is(void **state)
{
	struct scene *scene = *state;

	have_operations(scene, 0, 10);
	settle_all(scene);
	have_operations(scene, 10, DIRECTORY_NAMED_MAX);
	assert_int_equal(held(scene, SCOPE_OPERATION), DIRECTORY_NAMED_MAX + 10);
	assert_non_null(directory_find(&scene->directory, SCOPE_OPERATION, "op-0"));
	settle_all(scene);
	assert_int_equal(held(scene, SCOPE_OPERATION), DIRECTORY_NAMED_MAX);
	assert_null(directory_find(&scene->directory, SCOPE_OPERATION, "op-0"));
}

/* Its name was lost and came back before that was told, and core has forgotten it by now. */
static void test_what_is_named_again_stays(void **state)
{
	struct scene *scene = *state;

	have_operations(scene, 0, 1);
	settle_all(scene);
	have_operations(scene, 1, DIRECTORY_NAMED_MAX);
	directory_name(&scene->directory, SCOPE_OPERATION, "op-0");
	settle_all(scene);
	assert_non_null(directory_find(&scene->directory, SCOPE_OPERATION, "op-0"));
	assert_null(directory_find(&scene->directory, SCOPE_OPERATION, "op-1"));
}

/* Their number is a property, so the owner has something to tell. */
static void test_the_owner_hears_of_hidden_objects(void **state)
{
	struct scene *scene = *state;
	char id[37];
	size_t before;

	scene->core.volume_count = DIRECTORY_KEPT_MAX + 1;
	for (size_t i = 0; i < DIRECTORY_KEPT_MAX; i++) {
		fake_volume_id(i, id);
		directory_keep(&scene->directory, SCOPE_VOLUME, id, false);
	}
	settle_all(scene);
	before = scene->stirred;
	fake_volume_id(DIRECTORY_KEPT_MAX, id);
	directory_keep(&scene->directory, SCOPE_VOLUME, id, false);
	assert_int_equal(directory_hidden(&scene->directory, SCOPE_VOLUME), 1);
	assert_int_equal(scene->stirred, before + 1);
	directory_keep(&scene->directory, SCOPE_VOLUME, id, false);
	assert_int_equal(scene->stirred, before + 1);
}

/* An operation as it stands in the directory, with another step. */
static void change_step(struct scene *scene, const char *id, const char *step)
{
	struct operation_record record = { 0 };

	record_copy(&operation_record, &record,
		    directory_find(&scene->directory, SCOPE_OPERATION, id)->values);
	str_set(&record.step, step);
	directory_change(&scene->directory, SCOPE_OPERATION, id, &record);
	record_clear(&operation_record, &record);
	settle_all(scene);
}

static void on_pass(void *arg, const struct bus_object *object)
{
	const struct operation_record *record = object->values;

	buf_printf(arg, "%s%s ", record->id, str_or(record->step, ""));
}

/* Between two slices, objects change, come and go. */
static void test_a_walk_shows_one_moment(void **state)
{
	struct scene *scene = *state;
	struct directory *directory = &scene->directory;
	_cleanup_buf_ struct buf passed = BUF_NULL;
	struct directory_walk walk = { .pass = on_pass, .arg = &passed };

	have_operations(scene, 0, 6);
	settle_all(scene);
	directory_walk_begin(directory, &walk);
	assert_true(directory_walk_on(directory, 1));
	assert_string_equal(passed.data, "op-0 ");
	change_step(scene, "op-0", "name");
	change_step(scene, "op-4", "name");
	change_step(scene, "op-4", "read");
	directory_drop(directory, SCOPE_OPERATION, "op-1"); /* the next one */
	directory_drop(directory, SCOPE_OPERATION, "op-3");
	have_operations(scene, 6, 1);
	settle_all(scene);
	assert_false(directory_walk_on(directory, SIZE_MAX));
	directory_walk_end(directory);
	assert_string_equal(passed.data, "op-0 op-4 op-1 op-3 op-2 op-5 ");
	/* The next walk shows what there is then. */
	buf_reset(&passed);
	directory_walk_begin(directory, &walk);
	assert_false(directory_walk_on(directory, SIZE_MAX));
	directory_walk_end(directory);
	assert_string_equal(passed.data, "op-0name op-2 op-4read op-5 op-6 ");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_never_told_does_not_stay),
		TEST(test_what_was_told_stays_until_its_end_is),
		TEST(test_what_is_named_again_stays),
		TEST(test_the_owner_hears_of_hidden_objects),
		TEST(test_a_walk_shows_one_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
