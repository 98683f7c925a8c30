/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names that never change and exports that follow: what stands on a disk comes with the attachment,
 * and is put right when something came between.
 */

#include "fixture.h"

static void detached(struct world *world, const char *volume_id)
{
	completed(world, accepted(world, ask_detach(world, volume_id, false)));
}

/* ---- with the attachment ---- */

static void an_attachment_is_served(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	server_add(&world->server, "one", 5);
	operation = ended(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(strstr(operation->response, "\"persistent_device_name\":\"vol00000001\""));
	assert_non_null(strstr(operation->response, "/mapper/vol00000001\""));
	assert_non_null(export_find(world->core->model, VOLUME(1)));
	check_world(world, 1);
	/* The export was seen to answer before anybody was told. */
	assert_int_equal(world->serving.asked[VERB_CHECK], 1);
}

static void what_is_on_it_is_said(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	server_add(&world->server, "one", 5);
	snprintf(fake_disk.contents.filesystem, sizeof(fake_disk.contents.filesystem), "ext4");
	snprintf(fake_disk.contents.label, sizeof(fake_disk.contents.label), "backup");
	operation = ended(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_non_null(strstr(operation->response, "\"filesystem\":\"ext4\""));
	assert_non_null(strstr(operation->response, "do not format it: ext4 \\\"backup\\\""));
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.label, "backup");
}

static void a_disk_that_cannot_be_read(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	server_add(&world->server, "one", 5);
	err_set(&fake_disk.contents.err, ERR_UNAVAILABLE, "/dev/vdb: Input/output error");
	operation = ended(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(strstr(operation->response,
			       "contents are not known: /dev/vdb: Input/output error"));
	check_world(world, 1);
}

static void elsewhere_nothing_is_served(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	assert_null(fake_map_of(&world->serving, VOLUME(1)));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_null(name_find(world->core->model, VOLUME(1)));
}

static void the_name_comes_back_with_the_volume(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	char first[16];

	snprintf(first, sizeof(first), "%s", one->disk);
	detached(world, VOLUME(1));
	check_world(world, 1);
	world_restart(world);
	world_pass(world, 5000);
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(2));
	attached(world, VOLUME(1));
	assert_string_not_equal(one->disk, first);
	assert_string_equal(
		mapping_find(world->core->model, VOLUME(1))->record.persistent_device_name,
		"vol00000001");
	check_world(world, 2);
}

static const char *symlink_of(struct world *world, const char *volume_id)
{
	return str_or(mapping_find(world->core->model, volume_id)->record.symlink_path, "");
}

/* What is told follows what is there. */
static void names_are_turned_off_and_on(void **state)
{
	struct world *world = *state;
	struct devmap *devmap = world->options.devmap;

	served_one(world);
	world->options.devmap = NULL;
	world_restart(world);
	world_pass(world, 5000);
	assert_string_equal(symlink_of(world, VOLUME(1)), "");
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(2));
	world->options.devmap = devmap;
	world_restart(world);
	world_pass(world, 5000);
	assert_non_null(strstr(symlink_of(world, VOLUME(1)), "/mapper/vol00000001"));
	assert_non_null(strstr(symlink_of(world, VOLUME(2)), "/mapper/vol00000002"));
	check_world(world, 2);
}

/* What is in use stays as it is until that is over; who waits does not wait for ever. */
static void names_that_are_left(void **state)
{
	struct world *world = *state;
	struct fake_map *map;

	served_one(world);
	for (int i = 2; i <= 3; i++)
		server_add(&world->server, "more", 5);
	attached(world, VOLUME(2));
	attached(world, VOLUME(3));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(3))));
	fake_foreign_map(&world->serving, "data");
	fake_map_of(&world->serving, VOLUME(2))->map.open_count = 1;
	fake_map_of(&world->serving, VOLUME(3))->map.open_count = 1;
	world->options.old_names = world->options.devmap;
	world->options.devmap = NULL;
	world_restart(world);
	world_pass(world, 10 * 60000);
	assert_null(fake_map_of(&world->serving, VOLUME(1)));
	map = fake_map_of(&world->serving, VOLUME(2));
	assert_int_equal(map->map.target, DEVMAP_LINEAR);
	map->map.open_count = 0;
	map = fake_map_of(&world->serving, VOLUME(3));
	assert_int_equal(map->map.target, DEVMAP_ERROR);
	assert_false(map->map.suspended);
	map->map.open_count = 0;
	world_pass(world, 10 * 60000);
	assert_int_equal(world->serving.map_count, 1);
	assert_true(world->serving.maps[0].foreign);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
}

