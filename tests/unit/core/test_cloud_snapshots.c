/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Snapshots in CloudStack: what is refused, what a lost job leaves, and the list. */

#include "fixture.h"

#define SNAPSHOT_1 "00000001-5555-4666-8777-888888888888"
#define NOBODY "00000009-5555-4666-8777-888888888888"

static void used(struct world *world)
{
	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
}

static void with_snapshot(struct world *world)
{
	used(world);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	server_add_snapshot(&world->server, VOLUME(1), "before")->state = "BackedUp";
}

static struct reply *take(struct world *world, const char *name)
{
	struct snapshot_create_args args = { .volume_id = (char *)(intptr_t)VOLUME(1),
					     .name = (char *)(intptr_t)name };

	return ask(world, METHOD_VOLUME_SNAPSHOT, &args);
}

static struct reply *change(struct world *world, enum method_id method, const char *id)
{
	struct snapshot_args args = { .id = (char *)(intptr_t)id };

	return ask(world, method, &args);
}

static struct reply *list(struct world *world, const char *volume_id)
{
	struct volume_args args = { .volume_id = (char *)(intptr_t)volume_id };
	struct reply *reply = ask(world, METHOD_VOLUME_SNAPSHOTS, &args);

	answered(world, reply);
	return reply;
}

static void the_name_is_its_own(void **state)
{
	const struct volume_snapshot_record *shown;
	struct world *world = *state;
	struct reply *reply;
	const char *id;

	used(world);
	id = accepted(world, take(world, "before"));
	completed(world, id);
	reply = list(world, VOLUME(1));
	assert_int_equal(reply->count, 1);
	shown = item(reply, 0);
	assert_memory_equal(shown->name, "before-op-", 10);
	assert_non_null(strstr(shown->name, id));
	assert_string_equal(shown->state, "BackedUp");
	assert_true(shown->size == 5 * GIB);
	refused(world, take(world, "\xf0\x9f\x92\xbe"), ERR_INVALID, "cannot store");
	/* The same name again is another snapshot. */
	completed(world, accepted(world, take(world, "before")));
	assert_int_equal(list(world, VOLUME(1))->count, 2);
}

static void a_volume_without_data(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	ended_with(world, accepted(world, take(world, NULL)), OPERATION_FAILED, "never attached");
	assert_int_equal(world->server.calls[FAKE_SNAPSHOT], 0);
}

/* CloudStack keeps the row of a snapshot that failed. */
static void a_failed_one_is_deleted(void **state)
{
	struct world *world = *state;

	used(world);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_SNAPSHOT, 1, 1, FAULT_JOB_FAILED, 530, "No room" });
	ended_with(world, accepted(world, take(world, NULL)), OPERATION_FAILED, "No room");
	assert_int_equal(server_snapshots(&world->server), 0);
	assert_int_equal(server_jobs(&world->server, FAKE_DELETE_SNAPSHOT), 1);
}

static const char *snapshot_left_over(struct world *world)
{
	const char *id;

	server_fault(&world->server, (struct fake_fault){ FAKE_SNAPSHOT, 1, 1, FAULT_JOB_FAILED });
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DELETE_SNAPSHOT, 1, 1, FAULT_JOB_FAILED });
	id = accepted(world, take(world, NULL));
	ended_with(world, id, OPERATION_FAILED, "may be left in CloudStack");
	return id;
}

/* A snapshot that could not be deleted is not forgotten: nothing here shows whether it is gone. */
static void a_leftover_needs_attention(void **state)
{
	struct world *world = *state;
	struct operation_resolve_args undone = { .as = (char *)(intptr_t) "undone" };
	struct operation_resolve_args done = { .as = (char *)(intptr_t) "done" };
	char id[64];

	used(world);
	snprintf(id, sizeof(id), "%s", snapshot_left_over(world));
	world_pass(world, 3 * world->options.reconcile_ms);
	assert_true(core_operation(world->core, id)->needs_attention);
	undone.operation_id = done.operation_id = id;
	/* The row of a snapshot that failed is neither. */
	refused(world, ask(world, METHOD_OPERATION_RESOLVE, &done), ERR_CONFLICT,
		"is not done: CloudStack shows snapshot");
	refused(world, ask(world, METHOD_OPERATION_RESOLVE, &undone), ERR_CONFLICT,
		"is not undone: CloudStack shows snapshot");
	assert_true(core_operation(world->core, id)->needs_attention);
	TAILQ_FIRST(&world->server.snapshots)->gone = true;
	refused(world, ask(world, METHOD_OPERATION_RESOLVE, &done), ERR_CONFLICT,
		"is not done: CloudStack does not show its snapshot");
	answered(world, ask(world, METHOD_OPERATION_RESOLVE, &undone));
	assert_false(core_operation(world->core, id)->needs_attention);
}

