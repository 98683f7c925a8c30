/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Is the store of this machine and of this time: the marks, the looks at CloudStack and their
 * deadline, calls that wait meanwhile, and old operations that ask for nothing. */

#include "fixture.h"
#include "store/store.h"

#define MARK "0123456789ab"
#define YOUNGER "op-7fffffff-0000-7000-8000-" MARK

static enum store_state state_of(struct world *world)
{
	return world->core->env.store_state;
}

static bool is_decided(struct world *world, const void *arg)
{
	return state_of(world) != STORE_CHECKING;
}

static void on_done(void *arg, const struct err *err)
{
	assert_int_equal(err->code, ERR_NONE);
	*(bool *)arg = true;
}

/* In the stopped daemon's store. */
static void put_mark(struct world *world, const char *id, const char *value)
{
	struct store_batch *batch = store_batch_new("test");
	bool done = false;

	store_batch_mark(batch, id, value);
	store_submit(world->store, batch, on_done, &done);
	while (!done)
		loop_turn(world->loop);
}

static void get_mark(struct world *world, const char *id, char out[64])
{
	struct store_loaded loaded;

	assert_int_equal(store_load(world->store, &loaded, NULL), 0);
	snprintf(out, 64, "%s", str_or(store_loaded_mark(&loaded, id), ""));
	store_loaded_clear(&loaded);
}

/* The stopped daemon starts on another machine. */
static void open_elsewhere(struct world *world)
{
	put_mark(world, STORE_MARK_MACHINE, "b");
	world->options.machine_id = "a";
	world_open(world);
}

/* It has made ids, carries MARK, and is stopped. */
static void live(struct world *world)
{
	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	world_kill(world);
	put_mark(world, STORE_MARK_ID, MARK);
}

static void a_new_store_is_marked_at_once(void **state)
{
	struct world *world = *state;
	char id[64], again[64];

	assert_int_equal(state_of(world), STORE_CURRENT);
	world_pass(world, 1000);
	world_kill(world);
	get_mark(world, STORE_MARK_ID, id);
	assert_int_equal(strlen(id), 12);
	get_mark(world, STORE_MARK_VM, again);
	assert_string_equal(again, APPLIANCE);
	world_open(world);
	/* No id was ever made, so no job can be unknown. */
	assert_int_equal(state_of(world), STORE_CURRENT);
	world_pass(world, 1000);
	snprintf(id, sizeof(id), "%s", accepted(world, ask_create(world, "one")));
	world_kill(world);
	get_mark(world, STORE_MARK_ID, again);
	assert_string_equal(id + strlen(id) - 12, again);
	world_open(world);
	completed(world, id);
}

static void calls_wait_for_the_look(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	live(world);
	world->server.trip_ms = 500;
	world_open(world);
	assert_int_equal(state_of(world), STORE_CHECKING);
	world_pass(world, 600); /* CloudStack has answered the first list */
	assert_int_equal(state_of(world), STORE_CHECKING);
	reply = ask_detach(world, VOLUME(1), false);
	world_pass(world, 100);
	assert_false(reply->done);
	completed(world, accepted(world, reply));
	assert_int_equal(state_of(world), STORE_CURRENT);
}

static void a_waiting_caller_leaves(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	live(world);
	world->server.trip_ms = 500;
	world_open(world);
	world_pass(world, 600);
	reply = ask_detach(world, VOLUME(1), false);
	world_pass(world, 100);
	call_cancel(reply->call);
	world_pass(world, 5000);
	assert_false(reply->done);
	assert_int_equal(operation_count(world->core->engine), 0);
}

static void without_cloudstack_changes_are_refused(void **state)
{
	struct world *world = *state;

	live(world);
	world->server.down = true;
	world_open(world);
	world_pass(world, 600000);
	assert_int_equal(state_of(world), STORE_CHECKING);
	refused(world, ask_detach(world, VOLUME(1), false), ERR_UNAVAILABLE,
		"CloudStack cannot be asked");
	world->server.down = false;
	assert_true(world_until(world, is_decided, NULL, 10000));
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
}

static void granted(struct world *world, struct reply *reply)
{
	answered(world, reply);
	item(reply, 0);
}

