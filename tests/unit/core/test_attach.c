/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attaching, with a kernel and a CloudStack that take every liberty: no volume may ever get another
 * one's disk. */

#include "fixture.h"

/* Attaches VOLUME(1), which cannot work: it fails with this text and is taken back. */
static void must_fail(struct world *world, const char *text)
{
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED, text);
	world_pass(world, 5000);
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
	check_world(world, server_count(&world->server));
}

static void device_before_the_job_ends(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5)->plug_ms = 0;
	world->server.job_ms = 30000;
	attached(world, VOLUME(1));
	check_world(world, 1);
}

static void device_long_after(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5)->plug_ms = DEVICE_WAIT_MS - 5000;
	attached(world, VOLUME(1));
	check_world(world, 1);
}

static void wrong_size(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5)->size_error = (int64_t)GIB;
	must_fail(world, "bytes where CloudStack says");
}

static void foreign_serial(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5)->serial = SERIAL_FOREIGN;
	must_fail(world, "no disk of volume");
}

static void nameless_among_named(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5)->serial = SERIAL_NONE;
	must_fail(world, "does not identify itself");
}

static bool is_listed(struct world *world, const void *name)
{
	return sysblock_find(world->core->env.sysblock, name) != NULL;
}

/* Its serial comes long after the disk itself. */
static void slow_to_identify_itself(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = server_add(&world->server, "one", 5);
	_cleanup_free_ char *serial = NULL;
	char text[21];
	const char *id;

	one->serial = SERIAL_NONE;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	assert_true(world_until(world, is_listed, "vdb", 60000));
	world_pass(world, 5000);
	assert_int_equal(core_operation(world->core, id)->status, OPERATION_EXECUTING);
	one->serial = SERIAL_OWN;
	volume_serial(one, text);
	serial = xasprintf("sys/block/%s/serial", one->disk);
	tree_write(&world->kernel.tree, serial, text);
	completed(world, id);
	check_world(world, 1);
}

/* When it began others could be attached beside it; that nobody else is there now proves
 * nothing. */
static void named_ones_go_meanwhile(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = server_add(&world->server, "one", 5);
	const char *id;

	one->serial = SERIAL_NONE;
	one->plug_ms = 10000;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	kernel_unplug(&world->kernel, "vda");
	ended_with(world, id, OPERATION_FAILED, "left behind");
	check_world(world, 1);
}

static void equal_sizes_at_once(void **state)
{
	static const char *const ids[] = { VOLUME(1), VOLUME(2), VOLUME(3), VOLUME(4), VOLUME(5) };
	struct world *world = *state;
	struct reply *replies[ARRAY_SIZE(ids)];

	/* The later ones appear first. */
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		server_add(&world->server, "equal", 5)->plug_ms = 20000 - 4000 * (int64_t)i;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		replies[i] = ask_attach(world, ids[i], APPLIANCE);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		completed(world, accepted(world, replies[i]));
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		check_mapped(world, ids[i]);
		assert_int_equal(mapping_find(world->core->model, ids[i])->record.matched_by,
				 MATCHED_BY_IDENTITY);
	}
	check_world(world, ARRAY_SIZE(ids));
}

static void to_another_vm(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.device_path,
			    "remote-vm-" OTHER_VM "-" VOLUME(1));
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state, "n/a");
	check_world(world, 1);
}

static void to_where_it_is_already(void **state)
{
	struct world *world = *state;
	_cleanup_free_ char *as = NULL;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	as = xasprintf("it is attached there already, as %s",
		       mapping_find(world->core->model, VOLUME(1))->record.device_path);
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED, as);
	server_attach(&world->server, server_add(&world->server, "two", 5), OTHER_VM);
	ended_with(world, accepted(world, ask_attach(world, VOLUME(2), OTHER_VM)), OPERATION_FAILED,
		   "it is attached there already, as CloudStack's device ");
	assert_int_equal(world->server.calls[FAKE_ATTACH], 1);
}