static void equal_digits(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world), *two = server_add(&world->server, "two", 5);

	snprintf(two->id, sizeof(two->id), "%s", "00000001-9999-4222-8333-444444444444");
	detached(world, one->id);
	/* The first one is away, but the name stays its own. */
	attached(world, two->id);
	assert_string_equal(name_find(world->core->model, two->id), "vol000000019999");
	attached(world, one->id);
	assert_string_equal(name_find(world->core->model, one->id), "vol00000001");
	check_world(world, 2);
	world_restart(world);
	world_pass(world, 5000);
	assert_string_equal(name_find(world->core->model, two->id), "vol000000019999");
	check_world(world, 2);
}

static void a_name_of_somebody_else(void **state)
{
	struct world *world = *state;

	fake_foreign_map(&world->serving, "vol00000001");
	served_one(world);
	assert_string_equal(name_find(world->core->model, VOLUME(1)), "vol000000011111");
	check_world(world, 1);
	world_restart(world);
	world_pass(world, 400000); /* several comparisons */
	assert_string_equal(name_find(world->core->model, VOLUME(1)), "vol000000011111");
	assert_int_equal(world->serving.map_count, 2);
	check_world(world, 1);
}

/* Somebody has the disk for a moment, as what looks for parts of a volume group does: no reason for
 * another name. */
static void a_disk_that_is_held_keeps_its_name(void **state)
{
	struct world *world = *state;

	fake_fault(&world->serving, VERB_ACTIVATE, 3, ERR_CONFLICT, false);
	served_one(world);
	assert_string_equal(name_find(world->core->model, VOLUME(1)), "vol00000001");
	check_world(world, 1);
}

static bool has_map(struct world *world, const void *volume_id)
{
	return fake_map_of(&world->serving, volume_id) != NULL;
}

/* LVM and md are started on a disk a moment after it has come, and CloudStack takes seconds to say
 * that it is there. */
static void a_disk_gets_its_name_as_it_comes(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = 0;
	world->server.job_ms = 30000;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	assert_true(world_until(world, has_map, VOLUME(1), 5000));
	assert_string_equal(core_operation(world->core, id)->step, "await-job");
	completed(world, id);
	assert_int_equal(world->serving.asked[VERB_ACTIVATE], 1);
	check_world(world, 1);
}

static void a_name_that_came_early_is_taken_back(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = 0;
	world->server.job_ms = 30000;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	assert_true(world_until(world, has_map, VOLUME(1), 5000));
	ask_operation(world, METHOD_OPERATION_CANCEL, id);
	ended_with(world, id, OPERATION_CANCELLED, NULL);
	assert_false(has_map(world, VOLUME(1)));
	check_world(world, 1);
}

/* Who works with it already keeps it, and everybody is told why there is no name. */
static void a_disk_that_others_have_taken(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;
	const struct export_record *export;

	server_add(&world->server, "one", 5);
	world->serving.disks_taken = true;
	kernel_mount(&world->kernel, "vdb");
	operation = ended(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(strstr(operation->response, "/vdb\""));
	assert_non_null(strstr(operation->response,
			       "\"persistent_device_name\":\"\",\"symlink_path\":\"\""));
	assert_non_null(strstr(operation->response, "without its stable name and its export"));
	assert_non_null(strstr(operation->response, "mounted at /mnt/data"));
	check_mapped(world, VOLUME(1));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	export = &export_find(world->core->model, VOLUME(1))->record;
	assert_int_equal(export->status, EXPORT_PENDING);
	assert_non_null(strstr(export->error, "mounted at /mnt/data"));
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT, "mounted at /mnt/data");

	kernel_mount(&world->kernel, NULL);
	world->serving.disks_taken = false;
	world_pass(world, 10 * 60000);
	check_world(world, 1);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
}