/* Exports need no CloudStack, and neither does a cancellation; it lets no other operation begin. */
static void without_cloudstack_exports_and_cancellations(void **state)
{
	struct world *world = *state;
	char volume_id[] = VOLUME(3), waiting[64], behind[64];
	struct export_create_args create = { .volume_id = volume_id };
	struct export_delete_args delete = { .volume_id = volume_id };

	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5);
	server_add(&world->server, "three", 5);
	attached(world, VOLUME(1));
	attached(world, VOLUME(3));
	server_fault(&world->server, (struct fake_fault){ FAKE_RESIZE, 1, 1, FAULT_JOB_STUCK });
	accepted(world, ask_resize(world, VOLUME(1), 8 * GIB, false));
	snprintf(waiting, sizeof(waiting), "%s",
		 accepted(world, ask_attach(world, VOLUME(2), APPLIANCE)));
	snprintf(behind, sizeof(behind), "%s", accepted(world, ask_delete(world, VOLUME(2))));
	world->server.down = true;
	world_restart(world);
	world_pass(world, 5000);
	assert_int_equal(state_of(world), STORE_CHECKING);
	granted(world, ask(world, METHOD_EXPORT_DELETE, &delete));
	granted(world, ask(world, METHOD_EXPORT_CREATE, &create));
	answered(world, ask_operation(world, METHOD_OPERATION_CANCEL, waiting));
	ended_with(world, waiting, OPERATION_CANCELLED, "cancelled by request");
	world_pass(world, 5000);
	assert_int_equal(core_operation(world->core, behind)->status, OPERATION_PENDING);
	assert_int_equal(state_of(world), STORE_CHECKING);
	world->server.down = false;
	server_release_stuck(&world->server);
	completed(world, behind);
}

static void refused_lists_are_no_sign(void **state)
{
	struct world *world = *state;

	live(world);
	server_add(&world->server, "data-" YOUNGER, 1);
	world->server.no_looks = 432;
	world_open(world);
	assert_true(world_until(world, is_decided, NULL, 2000));
	assert_int_equal(state_of(world), STORE_CURRENT);
}

/* CloudStack answers, and its lists fail for another reason each time. */
static void the_look_has_a_deadline(void **state)
{
	struct world *world = *state;

	live(world);
	world->server.no_looks = 530;
	world_open(world);
	world_pass(world, 50000);
	assert_int_equal(state_of(world), STORE_CHECKING);
	assert_true(world_until(world, is_decided, NULL, 20000));
	assert_int_equal(state_of(world), STORE_CURRENT);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
}

static void the_signs(void **state)
{
	static const struct {
		const char *name;
		enum store_state state;
	} rows[] = {
		{ "data-" YOUNGER, STORE_PAST },
		{ "data-op-00000000-0000-7000-8000-" MARK, STORE_CURRENT }, /* forgotten */
		{ "data-op-7fffffff-0000-4000-8000-" MARK, STORE_CURRENT }, /* no id of ours */
		{ "data-op-7fffffff-0000-7000-8000-ba9876543210", STORE_CURRENT },
		{ "data " MARK, STORE_CURRENT },
	};
	struct world *world = *state;
	struct fake_volume *volume;

	live(world);
	volume = server_add(&world->server, "two", 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(volume->name, sizeof(volume->name), "%s", rows[i].name);
		world_open(world);
		assert_true(world_until(world, is_decided, NULL, 2000));
		if (state_of(world) != rows[i].state)
			fail_msg("%s: %s", rows[i].name, store_state_names[state_of(world)]);
		world_kill(world);
	}
	world_open(world);
}

static void another_machine(void **state)
{
	struct world *world = *state;
	char machine[64];

	live(world);
	world->options.machine_id = "a";
	world_open(world);
	assert_true(world_until(world, is_decided, NULL, 2000));
	assert_int_equal(state_of(world), STORE_CURRENT);
	world_pass(world, 1000);
	world_kill(world);
	/* Not known is not another. */
	world->options.machine_id = NULL;
	world->options.appliance_id = NULL;
	world_open(world);
	assert_int_equal(state_of(world), STORE_CHECKING);
	world_kill(world);
	world->options.appliance_id = APPLIANCE;
	world->options.machine_id = "b";
	world_open(world);
	assert_int_equal(state_of(world), STORE_PAST);
	refused(world, ask_detach(world, VOLUME(1), false), ERR_UNAVAILABLE, "another machine");
	world_accept(world);
	world_pass(world, 1000);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	world_kill(world);
	get_mark(world, STORE_MARK_MACHINE, machine);
	assert_string_equal(machine, "b");
	world_open(world);
}

