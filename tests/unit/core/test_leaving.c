/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands on a disk goes with the detachment, comes back when that is refused, and waits when
 * it is told to. */

#include "fixture.h"

/* ---- with the detachment ---- */

static void nobody_is_cut_off(void **state)
{
	struct world *world = *state;

	served_one(world);
	connect_client(world, VOLUME(1));
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT,
		"NBD client 127.0.0.1:41234");
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	check_world(world, 1);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), true)));
	check_world(world, 1);
}

/* The NBD engine has each disk that it serves open, and goes with the export. */
static void the_engine_is_no_stranger(void **state)
{
	struct world *world = *state;

	served_one(world);
	world->serving.engine_pid = fake_disk.opener = 4711;
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	attached(world, VOLUME(1));
	fake_disk.opener = 4712;
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT, "open in process 4712");
	check_world(world, 1);
}

/* CloudStack is away for a while before the request, and meanwhile another client moves the volume
 * to another VM. The request would take it from there. */
static void not_from_the_next_vm(void **state)
{
	static const char next[] = "eeeeeeee-0000-4000-8000-00000000000e";
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	const char *id;

	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 5, FAULT_AWAY });
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	at_step(world, id, "ask-cloud", PHASE_SLEEPING);
	server_detach(&world->server, volume);
	server_attach(&world->server, volume, next);
	ended_with(world, id, OPERATION_FAILED, "was attached to VM eeeeeeee");
	assert_string_equal(volume->vm_id, next);
	assert_int_equal(server_jobs(&world->server, FAKE_DETACH), 0);
}

/* Whose of several exports a client is, only the server knows. */
static void nobody_is_cut_off_among_several(void **state)
{
	struct world *world = *state;
	struct store_health health = { 0 };

	served_one(world);
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(2));
	connect_client(world, VOLUME(1));
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT,
		"NBD client 127.0.0.1:41234");
	completed(world, accepted(world, ask_detach(world, VOLUME(2), false)));
	attached(world, VOLUME(2));
	check_world(world, 2);
	/* It was asked for nothing: CloudStack refuses, or the store does. */
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH,
							  .nth = 2,
							  .kind = FAULT_REFUSED });
	ended_with(world, accepted(world, ask_detach(world, VOLUME(2), false)), OPERATION_FAILED,
		   NULL);
	check_world(world, 2);
	store_health(world->store, &health);
	store_memory_fail_at(world->store, health.transactions + 1, ERR_INTERNAL);
	refused(world, ask_detach(world, VOLUME(2), false), ERR_INTERNAL, "");
	world_pass(world, 5000);
	check_world(world, 2);
}

static void what_is_refused_comes_back(void **state)
{
	struct world *world = *state;

	served_one(world);
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH,
							  .nth = 1,
							  .kind = FAULT_REFUSED });
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   NULL);
	check_world(world, 1);
	assert_non_null(export_find(world->core->model, VOLUME(1)));
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH,
							  .nth = 2,
							  .kind = FAULT_JOB_FAILED });
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   NULL);
	check_world(world, 1);
}

/* Then the volume is where it was, and its export follows with the engine. */
static void an_engine_that_is_away_when_it_is_refused(void **state)
{
	struct world *world = *state;
	const char *id;

	served_one(world);
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH,
							  .nth = 1,
							  .kind = FAULT_REFUSED });
	fake_fault(&world->serving, VERB_ADD, 1000000, ERR_UNAVAILABLE, false);
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	ended_with(world, id, OPERATION_FAILED, NULL);
	assert_false(core_operation(world->core, id)->needs_attention);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	fake_fault(&world->serving, VERB_ADD, 0, ERR_NONE, false);
	core_exports_lost(world->core);
	world_pass(world, 1000);
	check_world(world, 1);
}

/* CloudStack has let it go and may give it to another VM: nobody here is led to the disk that
 * stays. */
static void what_was_let_go_does_not_come_back(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);

	one->unplug_ms = -1;
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   "but the kernel still shows it as");
	world_pass(world, 15 * 60000);
	assert_true(kernel_has(&world->kernel, one->disk));
	assert_null(fake_map_of(&world->serving, VOLUME(1)));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
}

