/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* CloudStack's refusals as a client hears them: the reason word, and words with the client's own
 * ids. Which text has which reason is tested with the cloud layer (test_cloud_error.c). */

#include "fixture.h"

#define THIRD_VM "bbbbbbbb-0000-4000-8000-00000000000c"

#define IS_UNKNOWN " value=U due to incorrect long value format, or entity does not exist"

static const struct heard {
	enum fake_command command;
	enum fault_kind kind;
	int code;
	const char *text;
	const char *reason, *says; /* reason "" none */
} rows[] = {
	{ FAKE_ATTACH, FAULT_JOB_FAILED, 431,
	  "Unable to attach volume to VM i-2-13-VM, please specify a VM that does not have VM snapshots",
	  "vm_snapshots",
	  "volume " VOLUME(1) " cannot be attached: VM " OTHER_VM " has VM snapshots" },
	{ FAKE_DETACH, FAULT_JOB_FAILED, 431,
	  "Unable to detach volume, please specify an Instance that does not have Instance Snapshots",
	  "vm_snapshots",
	  "volume " VOLUME(1) " cannot be detached: VM " OTHER_VM " has VM snapshots" },
	{ FAKE_RESIZE, FAULT_REFUSED, 432,
	  "A volume that is attached to a VM with any VM snapshots cannot be resized.",
	  "vm_snapshots",
	  "volume " VOLUME(1) " cannot be resized: VM " OTHER_VM " has VM snapshots" },
	{ FAKE_DETACH, FAULT_JOB_FAILED, 431,
	  "Unable to detach volume, cannot detach volume from a VM that has backups.", "vm_backups",
	  "VM " OTHER_VM " has backups" },
	{ FAKE_ATTACH, FAULT_JOB_FAILED, 530, "All device Ids are used by vm 3", "no_device_slot",
	  "VM " OTHER_VM " has as many disks" },
	{ FAKE_ATTACH, FAULT_JOB_FAILED, 530, "internal error: No more available PCI slots",
	  "no_device_slot", "VM " OTHER_VM " has no free PCI slot" },
	{ FAKE_ATTACH, FAULT_JOB_FAILED, 530,
	  "XML error: target 'vdb' duplicated for disk sources 'a'", "disk_remains",
	  "Stop that VM in CloudStack and start it again" },
	{ FAKE_CREATE, FAULT_REFUSED, 535, "Maximum number of resources of type 'volume'", "quota",
	  "the volume cannot be created: the account, its project or its domain has reached a limit" },
	{ FAKE_RESIZE, FAULT_JOB_FAILED, 530,
	  "Maximum amount of resources of Type = 'primary_storage'", "quota",
	  "CloudStack's words: Maximum amount of resources of Type = 'primary_storage' (code 530)" },
	{ FAKE_DESTROY, FAULT_JOB_FAILED, 431,
	  "Volume [id = V, name = one] has delete protection enabled and cannot be deleted.",
	  "delete_protection", "volume " VOLUME(1) " cannot be deleted: it is protected" },
	{ FAKE_RESIZE, FAULT_REFUSED, 432,
	  "The API [resizeVolume] does not exist or is not available for the account A",
	  "forbidden_command", "does not allow the command resizeVolume" },
	{ FAKE_RESIZE, FAULT_REFUSED, 531, "A does not have permission to operate with resource V",
	  "other_account",
	  "volume " VOLUME(1) " cannot be resized: it belongs to another account" },
	{ FAKE_CREATE, FAULT_REFUSED, 431, "Invalid parameter diskofferingid" IS_UNKNOWN,
	  "unknown_offering", "dddddddd-0000-4000-8000-00000000000d (disk_offering_id)" },
	{ FAKE_CREATE, FAULT_REFUSED, 431, "Invalid parameter zoneid" IS_UNKNOWN, "unknown_zone",
	  "cccccccc-0000-4000-8000-00000000000c (zone_id) does not exist in CloudStack" },
	{ FAKE_CREATE, FAULT_REFUSED, 431, "Invalid parameter projectid" IS_UNKNOWN,
	  "unknown_project", "CloudStack's listProjects shows the right ones" },
	{ FAKE_ATTACH, FAULT_REFUSED, 431, "Invalid parameter virtualmachineid" IS_UNKNOWN,
	  "unknown_vm", "the VM " OTHER_VM " (vm_id) does not exist in CloudStack" },
	/* A text that is not known is CloudStack's. */
	{ FAKE_RESIZE, FAULT_REFUSED, 431, "Only on Tuesdays", "",
	  "CloudStack refused to do what was asked: Only on Tuesdays (code 431)" },
};

