/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Exports by request: made, shown, removed, compared and cleaned up. */

#include "fixture.h"

static struct reply *ask_export(struct world *world, enum method_id method, const char *volume_id,
				bool read_only)
{
	char volume[37];
	struct export_create_args args = { .volume_id = volume, .read_only = read_only };
	struct reply *reply;

	snprintf(volume, sizeof(volume), "%s", volume_id);
	if (method == METHOD_EXPORT_CREATE) {
		reply = ask(world, method, &args);
	} else {
		/* begins like struct volume_args */
		struct export_delete_args other = { .volume_id = volume };

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

	served_one(world);
	/* The one that came with the attachment is the answer. */
	export = item(ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false), 0);
	assert_string_equal(export->export_name, "migration-vol-" VOLUME(1));
	assert_int_equal(export->port, 10809);
	reply = ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), true);
	assert_int_equal(reply->err.code, ERR_CONFLICT);

	connect_client(world, VOLUME(1));
	export = item(ask_export(world, METHOD_EXPORT_GET, VOLUME(1), false), 0);
	assert_string_equal(export->clients,
			    "{\"addresses\":[\"127.0.0.1:41234\"],\"certain\":true}");
	reply = ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false);
	assert_int_equal(reply->err.code, ERR_CONFLICT);
	fake_export_of(&world->serving, VOLUME(1))->client.address[0] = '\0';
	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false), 0);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	assert_int_equal(ask_export(world, METHOD_EXPORT_GET, VOLUME(1), false)->err.code,
			 ERR_NOT_FOUND);
	/* Once more is no error. */
	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false), 0);

	export = item(ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), true), 0);
	assert_int_equal(export->status, EXPORT_ACTIVE);
	assert_true(fake_export_of(&world->serving, VOLUME(1))->read_only);
	world_restart(world);
	world_pass(world, 1000);
	assert_true(export_find(world->core->model, VOLUME(1))->record.read_only);
	check_world(world, 1);
}

static struct reply *label(struct world *world, struct export_create_args args)
{
	char volume[] = VOLUME(1);
	struct reply *reply;

	args.volume_id = volume;
	reply = ask(world, METHOD_EXPORT_CREATE, &args);
	answered(world, reply);
	return reply;
}

/* An export that came with the attachment gets the names that its user gives later, and keeps those
 * that a request does not name. */
static void named_by_request(void **state)
{
	char name[] = "db1", vm[] = "vm-143", other[] = "db2", metadata[] = "{\"job\":7}";
	struct world *world = *state;
	const struct export_record *export;
	size_t seen;

	served_one(world);
	export = item(label(world, (struct export_create_args){ .vm_name = name, .vm_id = vm }), 0);
	assert_int_equal(export->status, EXPORT_ACTIVE);
	assert_string_equal(export->vm_name, name);
	export = item(label(world, (struct export_create_args){ .vm_name = other,
								.disk_number = 3,
								.metadata = metadata }),
		      0);
	assert_string_equal(export->vm_name, other);
	world_restart(world);
	world_pass(world, 1000);
	export = &export_find(world->core->model, VOLUME(1))->record;
	assert_string_equal(export->vm_name, other);
	assert_string_equal(export->vm_id, vm);
	assert_string_equal(export->metadata, metadata);
	assert_int_equal(export->disk_number, 3);
	/* The same once more changes nothing. */
	seen = world->seen_count;
	item(label(world, (struct export_create_args){ .vm_name = other }), 0);
	assert_int_equal(world->seen_count, seen);
	check_world(world, 1);
}

/* As with a store that is older than the engine. */
static void served_and_not_noted(void **state)
{
	struct world *world = *state;

	served_one(world);
	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false), 0);
	world->serving.exports[world->serving.export_count++] =
		(struct fake_export){ .name = "migration-vol-" VOLUME(1),
				      .path = "/dev/mapper/vol00000001" };
	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false), 0);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	world->serving.exports[world->serving.export_count++] =
		(struct fake_export){ .name = "migration-vol-" VOLUME(1),
				      .path = "/dev/mapper/vol00000001" };
	connect_client(world, VOLUME(1));
	world_restart(world);
	world_pass(world, 5000);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	fake_export_of(&world->serving, VOLUME(1))->client.address[0] = '\0';
	core_exports_lost(world->core);
	world_pass(world, 1000);
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	check_mapped(world, VOLUME(1));
}