/* The number that was looked up is another disk's by the time the name leads to it. */
static void a_disk_that_changes_under_its_name(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = server_add(&world->server, "one", 5);
	const struct fake_map *map;
	char disk[16];
	const char *id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));

	at_step(world, id, "name", PHASE_WAITING);
	snprintf(disk, sizeof(disk), "%s", one->disk);
	kernel_unplug(&world->kernel, disk);
	one->disk[0] = '\0';
	kernel_plug(&world->kernel, disk, "00000009111142228333", 5 * GIB);
	at_step(world, id, "name", PHASE_SLEEPING);
	map = fake_map_of(&world->serving, VOLUME(1));
	assert_true(!map || map->map.target == DEVMAP_ERROR);
	ended_with(world, id, OPERATION_FAILED, NULL);
	assert_null(fake_map_of(&world->serving, VOLUME(1)));
}

static void an_engine_that_is_away_for_a_while(void **state)
{
	struct world *world = *state;

	fake_fault(&world->serving, VERB_ADD, 5, ERR_UNAVAILABLE, false);
	served_one(world);
	check_world(world, 1);
}

static void an_engine_that_stays_away(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	fake_fault(&world->serving, VERB_CHECK, 1000000, ERR_UNAVAILABLE, false);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	ended_with(world, id, OPERATION_FAILED, "a fault was asked for");
	assert_string_equal(core_operation(world->core, id)->error_code, "SERVICE_UNAVAILABLE");
	assert_false(core_operation(world->core, id)->needs_attention);
	check_world(world, 1);
	assert_int_equal(world->serving.map_count, 0);
	assert_int_equal(world->serving.export_count, 0);
}

/* What cannot be closed is no reason to leave a volume attached that nobody was told of. */
static void an_engine_that_goes_for_good(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	fake_fault(&world->serving, VERB_ADD, 1000000, ERR_UNAVAILABLE, false);
	fake_fault(&world->serving, VERB_REMOVE, 1000000, ERR_UNAVAILABLE, false);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	ended_with(world, id, OPERATION_FAILED, "a fault was asked for");
	assert_false(core_operation(world->core, id)->needs_attention);
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
	assert_int_equal(world->serving.map_count, 0);
}

/* ---- put right ---- */

static void left_overs_are_taken_away(void **state)
{
	struct world *world = *state;
	struct fake_map *map;

	server_add(&world->server, "one", 5);
	fake_foreign_map(&world->serving, "data");
	map = &world->serving.maps[world->serving.map_count++];
	*map = (struct fake_map){
		.map = { .name = "vol00000001", .volume_id = VOLUME(1), .size = GIB }
	};
	world->serving.exports[world->serving.export_count++] =
		(struct fake_export){ .name = "migration-vol-" VOLUME(1),
				      .path = "/dev/mapper/vol00000001" };
	world->serving.exports[world->serving.export_count++] =
		(struct fake_export){ .name = "somebody-elses", .path = "/dev/sdz" };
	world_restart(world);
	assert_true(world_until(world, is_served_nowhere, VOLUME(1), 10 * 60000));
	assert_int_equal(world->serving.map_count, 1);
	assert_true(world->serving.maps[0].foreign);
	assert_int_equal(world->serving.export_count, 1);
	assert_string_equal(world->serving.exports[0].name, "somebody-elses");
}

/* As after a reboot: the kernel knows no maps, the engine serves nothing, and the disks have other
 * names. */