/* The look for the snapshot's volume takes a while. */
static void a_pause_comes_before_the_operation(void **state)
{
	static const enum method_id asked[] = { METHOD_VOLUME_DELETE_SNAPSHOT,
						METHOD_VOLUME_REVERT };
	struct world *world = *state;
	struct pause_args pause = { .reason = (char *)(intptr_t) "the storage is moved" };

	with_snapshot(world);
	world->server.trip_ms = 5000;
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		struct reply *reply = change(world, asked[i], SNAPSHOT_1);

		world_pass(world, 1000);
		answered(world, ask(world, METHOD_CHANGES_PAUSE, &pause));
		assert_false(reply->done);
		refused(world, reply, ERR_UNAVAILABLE, "changes are paused: the storage is moved");
		answered(world, ask(world, METHOD_CHANGES_RESUME, &(struct pause_args){ 0 }));
	}
	world->server.trip_ms = 1;
	world_pass(world, 60000);
	assert_int_equal(world->server.calls[FAKE_DELETE_SNAPSHOT], 0);
	assert_int_equal(server_snapshots(&world->server), 1);
	completed(world, accepted(world, change(world, asked[0], SNAPSHOT_1)));
}

static void not_under_a_running_vm(void **state)
{
	struct world *world = *state;

	with_snapshot(world);
	attached(world, VOLUME(1));
	ended_with(world, accepted(world, change(world, METHOD_VOLUME_REVERT, SNAPSHOT_1)),
		   OPERATION_FAILED, "attached to this machine");
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	world->server.other_runs = true;
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	ended_with(world, accepted(world, change(world, METHOD_VOLUME_REVERT, SNAPSHOT_1)),
		   OPERATION_FAILED, "VM " OTHER_VM " is not stopped");
	world->server.other_runs = false;
	completed(world, accepted(world, change(world, METHOD_VOLUME_REVERT, SNAPSHOT_1)));
	assert_int_equal(world->server.reverts, 1);
}

/* Whether a lost job had its effect, nobody knows, and a second revert could destroy new data. No
 * comparison finds it out either. */
static void a_lost_revert_is_not_repeated(void **state)
{
	struct world *world = *state;
	const char *id;

	with_snapshot(world);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_REVERT, 1, 1, FAULT_JOB_LOST_AFTER });
	id = accepted(world, change(world, METHOD_VOLUME_REVERT, SNAPSHOT_1));
	ended_with(world, id, OPERATION_FAILED, "look at its data");
	assert_int_equal(world->server.calls[FAKE_REVERT], 1);
	world_pass(world, 3 * world->options.reconcile_ms);
	assert_true(core_operation(world->core, id)->needs_attention);
}

static void a_deletion_without_an_end(void **state)
{
	struct world *world = *state;
	const char *id;

	with_snapshot(world);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DELETE_SNAPSHOT, 1, 1, FAULT_JOB_STUCK });
	id = accepted(world, change(world, METHOD_VOLUME_DELETE_SNAPSHOT, SNAPSHOT_1));
	ended_with(world, id, OPERATION_FAILED, "may be there or not");
	server_release_stuck(&world->server);
	world_pass(world, 3 * world->options.reconcile_ms);
	assert_true(core_operation(world->core, id)->needs_attention);
}

/* What a comparison cannot judge hides nothing that it can. */
static void an_older_leftover_is_taken_back(void **state)
{
	struct pause_args pause = { .reason = (char *)(intptr_t) "a look at the storage" };
	struct world *world = *state;
	struct fake_volume *volume;
	unsigned detached;
	const char *id;

	used(world);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	volume = server_find(&world->server, VOLUME(1));
	volume->plug_ms = -1;
	detached = world->server.calls[FAKE_DETACH];
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DETACH, detached + 1, 1, FAULT_JOB_FAILED });
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	answered(world, ask(world, METHOD_CHANGES_PAUSE, &pause));
	ended_with(world, id, OPERATION_FAILED, "may still be attached");
	answered(world, ask(world, METHOD_CHANGES_RESUME, &(struct pause_args){ 0 }));
	snapshot_left_over(world);
	assert_string_equal(volume->vm_id, APPLIANCE);
	world_pass(world, 3 * world->options.reconcile_ms);
	assert_string_equal(volume->vm_id, "");
}

static void what_is_not_there(void **state)
{
	struct world *world = *state;
	const char *id;

	with_snapshot(world);
	refused(world, change(world, METHOD_VOLUME_REVERT, NOBODY), ERR_NOT_FOUND, NOBODY);
	refused(world, change(world, METHOD_VOLUME_DELETE_SNAPSHOT, NOBODY), ERR_NOT_FOUND, NOBODY);
	/* Somebody deletes it in the moment before the operation does. */
	id = accepted(world, change(world, METHOD_VOLUME_DELETE_SNAPSHOT, SNAPSHOT_1));
	server_find_snapshot(&world->server, SNAPSHOT_1)->gone = true;
	completed(world, id);
	assert_int_equal(list(world, VOLUME(1))->count, 0);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_name_is_its_own),
		TEST(a_volume_without_data),
		TEST(a_failed_one_is_deleted),
		TEST(a_leftover_needs_attention),
		TEST(a_pause_comes_before_the_operation),
		TEST(not_under_a_running_vm),
		TEST(a_lost_revert_is_not_repeated),
		TEST(a_deletion_without_an_end),
		TEST(an_older_leftover_is_taken_back),
		TEST(what_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