static struct reply *ask_for(struct world *world, enum fake_command command)
{
	if (command == FAKE_CREATE)
		return ask_create(world, "new");
	if (command == FAKE_ATTACH)
		return ask_attach(world, VOLUME(1), OTHER_VM);
	if (command == FAKE_DETACH)
		return ask_detach(world, VOLUME(1), false);
	if (command == FAKE_RESIZE)
		return ask_resize(world, VOLUME(1), 8 * GIB, false);
	assert_int_equal(command, FAKE_DESTROY);
	return ask_delete(world, VOLUME(1));
}

static void hear(struct world *world, const struct heard *row)
{
	struct fake_fault fault = { row->command, 1, 1, row->kind, row->code, row->text };
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	const char *id;

	print_message("  %s\n", row->text);
	if (row->command == FAKE_DETACH || row->command == FAKE_RESIZE)
		snprintf(volume->vm_id, sizeof(volume->vm_id), OTHER_VM);
	server_fault(&world->server, fault);
	id = accepted(world, ask_for(world, row->command));
	ended_with(world, id, OPERATION_FAILED, row->says);
	assert_string_equal(str_or(core_operation(world->core, id)->error_reason, ""), row->reason);
	/* CloudStack's words are kept. */
	assert_non_null(
		strstr(core_operation(world->core, id)->error_details, "\"cloudstack_message\":"));
}

static void a_refusal_is_heard_in_other_words(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		world_setup(state);
		hear(*state, &rows[i]);
		world_teardown(state);
	}
}

/* It is known before the volume is detached. */
static void a_protected_volume_stays_attached(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	const char *id;

	one->is_protected = true;
	id = accepted(world, ask_delete(world, VOLUME(1)));
	ended_with(world, id, OPERATION_FAILED,
		   "volume " VOLUME(1) " cannot be deleted: it is protected");
	assert_string_equal(core_operation(world->core, id)->error_reason, "delete_protection");
	assert_int_equal(server_jobs(&world->server, FAKE_DETACH), 0);
	check_served(world, VOLUME(1));
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	one->is_protected = false;
	completed(world, accepted(world, ask_delete(world, VOLUME(1))));
}

/* ---- the search for a reason ---- */

static bool is_searched(struct world *world, const void *id)
{
	const struct operation *operation = operation_find(world->core->engine, id);

	return operation->failure && operation->phase == PHASE_WAITING;
}

/* The operation has failed when CloudStack refused it: only the words are still looked for. */
static void a_cancel_comes_after_the_refusal(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	world->server.trip_ms = 200;
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_REFUSED, 431,
							  "Not on Mondays" });
	id = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));
	assert_true(world_until(world, is_searched, id, 60000));
	refused(world, ask_operation(world, METHOD_OPERATION_CANCEL, id), ERR_CONFLICT,
		"has already failed: CloudStack refused to do what was asked: Not on Mondays");
	ended_with(world, id, OPERATION_FAILED, "Not on Mondays");
	check_world(world, 1);
}

/* The job fails right before the deadline of its step, and the search ends behind it. */
static void a_deadline_comes_after_the_failure(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	world->server.trip_ms = 400;
	world->server.job_ms = CLOUD_WAIT_MS - 3 * world->server.trip_ms;
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_JOB_FAILED, 530,
							  "Not on Mondays" });
	id = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));
	assert_true(world_until(world, is_searched, id, 2 * CLOUD_WAIT_MS));
	ended_with(world, id, OPERATION_FAILED, "Not on Mondays");
	check_world(world, 1);
}

/* ---- another job is in the way ---- */

#define ACTIVE                                                                                     \
	"There is other active volume snapshot tasks on the instance to which the volume is "      \
	"attached, please try again later"

static const struct busy {
	enum fake_command command;
	enum fault_kind kind;
	const char *text;
} busy_rows[] = {
	{ FAKE_ATTACH, FAULT_REFUSED, ACTIVE },
	{ FAKE_ATTACH, FAULT_JOB_FAILED, ACTIVE },
	{ FAKE_DETACH, FAULT_JOB_FAILED, ACTIVE },
	{ FAKE_RESIZE, FAULT_REFUSED, ACTIVE },
	{ FAKE_DESTROY, FAULT_JOB_FAILED,
	  "There are snapshot operations in progress on the volume, unable to delete it" },
};

