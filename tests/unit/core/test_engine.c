/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The engine: who runs when, what is told when, and what is left in memory. That events tell only
 * what is durable, in order and once, is checked by the fixture in every test.
 */

#include "scenario.h"

#define GIVE_UP 200 /* turns */

/* Turns and little steps of time. */
static void turns(struct world *world, unsigned count)
{
	for (; count > 0; count--) {
		if (!world_turn(world))
			clock_test_advance(20);
	}
}

static struct world *fresh(void **state)
{
	world_setup(state);
	return *state;
}

static struct reply *get(struct world *world, const char *id)
{
	struct reply *reply = ask_operation(world, METHOD_OPERATION_GET, id);

	answered(world, reply);
	return reply;
}

static int status_of(struct world *world, const char *id)
{
	return ((const struct operation_record *)item(get(world, id), 0))->status;
}

/* ---- queues ---- */

static void one_volume_after_the_other(void **state)
{
	struct world *world = *state;
	struct reply *replies[3];
	const char *ids[3];

	server_add(&world->server, "one", 5);
	/* Each is only allowed by the end of the one before: the check is made when the turn
	 * comes. */
	replies[0] = ask_attach(world, VOLUME(1), APPLIANCE);
	replies[1] = ask_detach(world, VOLUME(1), false);
	replies[2] = ask_attach(world, VOLUME(1), OTHER_VM);
	for (size_t i = 0; i < 3; i++)
		ids[i] = accepted(world, replies[i]);
	at_step(world, ids[0], "await-job", PHASE_WAITING);
	assert_int_equal(status_of(world, ids[1]), OPERATION_PENDING);
	assert_int_equal(status_of(world, ids[2]), OPERATION_PENDING);
	completed(world, ids[0]);
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, ids[1]), 0);
	completed(world, ids[1]);
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, ids[2]), 0);
	completed(world, ids[2]);
	check_world(world, 1);
}

static void volumes_side_by_side(void **state)
{
	struct world *world = *state;
	const char *slow, *fast;

	server_add(&world->server, "slow", 5)->plug_ms = 30000;
	server_add(&world->server, "fast", 5);
	slow = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	fast = accepted(world, ask_attach(world, VOLUME(2), APPLIANCE));
	completed(world, fast);
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, slow), 0);
	completed(world, slow);
	check_world(world, 2);
}

/* Whenever the second comes - while the first is accepted, at work, or just ending - it waits and
 * then runs. */
static void second_at_every_turn(void **state)
{
	for (unsigned count = 0, over = 0; !over && count < GIVE_UP; count++) {
		void *each = NULL;
		struct world *world = fresh(&each);
		struct reply *first, *second;

		server_add(&world->server, "one", 5);
		first = ask_attach(world, VOLUME(1), APPLIANCE);
		turns(world, count);
		over = first->done && events_of(world, EVENT_OPERATION_ENDED, NULL) == 1;
		second = ask_detach(world, VOLUME(1), false);
		completed(world, accepted(world, first));
		completed(world, accepted(world, second));
		check_world(world, 1);
		world_teardown(&each);
	}
}

/* One that waits is cancelled, at every turn of the one before it. The third then has its turn. */
static void waiting_cancelled_at_every_turn(void **state)
{
	for (unsigned count = 0, over = 0; !over && count < GIVE_UP; count++) {
		void *each = NULL;
		struct world *world = fresh(&each);
		const char *first, *second, *third;
		struct reply *cancel;

		server_add(&world->server, "one", 5);
		first = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
		second = accepted(world, ask_detach(world, VOLUME(1), false));
		third = accepted(world, ask_detach(world, VOLUME(1), false));
		turns(world, count);
		over = events_of(world, EVENT_OPERATION_ENDED, first) == 1;
		cancel = ask_operation(world, METHOD_OPERATION_CANCEL, second);
		answered(world, cancel);
		completed(world, first);
		if (cancel->err.code == ERR_NONE)
			ended_with(world, second, OPERATION_CANCELLED, "cancelled by request");
		else
			completed(world, second);
		ended_with(world, third, cancel->err.code ? OPERATION_FAILED : OPERATION_COMPLETED,
			   NULL);
		check_world(world, 1);
		world_teardown(&each);
	}
}

/* A create whose answer was lost learns late which volume it made; somebody else has already begun
 * with that one. */