/* The id of the appliance was wrong and is corrected: that is no other machine. */
static void a_corrected_appliance(void **state)
{
	static const char swapped[] = "aaaaaaaa-0000-0040-8000-00000000000a";
	struct world *world = *state;

	live(world);
	put_mark(world, STORE_MARK_VM, swapped);
	world_open(world);
	assert_true(world_until(world, is_decided, NULL, 2000));
	assert_int_equal(state_of(world), STORE_CURRENT);
}

static const char *vm_mark(struct world *world)
{
	static char vm[64];

	get_mark(world, STORE_MARK_VM, vm);
	return vm;
}

static void starts_as(struct world *world, const char *vm_id, enum store_state state)
{
	world_kill(world);
	world->options.appliance_id = vm_id;
	world_open(world);
	assert_true(world_until(world, is_decided, NULL, 2000));
	assert_int_equal(state_of(world), state);
	world_pass(world, 1000);
}

/* A disk here proves that the configured id is wrong. It is configured for some time still, and
 * then corrected: that is no other machine, and the store is never marked with the wrong id. */
static void a_wrong_appliance_leaves_no_mark(void **state)
{
	struct world *world = *state;

	world_pass(world, 1000);
	put_mark(world, STORE_MARK_VM, NULL);
	starts_as(world, OTHER_VM, STORE_CURRENT);
	assert_string_equal(vm_mark(world), OTHER_VM);
	server_add(&world->server, "one", 5);
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED, "this machine is VM " APPLIANCE);
	world_pass(world, 1000);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(vm_mark(world), "");
		starts_as(world, OTHER_VM, STORE_CURRENT);
	}
	starts_as(world, APPLIANCE, STORE_CURRENT);
	assert_string_equal(vm_mark(world), APPLIANCE);
	attached(world, VOLUME(1));
	starts_as(world, OTHER_VM, STORE_PAST);
	assert_string_equal(vm_mark(world), APPLIANCE);
	/* An administrator knows better, and is believed from then on. */
	world_accept(world);
	starts_as(world, OTHER_VM, STORE_CURRENT);
	assert_string_equal(vm_mark(world), OTHER_VM);
}

/* While nothing may be changed, neither a commit nor a request for a change is made. */
static void it_only_reads(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume;
	struct store_health before, after;
	char id[64];

	live(world);
	volume = server_find(&world->server, VOLUME(1));
	world->options.machine_id = "a";
	put_mark(world, STORE_MARK_MACHINE, "b");
	server_detach(&world->server, volume); /* a difference that would be repaired */
	world_open(world);
	store_health(world->store, &before);
	world_pass(world, DAY_MS);
	store_health(world->store, &after);
	assert_int_equal(after.transactions, before.transactions);
	snprintf(id, sizeof(id), "%s", VOLUME(1));
	assert_non_null(mapping_find(world->core->model, id));
	world_accept(world);
	world_pass(world, 400000);
	check_unmapped(world, VOLUME(1));
}

/* A volume that a lost commit has made, of this very moment. */
static void server_made(struct world *world, const char *store_id)
{
	char id[UUID_TEXT_SIZE], name[96];

	uuid_make_v7(id);
	snprintf(name, sizeof(name), "data-op-%.24s%s", id, store_id);
	server_add(&world->server, name, 1);
}

static size_t operations_of(struct world *world)
{
	struct operation_list_args args = { .limit = 100 };
	struct reply *reply = ask(world, METHOD_OPERATION_LIST, &args);

	answered(world, reply);
	return reply->count;
}

