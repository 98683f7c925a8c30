/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Mappings follow the kernel, answers are true at the moment they are given, and nobody's disk is
 * pulled out in use. */

#include "fixture.h"

static struct reply *ask_device(struct world *world, const char *volume_id)
{
	char id[37];
	struct volume_args args = { .volume_id = id };
	struct reply *reply;

	snprintf(id, sizeof(id), "%s", volume_id);
	reply = ask(world, METHOD_VOLUME_DEVICE, &args);
	/* No time passes, so no scan has seen what the test has done to the kernel. */
	answered(world, reply);
	return reply;
}

static const char *device_of(struct world *world, const char *volume_id)
{
	const struct mapping_record *mapping = item(ask_device(world, volume_id), 0);

	return strrchr(mapping->device_path, '/') ? strrchr(mapping->device_path, '/') + 1
						  : mapping->device_path;
}

static struct reply *ask_volume(struct world *world, const char *device)
{
	char name[64];
	struct device_args args = { .device = name };
	struct reply *reply;

	snprintf(name, sizeof(name), "%s", device);
	reply = ask(world, METHOD_DEVICE_VOLUME, &args);
	answered(world, reply);
	return reply;
}

static void two_attached(struct world *world)
{
	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(1));
	attached(world, VOLUME(2));
	assert_string_equal(device_of(world, VOLUME(1)), "vdb");
	assert_string_equal(device_of(world, VOLUME(2)), "vdc");
}

static void by_its_stable_name(void **state)
{
	static const char *const names[] = { "vol00000002", "/dev/mapper/vol00000002",
					     "dev/mapper/vol00000002" };
	struct world *world = *state;
	const struct mapping_record *mapping;
	struct reply *reply;

	two_attached(world);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		mapping = item(ask_volume(world, names[i]), 0);
		assert_string_equal(mapping->volume_id, VOLUME(2));
	}
	reply = ask_volume(world, "/dev/mapper/vdc");
	assert_int_equal(reply->err.code, ERR_NOT_FOUND);
	reply = ask_volume(world, "/dev/vol00000002x");
	assert_int_equal(reply->err.code, ERR_NOT_FOUND);
}

static void swap(struct world *world)
{
	struct fake_volume *one = server_find(&world->server, VOLUME(1)),
			   *two = server_find(&world->server, VOLUME(2));
	char name[sizeof(one->disk)];

	kernel_swap(&world->kernel, "vdb", "vdc");
	memcpy(name, one->disk, sizeof(name));
	memcpy(one->disk, two->disk, sizeof(name));
	memcpy(two->disk, name, sizeof(name));
}

static void names_swapped_in_one_scan(void **state)
{
	struct world *world = *state;

	two_attached(world);
	swap(world);
	world_pass(world, 5000);
	check_world(world, 2);
	world_restart(world);
	world_pass(world, 5000);
	check_world(world, 2);
}

static void gone_and_back(void **state)
{
	struct world *world = *state;
	size_t changes;

	two_attached(world);
	kernel_rename(&world->kernel, "vdb", "../../staging/vdb");
	world_pass(world, 5000);
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "gone");
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.device_path,
			    "gone-" VOLUME(1));
	kernel_rename(&world->kernel, "../../staging/vdb", "vdd");
	snprintf(server_find(&world->server, VOLUME(1))->disk, 16, "vdd");
	world_pass(world, 5000);
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "detected");
	check_world(world, 2);
	changes = events_of(world, EVENT_MAPPING_CHANGED, NULL);
	world_pass(world, 3600 * 1000);
	/* and then it is still */
	assert_int_equal(events_of(world, EVENT_MAPPING_CHANGED, NULL), changes);
}

static void answers_are_true_at_the_moment(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	two_attached(world);
	assert_string_equal(
		((const struct mapping_record *)item(ask_volume(world, "/dev/vdb"), 0))->volume_id,
		VOLUME(1));
	swap(world);
	/* What the last scan saw is wrong now; no answer may repeat it. */
	assert_string_not_equal(device_of(world, VOLUME(1)), "vdb");
	reply = ask_volume(world, "vdb");
	assert_true(reply->err.code ||
		    strcmp(((const struct mapping_record *)item(reply, 0))->volume_id, VOLUME(1)) !=
			    0);
	world_pass(world, 5000);
	assert_string_equal(device_of(world, VOLUME(1)), "vdc");
	assert_string_equal(
		((const struct mapping_record *)item(ask_volume(world, "vdb"), 0))->volume_id,
		VOLUME(2));
	kernel_unplug(&world->kernel, "vdc");
	assert_string_equal(device_of(world, VOLUME(1)), "gone-" VOLUME(1));
	assert_int_equal(ask_volume(world, "vdc")->err.code, ERR_NOT_FOUND);
	assert_int_equal(ask_volume(world, "vda")->err.code, ERR_NOT_FOUND);
	assert_int_equal(ask_device(world, VOLUME(9))->err.code, ERR_NOT_FOUND);
}

