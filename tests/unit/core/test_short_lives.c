/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The answer to a request is lost, and from then on the daemon is killed again and again, each time
 * sooner than CloudStack stops accepting the request. All its lives together wait for that moment,
 * so each operation comes to its end; and none of them asks before it.
 */

#include "scenario.h"

/* The commands before it begin a job. A deletion without a job may be asked for more often. */
#define JOBS FAKE_DELETE
/* Two of them are shorter than the time in which a request may arrive. */
#define LIFE_MS 12000
#define LIVES 12

struct plot {
	const struct scenario *scenario;
	enum fake_command command;
	unsigned before;          /* calls of the command before the operation */
	enum fault_kind kinds[2]; /* of the first request and of the second */
};

static bool is_over(const struct world *world)
{
	return operation_count(world->core->engine) == 0 && TAILQ_EMPTY(&world->core->calls.calls);
}

static bool is_asked(struct world *world, const void *arg)
{
	const struct plot *plot = arg;

	return world->server.calls[plot->command] > plot->before;
}

static bool is_asked_again_or_over(struct world *world, const void *arg)
{
	const struct plot *plot = arg;

	return world->server.calls[plot->command] > plot->before + 1 || is_over(world);
}

/* Until the second request, or the end. */
static void live_shortly(struct world *world, const struct plot *plot)
{
	for (unsigned life = 0; life < LIVES; life++) {
		world_restart(world);
		if (world_until(world, is_asked_again_or_over, plot, LIFE_MS))
			return;
	}
	fail_msg("%s: request %d is still in doubt after %d lives", plot->scenario->name,
		 plot->command, LIVES);
}

static void live_to_the_end(struct world *world, const struct plot *plot)
{
	world_restart(world);
	scenario_finish(world, plot->scenario);
	world_pass(world, 2 * DEVICE_WAIT_MS); /* whatever comes late has come */
	scenario_check(world, plot->scenario);
}

static unsigned play(struct plot plot)
{
	struct world *world = scenario_start(plot.scenario);
	void *state = world;
	unsigned calls;

	plot.before = world->server.calls[plot.command];
	for (unsigned i = 0; i < ARRAY_SIZE(plot.kinds); i++)
		server_fault(&world->server, (struct fake_fault){ plot.command, plot.before + 1 + i,
								  1, plot.kinds[i] });
	plot.scenario->begin(world);
	assert_true(world_until(world, is_asked, &plot, 120000));
	live_shortly(world, &plot);
	if (!is_over(world))
		live_shortly(world, &(struct plot){ plot.scenario, plot.command, plot.before + 1 });
	live_to_the_end(world, &plot);
	calls = world->server.calls[plot.command] - plot.before;
	world_teardown(&state);
	return calls;
}

/* How often the operation asks for each change, when nobody disturbs it. */
static void count_calls(const struct scenario *scenario, unsigned counts[JOBS])
{
	struct world *world = scenario_start(scenario);
	void *state = world;

	for (unsigned i = 0; i < JOBS; i++)
		counts[i] = world->server.calls[i];
	scenario->begin(world);
	scenario_finish(world, scenario);
	for (unsigned i = 0; i < JOBS; i++)
		counts[i] = world->server.calls[i] - counts[i];
	world_teardown(&state);
}

static void every_change(enum fault_kind first, enum fault_kind second, unsigned calls)
{
	for (size_t i = 0; i < scenario_count; i++) {
		unsigned counts[JOBS];

		if (scenarios[i].status != OPERATION_COMPLETED)
			continue;
		count_calls(&scenarios[i], counts);
		for (int command = 0; command < JOBS; command++) {
			struct plot plot = {
				&scenarios[i], (enum fake_command)command, 0, { first, second }
			};
			unsigned played;

			/* Several forms of a change are several requests. */
			if (counts[command] != 1)
				continue;
			played = play(plot);
			if (played != calls)
				fail_msg("%s: request %d was made %u times", scenarios[i].name,
					 command, played);
		}
	}
}

static void it_never_arrives(void **state)
{
	every_change(FAULT_LOST_BEFORE, FAULT_NONE, 2);
}

static void it_arrives_late(void **state)
{
	every_change(FAULT_LATE, FAULT_NONE, 1);
}

/* The next life must not take the moment of the first request for that of the second. */
static void the_second_is_late_as_well(void **state)
{
	every_change(FAULT_LOST_BEFORE, FAULT_LATE, 2);
}

/* The monotonic clock has begun anew, so the next life knows of no moment. */
static void another_boot(void **state)
{
	struct world *world = *state;
	const struct plot plot = { &scenarios[0], FAKE_CREATE, 0, { FAULT_LOST_BEFORE } };

	server_fault(&world->server, (struct fake_fault){ FAKE_CREATE, 1, 1, FAULT_LOST_BEFORE });
	plot.scenario->begin(world);
	assert_true(world_until(world, is_asked, &plot, 120000));
	world_restart(world);
	world_pass(world, REQUEST_MS - 5000);
	world_kill(world);
	kernel_reboot(&world->kernel, (const char *const[]){ "vda", NULL });
	world_open(world);
	world_pass(world, REQUEST_MS - 5000);
	assert_int_equal(world->server.calls[FAKE_CREATE], 1);
	scenario_finish(world, plot.scenario);
	scenario_check(world, plot.scenario);
	assert_int_equal(world->server.calls[FAKE_CREATE], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_never_arrives),
		cmocka_unit_test(it_arrives_late),
		cmocka_unit_test(the_second_is_late_as_well),
		cmocka_unit_test_setup_teardown(another_boot, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
