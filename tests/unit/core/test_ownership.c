/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Volumes of projects and of other accounts: which of them the daemon makes and sees, and how an
 * error names the owner as the cause. */

#include "fixture.h"

#define PROJECT "eeeeeeee-0000-4000-8000-00000000000e"
#define OTHER_PROJECT "ffffffff-0000-4000-8000-00000000000f"

static struct reply *ask_create_in(struct world *world, const char *project_id)
{
	char name[] = "new", offering[] = "dddddddd-0000-4000-8000-00000000000d",
	     zone[] = "cccccccc-0000-4000-8000-00000000000c", project[37];
	struct volume_create_args args = { .name = name,
					   .disk_offering_id = offering,
					   .size = 5 * GIB,
					   .zone_id = zone,
					   .project_id = project_id ? project : NULL };

	snprintf(project, sizeof(project), "%s", str_or(project_id, ""));
	return ask(world, METHOD_VOLUME_CREATE, &args);
}

/* The daemon starts anew with this project in its configuration. */
static void see_project(struct world *world, const char *project_id)
{
	world->options.project_id = project_id;
	world_restart(world);
	world_pass(world, 1000);
}

/* With this configuration and this request, the new volume gets this project, "" the account. */
static void made_in(struct world *world, const char *listed, const char *asked,
		    const char *project_id)
{
	see_project(world, listed);
	completed(world, accepted(world, ask_create_in(world, asked)));
	assert_string_equal(TAILQ_LAST(&world->server.volumes, fake_volumes)->project_id,
			    project_id);
}

static void a_new_volume_gets_its_project(void **state)
{
	struct world *world = *state;

	made_in(world, NULL, NULL, "");
	made_in(world, PROJECT, NULL, PROJECT);
	made_in(world, PROJECT, PROJECT, PROJECT);
	made_in(world, CLOUD_ALL_PROJECTS, NULL, "");
	made_in(world, CLOUD_ALL_PROJECTS, OTHER_PROJECT, OTHER_PROJECT);
}

/* The daemon would not find the volume again. */
static void no_volume_for_a_project_out_of_sight(void **state)
{
	struct world *world = *state;
	struct reply *reply = ask_create_in(world, PROJECT);

	refused(world, reply, ERR_INVALID, "cloud.project_id");
	assert_string_equal(reply->err.field, "project_id");
	see_project(world, OTHER_PROJECT);
	refused(world, ask_create_in(world, PROJECT), ERR_INVALID, "cloud.project_id");
	assert_int_equal(server_count(&world->server), 0);
}

/* ---- what lists do not show ---- */

static struct reply *ask_volume(struct world *world, const char *volume_id)
{
	char id[37];
	struct volume_get_args args = { .volume_id = id, .refresh = true };

	snprintf(id, sizeof(id), "%s", volume_id);
	return ask(world, METHOD_VOLUME_GET, &args);
}

/* One comparison; its message. */
static const char *compared(struct world *world)
{
	struct reply *reply = ask(world, METHOD_FORCE_SYNC, &(struct sync_args){ 0 });

	answered(world, reply);
	return ((const struct sync_record *)item(reply, 0))->message;
}

static void found_by_its_id_it_stays(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	volume->unlisted = true;
	answered(world, ask_volume(world, VOLUME(1)));
	for (int i = 0; i < 3; i++)
		assert_string_equal(compared(world), "1 volumes compared, nothing differs");
	assert_int_equal(events_of(world, EVENT_VOLUME_REMOVED, VOLUME(1)), 0);
	assert_non_null(volume_find(world->core->model, VOLUME(1)));
	volume->gone = true;
	compared(world);
	world_pass(world, 100);
	assert_int_equal(events_of(world, EVENT_VOLUME_REMOVED, VOLUME(1)), 1);
	assert_string_equal(compared(world), "0 volumes compared, nothing differs");
}

static void with_a_mapping_it_stays(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = served_one(world);

	compared(world);
	volume->unlisted = true;
	for (int i = 0; i < 3; i++)
		assert_string_equal(compared(world), "1 volumes compared, nothing differs");
	assert_int_equal(events_of(world, EVENT_VOLUME_REMOVED, VOLUME(1)), 0);
	check_mapped(world, VOLUME(1));
	check_served(world, VOLUME(1));
}

static void a_listed_one_that_is_gone_is_removed(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	compared(world);
	volume->gone = true;
	compared(world);
	world_pass(world, 100);
	assert_int_equal(events_of(world, EVENT_VOLUME_REMOVED, VOLUME(1)), 1);
}

/* ---- errors ---- */

static void an_error_names_projects(void **state)
{
	struct world *world = *state;

	refused(world, ask_volume(world, VOLUME(1)), ERR_NOT_FOUND,
		"does not exist in CloudStack, or belongs to a project; see cloud.project_id");
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED, "or belongs to a project");
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   "or belongs to a project");
	ended_with(world, accepted(world, ask_resize(world, VOLUME(1), 8 * GIB, false)),
		   OPERATION_FAILED, "or belongs to a project");
}

/* That a known volume is not shown any more proves no deletion. */
static void an_error_names_what_can_have_happened(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	compared(world);
	volume->gone = true;
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED, "it was deleted, or moved to another account or project");
	refused(world, ask_volume(world, VOLUME(1)), ERR_NOT_FOUND,
		"it was deleted, or moved to another account or project");
}

