/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The turns of a VM: CloudStack has one job of a VM at a time, the other operations wait here in
 * the order in which they were accepted, and those on different VMs do not wait for each other. The
 * CloudStack of these tests counts the jobs that come too early.
 */

#include "core/engine/engine.h"
#include "fixture.h"

static const char *attach(struct world *world, const char *volume_id, const char *vm_id)
{
	return accepted(world, ask_attach(world, volume_id, vm_id));
}

/* The nth attachment: its job does not end before the server releases it. */
static const char *attach_stuck(struct world *world, unsigned nth, const char *volume_id,
				const char *vm_id)
{
	const char *id;

	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, nth, 1, FAULT_JOB_STUCK });
	id = attach(world, volume_id, vm_id);
	at_step(world, id, "await-job", PHASE_WAITING);
	return id;
}

static const struct operation_record *record_of(struct world *world, const char *id)
{
	const struct operation_record *record = core_operation(world->core, id);

	assert_non_null(record);
	return record;
}

/* The operation is pending behind the other one, and says so. */
static void waits_for(struct world *world, const char *id, const char *other)
{
	const struct operation_record *record;

	at_step(world, id, NULL, PHASE_QUEUED);
	record = record_of(world, id);
	assert_int_equal(record->status, OPERATION_PENDING);
	assert_null(record->step);
	assert_non_null(record->waits_for);
	assert_non_null(strstr(record->waits_for, other));
}

static void cancelled(struct world *world, const char *id)
{
	answered(world, ask_operation(world, METHOD_OPERATION_CANCEL, id));
	ended_with(world, id, OPERATION_CANCELLED, "cancelled by request");
}

static void check_turns(struct world *world, size_t volumes)
{
	check_world(world, volumes);
	assert_int_equal(world->server.crossed, 0);
	assert_null(world->core->engine->vm_queues);
}

static void add_volumes(struct world *world, size_t count)
{
	for (size_t i = 0; i < count; i++)
		server_add(&world->server, "one", 5);
}

static void in_the_order_of_acceptance(void **state)
{
	struct world *world = *state;
	const char *ids[3];

	add_volumes(world, 3);
	ids[0] = attach_stuck(world, 1, VOLUME(1), OTHER_VM);
	ids[1] = attach(world, VOLUME(2), OTHER_VM);
	ids[2] = attach(world, VOLUME(3), OTHER_VM);
	assert_null(record_of(world, ids[0])->waits_for);
	waits_for(world, ids[1], ids[0]);
	waits_for(world, ids[2], ids[1]);
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 1);
	server_release_stuck(&world->server);
	completed(world, ids[0]);
	completed(world, ids[1]);
	assert_null(record_of(world, ids[1])->waits_for);
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, ids[2]), 0);
	completed(world, ids[2]);
	check_turns(world, 3);
}

static void other_vms_do_not_wait(void **state)
{
	struct world *world = *state;
	const char *slow, *waiting, *quick, *free;

	add_volumes(world, 4);
	slow = attach_stuck(world, 1, VOLUME(1), OTHER_VM);
	waiting = attach(world, VOLUME(2), OTHER_VM);
	quick = attach(world, VOLUME(3), APPLIANCE);
	free = accepted(world, ask_delete(world, VOLUME(4)));
	completed(world, quick);
	completed(world, free);
	completed(world, accepted(world, ask_create(world, "new")));
	waits_for(world, waiting, slow);
	server_release_stuck(&world->server);
	completed(world, slow);
	completed(world, waiting);
	check_turns(world, 4);
}

/* The turn ends with the job: the next operation does not wait for the disk of the one before. */
static void disks_are_not_waited_for(void **state)
{
	struct world *world = *state;
	const char *slow, *quick;

	add_volumes(world, 2);
	server_find(&world->server, VOLUME(1))->plug_ms = 30000;
	slow = attach(world, VOLUME(1), APPLIANCE);
	quick = attach(world, VOLUME(2), APPLIANCE);
	completed(world, quick);
	at_step(world, slow, "await-device", PHASE_SLEEPING);
	completed(world, slow);
	check_turns(world, 2);
}

