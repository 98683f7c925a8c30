/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A volume comes back from the VM of a failover test, and the VM is deleted only if nothing can be
 * lost with it. */

#include <inttypes.h>

#include "fixture.h"

/* A volume on the VM of the test, which runs and has a root disk of its own. */
static struct fake_volume *on_test(struct world *world)
{
	struct fake_volume *volume = server_add(&world->server, "one", 5), *root;

	completed(world, accepted(world, ask_attach(world, volume->id, OTHER_VM)));
	root = server_add(&world->server, "root of the test", 5);
	root->is_root = true;
	server_attach(&world->server, root, OTHER_VM);
	world->server.other_runs = true;
	return volume;
}

static void allow_expunge(struct world *world)
{
	world->options.allow_vm_expunge = true;
	world_stop(world);
	world_open(world);
	world_pass(world, 5000);
}

static const struct operation_record *cleaned(struct world *world, bool delete_vm, bool force)
{
	const struct operation_record *record =
		ended(world, accepted(world, ask_clean_up(world, VOLUME(1), delete_vm, force)));

	if (record->status != OPERATION_COMPLETED)
		fail_msg("%s", record->error);
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, APPLIANCE);
	check_mapped(world, VOLUME(1));
	check_served(world, VOLUME(1));
	return record;
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("%s\nlacks %s", text, part);
}

static void comes_back(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;

	on_test(world);
	record = cleaned(world, false, false);
	assert_int_equal(record->type, OPERATION_CLEANUP);
	assert_string_equal(record->vm_id, OTHER_VM);
	has(record->response, "\"test_vm_id\":\"" OTHER_VM "\",\"volume_id\":\"" VOLUME(
				      1) "\",\"oma_vm_id\":\"" APPLIANCE "\",\"device_path\":\"/");
	has(record->response, "\"export_status\":\"active\",\"vm_deleted\":false,\"message\":");
	assert_false(world->server.other_runs);
	assert_int_equal(server_jobs(&world->server, FAKE_EXPUNGE_VM), 0);
	check_world(world, 2);
}

/* The earlier daemon did not stop the VM then. */
static void forced_leaves_it_running(void **state)
{
	struct world *world = *state;

	on_test(world);
	cleaned(world, false, true);
	assert_true(world->server.other_runs);
	assert_int_equal(server_jobs(&world->server, FAKE_STOP_VM), 0);
	check_world(world, 2);
}

/* CloudStack detaches a root disk from a stopped VM only. */
static void root_disk_is_never_forced(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	volume->used = true;
	completed(world, accepted(world, ask_attach_root(world, volume->id, OTHER_VM, false)));
	world->server.other_runs = true;
	cleaned(world, false, true);
	assert_false(world->server.other_runs);
	assert_false(volume->is_root);
	check_world(world, 1);
}

static void only_here(void **state)
{
	struct world *world = *state;
	char volume[] = VOLUME(1), test[] = OTHER_VM, here[] = APPLIANCE;
	struct volume_cleanup_args elsewhere = { .test_vm_id = test,
						 .volume_id = volume,
						 .oma_vm_id = test };
	struct volume_cleanup_args itself = { .test_vm_id = here,
					      .volume_id = volume,
					      .oma_vm_id = here };

	on_test(world);
	refused(world, ask(world, METHOD_VOLUME_CLEANUP, &elsewhere), ERR_INVALID,
		"oma_vm_id must be this machine, VM " APPLIANCE);
	refused(world, ask(world, METHOD_VOLUME_CLEANUP, &itself), ERR_INVALID, "is this machine");
	assert_int_equal(server_jobs(&world->server, FAKE_STOP_VM), 0);
}

static void not_from_elsewhere(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	ended_with(world, accepted(world, ask_clean_up(world, VOLUME(1), true, false)),
		   OPERATION_FAILED, "is attached to this machine already");
	check_world(world, 1);
}

/* ---- delete_vm ---- */

static void deletes(void **state)
{
	struct world *world = *state;

	on_test(world);
	allow_expunge(world);
	has(cleaned(world, true, false)->response, "\"vm_deleted\":true");
	assert_true(world->server.other_gone);
	check_world(world, 1);
}

static void not_without_permission(void **state)
{
	struct world *world = *state;

	on_test(world);
	has(cleaned(world, true, false)->response,
	    "is not deleted: the configuration of the daemon does not allow that (allow_vm_expunge");
	assert_int_equal(server_jobs(&world->server, FAKE_EXPUNGE_VM), 0);
	check_world(world, 2);
}

