/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names that never change and exports that follow: what stands on a disk comes with the attachment, goes with the
 * detachment, waits when it is told to, and is put right when something came between.
 */

#include "fixture.h"

static struct reply *ask_detach_keeping(struct world *world, const char *volume_id)
{
	char volume[37];
	struct volume_detach_args args = { .volume_id = volume, .keep_name = true };

	snprintf(volume, sizeof(volume), "%s", volume_id);
	return ask(world, METHOD_VOLUME_DETACH, &args);
}

static void detached(struct world *world, const char *volume_id)
{
	completed(world, accepted(world, ask_detach(world, volume_id, false)));
}

static struct fake_volume *one_attached(struct world *world)
{
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	attached(world, volume->id);
	return volume;
}

static void connect(struct world *world, const char *volume_id)
{
	struct fake_export *export = fake_export_of(&world->serving, volume_id);

	assert_non_null(export);
	snprintf(export->client.address, sizeof(export->client.address), "127.0.0.1:41234");
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
	assert_non_null(export_find(world->core, VOLUME(1)));
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
	assert_string_equal(mapping_find(world->core, VOLUME(1))->record.label, "backup");
}

static void a_disk_that_cannot_be_read(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	server_add(&world->server, "one", 5);
	err_set(&fake_disk.contents.err, ERR_UNAVAILABLE, "/dev/vdb: Input/output error");
	operation = ended(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(strstr(operation->response, "is not known: /dev/vdb: Input/output error"));
	check_world(world, 1);
}

static void elsewhere_nothing_is_served(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	assert_null(fake_map_of(&world->serving, VOLUME(1)));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_null(name_find(world->core, VOLUME(1)));
}

static void the_name_comes_back_with_the_volume(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = one_attached(world);
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
	assert_string_equal(mapping_find(world->core, VOLUME(1))->record.persistent_device_name, "vol00000001");
	check_world(world, 2);
}

static const char *symlink_of(struct world *world, const char *volume_id)
{
	return str_or(mapping_find(world->core, volume_id)->record.symlink_path, "");
}

/* What is told follows what is there. */
static void names_are_turned_off_and_on(void **state)
{
	struct world *world = *state;
	struct devmap *devmap = world->options.devmap;

	one_attached(world);
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

static void equal_digits(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = one_attached(world), *two = server_add(&world->server, "two", 5);

	snprintf(two->id, sizeof(two->id), "%s", "00000001-9999-4222-8333-444444444444");
	detached(world, one->id);
	/* The first one is away, but the name stays its own. */
	attached(world, two->id);
	assert_string_equal(name_find(world->core, two->id), "vol000000019999");
	attached(world, one->id);
	assert_string_equal(name_find(world->core, one->id), "vol00000001");
	check_world(world, 2);
	world_restart(world);
	world_pass(world, 5000);
	assert_string_equal(name_find(world->core, two->id), "vol000000019999");
	check_world(world, 2);
}

static void a_name_of_somebody_else(void **state)
{
	struct world *world = *state;

	fake_foreign_map(&world->serving, "vol00000001");
	one_attached(world);
	assert_string_equal(name_find(world->core, VOLUME(1)), "vol000000011111");
	check_world(world, 1);
	world_restart(world);
	world_pass(world, 400000); /* several comparisons */
	assert_string_equal(name_find(world->core, VOLUME(1)), "vol000000011111");
	assert_int_equal(world->serving.map_count, 2);
	check_world(world, 1);
}

/* Somebody has the disk for a moment, as what looks for parts of a volume group does: no reason for another name. */
static void a_disk_that_is_held_keeps_its_name(void **state)
{
	struct world *world = *state;

	fake_fault(&world->serving, VERB_POINT, 3, ERR_CONFLICT, false);
	one_attached(world);
	assert_string_equal(name_find(world->core, VOLUME(1)), "vol00000001");
	check_world(world, 1);
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
	one_attached(world);
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

/* ---- with the detachment ---- */

static void nobody_is_cut_off(void **state)
{
	struct world *world = *state;

	one_attached(world);
	connect(world, VOLUME(1));
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT, "NBD client 127.0.0.1:41234");
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	check_world(world, 1);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), true)));
	check_world(world, 1);
}