static void what_may_not_be(void **state)
{
	struct world *world = *state;

	server_attach(&world->server, server_add(&world->server, "one", 5), OTHER_VM);
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED, "already attached to VM " OTHER_VM "; detach it first");
	ended_with(world, accepted(world, ask_attach(world, VOLUME(9), APPLIANCE)),
		   OPERATION_FAILED, "does not exist");
	assert_int_equal(world->server.calls[FAKE_ATTACH], 0);
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
}

/* ---- no disk says who it is ---- */

static void by_size(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.matched_by,
			 MATCHED_BY_SIZE);
	check_world(world, 1);
}

static void by_size_one_at_a_time(void **state)
{
	static const char *const ids[] = { VOLUME(1), VOLUME(2), VOLUME(3) };
	struct world *world = *state;
	struct reply *replies[ARRAY_SIZE(ids)];

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		server_add(&world->server, "equal", 5)->plug_ms = 20000 - 8000 * (int64_t)i;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		replies[i] = ask_attach(world, ids[i], APPLIANCE);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		completed(world, accepted(world, replies[i]));
		assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), i + 1);
		check_mapped(world, ids[i]);
	}
	check_world(world, ARRAY_SIZE(ids));
}

/* The older one waits for its volume, and its turn comes when the younger one is under way. */
static void by_size_the_younger_first(void **state)
{
	struct world *world = *state;
	struct reply *older, *younger;

	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5)->plug_ms = 20000;
	attached(world, VOLUME(1));
	accepted(world, ask_detach(world, VOLUME(1), false));
	older = ask_attach(world, VOLUME(1), APPLIANCE);
	younger = ask_attach(world, VOLUME(2), APPLIANCE);
	completed(world, accepted(world, younger));
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 2);
	completed(world, accepted(world, older));
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 3);
	check_mapped(world, VOLUME(1));
	check_mapped(world, VOLUME(2));
	check_world(world, 2);
}

static void by_size_two_new_ones(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = 20000;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	kernel_plug(&world->kernel, "vdx", NULL, 5 * GIB);
	kernel_plug(&world->kernel, "vdy", NULL, 5 * GIB);
	ended_with(world, id, OPERATION_FAILED, "are both new");
}

/* Ours is there, too, but the last scan has not seen it. */
static void by_size_one_not_seen_yet(void **state)
{
	struct world *world = *state;
	const char *id;

	world->server.job_ms = 1500;
	server_add(&world->server, "one", 5)->plug_ms = 1400;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-job", PHASE_WAITING);
	kernel_plug(&world->kernel, "vdx", NULL, 5 * GIB);
	assert_int_equal(sysblock_scan(world->core->env.sysblock, NULL), 0);
	ended_with(world, id, OPERATION_FAILED, "are both new");
}

/* A new process in a new boot cannot know which disks are new. */
static void by_size_across_a_boot(void **state)
{
	struct world *world = *state;
	char id[64];

	server_add(&world->server, "one", 5)->plug_ms = 1000;
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	world_kill(world);
	clock_test_advance(5000);
	loop_turn(world->loop);
	assert_true(kernel_has(&world->kernel, "vdb"));
	kernel_reboot(&world->kernel, (const char *const[]){ "vda", "vdb", NULL });
	world_open(world);
	ended_with(world, id, OPERATION_FAILED, "no disk of volume");
	world_pass(world, 5000);
	check_world(world, 1);
}

/* ---- names ---- */

/* The kernel gives a name away at once; the mapping of its last owner must have let go of it
 * first. */
static void name_changes_hands(void **state)
{
	struct world *world = *state;
	struct fake_volume *first;

	first = server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 7);
	attached(world, VOLUME(1));
	assert_string_equal(first->disk, "vdb");
	kernel_unplug(&world->kernel, "vdb");
	first->disk[0] = '\0';
	server_find(&world->server, VOLUME(2))->plug_ms = 0;
	attached(world, VOLUME(2));
	assert_string_equal(server_find(&world->server, VOLUME(2))->disk, "vdb");
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "gone");
}

static void ignore(void *arg, const struct cloud_result *result)
{
}

/* Somebody else's job on VOLUME(1) that does not end. */
static void foreign_job(struct world *world)
{
	server_fault(&world->server, (struct fake_fault){ FAKE_RENAME, 1, 1, FAULT_JOB_STUCK });
	cloud_rename_volume(world->cloud, VOLUME(1), "other",
			    "eeeeeeee-0000-4000-8000-00000000000e", clock_mono_ms(), ignore, NULL);
	world_pass(world, 200);
}