static void not_a_vm_that_did_not_have_it(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	allow_expunge(world);
	has(cleaned(world, true, false)->response, "\"vm_deleted\":false");
	assert_int_equal(server_jobs(&world->server, FAKE_EXPUNGE_VM), 0);
	check_world(world, 1);
}

static void not_with_another_data_disk(void **state)
{
	struct world *world = *state;
	struct fake_volume *other;

	on_test(world);
	other = server_add(&world->server, "other", 5);
	server_attach(&world->server, other, OTHER_VM);
	allow_expunge(world);
	has(cleaned(world, true, false)->response, other->id);
	assert_int_equal(server_jobs(&world->server, FAKE_EXPUNGE_VM), 0);
	assert_false(world->server.other_gone);
}

/* A replica that the daemon made the root disk of the test would be destroyed with the VM. */
static void not_with_a_root_disk_of_ours(void **state)
{
	struct world *world = *state;
	struct fake_volume *replica;

	server_add(&world->server, "one", 5);
	replica = server_add(&world->server, "replica", 5);
	replica->used = true;
	completed(world, accepted(world, ask_attach_root(world, replica->id, OTHER_VM, false)));
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	allow_expunge(world);
	has(cleaned(world, true, false)->response, replica->id);
	assert_int_equal(server_jobs(&world->server, FAKE_EXPUNGE_VM), 0);
	check_world(world, 2);
}

static void a_refusal_keeps_it(void **state)
{
	struct world *world = *state;
	const char *response;

	on_test(world);
	allow_expunge(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_EXPUNGE_VM, 1, 1, FAULT_REFUSED, 531,
							  "Only administrators" });
	response = cleaned(world, true, false)->response;
	has(response, "\"vm_deleted\":false");
	has(response, "Only administrators");
	check_world(world, 2);
}

/* The volume stays here, whatever becomes of the VM. */
static void a_job_that_does_not_end(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;

	on_test(world);
	allow_expunge(world);
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_EXPUNGE_VM,
							  .nth = 1,
							  .kind = FAULT_JOB_STUCK });
	record = ended(world, accepted(world, ask_clean_up(world, VOLUME(1), true, false)));
	assert_int_equal(record->status, OPERATION_FAILED);
	has(record->error, "the volume is back at this machine, and stays attached to it");
	has(record->error, "VM " OTHER_VM " may be deleted or not");
	check_mapped(world, VOLUME(1));
	check_served(world, VOLUME(1));
	server_release_stuck(&world->server);
}

/* The VM takes its time to go. The volume is not kept waiting meanwhile, also by the next process,
 * and the response does not name a disk that it has had. */
static void volume_moves_on(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;
	char id[64];

	on_test(world);
	allow_expunge(world);
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_EXPUNGE_VM,
							  .nth = 1,
							  .kind = FAULT_JOB_STUCK });
	snprintf(id, sizeof(id), "%s",
		 accepted(world, ask_clean_up(world, VOLUME(1), true, false)));
	at_step(world, id, "expunge", PHASE_WAITING);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	attached(world, VOLUME(1));
	world_restart(world);
	world_pass(world, 5000);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	server_release_stuck(&world->server);
	record = ended(world, id);
	assert_int_equal(record->status, OPERATION_COMPLETED);
	has(record->response, "\"device_path\":\"\"");
	has(record->response, "is not here any more; VM " OTHER_VM " is deleted");
	check_world(world, 1);
}

/* Its disk goes while the end of the cleanup is on its way to the store. */
static void moved_at_the_end(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = on_test(world);
	const struct operation_record *record;
	struct operation *operation;
	char id[64];

	snprintf(id, sizeof(id), "%s",
		 accepted(world, ask_clean_up(world, VOLUME(1), false, false)));
	operation = at_step(world, id, "permit", PHASE_COMMITTING);
	while (!operation->ended)
		world_turn(world);
	kernel_unplug(&world->kernel, volume->disk);
	record = ended(world, id);
	assert_int_equal(record->status, OPERATION_COMPLETED);
	has(record->response, "\"device_path\":\"\"");
	has(record->response, "is not here any more");
}

static void not_cancelled_when_it_is_back(void **state)
{
	struct world *world = *state;
	struct err err = { 0 };
	const char *id;

	on_test(world);
	allow_expunge(world);
	id = accepted(world, ask_clean_up(world, VOLUME(1), true, false));
	assert_int_equal(operation_cancel(at_step(world, id, "expunge", PHASE_WAITING), NULL, &err),
			 -1);
	completed(world, id);
}