/* VOLUME(1) is so busy for the next requests. */
static const char *ask_busy(struct world *world, const struct busy *row, unsigned times)
{
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	if (row->command == FAKE_DETACH || row->command == FAKE_RESIZE)
		completed(world, accepted(world, ask_attach(world, volume->id, OTHER_VM)));
	server_fault(&world->server,
		     (struct fake_fault){ row->command, 1, times, row->kind, 431, row->text });
	return accepted(world, ask_for(world, row->command));
}

static void another_job_is_waited_for(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(busy_rows); i++) {
		struct world *world;

		world_setup(state);
		world = *state;
		completed(world, ask_busy(world, &busy_rows[i], 8));
		assert_int_equal(world->server.calls[busy_rows[i].command], 9);
		check_world(world, busy_rows[i].command == FAKE_DESTROY ? 0 : 1);
		world_teardown(state);
	}
}

/* Nothing was requested that could still come. */
static void cancelled_behind_another_job(void **state)
{
	for (size_t i = 0; busy_rows[i].command == FAKE_ATTACH; i++) {
		struct world *world;
		const char *id;
		unsigned looks;

		world_setup(state);
		world = *state;
		id = ask_busy(world, &busy_rows[i], 1);
		at_step(world, id, "ask-cloud", PHASE_SLEEPING);
		looks = world->server.calls[FAKE_FIND_JOB];
		answered(world, ask_operation(world, METHOD_OPERATION_CANCEL, id));
		ended_with(world, id, OPERATION_CANCELLED, "cancelled by request");
		assert_int_equal(world->server.calls[FAKE_FIND_JOB], looks);
		assert_int_equal(world->server.calls[FAKE_ATTACH], 1);
		check_world(world, 1);
		world_teardown(state);
	}
}

static bool waits_after_nothing(struct world *world, const void *id)
{
	const char *text = core_operation(world->core, id)->waits_for;

	return text && strstr(text, "came to nothing");
}

/* The second job is lost: the pause after it says so, and not that another job is in the way. */
static void a_lost_job_behind_another_job(void **state)
{
	struct world *world = *state;
	const char *id;

	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 2, 1, FAULT_JOB_LOST });
	id = ask_busy(world, &busy_rows[4], 1);
	assert_true(world_until(world, waits_after_nothing, id, 600000));
	assert_int_equal(world->server.calls[FAKE_DESTROY], 2);
	completed(world, id);
	check_world(world, 0);
}

/* Only as long as for a job, and meanwhile it can be cancelled. */
static void another_job_is_not_waited_for_for_ever(void **state)
{
	struct world *world = *state;
	const char *id = ask_busy(world, &busy_rows[2], 100000);

	at_step(world, id, "ask-cloud", PHASE_SLEEPING);
	assert_non_null(strstr(core_operation(world->core, id)->waits_for, "another job"));
	answered(world, ask_operation(world, METHOD_OPERATION_CANCEL, id));
	ended_with(world, id, OPERATION_CANCELLED, "cancelled by request");
	check_world(world, 1);
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	ended_with(world, id, OPERATION_FAILED,
		   "volume " VOLUME(1) " cannot be detached: another job of CloudStack's");
	assert_string_equal(core_operation(world->core, id)->error_reason, "busy");
	check_world(world, 1);
}

/* ---- a server that is about to stop ---- */

#define HOUR_MS 3600000

/* The operation is at its first step, has done nothing, and says what it waits for. */
static void waits_at_first_step(struct world *world, const char *id, const char *step)
{
	const struct operation_record *record;

	at_step(world, id, step, PHASE_SLEEPING);
	record = core_operation(world->core, id);
	assert_non_null(strstr(record->waits_for, "CloudStack takes no new commands"));
}

static void cancelled(struct world *world, const char *id)
{
	answered(world, ask_operation(world, METHOD_OPERATION_CANCEL, id));
	ended_with(world, id, OPERATION_CANCELLED, "cancelled by request");
	assert_false(core_operation(world->core, id)->needs_attention);
}

