/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The plug is pulled: at every commit, before and after it is durable, and at every turn of the
 * loop, whatever is on its way then. The next process must bring each operation to its end, once:
 * one volume, one attachment, one mapping, and nothing left behind. How many commits and turns
 * there are is counted in a run that nobody disturbs, so a new step is covered by being there.
 */

#include "scenario.h"

static uint64_t commits(struct world *world)
{
	struct store_health health = { 0 };

	store_health(world->store, &health);
	return health.transactions;
}

static void finish_and_check(struct world *world, const struct scenario *scenario)
{
	scenario_finish(world, scenario);
	world_pass(world, 5000); /* the kernel is followed */
	scenario_check(world, scenario);
}

static uint64_t undisturbed(const struct scenario *scenario)
{
	struct world *world = scenario_start(scenario);
	uint64_t before = commits(world), count;
	void *state = world;

	scenario->begin(world);
	scenario_finish(world, scenario);
	count = commits(world) - before;
	scenario_check(world, scenario);
	world_teardown(&state);
	assert_true(count >= 3); /* accepted, one step, ended */
	return count;
}

static void crash_at_commit(const struct scenario *scenario, uint64_t nth, bool before)
{
	struct world *world = scenario_start(scenario);
	void *state = world;

	store_memory_crash_at(world->store, commits(world) + nth, before);
	scenario->begin(world);
	scenario_finish(world, scenario);
	if (!store_memory_has_crashed(world->store))
		fail_msg("%s: commit %d never came", scenario->name, (int)nth);
	world_restart(world);
	finish_and_check(world, scenario);
	world_teardown(&state);
}

static void crash_at_every_commit(void **state)
{
	for (size_t i = 0; i < scenario_count; i++) {
		uint64_t count = undisturbed(&scenarios[i]);

		for (uint64_t nth = 1; nth <= count; nth++) {
			crash_at_commit(&scenarios[i], nth, true);
			crash_at_commit(&scenarios[i], nth, false);
		}
	}
}

/* Some commits are those of the second process. */
static void crash_twice(void **state)
{
	for (size_t i = 0; i < scenario_count; i++) {
		uint64_t count = undisturbed(&scenarios[i]);

		for (uint64_t nth = 1; nth < count; nth++) {
			struct world *world = scenario_start(&scenarios[i]);
			void *each = world;

			store_memory_crash_at(world->store, commits(world) + nth, false);
			scenarios[i].begin(world);
			scenario_finish(world, &scenarios[i]);
			world_kill(world);
			store_memory_crash_at(world->store, 1, false);
			world_open(world);
			scenario_finish(world, &scenarios[i]);
			world_restart(world);
			finish_and_check(world, &scenarios[i]);
			world_teardown(&each);
		}
	}
}

/* Turns and little steps of time until it is over; true when it was over before that many. */
static bool some_turns(struct world *world, const struct scenario *scenario, unsigned turns)
{
	for (; turns > 0; turns--) {
		if (operation_count(world->core->engine) == 0 &&
		    TAILQ_EMPTY(&world->core->calls.calls) && server_busy(&world->server) == 0)
			return true;
		if (scenario->meddle)
			scenario->meddle(world);
		if (!world_turn(world))
			clock_test_advance(10);
	}
	return false;
}

static void kill_at_every_turn(void **state)
{
	for (size_t i = 0; i < scenario_count; i++) {
		bool over = false;

		/* What waits a minute for its device looks the same after the first seconds. */
		for (unsigned turns = 1; !over && turns < 600; turns += turns < 120 ? 1 : 13) {
			struct world *world = scenario_start(&scenarios[i]);
			void *each = world;

			scenarios[i].begin(world);
			over = some_turns(world, &scenarios[i], turns);
			world_restart(world);
			finish_and_check(world, &scenarios[i]);
			world_teardown(&each);
		}
	}
}

/* The daemon's own way down, at every turn; the teardown goes it. */
static void close_at_every_turn(void **state)
{
	for (size_t i = 0; i < scenario_count; i++) {
		bool over = false;

		for (unsigned turns = 1; !over && turns < 120; turns++) {
			struct world *world = scenario_start(&scenarios[i]);
			void *each = world;

			scenarios[i].begin(world);
			over = some_turns(world, &scenarios[i], turns);
			world_teardown(&each);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crash_at_every_commit),
		cmocka_unit_test(crash_twice),
		cmocka_unit_test(kill_at_every_turn),
		cmocka_unit_test(close_at_every_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
