/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an administrator says: a pause of changes, and the end of what needs attention. */

#include "fixture.h"

#define WHY "the storage is moved"

static struct reply *ask_pause(struct world *world, const char *reason)
{
	struct pause_args args = { .reason = (char *)(intptr_t)reason };

	return ask(world, reason ? METHOD_CHANGES_PAUSE : METHOD_CHANGES_RESUME, &args);
}

static struct reply *ask_resolve(struct world *world, const char *id, const char *as)
{
	struct operation_resolve_args args = { .operation_id = (char *)(intptr_t)id,
					       .as = (char *)(intptr_t)as };

	return ask(world, METHOD_OPERATION_RESOLVE, &args);
}

static struct reply *ask_forget(struct world *world, const char *volume_id)
{
	struct volume_forget_args args = { .volume_id = (char *)(intptr_t)volume_id };

	return ask(world, METHOD_VOLUME_FORGET, &args);
}

static const struct health_record *health(struct world *world)
{
	struct reply *reply = ask(world, METHOD_HEALTH_GET, &(struct no_args){ 0 });

	answered(world, reply);
	return item(reply, 0);
}

/* ---- a pause ---- */

static void a_pause_lets_no_change_begin(void **state)
{
	struct world *world = *state;
	struct sync_args look = { .dry_run = true }, repair = { 0 };
	const char *running;

	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5);
	world_pass(world, 1000);
	running = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	answered(world, ask_pause(world, WHY));
	refused(world, ask_attach(world, VOLUME(2), APPLIANCE), ERR_UNAVAILABLE, WHY);
	refused(world, ask_create(world, "new"), ERR_UNAVAILABLE, WHY);
	refused(world, ask(world, METHOD_FORCE_SYNC, &repair), ERR_UNAVAILABLE, WHY);
	answered(world, ask(world, METHOD_FORCE_SYNC, &look));
	completed(world, running);
	assert_string_equal(health(world)->status, "degraded");
	assert_non_null(strstr(health(world)->details, "\"paused\":\"" WHY "\""));
	assert_non_null(strstr(health(world)->details, "\"accepting_changes\":false"));

	answered(world, ask_pause(world, NULL));
	assert_string_equal(health(world)->status, "healthy");
	completed(world, accepted(world, ask_attach(world, VOLUME(2), APPLIANCE)));
	check_world(world, 2);
}

static void a_pause_survives_a_crash(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	answered(world, ask_pause(world, "another reason"));
	answered(world, ask_pause(world, WHY));
	world_restart(world);
	world_pass(world, 5000);
	refused(world, ask_attach(world, VOLUME(1), APPLIANCE), ERR_UNAVAILABLE, WHY);
	answered(world, ask_pause(world, NULL));
	world_restart(world);
	world_pass(world, 5000);
	attached(world, VOLUME(1));
}

static void a_cancellation_is_no_new_change(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = -1;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	answered(world, ask_pause(world, WHY));
	answered(world, ask_operation(world, METHOD_OPERATION_CANCEL, id));
	assert_int_equal(ended(world, id)->status, OPERATION_CANCELLED);
}

/* The daemon begins no repair of its own. */
static void nothing_is_repaired_in_a_pause(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	answered(world, ask_pause(world, WHY));
	server_detach(&world->server, server_find(&world->server, VOLUME(1)));
	world_pass(world, 2 * world->options.reconcile_ms);
	assert_non_null(mapping_find(world->core->model, VOLUME(1)));
	answered(world, ask_pause(world, NULL));
	world_pass(world, 2 * world->options.reconcile_ms);
	check_unmapped(world, VOLUME(1));
}

static void a_pause_ends_the_repairs_of_a_comparison(void **state)
{
	struct world *world = *state;
	struct reply *sync;
	unsigned lists;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	server_detach(&world->server, server_find(&world->server, VOLUME(1)));
	lists = world->server.whole_lists;
	world->server.list_ms = 5000;
	sync = ask_sync(world, false);
	world_pass(world, 1000);
	assert_int_equal(world->server.whole_lists, lists + 1);
	answered(world, ask_pause(world, WHY));
	assert_false(sync->done);
	answered(world, sync);
	assert_non_null(mapping_find(world->core->model, VOLUME(1)));
	answered(world, ask_pause(world, NULL));
	answered(world, ask_sync(world, false));
	check_unmapped(world, VOLUME(1));
}

/* It waits for the end of a comparison that repairs nothing. */
static void a_late_pause_is_told_to_who_waits_for_repairs(void **state)
{
	struct world *world = *state;
	struct reply *look, *repair;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	server_detach(&world->server, server_find(&world->server, VOLUME(1)));
	world->server.list_ms = 5000;
	look = ask_sync(world, true);
	world_pass(world, 1000);
	repair = ask_sync(world, false);
	world_pass(world, 1000);
	answered(world, ask_pause(world, WHY));
	answered(world, look);
	refused(world, repair, ERR_UNAVAILABLE, WHY);
	assert_non_null(mapping_find(world->core->model, VOLUME(1)));
}

