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

/* ---- at every turn ---- */

/* What waits a minute for its device looks the same after the first seconds. */
#define STEPS_MAX 600

static bool is_over(const struct world *world)
{
	return operation_count(world->core->engine) == 0 &&
	       TAILQ_EMPTY(&world->core->calls.calls) && server_busy(&world->server) == 0;
}

/* A turn, or a little step of time if there is nothing to do; whether there was. */
static bool step(struct world *world, const struct scenario *scenario)
{
	bool is_busy;

	if (scenario->meddle)
		scenario->meddle(world);
	is_busy = world_turn(world);
	if (!is_busy)
		clock_test_advance(10);
	return is_busy;
}

/* How many steps it is until all is over, and which of them do something: after another one
 * everything is as it was before. */
static unsigned count_steps(const struct scenario *scenario, bool is_busy[STEPS_MAX])
{
	struct world *world = scenario_start(scenario);
	void *state = world;
	unsigned count = 0;

	scenario->begin(world);
	for (; count < STEPS_MAX && !is_over(world); count++)
		is_busy[count] = step(world, scenario);
	world_teardown(&state);
	return count;
}

static void at_every_turn(void (*end)(struct world *world, const struct scenario *scenario))
{
	for (size_t i = 0; i < scenario_count; i++) {
		bool is_busy[STEPS_MAX];
		unsigned count = count_steps(&scenarios[i], is_busy);

		for (unsigned steps = 1; steps <= count; steps++) {
			struct world *world;
			void *state;

			if (!is_busy[steps - 1])
				continue;
			state = world = scenario_start(&scenarios[i]);
			scenarios[i].begin(world);
			for (unsigned taken = 0; taken < steps; taken++)
				step(world, &scenarios[i]);
			end(world, &scenarios[i]);
			world_teardown(&state);
		}
	}
}

static void kill_and_go_on(struct world *world, const struct scenario *scenario)
{
	world_restart(world);
	finish_and_check(world, scenario);
}

static void kill_at_every_turn(void **state)
{
	at_every_turn(kill_and_go_on);
}

/* The teardown does it. */
static void close_only(struct world *world, const struct scenario *scenario)
{
}

/* The daemon's own way down. */
static void close_at_every_turn(void **state)
{
	at_every_turn(close_only);
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