/* CloudStack's own words name the VM by an internal number. */
static void other_owners_are_named(void **state)
{
	static const struct fake_fault refusals[] = {
		{ FAKE_ATTACH, 1, 1, FAULT_JOB_FAILED, 530,
		  "Entity VM instance {id: \"3\"} and entity X belong to different accounts" },
		{ FAKE_ATTACH, 2, 1, FAULT_REFUSED, 530,
		  "Entity VM instance {id: \"3\"} and entity X belong to different accounts" },
		{ FAKE_ATTACH, 3, 1, FAULT_REFUSED, 431,
		  "Unable to find UUID for id [16] of type [VirtualMachine]" },
	};
	static const char *const texts[] = {
		"volume " VOLUME(1) " and VM " OTHER_VM " belong to different accounts or projects",
		"volume " VOLUME(1) " and VM " OTHER_VM " belong to different accounts or projects",
		"volume " VOLUME(1) " cannot be attached: the VM " OTHER_VM
				    " (vm_id) does not exist",
	};
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		server_fault(&world->server, refusals[i]);
		id = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));
		ended_with(world, id, OPERATION_FAILED, texts[i]);
		assert_non_null(strstr(core_operation(world->core, id)->error_details,
				       refusals[i].text + 30));
	}
	check_world(world, 1);
}

/* ---- this machine is another VM than the daemon believes ---- */

/* APPLIANCE as a DMI gives it that has its own order of bytes. */
#define SWAPPED "aaaaaaaa-0000-0040-8000-00000000000a"

/* The daemon takes this machine for that VM, and the hypervisor plugs what is attached to
 * APPLIANCE. */
static void believe(struct world *world, const char *vm_id)
{
	world->options.appliance_id = vm_id;
	world_restart(world);
	if (world->core->env.store_state == STORE_PAST)
		world_accept(world); /* it is a store of another VM for now */
	world_pass(world, 1000);
}

static const char *device_monitor(struct world *world)
{
	struct reply *reply = ask(world, METHOD_HEALTH_GET, &(struct no_args){ 0 });
	const struct health_record *health;

	answered(world, reply);
	health = item(reply, 0);
	assert_string_equal(health->status,
			    streq(health->device_monitor, "healthy") ? "healthy" : "degraded");
	return health->device_monitor;
}

static void a_disk_here_proves_the_appliance_wrong(void **state)
{
	static const char said[] =
		"this machine is VM " APPLIANCE " in CloudStack, and not VM " OTHER_VM
		"; set appliance.vm_id to " APPLIANCE;
	struct world *world = *state;
	const char *id;

	believe(world, OTHER_VM);
	assert_string_equal(device_monitor(world), "healthy");
	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	ended_with(world, id, OPERATION_FAILED, said);
	assert_string_equal(core_operation(world->core, id)->error_code,
			    err_view(ERR_CONFLICT)->word);
	world_pass(world, 5000);
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
	check_unmapped(world, VOLUME(1));
	assert_string_equal(device_monitor(world), said);
	assert_true(core_set_appliance(world->core, APPLIANCE));
	assert_string_equal(device_monitor(world), "healthy");
	attached(world, VOLUME(1));
}

/* The volume goes to the VM that this machine is not. */
static void a_disk_that_does_not_come_names_the_appliance(void **state)
{
	struct world *world = *state;
	const char *id;

	believe(world, OTHER_VM);
	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));
	ended_with(world, id, OPERATION_FAILED,
		   "check that this machine is VM " OTHER_VM " (appliance.vm_id)");
}

/* A DMI gives the first groups in an order of its own. */
static void swapped_bytes_are_recognised(void **state)
{
	struct world *world = *state;
	const char *id;

	believe(world, SWAPPED);
	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	ended_with(world, id, OPERATION_FAILED,
		   "not VM " SWAPPED ", which is the same id with its bytes in the order");
}

/* An id that CloudStack does not know can be one as well. */
static void an_unknown_appliance_is_told_the_other_order(void **state)
{
	struct world *world = *state;
	const char *id;

	believe(world, SWAPPED);
	server_add(&world->server, "one", 5);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_REFUSED, 431,
					  "Invalid parameter virtualmachineid value=" SWAPPED
					  " due to: entity does not exist" });
	id = accepted(world, ask_attach(world, VOLUME(1), SWAPPED));
	ended_with(world, id, OPERATION_FAILED, "the true one may be " APPLIANCE);
}

/* The disk was here before: the kernel has kept it, and this machine need not be that VM. The
 * volume goes to no other VM as long as the disk is here. */
static void a_disk_that_was_left_behind_proves_nothing(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	char serial[21];

	volume_serial(volume, serial);
	kernel_plug(&world->kernel, "vdx", serial, 5 * GIB);
	world_pass(world, 5000);
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)), OPERATION_FAILED,
		   "but it is still here as");
	assert_string_equal(device_monitor(world), "healthy");
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 0);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_volume_gets_its_project),
		TEST(no_volume_for_a_project_out_of_sight),
		TEST(found_by_its_id_it_stays),
		TEST(with_a_mapping_it_stays),
		TEST(a_listed_one_that_is_gone_is_removed),
		TEST(an_error_names_projects),
		TEST(an_error_names_what_can_have_happened),
		TEST(other_owners_are_named),
		TEST(a_disk_here_proves_the_appliance_wrong),
		TEST(a_disk_that_does_not_come_names_the_appliance),
		TEST(swapped_bytes_are_recognised),
		TEST(an_unknown_appliance_is_told_the_other_order),
		TEST(a_disk_that_was_left_behind_proves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