/* CloudStack calls it detached, and its disk is still here. */
static struct fake_volume *left_here(struct world *world)
{
	struct fake_volume *one = served_one(world);

	one->vm_id[0] = '\0';
	assert_true(kernel_has(&world->kernel, one->disk));
	return one;
}

static void a_disk_in_use_is_not_given_away(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = left_here(world);
	const char *text = "vdb and in use: mounted at /mnt/data; release it first";
	const char *attach;
	unsigned jobs = server_jobs(&world->server, FAKE_ATTACH);

	kernel_mount(&world->kernel, one->disk);
	attach = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));
	/* Behind another operation the request itself is not refused. */
	ended_with(world, accepted(world, ask_delete(world, VOLUME(1))), OPERATION_FAILED, text);
	ended_with(world, attach, OPERATION_FAILED, text);
	refused(world, ask_delete(world, VOLUME(1)), ERR_CONFLICT, "in use: mounted");
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), jobs);
	assert_int_equal(server_jobs(&world->server, FAKE_DESTROY), 0);
}

static void an_unused_disk_has_time_to_go(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = left_here(world);
	const char *text = "not attached here, but it is still here as";
	const char *id = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));

	world_pass(world, DEVICE_WAIT_MS / 2);
	assert_int_equal(core_operation(world->core, id)->status, OPERATION_EXECUTING);
	kernel_unplug(&world->kernel, one->disk);
	one->disk[0] = '\0';
	completed(world, id);
	assert_string_equal(one->vm_id, OTHER_VM);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	attached(world, VOLUME(1));
	one->vm_id[0] = '\0';
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)), OPERATION_FAILED,
		   text);
	id = accepted(world, ask_delete(world, VOLUME(1)));
	ended_with(world, id, OPERATION_FAILED, text);
	assert_string_equal(core_operation(world->core, id)->error_reason, "disk_remains");
	assert_int_equal(server_jobs(&world->server, FAKE_DESTROY), 0);
}

/* CloudStack says that another VM has it. */
static void a_disk_in_use_here_is_not_destroyed_elsewhere(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = left_here(world);

	server_attach(&world->server, one, OTHER_VM);
	kernel_mount(&world->kernel, one->disk);
	accepted(world, ask_resize(world, VOLUME(1), 6 * CLOUD_GIB, false));
	ended_with(world, accepted(world, ask_delete(world, VOLUME(1))), OPERATION_FAILED,
		   "in use: mounted");
	assert_string_equal(one->vm_id, OTHER_VM);
}

static bool is_asked_to_detach(struct world *world, const void *arg)
{
	return world->server.calls[FAKE_DETACH] == 1;
}

/* The daemon ends when its request is on its way, and gets lost; until it runs again somebody
 * begins to use the disk. */
static const char *used_meanwhile(struct world *world, bool force)
{
	static char id[64];
	struct fake_volume *one = served_one(world);

	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH,
							  .nth = 1,
							  .kind = FAULT_LOST_BEFORE });
	snprintf(id, sizeof(id), "%s", accepted(world, ask_detach(world, VOLUME(1), force)));
	assert_true(world_until(world, is_asked_to_detach, NULL, 60000));
	world_kill(world);
	kernel_mount(&world->kernel, one->disk);
	return id;
}

/* It is not exported beside him, but when he has left. */
static void check_left_alone(struct world *world)
{
	assert_int_equal(server_jobs(&world->server, FAKE_DETACH), 0);
	check_mapped(world, VOLUME(1));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.status, EXPORT_PENDING);
	kernel_mount(&world->kernel, NULL);
	world_pass(world, 30000);
	check_world(world, 1);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
}

static void who_came_meanwhile_is_left_alone(void **state)
{
	struct world *world = *state;
	const char *id = used_meanwhile(world, false);

	world_open(world);
	ended_with(world, id, OPERATION_FAILED, "mounted at /mnt/data");
	assert_string_equal(core_operation(world->core, id)->error_code, "CONFLICT");
	assert_string_equal(core_operation(world->core, id)->error_reason, "in_use");
	assert_false(core_operation(world->core, id)->needs_attention);
	check_left_alone(world);
}

