/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * CloudStack fails: at every call in turn it is away, or the answer is lost, before or after the
 * effect, or the request arrives long after everybody has given it up. Each operation comes to its
 * end as if nothing had happened, and nothing is done twice. The same with the daemon killed in the
 * middle of the trouble.
 */

#include "core/engine/operation_start.h"
#include "scenario.h"

static unsigned calls_of(const struct scenario *scenario)
{
	struct world *world = scenario_start(scenario);
	unsigned before = world->server.calls[FAKE_ANY];
	void *state = world;

	scenario->begin(world);
	scenario_finish(world, scenario);
	before = world->server.calls[FAKE_ANY] - before;
	world_teardown(&state);
	return before;
}

struct moment {
	const struct scenario *scenario;
	unsigned calls;
};

static bool has_come(struct world *world, const void *arg)
{
	const struct moment *moment = arg;

	if (moment->scenario->meddle)
		moment->scenario->meddle(world);
	return world->server.calls[FAKE_ANY] >= moment->calls;
}

/* killed_ms: how long after the faulty call was made the daemon is killed; -1 not at all. */
static void disturb(const struct scenario *scenario, unsigned nth, enum fault_kind kind,
		    unsigned times, int64_t killed_ms)
{
	struct world *world = scenario_start(scenario);
	void *state = world;

	nth += world->server.calls[FAKE_ANY];
	server_fault(&world->server,
		     (struct fake_fault){
			     .command = FAKE_ANY, .nth = nth, .times = times, .kind = kind });
	scenario->begin(world);
	if (killed_ms >= 0 &&
	    world_until(world, has_come, &(struct moment){ scenario, nth }, 120000)) {
		scenario_pass(world, scenario, killed_ms);
		world_restart(world);
	}
	scenario_finish(world, scenario);
	world_pass(world, 2 * DEVICE_WAIT_MS); /* whatever comes late has come */
	scenario_check(world, scenario);
	world_teardown(&state);
}

static void every_call(enum fault_kind kind, unsigned times, int64_t killed_ms)
{
	for (size_t i = 0; i < scenario_count; i++) {
		unsigned count = calls_of(&scenarios[i]);

		for (unsigned nth = 1; nth <= count; nth++)
			disturb(&scenarios[i], nth, kind, times, killed_ms);
	}
}

static void away(void **state)
{
	every_call(FAULT_AWAY, 1, -1);
	every_call(FAULT_AWAY, 5, -1);
}

static void lost_before(void **state)
{
	every_call(FAULT_LOST_BEFORE, 1, -1);
	every_call(FAULT_LOST_BEFORE, 3, -1);
}

static void lost_after(void **state)
{
	every_call(FAULT_LOST_AFTER, 1, -1);
	every_call(FAULT_LOST_AFTER, 3, -1);
}

static void late(void **state)
{
	every_call(FAULT_LATE, 1, -1);
}

/* A create that is asked for again may be late as well: it is waited for as the first one was. */
static void late_again(void **state)
{
	const struct scenario *create = &scenarios[0];
	struct world *world = scenario_start(create);
	void *each = world;

	server_fault(&world->server, (struct fake_fault){ FAKE_CREATE, 1, 1, FAULT_LOST_BEFORE });
	server_fault(&world->server, (struct fake_fault){ FAKE_CREATE, 2, 1, FAULT_LATE });
	create->begin(world);
	scenario_finish(world, create);
	world_pass(world, 2 * DEVICE_WAIT_MS);
	scenario_check(world, create);
	assert_int_equal(world->server.calls[FAKE_CREATE], 2);
	world_teardown(&each);
}

static void killed_in_trouble(void **state)
{
	static const enum fault_kind kinds[] = { FAULT_AWAY, FAULT_LOST_BEFORE, FAULT_LOST_AFTER,
						 FAULT_LATE };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		every_call(kinds[i], 1, 0);
		every_call(kinds[i], 1, 100);
	}
}

/* What was detached or destroyed stays so when CloudStack refuses to show it: it is looked at
 * again. */