/* Until CloudStack answers, the store may be one from the past. */
static void nothing_old_leaves_before_the_look(void **state)
{
	struct world *world = *state;

	live(world);
	world->options.retention_ms = DAY_MS;
	world->server.down = true;
	world_open(world);
	world_pass(world, 2 * DAY_MS);
	assert_int_equal(state_of(world), STORE_CHECKING);
	assert_int_equal(operations_of(world), 1);
	world->server.down = false;
	assert_true(world_until(world, is_decided, NULL, 10000));
	world_pass(world, 2 * 3600 * 1000);
	assert_int_equal(operations_of(world), 0);
}

/* The sign of the lost commit is older than the removal of old operations. */
static void a_removal_hides_no_sign(void **state)
{
	struct world *world = *state;

	live(world);
	world->options.retention_ms = DAY_MS;
	world_open(world);
	assert_true(world_until(world, is_decided, NULL, 2000));
	world_pass(world, 1000);
	server_made(world, MARK);
	world_pass(world, DAY_MS + 2 * 3600 * 1000);
	assert_int_equal(operations_of(world), 0);
	world_restart(world);
	assert_true(world_until(world, is_decided, NULL, 2000));
	assert_int_equal(state_of(world), STORE_PAST);
}

/* The report of the differences helps an administrator to decide. */
static void a_comparison_only_reports(void **state)
{
	struct world *world = *state;
	struct volume_list_args refresh = { .refresh = true };
	struct sync_args args = { .dry_run = true };
	const struct sync_record *record;
	struct reply *reply;

	live(world);
	world->options.machine_id = "a";
	put_mark(world, STORE_MARK_MACHINE, "b");
	server_detach(&world->server, server_find(&world->server, VOLUME(1)));
	world_open(world);
	world_pass(world, 5000);
	reply = ask_as(world, METHOD_FORCE_SYNC, &args, ACCESS_ADMIN);
	answered(world, reply);
	record = item(reply, 0);
	assert_non_null(strstr(record->report, "\"drift\":[{"));
	assert_non_null(strstr(record->report, "\"repaired\":[]"));
	/* A fresh list is no change, so it is answered, and so is its failure. */
	answered(world, ask(world, METHOD_VOLUME_LIST, &refresh));
	world->server.down = true;
	refused(world, ask(world, METHOD_VOLUME_LIST, &refresh), ERR_UNAVAILABLE, "CloudStack");
	world->server.down = false;
	args.dry_run = false;
	refused(world, ask_as(world, METHOD_FORCE_SYNC, &args, ACCESS_ADMIN), ERR_UNAVAILABLE,
		"another machine");
	world_accept(world);
}

/* ---- names and exports ---- */

static void serve(struct world *world, const char *volume_id)
{
	struct fake_export *export = &world->serving.exports[world->serving.export_count++];

	*export = (struct fake_export){ .path = "/dev/mapper/somewhere" };
	snprintf(export->name, sizeof(export->name), "migration-vol-%s", volume_id);
}

/* As after the machine was switched off. */
static void drop_names_and_exports(struct world *world)
{
	world->serving.map_count = world->serving.export_count = 0;
}

/* CloudStack answers all but the look, so the check lasts until its deadline. */
static void check_lasts(struct world *world)
{
	world->server.no_looks = 530;
	world_open(world);
	world_pass(world, 1000);
	assert_int_equal(state_of(world), STORE_CHECKING);
}

static struct reply *ask_cleanup(struct world *world, bool dry_run)
{
	struct export_cleanup_args args = { .dry_run = dry_run };

	return ask(world, METHOD_EXPORT_CLEANUP, &args);
}

static const char *report_of(struct world *world, struct reply *reply)
{
	const struct export_report_record *record;

	answered(world, reply);
	record = item(reply, 0);
	return record->report;
}

/* The volumes that are here are known by then, so the exports would be closed. */
static void compare(struct world *world)
{
	struct sync_args args = { .dry_run = true };

	answered(world, ask_as(world, METHOD_FORCE_SYNC, &args, ACCESS_ADMIN));
	world_pass(world, 5000);
}