/* The first operation finds out; the others do nothing before it is over, for however long. */
static void operations_wait_out_a_maintenance(void **state)
{
	struct world *world = *state;
	const char *attach, *detach, *create, *resize, *queued;

	served_one(world);
	for (int i = 0; i < 3; i++)
		server_add(&world->server, "more", 5);
	completed(world, accepted(world, ask_attach(world, VOLUME(4), THIRD_VM)));
	world->server.maintained = true;
	attach = accepted(world, ask_attach(world, VOLUME(2), OTHER_VM));
	at_step(world, attach, "ask-cloud", PHASE_SLEEPING);
	detach = accepted(world, ask_detach(world, VOLUME(1), false));
	queued = accepted(world, ask_attach(world, VOLUME(3), APPLIANCE));
	create = accepted(world, ask_create(world, "new"));
	resize = accepted(world, ask_resize(world, VOLUME(4), 6 * GIB, false));
	waits_at_first_step(world, detach, "check");
	waits_at_first_step(world, create, "ask-cloud");
	waits_at_first_step(world, resize, "check");
	world_pass(world, HOUR_MS);
	assert_int_equal(world->server.calls[FAKE_DETACH] + world->server.calls[FAKE_CREATE] +
				 world->server.calls[FAKE_RESIZE],
			 0);
	check_served(world, VOLUME(1));
	world->server.maintained = false;
	completed(world, attach);
	completed(world, detach);
	completed(world, create);
	completed(world, resize);
	completed(world, queued);
	check_world(world, 5);
}

/* Also the operation that found out, at a step which could not be stopped if CloudStack had heard
 * its request: nothing is asked for, and all is as it was. */
static void a_wait_for_maintenance_is_cancelled(void **state)
{
	struct world *world = *state;
	const char *detach, *attach;

	served_one(world);
	server_add(&world->server, "more", 5);
	world->server.maintained = true;
	detach = accepted(world, ask_detach(world, VOLUME(1), false));
	at_step(world, detach, "ask-cloud", PHASE_SLEEPING);
	attach = accepted(world, ask_attach(world, VOLUME(2), OTHER_VM));
	waits_at_first_step(world, attach, "check");
	cancelled(world, attach);
	cancelled(world, detach);
	check_served(world, VOLUME(1));
	world->server.maintained = false;
	world_pass(world, HOUR_MS);
	assert_int_equal(server_jobs(&world->server, FAKE_DETACH), 0);
	check_world(world, 2);
}

/* Nobody asks CloudStack any more, so a minute after its last refusal one is asked for again. */
static void a_maintenance_without_a_witness_ends(void **state)
{
	struct world *world = *state;
	const char *first, *second;

	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5);
	world->server.maintained = true;
	first = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));
	at_step(world, first, "ask-cloud", PHASE_SLEEPING);
	second = accepted(world, ask_attach(world, VOLUME(2), APPLIANCE));
	waits_at_first_step(world, second, "check");
	cancelled(world, first);
	world->server.maintained = false;
	completed(world, second);
	check_world(world, 2);
}

static void a_maintenance_outlives_the_daemon(void **state)
{
	struct world *world = *state;
	char detach[64], attach[64];

	served_one(world);
	server_add(&world->server, "more", 5);
	world->server.maintained = true;
	snprintf(detach, sizeof(detach), "%s",
		 accepted(world, ask_detach(world, VOLUME(1), false)));
	at_step(world, detach, "ask-cloud", PHASE_SLEEPING);
	snprintf(attach, sizeof(attach), "%s",
		 accepted(world, ask_attach(world, VOLUME(2), OTHER_VM)));
	waits_at_first_step(world, attach, "check");
	world_restart(world);
	world_pass(world, HOUR_MS);
	world->server.maintained = false;
	completed(world, detach);
	completed(world, attach);
	check_world(world, 2);
}

static void a_volume_in_use_has_its_reason(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	struct reply *reply;

	kernel_mount(&world->kernel, one->disk);
	reply = ask_detach(world, VOLUME(1), false);
	refused(world, reply, ERR_CONFLICT, "mounted at /mnt/data");
	assert_int_equal(reply->err.reason, ERR_REASON_IN_USE);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_is_heard_in_other_words),
		cmocka_unit_test(another_job_is_waited_for),
		cmocka_unit_test(cancelled_behind_another_job),
		TEST(a_cancel_comes_after_the_refusal),
		TEST(a_deadline_comes_after_the_failure),
		TEST(a_lost_job_behind_another_job),
		TEST(another_job_is_not_waited_for_for_ever),
		TEST(operations_wait_out_a_maintenance),
		TEST(a_wait_for_maintenance_is_cancelled),
		TEST(a_maintenance_without_a_witness_ends),
		TEST(a_maintenance_outlives_the_daemon),
		TEST(a_protected_volume_stays_attached),
		TEST(a_volume_in_use_has_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