static void not_shown(void **state)
{
	for (size_t i = 0; i < scenario_count; i++) {
		const struct scenario *scenario = &scenarios[i];
		struct world *world;
		void *each;

		if (!str_has_prefix(scenario->name, "detach") &&
		    !str_has_prefix(scenario->name, "delete"))
			continue;
		each = world = scenario_start(scenario);
		server_fault(&world->server,
			     (struct fake_fault){ .command = FAKE_LIST,
						  .nth = world->server.calls[FAKE_LIST] + 2,
						  .times = 3,
						  .kind = FAULT_REFUSED });
		scenario->begin(world);
		scenario_finish(world, scenario);
		scenario_check(world, scenario);
		world_teardown(&each);
	}
}

static const char *cloud_health_of(struct world *world)
{
	struct reply *reply = ask(world, METHOD_HEALTH_GET, NULL);
	const struct health_record *health;

	answered(world, reply);
	health = item(reply, 0);
	assert_non_null(strstr(health->details, "\"accepting_changes\":true"));
	return health->cloudstack_health;
}

static void refuse_lists(struct world *world, unsigned from)
{
	server_fault(&world->server,
		     (struct fake_fault){ .command = FAKE_LIST,
					  .nth = world->server.calls[FAKE_LIST] + from,
					  .times = 1000,
					  .kind = FAULT_REFUSED,
					  .text = "SQL trouble" });
}

/* An operation that cannot even begin ends with CloudStack's words, and leaves nothing. */
static void never_shown_before(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;
	const char *id;

	server_add(&world->server, "one", 5);
	refuse_lists(world, 1);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	world_pass(world, 10000);
	assert_non_null(strstr(cloud_health_of(world), "SQL trouble"));
	record = ended(world, id);
	assert_int_equal(record->status, OPERATION_FAILED);
	assert_string_equal(record->error_code, "CLOUDSTACK_ERROR"); /* and no time-out */
	assert_non_null(strstr(record->error, "SQL trouble"));
	assert_false(record->needs_attention);
	assert_int_equal(world->server.calls[FAKE_ATTACH], 0);
}

/* If nobody can say whether a change was made, the operation ends so, and the change is not asked
 * for again. When CloudStack shows the volume, the matter is settled. */
static void never_shown_after(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;
	const char *id;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	world_pass(world, 5000);
	refuse_lists(world, 2);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_JOB_FAILED_AFTER });
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	at_step(world, id, "await-job", PHASE_SLEEPING);
	world_pass(world, 10000);
	assert_non_null(strstr(cloud_health_of(world), id));
	assert_non_null(strstr(cloud_health_of(world), "SQL trouble"));
	record = ended(world, id);
	assert_int_equal(record->status, OPERATION_FAILED);
	assert_string_equal(record->error_code, "CLOUDSTACK_ERROR");
	assert_true(record->needs_attention);
	assert_non_null(strstr(record->error, "SQL trouble"));
	assert_non_null(strstr(record->error, "may be"));
	world->server.fault_count = 0;
	world_pass(world, 1000000);
	assert_int_equal(world->server.calls[FAKE_DETACH], 1);
	assert_false(core_operation(world->core, id)->needs_attention);
	check_unmapped(world, VOLUME(1));
	assert_string_equal(cloud_health_of(world), "healthy");
}

/* A server that takes no changes refuses reads, too, for longer than it takes to wait out the
 * maintenance in short steps. Nobody gives up. */
static void not_shown_in_a_maintenance(void **state)
{
	struct world *world = *state;
	const char *detach, *attach;

	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(1));
	world->server.job_ms = 5000;
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_JOB_FAILED_AFTER });
	detach = accepted(world, ask_detach(world, VOLUME(1), false));
	at_step(world, detach, "await-job", PHASE_WAITING);
	world->server.maintained = true;
	attach = accepted(world, ask_attach(world, VOLUME(2), OTHER_VM));
	at_step(world, attach, "ask-cloud", PHASE_SLEEPING);
	refuse_lists(world, 1);
	world_pass(world, 40000);
	assert_int_equal(operation_count(world->core->engine), 2);
	assert_non_null(strstr(core_operation(world->core, detach)->waits_for, "SQL trouble"));
	world->server.fault_count = 0;
	world->server.maintained = false;
	completed(world, detach);
	completed(world, attach);
	check_world(world, 2);
}

static struct reply *ask_for(struct world *world, enum fake_command command)
{
	struct snapshot_create_args args = { .volume_id = (char *)(intptr_t)VOLUME(1) };