static void create_learns_late(void **state)
{
	struct world *world = *state;
	const char *create, *attach, *detach;
	char id[] = VOLUME(1);
	struct volume_get_args args = { .volume_id = id, .refresh = true };

	server_fault(&world->server, (struct fake_fault){ FAKE_CREATE, 1, 1, FAULT_LOST_AFTER });
	create = accepted(world, ask_create(world, "new"));
	at_step(world, create, "ask-cloud", PHASE_SLEEPING);
	/* CloudStack is there, and so is the volume */
	answered(world, ask(world, METHOD_VOLUME_GET, &args));
	attach = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	detach = accepted(world, ask_detach(world, VOLUME(1), false));
	completed(world, create);
	completed(world, attach);
	completed(world, detach);
	check_world(world, 1);
}

/* ---- the store ---- */

static void accepted_only_when_durable(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	server_add(&world->server, "one", 5);
	reply = ask_attach(world, VOLUME(1), APPLIANCE);
	world_turn(world); /* asked of the store … */
	store_memory_set_away(world->store, "disk full");
	answered(world, reply);
	assert_int_equal(reply->err.code, ERR_UNAVAILABLE);
	world_pass(world, 5000);
	assert_int_equal(events_of(world, EVENT_OPERATION_STARTED, NULL), 0);
	assert_int_equal(operation_count(world->core->engine), 0);
	store_memory_set_away(world->store, NULL);
	attached(world, VOLUME(1));
}

static void refused_acceptance_lets_the_next_on(void **state)
{
	struct world *world = *state;
	struct store_health health = { 0 };
	struct reply *first, *second;

	server_add(&world->server, "one", 5);
	store_health(world->store, &health);
	store_memory_fail_at(world->store, health.transactions + 1, ERR_INTERNAL);
	first = ask_attach(world, VOLUME(1), OTHER_VM);
	second = ask_attach(world, VOLUME(1), APPLIANCE);
	answered(world, first);
	assert_int_equal(first->err.code, ERR_INTERNAL);
	completed(world, accepted(world, second));
}

static void nothing_is_told_while_the_store_is_away(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;
	struct operation *operation;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = 5000;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	operation = at_step(world, id, "await-device", PHASE_SLEEPING);
	store_memory_set_away(world->store, "disk full");
	world_pass(world, 3600 * 1000);
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, id), 0);
	assert_int_equal(operation->phase, PHASE_COMMITTING);
	/* The next step, too, shows when it is durable. */
	assert_string_not_equal(operation->record.step, "await-device");
	record = item(get(world, id), 0);
	assert_string_equal(record->step, "await-device");
	assert_string_equal(core_operation(world->core, id)->step, "await-device");
	assert_null(mapping_find(world->core->model, VOLUME(1)));
	store_memory_set_away(world->store, NULL);
	at_step(world, id, "publish", PHASE_COMMITTING);
	while (!operation->ended)
		world_turn(world);
	store_memory_set_away(world->store, "disk full");
	/* Its last commit is on its way, for longer than any deadline; so far nobody may take it
	 * for completed. */
	world_pass(world, 3600 * 1000);
	record = item(get(world, id), 0);
	assert_int_equal(record->status, OPERATION_EXECUTING);
	assert_null(record->response);
	assert_null(mapping_find(world->core->model, VOLUME(1)));
	assert_null(export_find(world->core->model, VOLUME(1)));
	store_memory_set_away(world->store, NULL);
	completed(world, id);
	check_world(world, 1);
}

static void history(void **state)
{
	/* That the disk is here is committed before clients are told, in the step that saw it. */
	static const char *const steps[] = { "check",        "ask-cloud", "await-job",
					     "await-device", "name",      "name",
					     "read",         "export",    "publish" };
	struct world *world = *state;
	struct store_memory_transition rows[16];
	const char *id;

	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	completed(world, id);
	assert_int_equal(store_memory_history(world->store, id, rows, ARRAY_SIZE(rows)),
			 ARRAY_SIZE(steps) + 2);
	assert_string_equal(rows[0].previous_status, "");
	assert_string_equal(rows[0].new_status, "pending");
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		assert_string_equal(rows[i + 1].previous_status, i ? "executing" : "pending");
		assert_string_equal(rows[i + 1].new_status, "executing");
		assert_non_null(strstr(rows[i + 1].details, steps[i]));
	}
	assert_string_equal(rows[ARRAY_SIZE(steps) + 1].previous_status, "executing");
	assert_string_equal(rows[ARRAY_SIZE(steps) + 1].new_status, "completed");
}

/* Of an attachment to another VM, whose disk is not here: only what has an effect outside is
 * committed before it is done. */