/* The name in a volume's own record and in the list of devices is as true as that of its
 * mapping. */
static void records_are_true_at_the_moment(void **state)
{
	struct world *world = *state;
	char id[37] = VOLUME(1);
	struct volume_get_args args = { .volume_id = id };
	const struct volume_record *volume;
	struct reply *reply;

	two_attached(world);
	swap(world);
	reply = ask(world, METHOD_VOLUME_GET, &args);
	answered(world, reply);
	volume = item(reply, 0);
	assert_null(strstr(volume->device_path, "vdb"));
	assert_null(strstr(volume->linux_data, "vdb"));
	reply = ask(world, METHOD_DEVICE_LIST, &(struct no_args){ 0 });
	answered(world, reply);
	for (size_t i = 0; i < reply->count; i++) {
		const struct device_record *device = item(reply, i);

		if (strstr(device->device_path, "vdb"))
			assert_string_equal(device->volume_id, VOLUME(2));
	}
}

/* While nobody looked, two disks have changed places: the first that is told of them is where they
 * are now. */
static void told_after_a_start_is_true(void **state)
{
	struct world *world = *state;

	two_attached(world);
	world_kill(world);
	swap(world);
	world_open(world);
	world_pass(world, 5000);
	assert_true(events_of(world, EVENT_MAPPING_CHANGED, VOLUME(1)) > 0);
	for (size_t i = 0; i < world->seen_count; i++) {
		const struct seen *seen = &world->seen[i];

		if (seen->type == EVENT_MAPPING_CHANGED && streq(seen->id, VOLUME(1)))
			assert_null(strstr(seen->mapping.device_path, "vdb"));
	}
}

/* The store was away when the attachment ended, and when it is back the name has changed hands. */
static void told_late_is_true(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	const struct operation_record *record;
	char id[64];

	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	while (!operation_find(world->core->engine, id)->ended) {
		if (!world_turn(world))
			clock_test_advance(10);
	}
	/* the last commit is still on its way */
	store_memory_set_away(world->store, "the test says so");
	assert_string_equal(volume->disk, "vdb");
	kernel_unplug(&world->kernel, "vdb");
	kernel_plug(&world->kernel, "vdb", "88888888888888888888", 5 * GIB);
	store_memory_set_away(world->store, NULL);
	record = ended(world, id);
	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_null(strstr(record->response, "/dev/vdb"));
	for (size_t i = 0; i < world->seen_count; i++) {
		if (world->seen[i].mapping.device_path)
			assert_null(strstr(world->seen[i].mapping.device_path, "/dev/vdb"));
	}
}

static void by_link_name(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	two_attached(world);
	reply = ask_volume(world, "/dev/disk/by-id/virtio-00000002111142228333");
	assert_string_equal(((const struct mapping_record *)item(reply, 0))->volume_id, VOLUME(2));
}

static void untouched_while_an_operation_has_it(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5)->unplug_ms = 30000;
	attached(world, VOLUME(1));
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	at_step(world, id, "await-gone", PHASE_SLEEPING);
	kernel_rename(&world->kernel, "vdb", "vdd");
	snprintf(server_find(&world->server, VOLUME(1))->disk, 16, "vdd");
	world_pass(world, 5000);
	assert_non_null(
		strstr(mapping_find(world->core->model, VOLUME(1))->record.device_path, "vdb"));
	completed(world, id);
	check_world(world, 1);
}

static void one_commit_at_a_time(void **state)
{
	struct world *world = *state;

	two_attached(world);
	store_memory_set_away(world->store, "disk full");
	for (int i = 0; i < 20; i++) {
		swap(world);
		world_pass(world, 2100);
	}
	/* What the first one says is no longer so. */
	assert_int_equal(change_count(world->core->model), 1);
	store_memory_set_away(world->store, NULL);
	world_pass(world, 100);
	check_world(world, 2);
}