/* Perhaps the store does not know why a name or an export stands as it does. */
static void during_the_look_all_that_stands_stays(void **state)
{
	struct world *world = *state;
	struct export_delete_args delete = { .volume_id = (char[]){ VOLUME(2) } };
	struct reply *cleanup;

	served_one(world);
	server_add(&world->server, "two", 5);
	server_add(&world->server, "three", 5);
	attached(world, VOLUME(2));
	granted(world, ask(world, METHOD_EXPORT_DELETE, &delete));
	world_kill(world);
	fake_map_of(&world->serving, VOLUME(1))->map.suspended = true;
	serve(world, VOLUME(2)); /* of no request, and its volume is attached */
	serve(world, VOLUME(3)); /* its volume is not attached */
	check_lasts(world);
	compare(world);
	assert_int_equal(state_of(world), STORE_CHECKING);
	assert_true(fake_map_of(&world->serving, VOLUME(1))->map.suspended);
	assert_non_null(fake_export_of(&world->serving, VOLUME(2)));
	assert_non_null(fake_export_of(&world->serving, VOLUME(3)));
	assert_non_null(strstr(report_of(world, ask_cleanup(world, true)),
			       "\"orphaned\":[{\"export_name\":\"migration-vol-" VOLUME(3)));
	cleanup = ask_cleanup(world, false);
	world_pass(world, 5000);
	assert_false(cleanup->done);
	assert_non_null(fake_export_of(&world->serving, VOLUME(3)));
	assert_true(world_until(world, is_decided, NULL, 60000));
	answered(world, cleanup);
	world_pass(world, 5000);
	assert_null(fake_export_of(&world->serving, VOLUME(2)));
	assert_null(fake_export_of(&world->serving, VOLUME(3)));
	check_served(world, VOLUME(1));
}

static void check_served_from(struct world *world, const char *volume_id, const char *disk)
{
	const struct fake_export *export = fake_export_of(&world->serving, volume_id);

	assert_non_null(export);
	assert_non_null(strstr(export->path, disk));
}

/* As on a machine without device mapper: the export leads to the kernel's name of the disk. */
static struct fake_volume *served_without_names(struct world *world)
{
	struct fake_volume *volume;

	world->options.devmap = NULL;
	world_restart(world);
	world_pass(world, 1000);
	volume = served_one(world);
	check_served_from(world, VOLUME(1), volume->disk);
	world_kill(world);
	return volume;
}

/* The kernel's name of the disk goes to the disk of another volume. */
static void name_goes_to_another(struct world *world, const struct fake_volume *volume)
{
	kernel_unplug(&world->kernel, volume->disk);
	kernel_plug(&world->kernel, volume->disk, "99999999111142228333", 5 * GIB);
}

/* This needs no store: the kernel itself says that the export leads to another disk. */
static void during_the_look_no_wrong_disk_is_served(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = served_without_names(world);

	check_lasts(world);
	world_pass(world, 5000);
	check_served_from(world, VOLUME(1), volume->disk);
	name_goes_to_another(world, volume);
	world_pass(world, 5000);
	assert_int_equal(state_of(world), STORE_CHECKING);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	/* The volume's own disk is here, under another name. */
	kernel_plug(&world->kernel, "vdk", "00000001111142228333", 5 * GIB);
	world_pass(world, 5000);
	assert_int_equal(state_of(world), STORE_CHECKING);
	check_served_from(world, VOLUME(1), "vdk");
}

static void in_the_past_no_wrong_disk_is_served(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = served_without_names(world);
	struct store_health before, after;

	open_elsewhere(world);
	store_health(world->store, &before);
	world_pass(world, 5000);
	assert_int_equal(state_of(world), STORE_PAST);
	check_served_from(world, VOLUME(1), volume->disk);
	name_goes_to_another(world, volume);
	world_pass(world, 5000);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	store_health(world->store, &after);
	assert_int_equal(after.transactions, before.transactions);
	world_accept(world);
	world_pass(world, 5000);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.status, EXPORT_PENDING);
}

/* The name was given away while no daemon ran. */
static void in_the_past_a_wrong_disk_is_found(void **state)
{
	struct world *world = *state;

	name_goes_to_another(world, served_without_names(world));
	open_elsewhere(world);
	world_pass(world, 5000);
	assert_int_equal(state_of(world), STORE_PAST);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
}