/* ---- undone ---- */

static void goes_back_to_the_test(void **state)
{
	struct world *world = *state;

	on_test(world);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, world->server.calls[FAKE_ATTACH] + 1, 1,
					  FAULT_JOB_FAILED, 530, "No host" });
	ended_with(world, accepted(world, ask_clean_up(world, VOLUME(1), true, false)),
		   OPERATION_FAILED, "No host");
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, OTHER_VM);
	assert_true(world->server.other_runs);
	check_world(world, 2);
}

/* The VM of the test may run, where the account does not see it. */
static void not_from_a_hidden_vm(void **state)
{
	struct world *world = *state;

	on_test(world);
	world->server.other_gone = true;
	ended_with(world, accepted(world, ask_clean_up(world, VOLUME(1), false, false)),
		   OPERATION_FAILED, "does not show VM " OTHER_VM ", so it cannot be stopped");
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, OTHER_VM);
	cleaned(world, false, true);
}

/* What was refused was not done, and nothing of it is looked for or undone. */
static void refused_at_once(void **state)
{
	struct world *world = *state;
	unsigned looks;

	on_test(world);
	looks = world->server.calls[FAKE_FIND_JOB];
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_STOP_VM, 1, 1, FAULT_REFUSED, 530, "Not this VM" });
	ended_with(world, accepted(world, ask_clean_up(world, VOLUME(1), false, false)),
		   OPERATION_FAILED, "Not this VM");
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DETACH, world->server.calls[FAKE_DETACH] + 1, 1,
					  FAULT_REFUSED, 530, "Not now" });
	ended_with(world, accepted(world, ask_clean_up(world, VOLUME(1), false, true)),
		   OPERATION_FAILED, "Not now");
	assert_int_equal(world->server.calls[FAKE_START_VM], 0);
	assert_int_equal(world->server.calls[FAKE_FIND_JOB], looks);
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, OTHER_VM);
	check_world(world, 2);
}

/* The store refuses the mapping for good. */
static void not_published(void **state)
{
	struct world *world = *state;
	struct store_health health = { 0 };
	const char *id;

	on_test(world);
	id = accepted(world, ask_clean_up(world, VOLUME(1), false, false));
	at_step(world, id, "permit", PHASE_COMMITTING);
	store_health(world->store, &health);
	store_memory_fail_at(world->store, health.transactions + 1, ERR_CONFLICT);
	ended_with(world, id, OPERATION_FAILED, "the test wants commit");
	assert_false(core_operation(world->core, id)->needs_attention);
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, OTHER_VM);
	assert_true(world->server.other_runs);
	check_world(world, 2);
}

static bool is_stopped(struct world *world, const void *arg)
{
	return !world->server.other_runs;
}

/* While the VM of the test is stopped, another client moves the volume to a third VM. It stays
 * there, and the VM of the test runs again. */
static void moved_meanwhile(void **state)
{
	static const char third[] = "eeeeeeee-0000-4000-8000-00000000000e";
	struct world *world = *state;
	struct fake_volume *volume = on_test(world);
	const char *id = accepted(world, ask_clean_up(world, VOLUME(1), false, false));

	at_step(world, id, "stop", PHASE_WAITING);
	assert_true(world_until(world, is_stopped, NULL, CLOUD_WAIT_MS));
	server_detach(&world->server, volume);
	server_attach(&world->server, volume, third);
	ended_with(world, id, OPERATION_FAILED, "was attached to VM eeeeeeee");
	assert_string_equal(volume->vm_id, third);
	assert_int_equal(server_jobs(&world->server, FAKE_DETACH), 0);
	assert_true(world->server.other_runs);
}

static bool needs_attention(struct world *world, const char *id)
{
	world_pass(world, 3 * world->options.reconcile_ms);
	return core_operation(world->core, id)->needs_attention;
}

static void is_told_as_lost(struct world *world, const char *volume_id)
{
	char names[256];

	reconciler_lost_volumes(world->core->reconciler, names, sizeof(names));
	has(names, volume_id);
}

/* CloudStack loses the volume together with the job of its attachment, to this machine or back to
 * the VM of the test. It is told until it is attached again. */
static void stays_lost(struct world *world, const char *id)
{
	struct fake_volume *volume = server_find(&world->server, VOLUME(1));

	volume->hidden = true;
	ended_with(world, id, OPERATION_FAILED, "no longer lists volume");
	assert_true(needs_attention(world, id));
	is_told_as_lost(world, VOLUME(1));
	volume->hidden = false;
	assert_true(needs_attention(world, id));
	attached(world, VOLUME(1));
	assert_false(needs_attention(world, id));
}