static void what_is_refused_comes_back(void **state)
{
	struct world *world = *state;

	one_attached(world);
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH, .nth = 1, .kind = FAULT_REFUSED });
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED, NULL);
	check_world(world, 1);
	assert_non_null(export_find(world->core, VOLUME(1)));
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH, .nth = 2, .kind = FAULT_JOB_FAILED });
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED, NULL);
	check_world(world, 1);
}

/* CloudStack has let it go and may give it to another VM: nobody here is led to the disk that stays. */
static void what_was_let_go_does_not_come_back(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = one_attached(world);

	one->unplug_ms = -1;
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   "but the kernel still shows it as");
	world_pass(world, 15 * 60000);
	assert_true(kernel_has(&world->kernel, one->disk));
	assert_null(fake_map_of(&world->serving, VOLUME(1)));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
}

static void what_was_written_is_flushed(void **state)
{
	struct world *world = *state;

	one_attached(world);
	err_set(&fake_disk.flush_err, ERR_TIMEOUT, "flushing /dev/vdb took too long");
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   "may not be on the disk yet");
	assert_int_equal(fake_disk.flushes, 1);
	check_world(world, 1);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_string_not_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
	/* By force also what those who use the name have written. */
	completed(world, accepted(world, ask_detach(world, VOLUME(1), true)));
	assert_string_equal(fake_disk.flushed, "vdb vol00000001 vdb ");
	check_world(world, 1);
}

static void a_disk_that_does_not_answer(void **state)
{
	struct world *world = *state;

	one_attached(world);
	connect(world, VOLUME(1));
	fake_fault(&world->serving, VERB_REMOVE, 1, ERR_TIMEOUT, false);
	fake_fault(&world->serving, VERB_FAIL, 1, ERR_TIMEOUT, false);
	err_set(&fake_disk.flush_err, ERR_TIMEOUT, "flushing /dev/vdb took too long");
	completed(world, accepted(world, ask_detach(world, VOLUME(1), true)));
	check_world(world, 1);
}

static void name_and_export_grow(void **state)
{
	struct world *world = *state;

	one_attached(world);
	completed(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	check_world(world, 1);
	assert_int_equal(fake_map_of(&world->serving, VOLUME(1))->map.size, 6 * GIB);
	assert_int_equal(fake_export_of(&world->serving, VOLUME(1))->size, 6 * GIB);
	assert_int_equal(export_find(world->core, VOLUME(1))->record.size, 6 * GIB);
}

/* It goes on with what it was told when it connected; the next one is told the truth. */
static void a_client_keeps_the_size_it_knows(void **state)
{
	struct world *world = *state;

	one_attached(world);
	connect(world, VOLUME(1));
	completed(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	world_pass(world, 10 * 60000);
	assert_int_equal(fake_map_of(&world->serving, VOLUME(1))->map.size, 6 * GIB);
	assert_int_equal(fake_export_of(&world->serving, VOLUME(1))->size, 5 * GIB);
	assert_int_equal(export_find(world->core, VOLUME(1))->record.size, 5 * GIB);
	assert_int_equal(export_find(world->core, VOLUME(1))->record.status, EXPORT_ACTIVE);
	fake_export_of(&world->serving, VOLUME(1))->client.address[0] = '\0';
	world_pass(world, 10 * 60000);
	assert_int_equal(fake_export_of(&world->serving, VOLUME(1))->size, 6 * GIB);
	assert_int_equal(export_find(world->core, VOLUME(1))->record.size, 6 * GIB);
	check_world(world, 1);
}

static void a_deleted_volume_gives_up_its_name(void **state)
{
	struct world *world = *state;

	one_attached(world);
	completed(world, accepted(world, ask_delete(world, VOLUME(1))));
	assert_null(name_find(world->core, VOLUME(1)));
	world_restart(world);
	assert_null(name_find(world->core, VOLUME(1)));
}

/* ---- on hold ---- */

static bool is_expired(struct world *world, const void *volume_id)
{
	const struct fake_map *map = fake_map_of(&world->serving, volume_id);

	return !map || map->map.target == DEVMAP_ERROR;
}

static bool is_away(struct world *world, const void *volume_id)
{
	return !fake_map_of(&world->serving, volume_id) && !export_find(world->core, volume_id);
}

static void it_comes_back_in_time(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = one_attached(world);
	char first[16];

	snprintf(first, sizeof(first), "%s", one->disk);
	connect(world, VOLUME(1));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	assert_null(mapping_find(world->core, VOLUME(1)));
	assert_true(fake_map_of(&world->serving, VOLUME(1))->map.suspended);
	assert_int_equal(export_find(world->core, VOLUME(1))->record.status, EXPORT_PENDING);
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(2));
	attached(world, VOLUME(1));
	assert_string_not_equal(one->disk, first);
	/* The client never left. */
	assert_string_equal(fake_export_of(&world->serving, VOLUME(1))->client.address, "127.0.0.1:41234");
	assert_int_equal(world->serving.asked[VERB_REMOVE], 0);
	check_world(world, 2);
	assert_false(world_until(world, is_expired, VOLUME(1), 3 * HOLD_MS));
}

static void it_does_not_come_back(void **state)
{
	struct world *world = *state;

	one_attached(world);
	connect(world, VOLUME(1));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	assert_false(world_until(world, is_expired, VOLUME(1), HOLD_MS - 10000));
	assert_true(world_until(world, is_expired, VOLUME(1), 20000));
	assert_true(world_until(world, is_away, VOLUME(1), 10000));
	check_world(world, 1);
	attached(world, VOLUME(1));
	check_world(world, 1);
}

static void a_restart_while_they_wait(void **state)
{
	struct world *world = *state;

	one_attached(world);
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	world_restart(world);
	assert_false(world_until(world, is_expired, VOLUME(1), HOLD_MS - 10000));
	assert_true(world_until(world, is_away, VOLUME(1), 20000));
	check_world(world, 1);
}

static void a_refusal_while_they_wait(void **state)
{
	struct world *world = *state;

	one_attached(world);
	connect(world, VOLUME(1));
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH, .nth = 1, .kind = FAULT_REFUSED });
	ended_with(world, accepted(world, ask_detach_keeping(world, VOLUME(1))), OPERATION_FAILED, NULL);
	check_world(world, 1);
	assert_false(world_until(world, is_expired, VOLUME(1), 3 * HOLD_MS));
}