/* ---- an operation ---- */

/* An attachment that failed and could not be undone, while changes are paused, so that the daemon
 * repairs nothing. */
static void left_attached(struct world *world, char id[64])
{
	server_add(&world->server, "one", 5)->plug_ms = -1;
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_JOB_FAILED });
	snprintf(id, 64, "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	answered(world, ask_pause(world, WHY));
	ended_with(world, id, OPERATION_FAILED, "may still be attached to VM " APPLIANCE);
	assert_true(core_operation(world->core, id)->needs_attention);
}

static void the_volume_is_looked_at_first(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;
	struct reply *reply;
	char id[64];

	left_attached(world, id);
	refused(world, ask_resolve(world, id, "undone"), ERR_CONFLICT, "attached to VM " APPLIANCE);
	refused(world, ask_resolve(world, id, "so"), ERR_INVALID, "done or undone");
	server_detach(&world->server, server_find(&world->server, VOLUME(1)));
	refused(world, ask_resolve(world, id, "done"), ERR_CONFLICT, "attached to no VM");
	world->server.down = true;
	refused(world, ask_resolve(world, id, "undone"), ERR_UNAVAILABLE, "did not answer");
	world->server.down = false;
	assert_true(core_operation(world->core, id)->needs_attention);

	reply = ask_resolve(world, id, "undone");
	answered(world, reply);
	record = item(reply, 0);
	assert_int_equal(record->status, OPERATION_FAILED);
	assert_false(record->needs_attention);
	assert_non_null(strstr(record->error, "settled it over test"));
	refused(world, ask_resolve(world, id, "undone"), ERR_CONFLICT, "needs no attention");
	/* It is so in the store, too. */
	world_restart(world);
	reply = ask_operation(world, METHOD_OPERATION_GET, id);
	answered(world, reply);
	record = item(reply, 0);
	assert_false(record->needs_attention);
}

static void an_attachment_that_was_made(void **state)
{
	struct world *world = *state;
	struct reply *reply;
	char id[64];

	left_attached(world, id);
	reply = ask_resolve(world, id, "done");
	answered(world, reply);
	assert_false(core_operation(world->core, id)->needs_attention);
	refused(world, ask_resolve(world, "op-of-nobody", "done"), ERR_NOT_FOUND, "op-of-nobody");
}

/* Both look at CloudStack at the same time, and one settles it. */
static void one_of_two_words_counts(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;
	struct reply *first, *second;
	char id[64];

	left_attached(world, id);
	server_detach(&world->server, server_find(&world->server, VOLUME(1)));
	first = ask_resolve(world, id, "undone");
	second = ask_resolve(world, id, "undone");
	answered(world, first);
	refused(world, second, ERR_CONFLICT, "operation");
	record = core_operation(world->core, id);
	assert_false(record->needs_attention);
	assert_null(strstr(strstr(record->error, "settled it") + 1, "settled it"));
}

static void only_what_has_ended(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = -1;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	refused(world, ask_resolve(world, id, "done"), ERR_CONFLICT, "has not ended");
}

/* ---- a mapping ---- */

static void only_a_mapping_without_a_disk_is_forgotten(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	refused(world, ask_forget(world, VOLUME(1)), ERR_NOT_FOUND, VOLUME(1));
	attached(world, VOLUME(1));
	refused(world, ask_forget(world, VOLUME(1)), ERR_CONFLICT, "is here");
	assert_non_null(mapping_find(world->core->model, VOLUME(1)));
	kernel_unplug(&world->kernel, "vdb");
	world_pass(world, 5000);
	answered(world, ask_forget(world, VOLUME(1)));
	assert_null(mapping_find(world->core->model, VOLUME(1)));
	world_restart(world);
	world_pass(world, 2 * world->options.reconcile_ms);
	assert_null(mapping_find(world->core->model, VOLUME(1)));
}

static void a_true_mapping_to_another_vm_is_kept(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	refused(world, ask_forget(world, VOLUME(1)), ERR_CONFLICT, "attached to VM " OTHER_VM);
	server_detach(&world->server, server_find(&world->server, VOLUME(1)));
	answered(world, ask_forget(world, VOLUME(1)));
	assert_null(mapping_find(world->core->model, VOLUME(1)));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pause_lets_no_change_begin),
		TEST(a_pause_survives_a_crash),
		TEST(a_cancellation_is_no_new_change),
		TEST(nothing_is_repaired_in_a_pause),
		TEST(a_pause_ends_the_repairs_of_a_comparison),
		TEST(a_late_pause_is_told_to_who_waits_for_repairs),
		TEST(the_volume_is_looked_at_first),
		TEST(an_attachment_that_was_made),
		TEST(one_of_two_words_counts),
		TEST(only_what_has_ended),
		TEST(only_a_mapping_without_a_disk_is_forgotten),
		TEST(a_true_mapping_to_another_vm_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