/* An operation on the last owner that waits after the disk has gone does not keep the name from the
 * next one. */
static void name_is_not_held_by_an_operation(void **state)
{
	struct world *world = *state;
	const char *detach, *attach;

	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 7);
	attached(world, VOLUME(1));
	foreign_job(world);
	server_find(&world->server, VOLUME(1))->unlisted = true; /* no operation waits for its VM */
	detach = accepted(world, ask_detach(world, VOLUME(1), false));
	at_step(world, detach, "check", PHASE_SLEEPING);
	kernel_unplug(&world->kernel, "vdb");
	server_find(&world->server, VOLUME(1))->disk[0] = '\0';
	attach = accepted(world, ask_attach(world, VOLUME(2), APPLIANCE));
	completed(world, attach);
	check_mapped(world, VOLUME(2));
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "gone");
	assert_int_equal(operation_find(world->core->engine, detach)->phase, PHASE_SLEEPING);
	server_release_stuck(&world->server);
	completed(world, detach);
	world_pass(world, 1000);
	check_world(world, 2);
}

/* Never detach under a running job, whoever's it is. */
static void taken_back_after_foreign_job(void **state)
{
	struct world *world = *state;
	const char *id;
	struct err err;

	server_add(&world->server, "one", 5)->plug_ms = -1;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	foreign_job(world);
	assert_int_equal(operation_cancel(operation_find(world->core->engine, id), NULL, &err), 0);
	world_pass(world, 60000);
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
	server_release_stuck(&world->server);
	ended_with(world, id, OPERATION_CANCELLED, NULL);
	world_pass(world, 1000);
	check_world(world, 1);
}

/* Between the commit of the last step and the step itself another disk takes the name. */
static void name_changes_while_publishing(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "publish", PHASE_COMMITTING);
	kernel_plug(&world->kernel, "vdc", "00000007111142228333", 5 * GIB);
	kernel_swap(&world->kernel, "vdb", "vdc");
	snprintf(server_find(&world->server, VOLUME(1))->disk, 16, "vdc");
	completed(world, id);
	check_mapped(world, VOLUME(1));
}

/* An answer that got lost, and a repetition that is told there is nothing to detach: then it has
 * happened. */
static void detached_by_the_first_request(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_LOST_AFTER });
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DETACH, 2, 1, FAULT_REFUSED, 431,
					  "The specified volume is not attached to a VM." });
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	check_world(world, 1);
}

/* The same, and the repetition is refused for a reason that says nothing about the first. */
static void detached_though_the_second_is_refused(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_LOST_AFTER });
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DETACH, 2, 1, FAULT_REFUSED, 530, "Not now" });
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	check_world(world, 1);
}

/* The first request is late: it still detaches, and that is waited for. */
static void detached_by_a_late_request(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_LATE });
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DETACH, 2, 1, FAULT_REFUSED, 530, "Not now" });
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	check_world(world, 1);
}

/* Found under one name, killed, and published under another. */
static void names_change_before_publish(void **state)
{
	struct world *world = *state;
	char id[64];

	server_add(&world->server, "one", 5);
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	at_step(world, id, "publish", PHASE_COMMITTING);
	world_turn(world);
	world_kill(world);
	kernel_plug(&world->kernel, "vdc", "00000007111142228333", 5 * GIB);
	kernel_swap(&world->kernel, "vdb", "vdc");
	snprintf(server_find(&world->server, VOLUME(1))->disk, 16, "vdc");
	world_open(world);
	completed(world, id);
	check_mapped(world, VOLUME(1));
}

/* ---- somebody else ---- */

/* Between our look and our request somebody else attaches it: an error, and theirs is not taken
 * back. */