/* As after a boot that mounted it before it had its name: who uses the disk beside the name does not wait with that. */
static void who_does_not_use_the_name_is_not_left_behind(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = one_attached(world);
	const char *id;

	kernel_mount(&world->kernel, one->disk);
	refused(world, ask_detach_keeping(world, VOLUME(1)), ERR_CONFLICT, "mounted at /mnt/data");
	kernel_mount(&world->kernel, NULL);
	id = accepted(world, ask_detach_keeping(world, VOLUME(1)));
	kernel_mount(&world->kernel, one->disk);
	ended_with(world, id, OPERATION_FAILED, "mounted at /mnt/data");
	check_world(world, 1);
}

/* ---- put right ---- */

static void left_overs_are_taken_away(void **state)
{
	struct world *world = *state;
	struct fake_map *map;

	server_add(&world->server, "one", 5);
	fake_foreign_map(&world->serving, "data");
	map = &world->serving.maps[world->serving.map_count++];
	*map = (struct fake_map){ .map = { .name = "vol00000001", .volume_id = VOLUME(1), .size = GIB } };
	world->serving.exports[world->serving.export_count++] =
		(struct fake_export){ .name = "migration-vol-" VOLUME(1), .path = "/dev/mapper/vol00000001" };
	world->serving.exports[world->serving.export_count++] =
		(struct fake_export){ .name = "somebody-elses", .path = "/dev/sdz" };
	world_restart(world);
	assert_true(world_until(world, is_away, VOLUME(1), 10 * 60000));
	assert_int_equal(world->serving.map_count, 1);
	assert_true(world->serving.maps[0].foreign);
	assert_int_equal(world->serving.export_count, 1);
	assert_string_equal(world->serving.exports[0].name, "somebody-elses");
}

/* As after a reboot: the kernel knows no maps, the engine serves nothing, and the disks have other names. */
static void all_of_it_is_gone(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = one_attached(world);

	world_kill(world);
	world->serving.map_count = world->serving.export_count = 0;
	kernel_rename(&world->kernel, one->disk, "vdq");
	snprintf(one->disk, sizeof(one->disk), "vdq");
	world_open(world);
	world_pass(world, 5000);
	check_world(world, 1);
	assert_non_null(export_find(world->core, VOLUME(1)));
}