	if (command == FAKE_CREATE)
		return ask_create(world, "new");
	server_add(&world->server, "one", 5)->used = true;
	if (command == FAKE_ATTACH)
		return ask_attach(world, VOLUME(1), OTHER_VM);
	assert_int_equal(command, FAKE_SNAPSHOT);
	return ask(world, METHOD_VOLUME_SNAPSHOT, &args);
}

static bool is_asked_twice(struct world *world, const void *command)
{
	return world->server.calls[*(const enum fake_command *)command] == 2;
}

/* The answer to the first request is lost, and the second one is known to have done nothing: only
 * for the first one is there something to wait out. */
static void in_doubt_once(void **state)
{
	static const enum fake_command commands[] = { FAKE_CREATE, FAKE_ATTACH, FAKE_SNAPSHOT };

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		struct world *world;
		const char *id;
		int64_t asked_ms;

		world_setup(state);
		world = *state;
		server_fault(&world->server,
			     (struct fake_fault){ commands[i], 1, 1, FAULT_LOST_BEFORE });
		server_fault(&world->server, (struct fake_fault){ commands[i], 2, 1, FAULT_AWAY });
		id = accepted(world, ask_for(world, commands[i]));
		assert_true(world_until(world, is_asked_twice, &commands[i], 2 * REQUEST_MS));
		asked_ms = clock_mono_ms();
		completed(world, id);
		assert_in_range(clock_mono_ms() - asked_ms, 0, REQUEST_MS * 2 / 3);
		assert_int_equal(world->server.calls[commands[i]], 3);
		check_world(world, 1);
		world_teardown(state);
	}
}

/* A creation that ended before it knew its volume: only the list of all volumes can show that there
 * is none. */
static void never_learned(void **state)
{
	struct world *world = *state;
	const char *id;

	world->server.list_ms = 60000;
	world_pass(world, 2 * world->options.reconcile_ms);
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_ANY,
							  .nth = world->server.calls[FAKE_ANY] + 1,
							  .times = 100000,
							  .kind = FAULT_REFUSED });
	server_fault(&world->server, (struct fake_fault){ FAKE_CREATE, 1, 1, FAULT_LOST_AFTER });
	id = accepted(world, ask_create(world, "one"));
	assert_true(ended(world, id)->needs_attention);
	assert_int_equal(server_count(&world->server), 1);
	world->server.fault_count = 0;
	world_pass(world, 3 * world->options.reconcile_ms);
	assert_true(core_operation(world->core, id)->needs_attention);
	/* The first list of all volumes shows the leftover, and the next one that it is gone. */
	world_pass(world, 110 * 60000);
	assert_int_equal(server_count(&world->server), 0);
	world_pass(world, 110 * 60000);
	assert_false(core_operation(world->core, id)->needs_attention);
}

static bool all_ended(struct world *world, const void *arg)
{
	return operation_count(world->core->engine) == 0;
}

/* An absent CloudStack is asked seldom, however many wait for it; when it is back, all of them go
 * on at once. */
static void many_wait(void **state)
{
	struct world *world = *state;
	struct reply *replies[MAX_OPERATIONS];
	const unsigned minutes = 30;

	for (size_t i = 0; i < MAX_OPERATIONS; i++)
		replies[i] = ask_create(world, "one");
	world->server.trip_ms = 1000;
	for (size_t i = 0; i < MAX_OPERATIONS; i++)
		accepted(world, replies[i]);
	world->server.down = true;
	world_restart(world);
	world_pass(world, 60000);
	assert_int_equal(operation_count(world->core->engine), MAX_OPERATIONS);
	world->server.calls[FAKE_ANY] = 0;
	world_pass(world, minutes * 60000);
	assert_in_range(world->server.calls[FAKE_ANY], minutes, minutes * 320);
	world->server.down = false;
	world->server.trip_ms = 10;
	assert_true(world_until(world, all_ended, NULL, 60000));
	check_world(world, MAX_OPERATIONS);
}

/* A CloudStack that answers some requests and not others seems to come back with each answer. That
 * does not keep the pauses of the operations from growing. */