/* A flush can take minutes. */
static void who_came_during_the_flush_is_left_alone(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	char id[64];

	snprintf(id, sizeof(id), "%s", accepted(world, ask_detach(world, VOLUME(1), false)));
	at_step(world, id, "flush", PHASE_WAITING);
	kernel_mount(&world->kernel, one->disk);
	ended_with(world, id, OPERATION_FAILED, "vdb is in use: mounted at /mnt/data");
	assert_string_equal(core_operation(world->core, id)->error_code, "CONFLICT");
	assert_string_equal(core_operation(world->core, id)->error_reason, "in_use");
	assert_false(core_operation(world->core, id)->needs_attention);
	check_left_alone(world);
}

static void who_came_before_the_request_is_left_alone(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	char id[64];

	snprintf(id, sizeof(id), "%s", accepted(world, ask_detach(world, VOLUME(1), false)));
	at_step(world, id, "ask-cloud", PHASE_COMMITTING);
	world_kill(world);
	kernel_mount(&world->kernel, one->disk);
	world_open(world);
	ended_with(world, id, OPERATION_FAILED, "mounted at /mnt/data");
	check_left_alone(world);
}

/* The kernel refuses to share it, so the name comes back when it is free. */
static void who_came_meanwhile_has_the_disk_to_himself(void **state)
{
	struct world *world = *state;
	const char *id = used_meanwhile(world, false);

	world->serving.disks_taken = true;
	world_open(world);
	ended_with(world, id, OPERATION_FAILED, "mounted at /mnt/data");
	assert_false(core_operation(world->core, id)->needs_attention);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.status, EXPORT_PENDING);
	world->serving.disks_taken = false;
	kernel_mount(&world->kernel, NULL);
	world_pass(world, 10 * 60000);
	check_world(world, 1);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
}

static void who_came_meanwhile_leaves_again(void **state)
{
	struct world *world = *state;
	const char *id = used_meanwhile(world, false);

	world_open(world);
	at_step(world, id, "ask-cloud", PHASE_SLEEPING);
	kernel_mount(&world->kernel, NULL);
	completed(world, id);
	check_world(world, 1);
}

static void who_came_meanwhile_is_cut_off_by_force(void **state)
{
	struct world *world = *state;
	const char *id = used_meanwhile(world, true);

	world_open(world);
	completed(world, id);
	check_world(world, 1);
}

/* What CloudStack was asked for cannot be stopped, so there is nothing to bring back. */
static void who_came_after_the_request_comes_too_late(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	char id[64];

	snprintf(id, sizeof(id), "%s", accepted(world, ask_detach(world, VOLUME(1), false)));
	assert_true(world_until(world, is_asked_to_detach, NULL, 60000));
	world_kill(world);
	kernel_mount(&world->kernel, one->disk);
	world_open(world);
	completed(world, id);
	kernel_mount(&world->kernel, NULL);
	check_world(world, 1);
}

/* A busy machine with many processes: the request has its whole time all the same. */
static void a_look_for_users_longer_than_a_request_lives(void **state)
{
	struct world *world = *state;

	served_one(world);
	fake_disk.usage_ms = 2 * REQUEST_MS;
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	assert_int_equal(server_jobs(&world->server, FAKE_DETACH), 1);
	check_world(world, 1);
}

/* Before the request is made, the store takes so long that programs may have come. */
static void a_look_for_users_does_not_last(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	char id[64];

	fake_disk.usage_ms = 1000;
	snprintf(id, sizeof(id), "%s", accepted(world, ask_detach(world, VOLUME(1), false)));
	at_step(world, id, "ask-cloud", PHASE_WAITING);
	at_step(world, id, "ask-cloud", PHASE_COMMITTING);
	clock_test_advance(60000);
	kernel_mount(&world->kernel, one->disk);
	ended_with(world, id, OPERATION_FAILED, "vdb is in use: mounted at /mnt/data");
	assert_int_equal(server_jobs(&world->server, FAKE_DETACH), 0);
	check_left_alone(world);
}

