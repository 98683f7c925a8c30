/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A request has its whole time only if it is made soon after the commit before it. If the store
 * takes so long for a commit that what a step has looked at before is out of date, and CloudStack
 * so long for an answer that the new look takes that time again, the step commits once more and
 * makes the request then.
 */

#include "scenario.h"

#define COMMIT_MS 6000
#define TRIP_MS 300 /* to CloudStack, and back */

static unsigned changes_of(const struct world *world)
{
	unsigned count = 0;

	for (int command = 0; command < FAKE_LIST; command++)
		count += world->server.calls[command];
	return count;
}

/* The changes that the operation asks CloudStack for. */
static unsigned play(const struct scenario *scenario, int64_t commit_ms)
{
	struct world *world = scenario_start(scenario);
	void *state = world;
	unsigned before = changes_of(world), count;

	world->server.trip_ms = TRIP_MS;
	store_memory_set_slow(world->store, commit_ms);
	scenario->begin(world);
	scenario_finish(world, scenario);
	count = changes_of(world) - before;
	scenario_check(world, scenario);
	world_teardown(&state);
	return count;
}

static void each_request_is_made_once(void **state)
{
	for (size_t i = 0; i < scenario_count; i++) {
		print_message("  %s\n", scenarios[i].name);
		assert_int_equal(play(&scenarios[i], COMMIT_MS), play(&scenarios[i], 0));
	}
}

static bool is_committed_once_more(struct world *world, const void *id)
{
	const struct operation *operation = operation_find(world->core->engine, id);

	return operation && operation->runs == 1 && operation->phase == PHASE_COMMITTING &&
	       streq(operation->record.step, "ask-cloud");
}

/* The step has run before its request, and has asked for nothing then: what the refusal of the
 * request shows is another client's. */
static void attached_by_another_client(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	const char *id;

	world->server.trip_ms = TRIP_MS;
	store_memory_set_slow(world->store, COMMIT_MS);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_REFUSED, 431,
					  "This volume is already attached to a VM." });
	id = accepted(world, ask_attach(world, volume->id, OTHER_VM));
	assert_true(world_until(world, is_committed_once_more, id, 60000));
	assert_int_equal(world->server.calls[FAKE_ATTACH], 0);
	server_attach(&world->server, volume, OTHER_VM);
	ended_with(world, id, OPERATION_FAILED, "it is attached there already");
	assert_int_equal(world->server.calls[FAKE_ATTACH], 1);
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
	assert_string_equal(volume->vm_id, OTHER_VM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_is_made_once),
		cmocka_unit_test_setup_teardown(attached_by_another_client, world_setup,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