static void lost_by_cloudstack(void **state)
{
	struct world *world = *state;
	char id[64];

	on_test(world);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, world->server.calls[FAKE_ATTACH] + 1, 1,
					  FAULT_JOB_LOST });
	snprintf(id, sizeof(id), "%s",
		 accepted(world, ask_clean_up(world, VOLUME(1), false, false)));
	at_step(world, id, "await-job", PHASE_WAITING);
	stays_lost(world, id);
}

static bool is_on_its_way_back(struct world *world, const void *attachments)
{
	return world->server.calls[FAKE_ATTACH] == *(const unsigned *)attachments + 2;
}

static void lost_on_its_way_back(void **state)
{
	struct world *world = *state;
	unsigned before;
	char id[64];

	on_test(world);
	before = world->server.calls[FAKE_ATTACH];
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, before + 1, 1,
							  FAULT_JOB_FAILED, 530, "No host" });
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, before + 2, 1, FAULT_JOB_LOST });
	snprintf(id, sizeof(id), "%s",
		 accepted(world, ask_clean_up(world, VOLUME(1), false, false)));
	assert_true(world_until(world, is_on_its_way_back, &before, CLOUD_WAIT_MS));
	stays_lost(world, id);
}

/* One job of a VM at a time, also of the VM that is changed second. */
static void one_job_a_vm(void **state)
{
	struct world *world = *state;
	const char *clean, *here, *there;

	on_test(world);
	server_add(&world->server, "here", 5);
	server_add(&world->server, "there", 5);
	clean = accepted(world, ask_clean_up(world, VOLUME(1), false, false));
	here = accepted(world, ask_attach(world, VOLUME(3), APPLIANCE));
	there = accepted(world, ask_attach(world, VOLUME(4), OTHER_VM));
	completed(world, clean);
	completed(world, here);
	completed(world, there);
	assert_int_equal(world->server.crossed, 0);
	check_world(world, 4);
}

/* Another client has a job on this machine when the volume is free. */
static void waits_for_others(void **state)
{
	struct world *world = *state;
	struct fake_volume *busy;
	unsigned attachments;
	const char *id;

	on_test(world);
	busy = server_add(&world->server, "busy", 5);
	attached(world, busy->id);
	attachments = world->server.calls[FAKE_ATTACH];
	busy->snapshotting = true;
	id = accepted(world, ask_clean_up(world, VOLUME(1), false, false));
	at_step(world, id, "begin", PHASE_SLEEPING);
	world_pass(world, 60000);
	assert_int_equal(world->server.calls[FAKE_ATTACH], attachments);
	busy->snapshotting = false;
	completed(world, id);
	check_world(world, 3);
}

/* Disks do not say who they are, so one attachment begins when the other has ended. The last one
 * looks at the VM, and so has its turn, while the cleanup waits for the turn and the resize, which
 * was asked for earlier, waits as well. */
static void beside_attachments(void **state)
{
	struct world *world = *state;
	const char *first, *resize, *clean, *last;

	on_test(world);
	server_add(&world->server, "first", 6)->plug_ms = 20000;
	server_add(&world->server, "last", 7);
	first = accepted(world, ask_attach(world, VOLUME(3), APPLIANCE));
	resize = accepted(world, ask_resize(world, VOLUME(3), 8 * GIB, false));
	clean = accepted(world, ask_clean_up(world, VOLUME(1), false, false));
	at_step(world, clean, "begin", PHASE_SLEEPING);
	last = accepted(world, ask_attach(world, VOLUME(4), APPLIANCE));
	world->server.trip_ms = 700;
	completed(world, first);
	completed(world, resize);
	completed(world, clean);
	completed(world, last);
	check_world(world, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(comes_back, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(forced_leaves_it_running, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(root_disk_is_never_forced, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(only_here, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(not_from_elsewhere, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(deletes, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(not_without_permission, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(not_a_vm_that_did_not_have_it, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(not_with_another_data_disk, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(not_with_a_root_disk_of_ours, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_refusal_keeps_it, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_job_that_does_not_end, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(volume_moves_on, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(moved_at_the_end, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(not_cancelled_when_it_is_back, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(goes_back_to_the_test, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(moved_meanwhile, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(not_from_a_hidden_vm, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(refused_at_once, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(not_published, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(lost_by_cloudstack, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(lost_on_its_way_back, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(one_job_a_vm, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(waits_for_others, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(beside_attachments, world_setup_nameless,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