static void what_was_written_is_flushed(void **state)
{
	struct world *world = *state;

	served_one(world);
	err_set(&fake_disk.flush_err, ERR_TIMEOUT, "flushing /dev/vdb took too long");
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   "may not be on the disk yet");
	assert_int_equal(fake_disk.flushes, 1);
	check_world(world, 1);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_string_not_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
	/* By force also what those who stand on it have written, as far as it can be. */
	completed(world, accepted(world, ask_detach(world, VOLUME(1), true)));
	assert_string_equal(fake_disk.flushed, "vdb on-vdb vdb ");
	check_world(world, 1);
}

static void a_disk_that_does_not_answer(void **state)
{
	struct world *world = *state;

	served_one(world);
	connect_client(world, VOLUME(1));
	fake_fault(&world->serving, VERB_REMOVE, 1, ERR_TIMEOUT, false);
	fake_fault(&world->serving, VERB_WIPE, 1, ERR_TIMEOUT, false);
	err_set(&fake_disk.flush_err, ERR_TIMEOUT, "flushing /dev/vdb took too long");
	completed(world, accepted(world, ask_detach(world, VOLUME(1), true)));
	check_world(world, 1);
}

static void name_and_export_grow(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	served_one(world);
	operation = ended(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	assert_non_null(strstr(operation->response, "\"export_size\":6442450944"));
	assert_non_null(strstr(operation->response, "\"message\":\"Volume resized\""));
	check_world(world, 1);
	assert_int_equal(fake_map_of(&world->serving, VOLUME(1))->map.size, 6 * GIB);
	assert_int_equal(fake_export_of(&world->serving, VOLUME(1))->size, 6 * GIB);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.size, 6 * GIB);
}

/* It goes on with what it was told when it connected; the next one is told the truth, and who asked
 * all of it. */
static void a_client_keeps_the_size_it_knows(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	served_one(world);
	connect_client(world, VOLUME(1));
	operation = ended(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(strstr(operation->response, "\"size\":6442450944"));
	assert_non_null(strstr(operation->response, "\"export_size\":5368709120"));
	assert_non_null(strstr(operation->response, "its NBD clients keep the size they know"));
	assert_non_null(strstr(operation->response, "NBD client 127.0.0.1:41234"));
	world_pass(world, 10 * 60000);
	assert_int_equal(fake_map_of(&world->serving, VOLUME(1))->map.size, 6 * GIB);
	assert_int_equal(fake_export_of(&world->serving, VOLUME(1))->size, 5 * GIB);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.size, 5 * GIB);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.status, EXPORT_ACTIVE);
	fake_export_of(&world->serving, VOLUME(1))->client.address[0] = '\0';
	world_pass(world, 10 * 60000);
	assert_int_equal(fake_export_of(&world->serving, VOLUME(1))->size, 6 * GIB);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.size, 6 * GIB);
	check_world(world, 1);
}

/* The volume has grown all the same, and its export follows with the engine. */
static void an_engine_that_is_away_when_it_grows(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	served_one(world);
	world->serving.export_count = 0;
	fake_fault(&world->serving, VERB_ADD, 1000000, ERR_UNAVAILABLE, false);
	operation = ended(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(
		strstr(operation->response, "its export has not grown yet: a fault was asked for"));
	assert_int_equal(fake_map_of(&world->serving, VOLUME(1))->map.size, 6 * GIB);
	fake_fault(&world->serving, VERB_ADD, 0, ERR_NONE, false);
	core_exports_lost(world->core);
	world_pass(world, 1000);
	assert_int_equal(fake_export_of(&world->serving, VOLUME(1))->size, 6 * GIB);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.size, 6 * GIB);
	check_world(world, 1);
}

static void a_deleted_volume_gives_up_its_name(void **state)
{
	struct world *world = *state;

	served_one(world);
	completed(world, accepted(world, ask_delete(world, VOLUME(1))));
	assert_null(name_find(world->core->model, VOLUME(1)));
	world_restart(world);
	assert_null(name_find(world->core->model, VOLUME(1)));
}