static void not_of_what_is_not_here(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	server_add(&world->server, "one", 5);
	reply = ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false);
	assert_int_equal(reply->err.code, ERR_CONFLICT);
	assert_non_null(strstr(reply->err.text, "attach it first"));
	served_one(world);
	fake_fault(&world->serving, VERB_ADD, 1, ERR_INTERNAL, false);
	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(2), false), 0);
	reply = ask_export(world, METHOD_EXPORT_CREATE, VOLUME(2), false);
	assert_int_equal(reply->err.code, ERR_INTERNAL);
	world_pass(world, 1000);
	assert_null(export_find(world->core->model, VOLUME(2)));
}

static void not_while_it_is_in_use(void **state)
{
	struct world *world = *state;
	struct fake_volume *one = served_one(world);
	struct reply *reply;

	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(1), false), 0);
	kernel_mount(&world->kernel, one->disk);
	reply = ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false);
	assert_int_equal(reply->err.code, ERR_CONFLICT);
	assert_non_null(strstr(reply->err.text, "mounted at /mnt/data"));
	assert_null(export_find(world->core->model, VOLUME(1)));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
	kernel_mount(&world->kernel, NULL);
	item(ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false), 0);
	check_world(world, 1);
}

/* The one that came with the attachment is only not there yet; that it was asked for as well does
 * not end it. */
static void asked_for_while_the_engine_is_away(void **state)
{
	struct world *world = *state;

	served_one(world);
	world->serving.export_count = 0;
	fake_fault(&world->serving, VERB_ADD, 2, ERR_UNAVAILABLE, false);
	core_exports_lost(world->core);
	world_pass(world, 1000);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.status, EXPORT_PENDING);
	assert_int_equal(ask_export(world, METHOD_EXPORT_CREATE, VOLUME(1), false)->err.code,
			 ERR_UNAVAILABLE);
	core_exports_lost(world->core);
	world_pass(world, 1000);
	assert_non_null(fake_export_of(&world->serving, VOLUME(1)));
	check_world(world, 1);
	assert_int_equal(export_find(world->core->model, VOLUME(1))->record.status, EXPORT_ACTIVE);
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

	served_one(world);
	assert_string_equal(report(world, METHOD_EXPORT_VALIDATE, &none),
			    "{\"checked\":1,\"differences\":[]}");
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

/* What is noted and which disks are there is known all the same. */
static void looked_at_while_the_engine_is_away(void **state)
{
	struct world *world = *state;
	struct export_cleanup_args args = { .dry_run = true };
	const struct orphan_count_record *orphans;
	struct no_args none = { 0 };
	struct reply *reply;

	served_one(world);
	fake_fault(&world->serving, VERB_LIST_EXPORTS, 4, ERR_UNAVAILABLE, false);
	fake_fault(&world->serving, VERB_REMOVE, 1, ERR_UNAVAILABLE, false);
	assert_non_null(strstr(report(world, METHOD_EXPORT_VALIDATE, &none), "\"not-served\""));
	assert_non_null(strstr(report(world, METHOD_EXPORT_CLEANUP, &args), "\"orphaned\":[]"));
	reply = ask(world, METHOD_EXPORT_ORPHANS, &none);
	answered(world, reply);
	orphans = item(reply, 0);
	assert_int_equal(orphans->orphaned_exports_count, 0);
	args.dry_run = false;
	refused(world, ask(world, METHOD_EXPORT_CLEANUP, &args), ERR_UNAVAILABLE, "");
	item(ask_export(world, METHOD_EXPORT_DELETE, VOLUME(2), false), 0);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(made_and_removed_by_request),
		TEST(named_by_request),
		TEST(served_and_not_noted),
		TEST(not_of_what_is_not_here),
		TEST(not_while_it_is_in_use),
		TEST(asked_for_while_the_engine_is_away),
		TEST(looked_at_while_the_engine_is_away),
		TEST(validated_and_cleaned_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