/* ---- boots ---- */

static void reboot_with_identity(void **state)
{
	struct world *world = *state;

	two_attached(world);
	world_kill(world);
	swap(world);
	kernel_reboot(&world->kernel, (const char *const[]){ "vda", "vdb", "vdc", NULL });
	world_open(world);
	world_pass(world, 5000);
	check_world(world, 2);
}

static void has_disk(struct world *world, const char *volume_id, const char *name)
{
	snprintf(server_find(&world->server, volume_id)->disk, 16, "%s", name);
}

/* VOLUME(1) keeps its old name noted until its detachment has ended, and its name is VOLUME(2)'s
 * now. */
static void reboot_during_an_operation(void **state)
{
	struct world *world = *state;

	two_attached(world);
	server_add(&world->server, "three", 7);
	attached(world, VOLUME(3));
	server_find(&world->server, VOLUME(1))->unplug_ms = -1;
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_JOB_STUCK });
	at_step(world, accepted(world, ask_detach(world, VOLUME(1), false)), "await-job",
		PHASE_WAITING);
	world_kill(world);
	kernel_swap(&world->kernel, "vdb", "vdc");
	kernel_rename(&world->kernel, "vdd", "vde");
	has_disk(world, VOLUME(2), "vdb");
	has_disk(world, VOLUME(3), "vde");
	has_disk(world, VOLUME(1), "vdc");
	kernel_reboot(&world->kernel, (const char *const[]){ "vda", "vdb", "vdc", "vde", NULL });
	world->server.down = true; /* no comparison comes to help */
	world_open(world);
	world_pass(world, 5000);
	check_mapped(world, VOLUME(3)); /* it has nothing to do with the two */
	world->server.down = false;
	server_detach(&world->server, server_find(&world->server, VOLUME(1)));
	server_release_stuck(&world->server);
	world_pass(world, 10000);
	check_unmapped(world, VOLUME(1));
	check_world(world, 3);
}

/* The kernel counts disks anew: VOLUME(1)'s disk now has the number VOLUME(2)'s had, and nobody
 * says who he is. */
static void reboot_without(void **state)
{
	struct world *world = *state;

	two_attached(world);
	world_kill(world);
	swap(world);
	kernel_reboot(&world->kernel, (const char *const[]){ "vda", "vdb", "vdc", NULL });
	world_open(world);
	while (world_turn(world))
		;
	assert_string_equal(device_of(world, VOLUME(1)), "gone-" VOLUME(1));
	assert_string_equal(device_of(world, VOLUME(2)), "gone-" VOLUME(2));
	world_pass(world, 5000);
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "gone");
	assert_string_equal(mapping_find(world->core->model, VOLUME(2))->record.linux_state,
			    "gone");
}

/* Then nobody knows which of them is detached, so one that is in use may be it. */
static void in_use_after_a_reboot_without(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	world_kill(world);
	kernel_reboot(&world->kernel, (const char *const[]){ "vda", "vdb", NULL });
	world_open(world);
	world_pass(world, 5000);
	kernel_mount(&world->kernel, "vdb");
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   "may be a disk that is in use: mounted at /mnt/data");
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
	kernel_mount(&world->kernel, NULL);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	check_world(world, 1);
}

static void restart_without_reboot(void **state)
{
	struct world *world = *state;

	two_attached(world);
	world_restart(world);
	world_pass(world, 5000);
	check_world(world, 2);
}

/* ---- detaching what is in use ---- */

static void in_use(void **state)
{
	struct world *world = *state;

	two_attached(world);
	kernel_mount(&world->kernel, "vdb");
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT, "mounted at /mnt/data");
	refused(world, ask_delete(world, VOLUME(1)), ERR_CONFLICT, "mounted at /mnt/data");
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), true)));
	check_world(world, 2);
}

/* What the last scan noted is old: another size, another name. It is in use all the same. */
static void in_use_and_changed(void **state)
{
	struct world *world = *state;

	two_attached(world);
	world->options.scan_ms = DAY_MS;
	world_restart(world);
	world_pass(world, 5000);
	kernel_mount(&world->kernel, "vdb");
	kernel_resize(&world->kernel, "vdb", 6 * GIB);
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT, "mounted at /mnt/data");
	kernel_rename(&world->kernel, "vdb", "vdf");
	kernel_mount(&world->kernel, "vdf");
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT, "mounted at /mnt/data");
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
}