/* A name or an export that is missing is made, since the disk itself proves its volume. */
static void during_the_look_what_is_missing_is_made(void **state)
{
	struct world *world = *state;

	served_one(world);
	world_kill(world);
	drop_names_and_exports(world);
	world->server.down = true;
	world_open(world);
	world_pass(world, 5000);
	assert_int_equal(state_of(world), STORE_CHECKING);
	check_served(world, VOLUME(1));
}

static void during_the_look_names_stay_that_are_turned_off(void **state)
{
	struct world *world = *state;

	served_one(world);
	world_kill(world);
	world->options.old_names = world->options.devmap;
	world->options.devmap = NULL;
	world->server.down = true;
	world_open(world);
	world_pass(world, 5000);
	assert_int_equal(state_of(world), STORE_CHECKING);
	assert_non_null(fake_map_of(&world->serving, VOLUME(1)));
	world->server.down = false;
	assert_true(world_until(world, is_decided, NULL, 10000));
	world_pass(world, 5000);
	assert_null(fake_map_of(&world->serving, VOLUME(1)));
}

/* The sign shows while a comparison of names and exports is under way, at each of its turns. */
static void a_sign_ends_a_comparison(void **state)
{
	static const enum fake_verb slow[] = { VERB_LIST_MAPS, VERB_LIST_EXPORTS, VERB_ACTIVATE };
	struct world *world = *state;

	live(world);
	server_add(&world->server, "data-" YOUNGER, 1);
	world->server.trip_ms = 500;
	for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
		drop_names_and_exports(world);
		fake_fault(&world->serving, slow[i], 1, ERR_NONE, true);
		world->serving.fault[slow[i]].after_ms = 3000;
		memset(world->serving.asked, 0, sizeof(world->serving.asked));
		world_open(world);
		assert_true(world_until(world, is_decided, NULL, 2500));
		assert_int_equal(state_of(world), STORE_PAST);
		assert_int_equal(world->serving.asked[slow[i]], 1);
		world_pass(world, DAY_MS);
		assert_int_equal(world->serving.asked[VERB_ACTIVATE], slow[i] == VERB_ACTIVATE);
		assert_int_equal(world->serving.asked[VERB_ADD], 0);
		world_kill(world);
		fake_fault(&world->serving, slow[i], 0, ERR_NONE, false);
	}
	world_open(world);
	assert_true(world_until(world, is_decided, NULL, 2500));
	world_accept(world);
	world_pass(world, 5000);
	check_served(world, VOLUME(1));
}

static bool is_listing(struct world *world, const void *arg)
{
	return world->serving.asked[VERB_LIST_EXPORTS] > 0;
}

/* A daemon that stops begins nothing in the middle of a comparison either. */
static void a_stop_during_a_comparison(void **state)
{
	struct world *world = *state;

	served_one(world);
	world_kill(world);
	drop_names_and_exports(world);
	fake_fault(&world->serving, VERB_LIST_EXPORTS, 1, ERR_NONE, true);
	world->serving.fault[VERB_LIST_EXPORTS].after_ms = 3000;
	memset(world->serving.asked, 0, sizeof(world->serving.asked));
	world_open(world);
	assert_true(world_until(world, is_listing, NULL, 2000));
	core_drain(world->core);
	world_pass(world, 10000);
	assert_int_equal(world->serving.asked[VERB_ACTIVATE], 0);
}

static bool is_suspended(struct world *world)
{
	const struct fake_map *map = fake_map_of(&world->serving, VOLUME(1));

	return map && map->map.suspended;
}

static void waiting_for_its_volume(struct world *world)
{
	live(world);
	world_open(world);
	assert_true(world_until(world, is_decided, NULL, 2000));
	completed(world, accepted(world, ask_detach_keeping(world, VOLUME(1))));
	assert_true(is_suspended(world));
	world_kill(world);
}

/* The users of a name go on waiting, also while the daemon stops. */
static void during_the_look_no_wait_ends(void **state)
{
	struct world *world = *state;

	waiting_for_its_volume(world);
	world->server.down = true;
	world_open(world);
	world_pass(world, 3 * HOLD_MS);
	assert_true(is_suspended(world));
	world_stop(world);
	assert_true(is_suspended(world));
	world_open(world);
	world_pass(world, 3 * HOLD_MS);
	assert_true(is_suspended(world));
	world->server.down = false;
	assert_true(world_until(world, is_decided, NULL, 10000));
	world_pass(world, 5000);
	assert_true(is_served_nowhere(world, VOLUME(1)));
}