static void cancelled_while_it_waits(void **state)
{
	struct world *world = *state;
	const char *ids[3];

	add_volumes(world, 3);
	ids[0] = attach_stuck(world, 1, VOLUME(1), OTHER_VM);
	ids[1] = attach(world, VOLUME(2), OTHER_VM);
	ids[2] = attach(world, VOLUME(3), OTHER_VM);
	waits_for(world, ids[2], ids[1]);
	cancelled(world, ids[1]);
	waits_for(world, ids[2], ids[0]);
	server_release_stuck(&world->server);
	completed(world, ids[0]);
	completed(world, ids[2]);
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 2);
	check_turns(world, 3);
}

/* Whenever it comes, while the turn passes on. */
static void cancelled_at_every_turn(void **state)
{
	for (unsigned count = 0, over = 0; !over; count++) {
		void *each = NULL;
		struct world *world;
		const char *ids[3];
		struct reply *cancel;

		world_setup(&each);
		world = each;
		add_volumes(world, 3);
		ids[0] = attach(world, VOLUME(1), OTHER_VM);
		ids[1] = attach(world, VOLUME(2), OTHER_VM);
		ids[2] = attach(world, VOLUME(3), OTHER_VM);
		for (unsigned i = 0; i < count; i++) {
			if (!world_turn(world))
				clock_test_advance(20);
		}
		over = events_of(world, EVENT_OPERATION_ENDED, ids[1]) == 1;
		cancel = ask_operation(world, METHOD_OPERATION_CANCEL, ids[1]);
		answered(world, cancel);
		completed(world, ids[0]);
		ended_with(world, ids[1],
			   cancel->err.code ? OPERATION_COMPLETED : OPERATION_CANCELLED, NULL);
		completed(world, ids[2]);
		check_turns(world, 3);
		world_teardown(&each);
	}
}

/* The first one's time runs out. Its undo, a job as well, keeps the turn, and the time of the
 * second one begins when it is sent. */
static void waiting_is_not_part_of_its_time(void **state)
{
	struct world *world = *state;
	const char *first, *second;

	add_volumes(world, 2);
	first = attach_stuck(world, 1, VOLUME(1), OTHER_VM);
	second = attach(world, VOLUME(2), OTHER_VM);
	waits_for(world, second, first);
	world_pass(world, CLOUD_WAIT_MS + 10000);
	assert_true(record_of(world, first)->undoing);
	waits_for(world, second, first);
	server_release_stuck(&world->server);
	ended_with(world, first, OPERATION_FAILED, "await-job did not end");
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 1);
	completed(world, second);
	check_turns(world, 2);
}

/* An attachment whose disk does not come has given its turn away and needs it once more. */
static void an_undo_goes_first(void **state)
{
	struct world *world = *state;
	const char *ids[3];

	add_volumes(world, 3);
	server_find(&world->server, VOLUME(1))->plug_ms = -1;
	ids[0] = attach(world, VOLUME(1), APPLIANCE);
	at_step(world, ids[0], "await-device", PHASE_SLEEPING);
	ids[1] = attach_stuck(world, 2, VOLUME(2), APPLIANCE);
	ids[2] = attach(world, VOLUME(3), APPLIANCE);
	waits_for(world, ids[2], ids[1]);
	at_step(world, ids[0], "ask-cloud", PHASE_SLEEPING);
	assert_non_null(strstr(record_of(world, ids[0])->waits_for, ids[1]));
	waits_for(world, ids[2], ids[0]);
	server_release_stuck(&world->server);
	ended_with(world, ids[0], OPERATION_FAILED, "await-device did not end");
	completed(world, ids[1]);
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 2);
	completed(world, ids[2]);
	check_turns(world, 3);
}

/* Another client has attached the volume, so the daemon learns its VM by asking. */
static void a_vm_that_is_learned(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "theirs", 5);
	const char *first, *detach, *resize, *delete;

	add_volumes(world, 1);
	server_attach(&world->server, volume, OTHER_VM);
	first = attach_stuck(world, 1, VOLUME(2), OTHER_VM);
	resize = accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false));
	detach = accepted(world, ask_detach(world, VOLUME(1), false));
	delete = accepted(world, ask_delete(world, VOLUME(1)));
	waits_for(world, resize, first);
	assert_string_equal(record_of(world, resize)->vm_id, OTHER_VM);
	waits_for(world, detach, resize);
	waits_for(world, delete, detach);
	cancelled(world, resize);
	waits_for(world, detach, first);
	server_release_stuck(&world->server);
	completed(world, first);
	completed(world, detach);
	completed(world, delete);
	check_turns(world, 1);
}

