/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ended operations leave the store when they are old enough, and not before. */

#include "fixture.h"

static size_t stored(struct world *world)
{
	struct operation_list_args args = { .limit = 100 };
	struct reply *reply = ask(world, METHOD_OPERATION_LIST, &args);

	answered(world, reply);
	return reply->count;
}

static void old_ones_leave(void **state)
{
	struct world *world = *state;

	world->options.retention_ms = 2 * DAY_MS;
	world_restart(world);
	world_pass(world, 1000);
	completed(world, accepted(world, ask_create(world, "one")));
	world_pass(world, DAY_MS);
	completed(world, accepted(world, ask_create(world, "two")));
	assert_int_equal(stored(world), 2);
	world_pass(world, DAY_MS + 2 * 3600 * 1000);
	assert_int_equal(stored(world), 1);
	world_pass(world, DAY_MS);
	assert_int_equal(stored(world), 0);
}

static void by_default_they_stay(void **state)
{
	struct world *world = *state;

	completed(world, accepted(world, ask_create(world, "one")));
	world_pass(world, 3 * 3600 * 1000);
	assert_int_equal(stored(world), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(old_ones_leave, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(by_default_they_stay, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