static void in_the_past_no_wait_ends(void **state)
{
	struct world *world = *state;

	waiting_for_its_volume(world);
	server_add(&world->server, "data-" YOUNGER, 1);
	world->server.trip_ms = 500;
	world_open(world);
	assert_true(world_until(world, is_decided, NULL, 2500));
	assert_int_equal(state_of(world), STORE_PAST);
	world_pass(world, 3 * HOLD_MS);
	assert_true(is_suspended(world));
	world_stop(world);
	assert_true(is_suspended(world));
	world_open(world);
	assert_true(world_until(world, is_decided, NULL, 2500));
	world_accept(world);
	world_pass(world, 5000);
	assert_true(is_served_nowhere(world, VOLUME(1)));
}

/* Each operation of an old store, at each of its steps, asks for nothing any more. */
static unsigned changes_asked(const struct world *world)
{
	unsigned count = 0;

	for (int command = FAKE_CREATE; command <= FAKE_DELETE; command++)
		count += world->server.calls[command];
	return count;
}

static bool none_left(struct world *world, const void *arg)
{
	return operation_count(world->core->engine) == 0;
}

static const char *begin(struct world *world, int kind)
{
	switch (kind) {
	case 0:
		return accepted(world, ask_create(world, "new"));
	case 1:
		return accepted(world, ask_attach(world, VOLUME(2), APPLIANCE));
	case 2:
		return accepted(world, ask_detach(world, VOLUME(1), false));
	case 3:
		return accepted(world, ask_resize(world, VOLUME(1), 8 * GIB, false));
	default:
		return accepted(world, ask_delete(world, VOLUME(1)));
	}
}

static void old_operations_ask_for_nothing(void **state)
{
	for (int kind = 0; kind < 5; kind++) {
		bool ended = false;

		for (int turns = 0; !ended; turns++) {
			void *each = NULL;
			struct world *world;
			unsigned asked;

			world_setup(&each);
			world = each;
			server_add(&world->server, "one", 5);
			server_add(&world->server, "two", 5);
			attached(world, VOLUME(1));
			begin(world, kind);
			for (int i = 0; i < turns; i++) {
				if (!world_turn(world))
					clock_test_advance(20);
			}
			ended = operation_count(world->core->engine) == 0;
			world_kill(world);
			put_mark(world, STORE_MARK_MACHINE, "b");
			world->options.machine_id = "a";
			world_open(world);
			asked = changes_asked(world);
			world_accept(world);
			/* Also after a crash. */
			if (turns % 2)
				world_restart(world);
			assert_true(world_until(world, none_left, NULL, DAY_MS));
			if (changes_asked(world) != asked)
				fail_msg("operation %d, after %d turns, asked for a change", kind,
					 turns);
			world_teardown(&each);
		}
	}
}

/* The store is from another machine, and an administrator accepts it. */
static void accept_elsewhere(struct world *world)
{
	open_elsewhere(world);
	world_accept(world);
}

static uint64_t commits(struct world *world)
{
	struct store_health health = { 0 };

	store_health(world->store, &health);
	return health.transactions;
}

static bool has_crashed(struct world *world, const void *arg)
{
	return store_memory_has_crashed(world->store);
}

static bool is_settled(struct world *world, const void *arg)
{
	return has_crashed(world, NULL) || none_left(world, NULL);
}

static struct world *with_volumes(void)
{
	struct world *world;
	void *each = NULL;

	world_setup(&each);
	world = each;
	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(1));
	world_pass(world, 1000);
	return world;
}

/* A world in which the store has kept the nth commit of the operation, and the daemon died before
 * it heard of that. NULL: there is no such commit. */
static struct world *dies_at(int kind, uint64_t nth)
{
	struct world *world = with_volumes();
	void *each = world;