static void the_engine_began_anew(void **state)
{
	struct world *world = *state;

	one_attached(world);
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
	one = one_attached(world);
	assert_non_null(strstr(fake_export_of(&world->serving, VOLUME(1))->path, one->disk));
	kernel_unplug(&world->kernel, one->disk);
	world_pass(world, 5000);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	noted = export_find(world->core, VOLUME(1));
	assert_int_equal(noted->record.status, EXPORT_PENDING);
	kernel_plug(&world->kernel, one->disk, "00000001111142228333", 5 * GIB);
	world_pass(world, 5000);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	noted = export_find(world->core, VOLUME(1));
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
	*map = (struct fake_map){ .map = { .name = "vol00000001", .volume_id = VOLUME(1), .size = GIB } };
	world_open(world);
	world_pass(world, 10 * 60000);
	assert_non_null(fake_map_of(&world->serving, VOLUME(1)));
}

/* Its id was lost, or somebody wrote down another one's: then no volume seems to be here. */
static void who_does_not_know_himself_takes_nothing_away(void **state)
{
	static const char *const others[] = { NULL, OTHER_VM };
	struct world *world = *state;

	one_attached(world);
	connect(world, VOLUME(1));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		world_kill(world);
		world->options.appliance_id = others[i];
		world_open(world);
		world_pass(world, 15 * 60000);
		assert_non_null(fake_map_of(&world->serving, VOLUME(1)));
		assert_int_equal(fake_map_of(&world->serving, VOLUME(1))->map.target, DEVMAP_LINEAR);
		assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
		assert_non_null(export_find(world->core, VOLUME(1)));
	}
}

/* ---- by request ---- */

static struct reply *ask_export(struct world *world, enum method_id method, const char *volume_id, bool read_only)
{
	char volume[37];
	struct export_create_args args = { .volume_id = volume, .read_only = read_only };
	struct reply *reply;

	snprintf(volume, sizeof(volume), "%s", volume_id);
	if (method == METHOD_EXPORT_CREATE) {
		reply = ask(world, method, &args);
	} else {
		struct export_delete_args other = { .volume_id = volume }; /* begins like struct volume_args */

		reply = ask(world, method, &other);
	}
	answered(world, reply);
	return reply;
}

static void made_and_removed_by_request(void **state)
{
	struct world *world = *state;
	const struct export_record *export;
	struct reply *reply;

	one_attached(world);
	/* The one that came with the attachment is the answer. */
	export = item(ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false), 0);
	assert_string_equal(export->export_name, "migration-vol-" VOLUME(1));
	assert_int_equal(export->port, 10809);
	reply = ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), true);
	assert_int_equal(reply->err.code, ERR_CONFLICT);

	connect(world, VOLUME(1));
	export = item(ask_export(world, METHOD_EXPORT_GET, VOLUME(1), false), 0);
	assert_string_equal(export->clients, "{\"addresses\":[\"127.0.0.1:41234\"],\"certain\":true}");
	reply = ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false);
	assert_int_equal(reply->err.code, ERR_CONFLICT);
	fake_export_of(&world->serving, VOLUME(1))->client.address[0] = '\0';
	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false), 0);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_int_equal(ask_export(world, METHOD_EXPORT_GET, VOLUME(1), false)->err.code, ERR_NOT_FOUND);
	/* Once more is no error. */
	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false), 0);

	export = item(ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), true), 0);
	assert_int_equal(export->status, EXPORT_ACTIVE);
	assert_true(fake_export_of(&world->serving, VOLUME(1))->read_only);
	world_restart(world);
	world_pass(world, 1000);
	assert_true(export_find(world->core, VOLUME(1))->record.read_only);
	check_world(world, 1);
}

static void not_of_what_is_not_here(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	server_add(&world->server, "one", 5);
	reply = ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false);
	assert_int_equal(reply->err.code, ERR_CONFLICT);
	assert_non_null(strstr(reply->err.text, "attach it first"));
	one_attached(world);
	fake_fault(&world->serving, VERB_ADD, 1, ERR_INTERNAL, false);
	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(2), false), 0);
	reply = ask_export(world, METHOD_EXPORT_CREATE, VOLUME(2), false);
	assert_int_equal(reply->err.code, ERR_INTERNAL);
	world_pass(world, 1000);
	assert_null(export_find(world->core, VOLUME(2)));
}

