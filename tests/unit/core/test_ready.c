/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disk of an attachment is told before the attachment has ended. */

#include "fixture.h"

#define JOB_MS 30000

/* The nth of these events, counted from 0; NULL if there are not so many. */
static const struct device_record *told(const struct world *world, size_t nth)
{
	for (size_t i = 0; i < world->seen_count; i++) {
		if (world->seen[i].type == EVENT_DEVICE_READY && nth-- == 0)
			return &world->seen[i].device;
	}
	return NULL;
}

static bool is_told(struct world *world, const void *nth)
{
	return told(world, *(const size_t *)nth) != NULL;
}

static const struct device_record *await_told(struct world *world, size_t nth)
{
	assert_true(world_until(world, is_told, &nth, JOB_MS / 2));
	return told(world, nth);
}

/* The disk comes at once, and CloudStack is done with the job much later. */
static const char *begin(struct world *world)
{
	world->server.job_ms = JOB_MS;
	server_add(&world->server, "one", 5)->plug_ms = 2000;
	return accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
}

static void told_before_the_job_ends(void **state)
{
	struct world *world = *state;
	const char *id = begin(world);
	const struct device_record *disk = await_told(world, 0);

	assert_string_equal(disk->volume_id, VOLUME(1));
	assert_true(str_has_prefix(strrchr(disk->device_path, '/'), "/vdb"));
	assert_string_equal(disk->persistent_device_name, "vol00000001");
	assert_non_null(fake_map_of(&world->serving, VOLUME(1)));
	assert_int_equal(disk->size, 5 * GIB);
	assert_true(disk->diskseq > 0);
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, id), 0);
	assert_string_equal(at_step(world, id, NULL, PHASE_WAITING)->record.step, "await-job");
	completed(world, id);
	assert_null(told(world, 1));
	check_served(world, VOLUME(1));
	check_world(world, 1);
}

/* The job has ended, and CloudStack does not show the volume for a while: the step awaits a look at
 * the volume then, and its disk is no sign for that. */
static void told_before_the_volume_is_shown(void **state)
{
	struct world *world = *state;
	const char *id;

	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_JOB_FAILED_AFTER });
	id = begin(world);
	await_told(world, 0);
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_LIST,
							  .nth = world->server.calls[FAKE_LIST] + 1,
							  .times = 3,
							  .kind = FAULT_AWAY });
	completed(world, id);
	assert_null(told(world, 1));
	check_world(world, 1);
}

static void told_without_names(void **state)
{
	struct world *world = *state;
	const char *id;

	world->options.devmap = NULL;
	world_restart(world);
	world_pass(world, 1000);
	id = begin(world);
	assert_null(await_told(world, 0)->symlink_path);
	completed(world, id);
	assert_null(told(world, 1));
}

/* The disk is there and proven, but its name cannot be made. */
static void told_while_another_has_it(void **state)
{
	struct world *world = *state;
	const char *id;

	world->serving.disks_taken = true;
	id = begin(world);
	assert_null(await_told(world, 0)->persistent_device_name);
	completed(world, id);
}

static void told_when_the_disk_comes_last(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = 20000;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	assert_null(told(world, 0));
	completed(world, id);
	assert_string_equal(told(world, 0)->persistent_device_name, "vol00000001");
}

static void not_told_without_identity(void **state)
{
	struct world *world = *state;

	completed(world, begin(world));
	assert_null(told(world, 0));
}

static void not_told_of_another_vm(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	assert_null(told(world, 0));
}

/* What was told is durable before, so it is told after a restart as well, and not for nothing. */
static void told_after_it_is_durable(void **state)
{
	struct world *world = *state;
	char id[64];

	snprintf(id, sizeof(id), "%s", begin(world));
	at_step(world, id, "await-job", PHASE_WAITING);
	store_memory_set_away(world->store, "No space left on device");
	world_pass(world, 5000);
	assert_non_null(fake_map_of(&world->serving, VOLUME(1)));
	assert_null(told(world, 0));
	store_memory_set_away(world->store, NULL);
	await_told(world, 0);
	world_restart(world); /* the events of the former process are forgotten */
	await_told(world, 0);
	completed(world, id);
	assert_null(told(world, 1));
}

static void failure_says_that_it_goes(void **state)
{
	struct world *world = *state;
	char id[64];

	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_JOB_FAILED, 530, "No room" });
	snprintf(id, sizeof(id), "%s", begin(world));
	at_step(world, id, "await-job", PHASE_WAITING);
	kernel_plug(&world->kernel, "vdb", "00000001111142228333", 5 * GIB);
	await_told(world, 0);
	/* The next process says so, too. */
	world_restart(world);
	ended_with(world, id, OPERATION_FAILED, "vdb, which was told as ready, goes away again");
}

static void cancellation_says_that_it_goes(void **state)
{
	struct world *world = *state;
	const char *id = begin(world);
	struct reply *reply;

	await_told(world, 0);
	reply = ask_operation(world, METHOD_OPERATION_CANCEL, id);
	answered(world, reply);
	item(reply, 0);
	ended_with(world, id, OPERATION_CANCELLED, "vdb, which was told as ready, goes away again");
	check_unmapped(world, VOLUME(1));
}

/* A disk that goes and comes under another name is told anew. */
static void told_anew_under_another_name(void **state)
{
	struct world *world = *state;
	const char *id = begin(world);

	await_told(world, 0);
	kernel_rename(&world->kernel, "vdb", "vdq");
	snprintf(server_find(&world->server, VOLUME(1))->disk, 16, "vdq");
	sysblock_wake(world->core->env.sysblock);
	assert_true(str_has_prefix(strrchr(await_told(world, 1)->device_path, '/'), "/vdq"));
	completed(world, id);
	check_mapped(world, VOLUME(1));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(told_before_the_job_ends),
		TEST(told_before_the_volume_is_shown),
		TEST(told_without_names),
		TEST(told_while_another_has_it),
		TEST(told_when_the_disk_comes_last),
		cmocka_unit_test_setup_teardown(not_told_without_identity, world_setup_nameless,
						world_teardown),
		TEST(not_told_of_another_vm),
		TEST(told_after_it_is_durable),
		TEST(failure_says_that_it_goes),
		TEST(cancellation_says_that_it_goes),
		TEST(told_anew_under_another_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
