/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A disk that other programs use is not exported, on any way to an export, and the export comes
 * when they have left it.
 */

#include "core/reconcile/host_sync.h"
#include "fixture.h"

/* As on a machine without device mapper. */
static void turn_names_off(struct world *world)
{
	world->options.devmap = NULL;
	world_restart(world);
	world_pass(world, 1000);
}

static const struct export_record *export_of(struct world *world, const char *volume_id)
{
	const struct export *export = export_find(world->core->model, volume_id);

	assert_non_null(export);
	return &export->record;
}

static void check_waits(struct world *world)
{
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_int_equal(export_of(world, VOLUME(1))->status, EXPORT_PENDING);
	assert_non_null(strstr(export_of(world, VOLUME(1))->error, "mounted at /mnt/data"));
}

static void check_active(struct world *world)
{
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_int_equal(export_of(world, VOLUME(1))->status, EXPORT_ACTIVE);
	assert_null(export_of(world, VOLUME(1))->error);
}

/* Without its name; systemd has mounted it a moment after it came. */
static void attached_in_use(struct world *world)
{
	const struct operation_record *operation;

	turn_names_off(world);
	server_add(&world->server, "one", 5);
	kernel_mount(&world->kernel, "vdb");
	operation = ended(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(strstr(operation->response, "\"export_status\":\"pending\""));
	assert_non_null(strstr(operation->response, "but without its export"));
	assert_non_null(strstr(operation->response, "mounted at /mnt/data"));
	check_mapped(world, VOLUME(1));
	check_waits(world);
}

static const char *linux_data(struct world *world)
{
	struct volume_get_args args = { .volume_id = (char[]){ VOLUME(1) } };
	struct reply *reply = ask(world, METHOD_VOLUME_GET, &args);
	const struct volume_record *volume;

	answered(world, reply);
	volume = item(reply, 0);
	return volume->linux_data;
}

static void after_an_attachment(void **state)
{
	struct world *world = *state;
	struct export_create_args args = { .volume_id = (char[]){ VOLUME(1) } };

	attached_in_use(world);
	assert_int_equal(world->serving.asked[VERB_ADD], 0);
	assert_non_null(strstr(linux_data(world), "\"export_status\":\"pending\""));
	assert_non_null(strstr(linux_data(world), "mounted at /mnt/data"));
	refused(world, ask(world, METHOD_EXPORT_CREATE, &args), ERR_CONFLICT,
		"mounted at /mnt/data");
	check_waits(world);
	kernel_mount(&world->kernel, NULL);
	world_pass(world, 2000);
	check_active(world);
	assert_non_null(strstr(linux_data(world), "\"export_status\":\"active\""));
}

/* Its name was there in time, and a program came to the name before the export did. */
static void after_its_name(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	server_add(&world->server, "one", 5);
	kernel_mount(&world->kernel, "vdb");
	operation = ended(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(strstr(operation->response, "\"persistent_device_name\":\"vol00000001\""));
	check_waits(world);
	kernel_mount(&world->kernel, NULL);
	world_pass(world, 2000);
	check_world(world, 1);
}

/* Then it may be in use. */
static void when_its_users_are_not_known(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	tree_unlink(&world->kernel.tree, "proc/self/mountinfo");
	completed(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_int_equal(export_of(world, VOLUME(1))->status, EXPORT_PENDING);
	assert_non_null(strstr(export_of(world, VOLUME(1))->error, "mountinfo"));
	kernel_mount(&world->kernel, NULL);
	world_pass(world, 2000);
	check_world(world, 1);
}

/* The daemon dies when the attachment is complete but for its record. */
static void after_a_crash(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "export", PHASE_COMMITTING);
	world_kill(world);
	kernel_mount(&world->kernel, "vdb");
	world_open(world);
	completed(world, id);
	check_waits(world);
}

static void when_the_engine_began_anew(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);

	kernel_mount(&world->kernel, one->disk);
	world->serving.export_count = 0;
	core_exports_lost(world->core);
	world_pass(world, 1000);
	check_waits(world);
	world_restart(world);
	world_pass(world, 60000);
	check_waits(world);
	kernel_mount(&world->kernel, NULL);
	world_pass(world, 30000);
	check_world(world, 1);
}

static void when_a_detachment_is_undone(void **state)
{
	struct world *world = *state;
	struct fake_volume *one;
	const char *id;

	turn_names_off(world);
	one = served_one(world);
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH,
							  .nth = 1,
							  .kind = FAULT_REFUSED });
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	at_step(world, id, "ask-cloud", PHASE_WAITING);
	kernel_mount(&world->kernel, one->disk);
	ended_with(world, id, OPERATION_FAILED, NULL);
	assert_false(core_operation(world->core, id)->needs_attention);
	check_waits(world);
	kernel_mount(&world->kernel, NULL);
	world_pass(world, 2000);
	check_active(world);
}

static void when_it_grows(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	attached_in_use(world);
	operation = ended(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(
		strstr(operation->response, "its export is made as soon as that is possible"));
	check_waits(world);
	kernel_mount(&world->kernel, NULL);
	world_pass(world, 30000);
	check_active(world);
	assert_true(export_of(world, VOLUME(1))->size == 6 * GIB);
}

/* Who mounts an exported disk knows of the export, or finds out; it is not made anew by that. */
static void what_is_served_stays(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);

	kernel_mount(&world->kernel, one->disk);
	world_restart(world);
	world_pass(world, 60000);
	check_active(world);
	completed(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	check_active(world);
	assert_true(export_of(world, VOLUME(1))->size == 6 * GIB);
}

/* ---- how often it is looked at ---- */

static void seldom_in_the_long_run(void **state)
{
	struct world *world = *state;
	size_t checks;

	attached_in_use(world);
	checks = fake_disk.usage_checks;
	world_pass(world, 3600 * 1000);
	checks = fake_disk.usage_checks - checks;
	assert_in_range(checks, 100, 140);
	kernel_mount(&world->kernel, NULL);
	world_pass(world, 31000);
	check_active(world);
	/* Nothing is left to be waited for. */
	checks = world->serving.asked[VERB_LIST_EXPORTS];
	world_pass(world, 250000);
	assert_in_range(world->serving.asked[VERB_LIST_EXPORTS] - checks, 0, 1);
}

static void at_once_when_the_kernel_tells(void **state)
{
	struct world *world = *state;
	unsigned listed;

	attached_in_use(world);
	world_pass(world, 10 * 60000);
	/* Nothing has changed, and looking once more makes no look follow. */
	host_sync_on_kernel_event(world->core->host_sync);
	listed = world->serving.asked[VERB_LIST_EXPORTS];
	world_pass(world, 250);
	assert_true(world->serving.asked[VERB_LIST_EXPORTS] > listed);
	listed = world->serving.asked[VERB_LIST_EXPORTS];
	host_sync_on_kernel_event(world->core->host_sync);
	world_pass(world, 500);
	assert_int_equal(world->serving.asked[VERB_LIST_EXPORTS], listed);

	world_pass(world, 1000);
	kernel_mount(&world->kernel, NULL);
	host_sync_on_kernel_event(world->core->host_sync);
	world_pass(world, 250);
	check_active(world);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(after_an_attachment),
		TEST(after_its_name),
		TEST(when_its_users_are_not_known),
		TEST(after_a_crash),
		TEST(when_the_engine_began_anew),
		TEST(when_a_detachment_is_undone),
		TEST(when_it_grows),
		TEST(what_is_served_stays),
		TEST(seldom_in_the_long_run),
		TEST(at_once_when_the_kernel_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