static void history_of_what_happens_elsewhere(void **state)
{
	static const char *const steps[] = { "check", "ask-cloud", "await-job" };
	struct world *world = *state;
	struct store_memory_transition rows[16];
	const char *id;

	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));
	completed(world, id);
	assert_int_equal(store_memory_history(world->store, id, rows, ARRAY_SIZE(rows)),
			 ARRAY_SIZE(steps) + 2);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		assert_non_null(strstr(rows[i + 1].details, steps[i]));
	assert_non_null(strstr(rows[ARRAY_SIZE(steps) + 1].details, "publish"));
	assert_string_equal(rows[ARRAY_SIZE(steps) + 1].new_status, "completed");
	assert_non_null(mapping_find(world->core->model, VOLUME(1)));
}

/* A commit is refused for good: what was done is taken back, and nobody has heard that it was
 * completed. */
static void refused_at_every_commit(void **state)
{
	for (unsigned nth = 2; nth <= 7; nth++) {
		void *each = NULL;
		struct world *world = fresh(&each);
		struct store_health health = { 0 };

		server_add(&world->server, "one", 5);
		store_health(world->store, &health);
		store_memory_fail_at(world->store, health.transactions + nth, ERR_CONFLICT);
		ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
			   OPERATION_FAILED, "the test wants commit");
		assert_false(world->seen[world->seen_count - 1].operation.needs_attention);
		world_pass(world, 5000);
		check_world(world, 1);
		assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
		world_teardown(&each);
	}
}

/* ---- cancel and deadlines ---- */

static void cancel_one_at(const struct scenario *scenario, unsigned count, bool *over)
{
	struct world *world = scenario_start(scenario);
	struct reply *begun = scenario->begin(world), *cancel;
	const struct operation_record *record;
	void *each = world;

	answered(world, begun);
	turns(world, count);
	*over = operation_count(world->core->engine) == 0;
	cancel = ask_operation(world, METHOD_OPERATION_CANCEL, accepted(world, begun));
	answered(world, cancel);
	scenario_finish(world, scenario);
	world_pass(world, 5000);
	record = core_operation(world->core, accepted(world, begun));
	assert_false(record->needs_attention);
	if (cancel->err.code == ERR_NONE) {
		assert_int_equal(record->status, OPERATION_CANCELLED);
		check_world(world, scenario->volumes_before);
		assert_int_equal(mapping_find(world->core->model, VOLUME(1)) != NULL,
				 scenario->attached_before);
	} else {
		assert_int_equal(cancel->err.code, ERR_CONFLICT);
		assert_int_equal(record->status, scenario->status);
		check_world(world, scenario->volumes);
	}
	world_teardown(&each);
}

static void cancel_at_every_turn(void **state)
{
	for (size_t i = 0; i < scenario_count; i++) {
		bool over = scenarios[i].meddle != NULL;

		for (unsigned count = 0; !over && count < GIVE_UP; count++)
			cancel_one_at(&scenarios[i], count, &over);
	}
}

/* Whoever was told that it is cancelled finds it cancelled, whatever dies then. */
static void granted_cancel_survives_a_kill(void **state)
{
	for (size_t i = 0; i < scenario_count; i++) {
		bool over = scenarios[i].meddle != NULL;

		for (unsigned count = 0; !over && count < 60; count++) {
			struct world *world = scenario_start(&scenarios[i]);
			struct reply *begun = scenarios[i].begin(world), *cancel;
			void *each = world;

			answered(world, begun);
			turns(world, count);
			over = operation_count(world->core->engine) == 0;
			cancel = ask_operation(world, METHOD_OPERATION_CANCEL,
					       accepted(world, begun));
			answered(world, cancel);
			world_restart(world);
			scenario_finish(world, &scenarios[i]);
			world_pass(world, 5000);
			if (cancel->err.code == ERR_NONE)
				check_world(world, scenarios[i].volumes_before);
			else
				check_world(world, scenarios[i].volumes);
			world_teardown(&each);
		}
	}
}

/* Somebody sets the clock, by years and in both directions: deadlines count what has passed. */
static void the_wall_clock_jumps(void **state)
{
	static const int64_t jumps[] = { 400 * DAY_MS, -800 * DAY_MS };

	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		struct world *world;
		void *each;
		const char *id;

		world_setup(&each);
		world = each;
		server_add(&world->server, "one", 5)->plug_ms = -1;
		id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
		at_step(world, id, "await-device", PHASE_SLEEPING);
		clock_test_start(clock_mono_ms(), clock_wall_ms() + jumps[i]);
		world_pass(world, DEVICE_WAIT_MS - 5000);
		assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, id), 0);
		world_pass(world, 10000);
		assert_int_equal(operation_find(world->core->engine, id)->record.undoing, true);
		ended_with(world, id, OPERATION_FAILED, "did not end within 60 s");
		/* Ids still sort by age, and what comes next works. */
		server_find(&world->server, VOLUME(1))->plug_ms = 100;
		attached(world, VOLUME(1));
		world_teardown(&each);
	}
}