static void not_while_it_is_in_use(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = one_attached(world);
	struct reply *reply;

	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false), 0);
	kernel_mount(&world->kernel, one->disk);
	reply = ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false);
	assert_int_equal(reply->err.code, ERR_CONFLICT);
	assert_non_null(strstr(reply->err.text, "mounted at /mnt/data"));
	assert_null(export_find(world->core, VOLUME(1)));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	kernel_mount(&world->kernel, NULL);
	item(ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false), 0);
	check_world(world, 1);
}

/* The one that came with the attachment is only not there yet; that it was asked for as well does not end it. */
static void asked_for_while_the_engine_is_away(void **state)
{
	struct world *world = *state;

	one_attached(world);
	world->serving.export_count = 0;
	fake_fault(&world->serving, VERB_ADD, 2, ERR_UNAVAILABLE, false);
	core_exports_lost(world->core);
	world_pass(world, 1000);
	assert_int_equal(export_find(world->core, VOLUME(1))->record.status, EXPORT_PENDING);
	assert_int_equal(ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false)->err.code, ERR_UNAVAILABLE);
	core_exports_lost(world->core);
	world_pass(world, 1000);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	check_world(world, 1);
	assert_int_equal(export_find(world->core, VOLUME(1))->record.status, EXPORT_ACTIVE);
}

static const char *report(struct world *world, enum method_id method, const void *args)
{
	struct reply *reply = ask(world, method, args);
	const struct export_report_record *record;

	answered(world, reply);
	record = item(reply, 0);
	return record->report;
}

static void validated_and_cleaned_up(void **state)
{
	struct world *world = *state;
	struct export_cleanup_args args = { .dry_run = true };
	struct no_args none = { 0 };

	one_attached(world);
	assert_string_equal(report(world, METHOD_EXPORT_VALIDATE, &none), "{\"checked\":1,\"differences\":[]}");
	snprintf(fake_export_of(&world->serving, VOLUME(1))->path, 300, "/dev/vdx");
	server_add(&world->server, "two", 5);
	world->serving.exports[world->serving.export_count++] =
		(struct fake_export){ .name = "migration-vol-" VOLUME(2), .path = "/dev/vdy" };
	assert_non_null(strstr(report(world, METHOD_EXPORT_VALIDATE, &none), "\"device-differs\""));
	assert_non_null(strstr(report(world, METHOD_EXPORT_VALIDATE, &none), "\"not-noted\""));

	assert_non_null(strstr(report(world, METHOD_EXPORT_CLEANUP, &args), "\"removed\":[]"));
	assert_non_null(fake_export_of(&world->serving, VOLUME(2)));
	args.dry_run = false;
	assert_non_null(strstr(report(world, METHOD_EXPORT_CLEANUP, &args),
			       "\"removed\":[{\"export_name\":\"migration-vol-" VOLUME(2)));
	assert_null(fake_export_of(&world->serving, VOLUME(2)));
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
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
		TEST(equal_digits),
		TEST(a_name_of_somebody_else),
		TEST(a_disk_that_is_held_keeps_its_name),
		TEST(a_disk_that_changes_under_its_name),
		TEST(an_engine_that_is_away_for_a_while),
		TEST(an_engine_that_stays_away),
		TEST(an_engine_that_goes_for_good),
		TEST(nobody_is_cut_off),
		TEST(what_is_refused_comes_back),
		TEST(what_was_let_go_does_not_come_back),
		TEST(what_was_written_is_flushed),
		TEST(a_disk_that_does_not_answer),
		TEST(name_and_export_grow),
		TEST(a_client_keeps_the_size_it_knows),
		TEST(a_deleted_volume_gives_up_its_name),
		TEST(it_comes_back_in_time),
		TEST(it_does_not_come_back),
		TEST(a_restart_while_they_wait),
		TEST(a_refusal_while_they_wait),
		TEST(who_does_not_use_the_name_is_not_left_behind),
		TEST(left_overs_are_taken_away),
		TEST(all_of_it_is_gone),
		TEST(the_engine_began_anew),
		TEST(without_names_an_export_goes_with_its_disk),
		TEST(what_cannot_be_told_apart_is_left),
		TEST(who_does_not_know_himself_takes_nothing_away),
		TEST(made_and_removed_by_request),
		TEST(not_of_what_is_not_here),
		TEST(not_while_it_is_in_use),
		TEST(asked_for_while_the_engine_is_away),
		TEST(validated_and_cleaned_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