/* ---- on hold ---- */

static bool is_expired(struct world *world, const void *volume_id)
{
	const struct fake_map *map = fake_map_of(&world->serving, volume_id);

	return !map || map->map.target == DEVMAP_ERROR;
}

static void it_comes_back_in_time(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	char first[16];

	snprintf(first, sizeof(first), "%s", one->disk);
	connect_client(world, VOLUME(1));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	assert_null(mapping_find(world->core->model, VOLUME(1)));
	assert_true(fake_map_of(&world->serving, VOLUME(1))->map.suspended);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.status, EXPORT_PENDING);
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(2));
	attached(world, VOLUME(1));
	assert_string_not_equal(one->disk, first);
	/* The client never left. */
	assert_string_equal(fake_export_of(&world->serving, VOLUME(1))->client.address,
			    "127.0.0.1:41234");
	assert_int_equal(world->serving.asked[VERB_REMOVE], 0);
	check_world(world, 2);
	assert_false(world_until(world, is_expired, VOLUME(1), 3 * HOLD_MS));
}

/* The name waits for the next attempt. */
static void it_does_not_come_back_at_once(void **state)
{
	struct world *world = *state;

	served_one(world);
	connect_client(world, VOLUME(1));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_ATTACH,
							  .nth = 2,
							  .kind = FAULT_JOB_FAILED });
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED, NULL);
	assert_true(fake_map_of(&world->serving, VOLUME(1))->map.suspended);
	attached(world, VOLUME(1));
	check_world(world, 1);
}

/* Whoever waited goes on with the size he was told when he connected, and it is said. */
static void it_comes_back_larger(void **state)
{
	struct world *world = *state;
	const struct operation_record *operation;

	served_one(world);
	connect_client(world, VOLUME(1));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	completed(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	operation = ended(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_int_equal(operation->status, OPERATION_COMPLETED);
	assert_non_null(strstr(operation->response, "its NBD clients keep the size they know"));
	assert_int_equal(fake_map_of(&world->serving, VOLUME(1))->map.size, 6 * GIB);
	assert_string_equal(fake_export_of(&world->serving, VOLUME(1))->client.address,
			    "127.0.0.1:41234");
	assert_int_equal(world->serving.asked[VERB_REMOVE], 0);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.size, 5 * GIB);
	check_world(world, 1);

	fake_export_of(&world->serving, VOLUME(1))->client.address[0] = '\0';
	world_pass(world, 10 * 60000);
	assert_int_equal(fake_export_of(&world->serving, VOLUME(1))->size, 6 * GIB);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.size, 6 * GIB);
	check_world(world, 1);
}

static void it_does_not_come_back(void **state)
{
	struct world *world = *state;

	served_one(world);
	connect_client(world, VOLUME(1));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	assert_false(world_until(world, is_expired, VOLUME(1), HOLD_MS - 10000));
	assert_true(world_until(world, is_expired, VOLUME(1), 20000));
	assert_true(world_until(world, is_served_nowhere, VOLUME(1), 10000));
	check_world(world, 1);
	attached(world, VOLUME(1));
	check_world(world, 1);
}

static void a_restart_while_they_wait(void **state)
{
	struct world *world = *state;

	served_one(world);
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	/* However often: the time is not counted anew. */
	for (int i = 0; i < 3; i++) {
		world_pass(world, (HOLD_MS - 10000) / 3);
		assert_true(fake_map_of(&world->serving, VOLUME(1))->map.suspended);
		world_restart(world);
	}
	assert_true(world_until(world, is_served_nowhere, VOLUME(1), 20000));
	check_world(world, 1);
}

/* The next one does not get what an earlier one has left. */
static void they_wait_once_more(void **state)
{
	struct world *world = *state;

	served_one(world);
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	world_pass(world, HOLD_MS - 10000);
	attached(world, VOLUME(1));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	world_restart(world);
	assert_false(world_until(world, is_expired, VOLUME(1), HOLD_MS - 10000));
	assert_true(world_until(world, is_served_nowhere, VOLUME(1), 20000));
}