static void comes_and_goes(void **state)
{
	struct world *world = *state;
	const unsigned count = 10, seconds = 300;
	unsigned *asked = &world->server.calls[FAKE_CREATE];

	server_fault(&world->server, (struct fake_fault){ FAKE_CREATE, 1, 100000, FAULT_AWAY });
	for (size_t i = 0; i < count; i++)
		accepted(world, ask_create(world, "one"));
	for (unsigned i = 0; i < 2 * seconds; i++) {
		world_pass(world, 500);
		answered(world, ask_sync(world, false));
	}
	assert_in_range(*asked, count * seconds / 16, count * seconds / 4);
	world->server.fault_count = 0;
	assert_true(world_until(world, all_ended, NULL, 60000));
	check_world(world, count);
}

/* Each to a VM of its own, so that none waits for another one. */
static void attach_many(struct world *world, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct fake_volume *volume = server_add(&world->server, "one", 5);
		_cleanup_free_ char *vm_id = xasprintf("bbbbbbbb-0000-4000-8000-0000000001%02x", i);

		accepted(world, ask_attach(world, volume->id, vm_id));
	}
}

/* CloudStack limits its clients, or takes no changes, for so long that pauses which grow with the
 * trouble would have come to their longest. When it is over, all go on within seconds. */
static void goes_on_soon(void **state)
{
	for (int maintained = 0; maintained < 2; maintained++) {
		const unsigned count = 45;
		struct world *world;

		world_setup(state);
		world = *state;
		world->server.maintained = maintained;
		if (!maintained)
			server_fault(&world->server,
				     (struct fake_fault){ FAKE_ATTACH, 1, 100000, FAULT_REFUSED,
							  429, "[50] ms" });
		attach_many(world, count);
		world_pass(world, 65000);
		assert_int_equal(operation_count(world->core->engine), count);
		world->server.maintained = false;
		world->server.fault_count = 0;
		assert_true(world_until(world, all_ended, NULL, 6000));
		check_world(world, count);
		world_teardown(state);
	}
}

/* Each takes its turn, and none waits for the long pause of another one. */
static void pauses_do_not_add_up(void **state)
{
	struct world *world = *state;
	struct engine *engine = world->core->engine;

	world->server.trip_ms = 60000; /* nobody else takes a turn */
	for (int i = 0; i < 6; i++)
		accepted(world, ask_create(world, "one"));
	for (int i = 0; i < 5; i++)
		assert_in_range(operation_retry_in(engine, 15000), 15000, 16000);
	assert_in_range(operation_retry_in(engine, 500), 1000, 2000);
}

/* The turns of many that were cancelled put off nobody. */
static void no_turn_is_left_over(void **state)
{
	struct world *world = *state;
	const char *first, *ids[200];

	server_add(&world->server, "one", 5);
	world->server.maintained = true;
	first = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));
	at_step(world, first, "ask-cloud", PHASE_SLEEPING);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		ids[i] = accepted(world, ask_create(world, "new"));
	at_step(world, ids[ARRAY_SIZE(ids) - 1], "ask-cloud", PHASE_SLEEPING);
	assert_in_range(operation_retry_in(world->core->engine, 500), 20000, 45000);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		answered(world, ask_operation(world, METHOD_OPERATION_CANCEL, ids[i]));
		ended_with(world, ids[i], OPERATION_CANCELLED, "cancelled by request");
	}
	assert_int_equal(operation_count(world->core->engine), 1);
	assert_in_range(operation_retry_in(world->core->engine, 500), 500, 1000);
	world->server.maintained = false;
	completed(world, first);
	check_world(world, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(away),
		cmocka_unit_test(lost_before),
		cmocka_unit_test(lost_after),
		cmocka_unit_test(late),
		cmocka_unit_test(late_again),
		cmocka_unit_test(killed_in_trouble),
		cmocka_unit_test(not_shown),
		cmocka_unit_test_setup_teardown(never_shown_before, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(never_shown_after, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(not_shown_in_a_maintenance, world_setup,
						world_teardown),
		cmocka_unit_test(in_doubt_once),
		cmocka_unit_test_setup_teardown(never_learned, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(many_wait, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(comes_and_goes, world_setup, world_teardown),
		cmocka_unit_test(goes_on_soon),
		cmocka_unit_test_setup_teardown(pauses_do_not_add_up, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(no_turn_is_left_over, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