	store_memory_crash_at(world->store, commits(world) + nth, false);
	begin(world, kind);
	assert_true(world_until(world, is_settled, NULL, DAY_MS));
	if (has_crashed(world, NULL)) {
		world_kill(world);
		return world;
	}
	world_teardown(&each);
	return NULL;
}

/* It died between the commit of a step and the first deed of the step, which may be the request. */
static void old_steps_ask_for_nothing(void **state)
{
	for (int kind = 0; kind < 5; kind++) {
		struct world *world;
		uint64_t nth = 2; /* the first one accepts the operation */

		for (; (world = dies_at(kind, nth)); nth++) {
			unsigned asked = changes_asked(world);
			void *each = world;

			accept_elsewhere(world);
			assert_true(world_until(world, none_left, NULL, DAY_MS));
			if (changes_asked(world) != asked)
				fail_msg("operation %d, after commit %d, asked for a change", kind,
					 (int)nth);
			world_teardown(&each);
		}
		assert_true(nth > 3);
	}
}

static unsigned verbs_asked(const struct world *world)
{
	return world->serving.asked[VERB_REMOVE] + world->serving.asked[VERB_SUSPEND] +
	       world->serving.asked[VERB_WIPE] + world->serving.asked[VERB_UNMAP];
}

/* It does nothing on this machine either: the clients of the export notice nothing. */
static void what_had_not_begun_ends_at_once(void **state)
{
	struct world *world = with_volumes();
	unsigned looks, verbs;
	void *each = world;
	char id[64];

	store_memory_crash_at(world->store, commits(world) + 1, false);
	ask_detach(world, VOLUME(1), false);
	assert_true(world_until(world, has_crashed, NULL, 5000));
	world_kill(world);
	looks = world->server.calls[FAKE_DETACH];
	verbs = verbs_asked(world);
	open_elsewhere(world);
	snprintf(id, sizeof(id), "%s", operation_first(world->core->engine)->record.id);
	world_accept(world);
	ended_with(world, id, OPERATION_FAILED,
		   "accepted as one from the past before CloudStack was asked for this change");
	world_pass(world, 5000);
	assert_int_equal(world->server.calls[FAKE_DETACH], looks);
	assert_int_equal(verbs_asked(world), verbs);
	check_served(world, VOLUME(1));
	world_teardown(&each);
}

/* Its job has ended meanwhile, so there is nothing to ask for. */
static void what_was_asked_for_goes_on(void **state)
{
	struct world *world = *state;
	char id[64];

	server_add(&world->server, "one", 5);
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	at_step(world, id, "await-job", PHASE_WAITING);
	world_kill(world);
	accept_elsewhere(world);
	completed(world, id);
	check_served(world, VOLUME(1));
	assert_int_equal(world->server.calls[FAKE_ATTACH], 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_store_is_marked_at_once),
		TEST(calls_wait_for_the_look),
		TEST(a_waiting_caller_leaves),
		TEST(without_cloudstack_changes_are_refused),
		TEST(without_cloudstack_exports_and_cancellations),
		TEST(refused_lists_are_no_sign),
		TEST(the_look_has_a_deadline),
		TEST(the_signs),
		TEST(another_machine),
		TEST(a_corrected_appliance),
		TEST(a_wrong_appliance_leaves_no_mark),
		TEST(it_only_reads),
		TEST(nothing_old_leaves_before_the_look),
		TEST(a_removal_hides_no_sign),
		TEST(a_comparison_only_reports),
		TEST(during_the_look_all_that_stands_stays),
		TEST(during_the_look_no_wrong_disk_is_served),
		TEST(in_the_past_no_wrong_disk_is_served),
		TEST(in_the_past_a_wrong_disk_is_found),
		TEST(during_the_look_what_is_missing_is_made),
		TEST(during_the_look_names_stay_that_are_turned_off),
		TEST(a_sign_ends_a_comparison),
		TEST(a_stop_during_a_comparison),
		TEST(during_the_look_no_wait_ends),
		TEST(in_the_past_no_wait_ends),
		cmocka_unit_test(old_operations_ask_for_nothing),
		cmocka_unit_test(old_steps_ask_for_nothing),
		cmocka_unit_test(what_had_not_begun_ends_at_once),
		TEST(what_was_asked_for_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