static void somebody_was_faster(void **state)
{
	static const char *const vms[] = { OTHER_VM, APPLIANCE };

	for (size_t i = 0; i < ARRAY_SIZE(vms); i++) {
		void *each = NULL;
		struct world *world;
		const char *id;

		world_setup(&each);
		world = each;
		server_add(&world->server, "one", 5);
		id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
		at_step(world, id, "ask-cloud", PHASE_COMMITTING);
		server_attach(&world->server, server_find(&world->server, VOLUME(1)), vms[i]);
		ended_with(world, id, OPERATION_FAILED, "not attached to any VM");
		world_pass(world, 60000);
		assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, vms[i]);
		world_teardown(&each);
	}
}

/* While the first request may still arrive it is not made again, and its job is found. */
static void attached_by_a_late_request(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_LATE });
	attached(world, VOLUME(1));
	assert_int_equal(world->server.calls[FAKE_ATTACH], 1);
}

/* The first request arrives when its time is over, after the second: it is refused. */
static void a_request_comes_too_late(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	world->server.late_ms = 40000;
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_LATE });
	attached(world, VOLUME(1));
	world_pass(world, 60000);
	assert_int_equal(world->server.calls[FAKE_ATTACH], 2);
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 1);
}

/* The first request is on its way while it is made again, as by a proxy; the second is refused in
 * the words of 4.18, which do not say what exists. */
static void repeated_on_4_18(void **state)
{
	struct world *world = *state;

	world->server.is_4_18 = true;
	server_add(&world->server, "one", 5);
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_LOST_AFTER });
	attached(world, VOLUME(1));
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 1);
}

static bool is_asked_to_detach(struct world *world, const void *arg)
{
	return world->server.calls[FAKE_DETACH] > 0;
}

/* Between our look and our request to take it back somebody else detaches it: nothing is left to be
 * done. */
static void somebody_else_took_it_back(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	const char *id;

	volume->plug_ms = -1;
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_REFUSED, 431,
					  "The specified volume is not attached to a VM." });
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	assert_true(world_until(world, is_asked_to_detach, NULL, DAY_MS));
	server_detach(&world->server, volume);
	ended_with(world, id, OPERATION_FAILED, "no disk of volume");
	assert_false(core_operation(world->core, id)->needs_attention);
	world_pass(world, 5000);
	check_world(world, 1);
}

static void job_fails(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_JOB_FAILED, 530,
							  "Agent is down" });
	must_fail(world, "Agent is down");
}

static void job_lost_without_effect(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_JOB_LOST });
	must_fail(world, "lost the job by which volume " VOLUME(
				 1) " was to be attached, and the volume is not attached");
}

static void job_lost_after_its_effect(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ANY, 1, 1000, FAULT_JOB_LOST_AFTER });
	attached(world, VOLUME(1));
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	check_world(world, 1);
	completed(world, accepted(world, ask_delete(world, VOLUME(1))));
	completed(world, accepted(world, ask_create(world, "new")));
	world_pass(world, 5000); /* nobody waits for the renaming */
	check_world(world, 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)
#define NAMELESS(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup_nameless, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(device_before_the_job_ends),
		TEST(device_long_after),
		TEST(wrong_size),
		TEST(foreign_serial),
		TEST(slow_to_identify_itself),
		TEST(nameless_among_named),
		TEST(named_ones_go_meanwhile),
		TEST(equal_sizes_at_once),
		TEST(to_another_vm),
		TEST(to_where_it_is_already),
		TEST(what_may_not_be),
		NAMELESS(by_size),
		NAMELESS(by_size_one_at_a_time),
		NAMELESS(by_size_the_younger_first),
		NAMELESS(by_size_two_new_ones),
		NAMELESS(by_size_one_not_seen_yet),
		NAMELESS(by_size_across_a_boot),
		TEST(name_changes_hands),
		TEST(name_is_not_held_by_an_operation),
		TEST(name_changes_while_publishing),
		TEST(taken_back_after_foreign_job),
		TEST(detached_by_the_first_request),
		TEST(detached_though_the_second_is_refused),
		TEST(detached_by_a_late_request),
		TEST(names_change_before_publish),
		cmocka_unit_test(somebody_was_faster),
		TEST(attached_by_a_late_request),
		TEST(a_request_comes_too_late),
		TEST(repeated_on_4_18),
		TEST(somebody_else_took_it_back),
		TEST(job_fails),
		TEST(job_lost_without_effect),
		TEST(job_lost_after_its_effect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