/* Not mapped by us, but CloudStack attached it and the disk says so. */
static void in_use_but_never_mapped(void **state)
{
	struct world *world = *state;

	server_attach(&world->server, server_add(&world->server, "one", 5), APPLIANCE);
	world_pass(world, 5000);
	kernel_mount(&world->kernel, "vdb");
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT, "mounted at /mnt/data");
	kernel_mount(&world->kernel, NULL);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	check_world(world, 1);
}

/* No disk here says who it is; CloudStack does. */
static void root_that_cannot_be_told_apart(void **state)
{
	struct world *world = *state;
	struct fake_volume *root = server_add(&world->server, "root", 20);

	root->is_root = true;
	server_attach(&world->server, root, APPLIANCE);
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), true)), OPERATION_FAILED,
		   "carries this system");
	refused(world, ask_detach(world, VOLUME(1), true), ERR_CONFLICT, "carries this system");
	refused(world, ask_delete(world, VOLUME(1)), ERR_CONFLICT, "carries this system");
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
}

static void nobody_can_say_who_uses_it(void **state)
{
	struct world *world = *state;
	const char *id;

	two_attached(world);
	tree_unlink(&world->kernel.tree, "proc/self/mountinfo");
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	ended_with(world, id, OPERATION_FAILED, "cannot be found");
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
}

static void users_are_not_found_in_time(void **state)
{
	struct world *world = *state;
	const char *id;

	two_attached(world);
	fake_disk.hangs = true;
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	ended_with(world, id, OPERATION_FAILED, "the disk hangs");
	/* A look that is under way when the daemon stops is made again; another one follows before
	 * CloudStack is asked. */
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	world_pass(world, PROBE_MS / 2);
	fake_disk.hangs = false;
	fake_disk.usage_checks = 0;
	world_restart(world);
	completed(world, id);
	assert_int_equal(fake_disk.usage_checks, 2);
	check_world(world, 2);
}

static void its_own_map_is_no_user(void **state)
{
	struct world *world = *state;
	struct tree *tree = &world->kernel.tree;

	two_attached(world);
	tree_write(tree, "sys/block/dm-3/dev", "253:3\n");
	tree_write(tree, "sys/block/dm-3/dm/uuid", "VOLD-somebody else's\n");
	tree_folder(tree, "sys/block/vdb/holders");
	tree_link(tree, "../../dm-3", "sys/block/vdb/holders/dm-3");
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT, "held by dm-3");
	tree_write(tree, "sys/block/dm-3/dm/uuid", "VOLD-" VOLUME(1) "\n");
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
}

static void disk_that_does_not_go(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5)->unplug_ms = -1;
	attached(world, VOLUME(1));
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	ended_with(world, id, OPERATION_FAILED, "but the kernel still shows it as");
	assert_true(core_operation(world->core, id)->needs_attention);
	/* The name still leads to the disk, so the mapping says so. */
	assert_string_equal(device_of(world, VOLUME(1)), "vdb");
	/* At once, and not when the next comparison is due. */
	world_pass(world, 5000);
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.cloudstack_state,
			    "detached");
	kernel_unplug(&world->kernel, "vdb");
	world_pass(world, 5000);
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "gone");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)
#define NAMELESS(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup_nameless, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_its_stable_name),
		TEST(names_swapped_in_one_scan),
		TEST(gone_and_back),
		TEST(answers_are_true_at_the_moment),
		TEST(records_are_true_at_the_moment),
		TEST(told_after_a_start_is_true),
		TEST(told_late_is_true),
		TEST(by_link_name),
		TEST(untouched_while_an_operation_has_it),
		TEST(one_commit_at_a_time),
		TEST(reboot_with_identity),
		TEST(reboot_during_an_operation),
		NAMELESS(in_use_after_a_reboot_without),
		NAMELESS(root_that_cannot_be_told_apart),
		NAMELESS(reboot_without),
		NAMELESS(restart_without_reboot),
		TEST(in_use),
		TEST(in_use_and_changed),
		TEST(in_use_but_never_mapped),
		TEST(nobody_can_say_who_uses_it),
		TEST(users_are_not_found_in_time),
		TEST(its_own_map_is_no_user),
		TEST(disk_that_does_not_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