static void cancelled_while_its_commit_is_refused(void **state)
{
	struct world *world = *state;
	struct store_health health = { 0 };
	const char *id;
	struct err err;

	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-job", PHASE_COMMITTING);
	store_health(world->store, &health);
	store_memory_fail_at(world->store, health.transactions + 1, ERR_INTERNAL);
	assert_int_equal(operation_cancel(operation_find(world->core->engine, id), NULL, &err), 0);
	ended_with(world, id, OPERATION_FAILED, "the test wants commit");
	assert_false(core_operation(world->core, id)->needs_attention);
	check_world(world, 1);
}

static void deadline_takes_back(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = -1;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	world_pass(world, DEVICE_WAIT_MS - 5000);
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, id), 0);
	ended_with(world, id, OPERATION_FAILED,
		   "await-device did not end within 60 s (device.wait): no disk of volume");
	assert_non_null(strstr(core_operation(world->core, id)->error,
			       "; the operation was undone from step await-device on"));
	assert_string_equal(core_operation(world->core, id)->error_code,
			    err_view(ERR_TIMEOUT)->word);
	assert_int_equal(server_jobs(&world->server, FAKE_DETACH), 1);
	check_world(world, 1);
}

static void absent_cloud_is_waited_for(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-job", PHASE_WAITING);
	world->server.down = true;
	world_pass(world, 5 * CLOUD_WAIT_MS);
	assert_int_equal(status_of(world, id), OPERATION_EXECUTING);
	world->server.down = false;
	completed(world, id);
}

static void job_that_does_not_end(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_JOB_STUCK });
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	world_pass(world, CLOUD_WAIT_MS + 30000);
	/* It is being taken back, but never while the job may still attach it. */
	assert_true(operation_find(world->core->engine, id)->record.undoing);
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
	server_release_stuck(&world->server);
	ended_with(
		world, id, OPERATION_FAILED,
		"await-job did not end within 600 s (cloud.job_wait): the end of the job; its disk has come; last seen: job ");
	assert_non_null(strstr(core_operation(world->core, id)->error, " in progress, "));
	world_pass(world, 5000);
	check_world(world, 1);
}

static void failing_undo_stays_visible(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = -1;
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DETACH, 1, 9, FAULT_REFUSED, 530, "Agent is down" });
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	ended_with(world, id, OPERATION_FAILED, "no disk of volume");
	record = item(get(world, id), 0);
	assert_true(record->needs_attention);
	assert_non_null(strstr(record->error, "the undo, which began at step "
					      "await-device, failed at ask-cloud: "));
	assert_non_null(strstr(record->error, "Agent is down"));
	assert_false(operation_busy(world->core->engine, VOLUME(1)));
}

/* ---- memory ---- */

static void ended_ones_are_forgotten(void **state)
{
	struct world *world = *state;
	char first[64] = "";

	server_add(&world->server, "one", 5);
	for (int i = 0; i < 257; i++) {
		const char *id = accepted(world, ask_detach(world, VOLUME(1), false));

		ended_with(world, id, OPERATION_FAILED, "not attached to any VM");
		if (i == 0)
			snprintf(first, sizeof(first), "%s", id);
		if (i == 255)
			assert_non_null(core_operation(world->core, first));
	}
	assert_null(core_operation(world->core, first));
	assert_int_equal(events_of(world, EVENT_OPERATION_FORGOTTEN, NULL), 1);
	assert_int_equal(events_of(world, EVENT_OPERATION_FORGOTTEN, first), 1);
	assert_int_equal(status_of(world, first), OPERATION_FAILED);
}

/* ---- starting again ---- */

static void without_cloud_it_waits(void **state)
{
	struct world *world = *state;
	struct err err = { 0 };
	char id[64];

	server_add(&world->server, "one", 5);
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	at_step(world, id, "await-job", PHASE_WAITING);
	world_kill(world);
	world->core = core_new(world->loop, &world->options, world->store, NULL, &err);
	assert_non_null(world->core);
	core_listen(world->core, &world->listener);
	world_pass(world, 5000);
	assert_int_equal(status_of(world, id), OPERATION_EXECUTING);
	world_restart(world);
	completed(world, id);
	world_pass(world, 1000);
	check_world(world, 1);
}