/* Two volumes that change places between two VMs, each in a chain of its own. */
static void chains_across_two_vms(void **state)
{
	static const char *const vms[] = { APPLIANCE, OTHER_VM };
	static const char *const volumes[] = { VOLUME(1), VOLUME(2), VOLUME(3) };
	struct world *world = *state;
	const char *ids[3 * 2 * 6];
	size_t count = 0;

	add_volumes(world, 3);
	for (size_t round = 0; round < 6; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(volumes); i++) {
			ids[count++] = attach(world, volumes[i], vms[(round + i) % 2]);
			ids[count++] = accepted(world, ask_detach(world, volumes[i], false));
		}
	}
	for (size_t i = 0; i < count; i++)
		completed(world, ids[i]);
	check_turns(world, 3);
}

/* ---- jobs of other clients ---- */

static void ignore(void *arg, const struct cloud_result *result)
{
}

/* Another client's job on VOLUME(1), which does not end before the server releases it. */
static void foreign_job(struct world *world)
{
	server_fault(&world->server, (struct fake_fault){ FAKE_RENAME, 1, 1, FAULT_JOB_STUCK });
	cloud_rename_volume(world->cloud, VOLUME(1), "other",
			    "eeeeeeee-0000-4000-8000-00000000000e", clock_mono_ms(), ignore, NULL);
	world_pass(world, 200);
}

/* The operation has begun, has done nothing, and names the volume on which CloudStack works. */
static void waits_for_work_on(struct world *world, const char *id, const char *volume_id)
{
	at_step(world, id, "check", PHASE_SLEEPING);
	assert_non_null(strstr(record_of(world, id)->waits_for, volume_id));
}

static void a_job_of_another_client_on_the_vm(void **state)
{
	struct world *world = *state;
	const char *one, *two;
	unsigned jobs;

	add_volumes(world, 3);
	attached(world, VOLUME(1));
	foreign_job(world);
	jobs = server_jobs(&world->server, FAKE_ATTACH);
	one = attach(world, VOLUME(2), APPLIANCE);
	two = attach(world, VOLUME(3), APPLIANCE);
	waits_for_work_on(world, one, VOLUME(1));
	completed(world, attach(world, server_add(&world->server, "more", 5)->id, OTHER_VM));
	cancelled(world, one);
	waits_for_work_on(world, two, VOLUME(1));
	world_pass(world, 60000);
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), jobs + 1);
	server_release_stuck(&world->server);
	completed(world, two);
	assert_int_equal(world->server.crossed, 0);
}

/* The job of a snapshot shows only in the state of its volume. */
static void a_snapshot_of_another_client_on_the_vm(void **state)
{
	struct world *world = *state;
	const char *one, *two;

	add_volumes(world, 2);
	attached(world, VOLUME(1));
	server_find(&world->server, VOLUME(1))->snapshotting = true;
	one = accepted(world, ask_detach(world, VOLUME(1), false));
	two = attach(world, VOLUME(2), APPLIANCE);
	waits_for_work_on(world, two, VOLUME(1));
	world_pass(world, 60000);
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
	server_find(&world->server, VOLUME(1))->snapshotting = false;
	completed(world, one);
	completed(world, two);
	check_turns(world, 2);
}

/* An attachment that waits for a snapshot holds up nobody. */
static void others_do_not_wait_for_a_snapshot(void **state)
{
	struct world *world = *state;
	const char *waiting;

	add_volumes(world, 3);
	attached(world, VOLUME(1));
	attached(world, VOLUME(3));
	server_find(&world->server, VOLUME(1))->snapshotting = true;
	waiting = attach(world, VOLUME(2), APPLIANCE);
	waits_for_work_on(world, waiting, VOLUME(1));
	completed(world, accepted(world, ask_detach(world, VOLUME(3), false)));
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, waiting), 0);
	server_find(&world->server, VOLUME(1))->snapshotting = false;
	completed(world, waiting);
	check_turns(world, 3);
}

/* ---- after a restart ---- */