/* Nobody may come to end the wait. */
static void a_stop_while_they_wait(void **state)
{
	struct world *world = *state;

	served_one(world);
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	world_stop(world);
	assert_false(fake_map_of(&world->serving, VOLUME(1))->map.suspended);
	assert_int_equal(fake_map_of(&world->serving, VOLUME(1))->map.target, DEVMAP_ERROR);
	world_open(world);
	world_pass(world, 5000);
	attached(world, VOLUME(1));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	/* Nor is it waited for when device mapper does not do it. */
	fake_fault(&world->serving, VERB_WIPE, 1000000, ERR_TIMEOUT, false);
	world_stop(world);
	world_open(world);
}

static void what_is_deleted_is_not_waited_for(void **state)
{
	struct world *world = *state;

	served_one(world);
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	completed(world, accepted(world, ask_delete(world, VOLUME(1))));
	assert_true(world_until(world, is_served_nowhere, VOLUME(1), 5000));
}

static void a_refusal_while_they_wait(void **state)
{
	struct world *world = *state;

	served_one(world);
	connect_client(world, VOLUME(1));
	server_fault(&world->server, (struct fake_fault){ .command = FAKE_DETACH,
							  .nth = 1,
							  .kind = FAULT_REFUSED });
	ended_with(world, accepted(world, ask_detach_keeping(world, VOLUME(1))), OPERATION_FAILED,
		   NULL);
	check_world(world, 1);
	assert_false(world_until(world, is_expired, VOLUME(1), 3 * HOLD_MS));
}

/* As after a boot that mounted it before it had its name: who uses the disk beside the name does
 * not wait with that. */
static void who_does_not_use_the_name_is_not_left_behind(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	const char *id;

	kernel_mount(&world->kernel, one->disk);
	refused(world, ask_detach_keeping(world, VOLUME(1)), ERR_CONFLICT, "mounted at /mnt/data");
	kernel_mount(&world->kernel, NULL);
	id = accepted(world, ask_detach_keeping(world, VOLUME(1)));
	kernel_mount(&world->kernel, one->disk);
	ended_with(world, id, OPERATION_FAILED, "mounted at /mnt/data");
	check_world(world, 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_cut_off),
		TEST(the_engine_is_no_stranger),
		TEST(not_from_the_next_vm),
		TEST(nobody_is_cut_off_among_several),
		TEST(what_is_refused_comes_back),
		TEST(an_engine_that_is_away_when_it_is_refused),
		TEST(what_was_let_go_does_not_come_back),
		TEST(a_disk_in_use_is_not_given_away),
		TEST(an_unused_disk_has_time_to_go),
		TEST(a_disk_in_use_here_is_not_destroyed_elsewhere),
		TEST(who_came_meanwhile_is_left_alone),
		TEST(who_came_during_the_flush_is_left_alone),
		TEST(a_look_for_users_longer_than_a_request_lives),
		TEST(a_look_for_users_does_not_last),
		TEST(who_came_before_the_request_is_left_alone),
		TEST(who_came_meanwhile_has_the_disk_to_himself),
		TEST(who_came_meanwhile_leaves_again),
		TEST(who_came_meanwhile_is_cut_off_by_force),
		TEST(who_came_after_the_request_comes_too_late),
		TEST(what_was_written_is_flushed),
		TEST(a_disk_that_does_not_answer),
		TEST(name_and_export_grow),
		TEST(a_client_keeps_the_size_it_knows),
		TEST(an_engine_that_is_away_when_it_grows),
		TEST(a_deleted_volume_gives_up_its_name),
		TEST(it_comes_back_in_time),
		TEST(it_does_not_come_back_at_once),
		TEST(it_comes_back_larger),
		TEST(it_does_not_come_back),
		TEST(a_restart_while_they_wait),
		TEST(they_wait_once_more),
		TEST(a_stop_while_they_wait),
		TEST(what_is_deleted_is_not_waited_for),
		TEST(a_refusal_while_they_wait),
		TEST(who_does_not_use_the_name_is_not_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