#define JOB "\"job_id\":\"eeeeeeee-0000-4000-8000-00000000000e\""

/* An operation on VOLUME(1) as another process left it; step NULL: it has not begun. */
static void put_operation(struct world *world, const char *id, enum operation_type type,
			  const char *step, const char *context)
{
	struct operation_record record = { 0 };
	struct store_batch *batch = store_batch_new(VOLUME(1));

	record_init(&operation_record, &record);
	str_set(&record.id, id);
	str_set(&record.volume_id, VOLUME(1));
	str_set(&record.context, context);
	str_set(&record.step, step);
	record.type = (int)type;
	record.status = step ? OPERATION_EXECUTING : OPERATION_PENDING;
	store_batch_operation(batch, &record);
	store_batch_history(batch, id, "", operation_status_names[record.status], "{}", NULL);
	store_submit(world->store, batch, NULL, NULL);
	record_clear(&operation_record, &record);
	world_turn(world);
}

/* The clock was set back between two starts, so that the younger one seems the older. */
static void what_had_begun_goes_first(void **state)
{
	struct world *world = *state;
	const char *older = "op-00000000-0000-7000-8000-000000000000";
	char id[64];

	server_add(&world->server, "one", 5);
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	at_step(world, id, "await-job", PHASE_WAITING);
	put_operation(world, older, OPERATION_DETACH, NULL, "{" JOB "}");
	world_restart(world);
	assert_int_equal(operation_find(world->core->engine, older)->phase, PHASE_QUEUED);
	completed(world, id);
	completed(world, older);
	check_world(world, 1);
}

/* Two had begun on one volume: the one that waits behind the other is cancelled, and what it had
 * done is taken back. */
static void cancelled_behind_another(void **state)
{
	struct world *world = *state;
	const char *create = "op-00000000-0000-7000-8000-000000000000";
	struct err err;
	char id[64];

	server_add(&world->server, "one", 5)->plug_ms = -1;
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	put_operation(
		world, create, OPERATION_CREATE, "await-job",
		"{" JOB
		",\"name\":\"one\",\"rename_job_id\":\"eeeeeeee-0000-4000-8000-00000000000f\"}");
	world_restart(world);
	assert_int_equal(operation_find(world->core->engine, id)->phase, PHASE_QUEUED);
	assert_int_equal(operation_cancel(operation_find(world->core->engine, id), NULL, &err), 0);
	completed(world, create);
	ended_with(world, id, OPERATION_CANCELLED, NULL);
	world_pass(world, 1000);
	check_world(world, 1);
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
}

/* The store holds what no program of today has written: it is shown as failed, and the next one has
 * its turn. */
static void unknown_step(void **state)
{
	struct world *world = *state;
	const char *id = "op-00000000-0000-7000-8000-000000000000";

	server_add(&world->server, "one", 5);
	put_operation(world, id, OPERATION_ATTACH, "levitate", "{}");
	world_restart(world);
	ended_with(world, id, OPERATION_FAILED, "levitate");
	assert_true(core_operation(world->core, id)->needs_attention);
	world_pass(world, 1000);
	attached(world, VOLUME(1));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_volume_after_the_other),
		TEST(volumes_side_by_side),
		cmocka_unit_test(second_at_every_turn),
		cmocka_unit_test(waiting_cancelled_at_every_turn),
		TEST(create_learns_late),
		TEST(accepted_only_when_durable),
		TEST(refused_acceptance_lets_the_next_on),
		TEST(nothing_is_told_while_the_store_is_away),
		TEST(history),
		TEST(history_of_what_happens_elsewhere),
		cmocka_unit_test(refused_at_every_commit),
		cmocka_unit_test(cancel_at_every_turn),
		cmocka_unit_test(granted_cancel_survives_a_kill),
		cmocka_unit_test(the_wall_clock_jumps),
		TEST(cancelled_while_its_commit_is_refused),
		TEST(deadline_takes_back),
		TEST(absent_cloud_is_waited_for),
		TEST(job_that_does_not_end),
		TEST(failing_undo_stays_visible),
		TEST(ended_ones_are_forgotten),
		TEST(without_cloud_it_waits),
		TEST(what_had_begun_goes_first),
		TEST(cancelled_behind_another),
		TEST(unknown_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