static void the_order_survives_a_restart(void **state)
{
	struct world *world = *state;
	const char *ids[3];

	add_volumes(world, 3);
	ids[0] = attach_stuck(world, 1, VOLUME(1), OTHER_VM);
	ids[1] = attach(world, VOLUME(2), OTHER_VM);
	ids[2] = attach(world, VOLUME(3), OTHER_VM);
	waits_for(world, ids[2], ids[1]);
	world_restart(world);
	at_step(world, ids[0], "await-job", PHASE_WAITING);
	waits_for(world, ids[1], ids[0]);
	waits_for(world, ids[2], ids[1]);
	server_release_stuck(&world->server);
	completed(world, ids[0]);
	completed(world, ids[1]);
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, ids[2]), 0);
	completed(world, ids[2]);
	check_turns(world, 3);
}

/* A restart at each turn of three attachments and their end. */
static void restarted_at_every_turn(void **state)
{
	for (unsigned count = 0, over = 0; !over; count++) {
		void *each = NULL;
		struct world *world;
		const char *ids[3];

		world_setup(&each);
		world = each;
		add_volumes(world, 3);
		ids[0] = attach(world, VOLUME(1), OTHER_VM);
		ids[1] = attach(world, VOLUME(2), OTHER_VM);
		ids[2] = accepted(world, ask_detach(world, VOLUME(1), false));
		for (unsigned i = 0; i < count; i++) {
			if (!world_turn(world))
				clock_test_advance(20);
		}
		over = events_of(world, EVENT_OPERATION_ENDED, ids[2]) == 1;
		world_restart(world);
		world_pass(world, 60000);
		assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
		assert_string_equal(server_find(&world->server, VOLUME(2))->vm_id, OTHER_VM);
		check_turns(world, 3);
		world_teardown(&each);
	}
}

/* ---- disks without identity ---- */

/* Such attachments begin only when all others have ended, so the one before keeps its turn. If it
 * fails, its undo has the turn although another attachment waits. */
static void nameless_disks_keep_the_turn(void **state)
{
	struct world *world = *state;
	const char *first, *second;

	add_volumes(world, 2);
	server_find(&world->server, VOLUME(1))->plug_ms = -1;
	first = attach(world, VOLUME(1), APPLIANCE);
	second = attach(world, VOLUME(2), APPLIANCE);
	at_step(world, first, "await-device", PHASE_SLEEPING);
	waits_for(world, second, first);
	ended_with(world, first, OPERATION_FAILED, "await-device did not end");
	completed(world, second);
	check_turns(world, 2);
}

static bool is_ending(struct world *world, const void *arg)
{
	return operation_find(world->core->engine, arg)->ended != NULL;
}

/* An attachment whose last commit is under way needs no turn any more, and would never pass one
 * on. */
static void nameless_disks_behind_the_last_commit(void **state)
{
	struct world *world = *state;
	const char *first, *second;

	add_volumes(world, 2);
	first = attach(world, VOLUME(1), APPLIANCE);
	second = attach(world, VOLUME(2), APPLIANCE);
	at_step(world, first, "await-device", PHASE_SLEEPING);
	world->server.trip_ms = 500;
	assert_true(world_until(world, is_ending, first, 60000));
	store_memory_set_away(world->store, "away");
	world_pass(world, 2000);
	store_memory_set_away(world->store, NULL);
	completed(world, first);
	completed(world, second);
	check_turns(world, 2);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_the_order_of_acceptance),
		TEST(other_vms_do_not_wait),
		TEST(disks_are_not_waited_for),
		TEST(cancelled_while_it_waits),
		cmocka_unit_test(cancelled_at_every_turn),
		TEST(waiting_is_not_part_of_its_time),
		TEST(an_undo_goes_first),
		TEST(a_vm_that_is_learned),
		TEST(chains_across_two_vms),
		TEST(a_job_of_another_client_on_the_vm),
		TEST(a_snapshot_of_another_client_on_the_vm),
		TEST(others_do_not_wait_for_a_snapshot),
		TEST(the_order_survives_a_restart),
		cmocka_unit_test(restarted_at_every_turn),
		cmocka_unit_test_setup_teardown(nameless_disks_behind_the_last_commit,
						world_setup_nameless, world_teardown),
		cmocka_unit_test_setup_teardown(nameless_disks_keep_the_turn, world_setup_nameless,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