static void all_of_it_is_gone(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);

	world_kill(world);
	world->serving.map_count = world->serving.export_count = 0;
	kernel_rename(&world->kernel, one->disk, "vdq");
	snprintf(one->disk, sizeof(one->disk), "vdq");
	world_open(world);
	world_pass(world, 5000);
	check_world(world, 1);
	assert_non_null(export_find(world->core->model, VOLUME(1)));
}

static void the_engine_began_anew(void **state)
{
	struct world *world = *state;

	served_one(world);
	world->serving.export_count = 0;
	core_exports_lost(world->core);
	world_pass(world, 1000);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	check_world(world, 1);
}

/* Then the export leads to the kernel's name of the disk, and that to whichever disk has it. */
static void without_names_an_export_goes_with_its_disk(void **state)
{
	struct world *world = *state;
	struct fake_volume *one;
	const struct export *noted;

	world->options.devmap = NULL;
	world_restart(world);
	world_pass(world, 1000);
	one = served_one(world);
	assert_non_null(strstr(fake_export_of(&world->serving, VOLUME(1))->path, one->disk));
	kernel_unplug(&world->kernel, one->disk);
	world_pass(world, 5000);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	noted = export_find(world->core->model, VOLUME(1));
	assert_int_equal(noted->record.status, EXPORT_PENDING);
	kernel_plug(&world->kernel, one->disk, "00000001111142228333", 5 * GIB);
	world_pass(world, 5000);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	noted = export_find(world->core->model, VOLUME(1));
	assert_int_equal(noted->record.status, EXPORT_ACTIVE);
}

static void what_cannot_be_told_apart_is_left(void **state)
{
	struct world *world = *state;
	struct fake_map *map;

	/* CloudStack does not answer, so nothing proves that the volume is not attached here. */
	server_add(&world->server, "one", 5);
	world_kill(world);
	world->server.down = true;
	map = &world->serving.maps[world->serving.map_count++];
	*map = (struct fake_map){
		.map = { .name = "vol00000001", .volume_id = VOLUME(1), .size = GIB }
	};
	world_open(world);
	world_pass(world, 10 * 60000);
	assert_non_null(fake_map_of(&world->serving, VOLUME(1)));
}

/* Its id was lost, or somebody wrote down another one's: then no volume seems to be here. */
static void who_does_not_know_himself_takes_nothing_away(void **state)
{
	static const char *const others[] = { NULL, OTHER_VM };
	struct world *world = *state;

	served_one(world);
	connect_client(world, VOLUME(1));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		world_kill(world);
		world->options.appliance_id = others[i];
		world_open(world);
		world_pass(world, 15 * 60000);
		assert_non_null(fake_map_of(&world->serving, VOLUME(1)));
		assert_int_equal(fake_map_of(&world->serving, VOLUME(1))->map.target,
				 DEVMAP_LINEAR);
		assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
		assert_non_null(export_find(world->core->model, VOLUME(1)));
	}
}
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_attachment_is_served),
		TEST(what_is_on_it_is_said),
		TEST(a_disk_that_cannot_be_read),
		TEST(elsewhere_nothing_is_served),
		TEST(the_name_comes_back_with_the_volume),
		TEST(names_are_turned_off_and_on),
		TEST(names_that_are_left),
		TEST(equal_digits),
		TEST(a_name_of_somebody_else),
		TEST(a_disk_that_is_held_keeps_its_name),
		TEST(a_disk_gets_its_name_as_it_comes),
		TEST(a_name_that_came_early_is_taken_back),
		TEST(a_disk_that_others_have_taken),
		TEST(a_disk_that_changes_under_its_name),
		TEST(an_engine_that_is_away_for_a_while),
		TEST(an_engine_that_stays_away),
		TEST(an_engine_that_goes_for_good),
		TEST(left_overs_are_taken_away),
		TEST(all_of_it_is_gone),
		TEST(the_engine_began_anew),
		TEST(without_names_an_export_goes_with_its_disk),
		TEST(what_cannot_be_told_apart_is_left),
		TEST(who_does_not_know_himself_takes_nothing_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
