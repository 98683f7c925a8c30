/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A new volume: the name that CloudStack has is shown, whatever its answers say; and the zone of
 * creations that name none. */

#include "fixture.h"

/* The name that the volume really has, and that the client is told. */
static void created_as(struct world *world, const char *id, bool renamed, const char *said)
{
	const struct operation_record *record = ended(world, id);
	const struct fake_volume *volume = server_find(&world->server, VOLUME(1));
	char member[300];

	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_int_equal(streq(volume->name, "new"), renamed);
	assert_int_equal(!strstr(volume->name, id), renamed);
	assert_string_equal(volume_find(world->core->model, VOLUME(1))->cloud.name, volume->name);
	snprintf(member, sizeof(member), "\"name\":\"%s\"", volume->name);
	if (!strstr(record->response, member) || !strstr(record->response, said))
		fail_msg("no %s in %s", said, record->response);
}

static const char *create(struct world *world)
{
	return accepted(world, ask_create(world, "new"));
}

static void renamed(void **state)
{
	struct world *world = *state;

	created_as(world, create(world), true, "\"Volume created\"");
	assert_int_equal(world->server.calls[FAKE_RENAME], 1);
	check_world(world, 1);
}

/* CloudStack's word is that it was renamed. */
static void ignored(void **state)
{
	struct world *world = *state;

	world->server.no_rename = true;
	created_as(world, create(world), false, "but did not rename it, as a server before 4.16");
	assert_int_equal(world->server.calls[FAKE_RENAME], 1);
	check_world(world, 1);
}

static void refused_or_failed(void **state)
{
	static const enum fault_kind kinds[] = { FAULT_REFUSED, FAULT_JOB_FAILED };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct world *world;
		void *each;

		world_setup(&each);
		world = each;
		server_fault(&world->server,
			     (struct fake_fault){ FAKE_RENAME, 1, 1, kinds[i], 432, "Not by you" });
		created_as(world, create(world), false, "Not by you");
		check_world(world, 1);
		world_teardown(&each);
	}
}

static void lost(void **state)
{
	struct world *world = *state;

	server_fault(&world->server, (struct fake_fault){ FAKE_RENAME, 1, 2, FAULT_JOB_LOST });
	created_as(world, create(world), true, "\"Volume created\"");
	assert_int_equal(server_jobs(&world->server, FAKE_RENAME), 3);
	check_world(world, 1);
}

/* The volume decides: it has its name, so nothing is asked for again. */
static void lost_after_its_effect(void **state)
{
	struct world *world = *state;

	server_fault(&world->server,
		     (struct fake_fault){ FAKE_RENAME, 1, 1, FAULT_JOB_LOST_AFTER });
	created_as(world, create(world), true, "\"Volume created\"");
	assert_int_equal(server_jobs(&world->server, FAKE_RENAME), 1);
	check_world(world, 1);
}

static void lost_each_time(void **state)
{
	struct world *world = *state;

	server_fault(&world->server, (struct fake_fault){ FAKE_RENAME, 1, 1000, FAULT_JOB_LOST });
	created_as(world, create(world), false, "lost the job each time");
	assert_int_equal(server_jobs(&world->server, FAKE_RENAME), 6);
	check_world(world, 1);
}

static bool is_asked_to_rename(struct world *world, const void *arg)
{
	return world->server.calls[FAKE_RENAME] > 0;
}

/* The next process knows of no reason for a longer name either. */
static void renamed_after_a_restart(void **state)
{
	struct world *world = *state;
	const char *id = create(world);

	assert_true(world_until(world, is_asked_to_rename, NULL, 60000));
	world_restart(world);
	created_as(world, id, true, "\"Volume created\"");
	check_world(world, 1);
}

/* ---- a request that is under way ---- */

static bool is_asked_to_create(struct world *world, const void *arg)
{
	return world->server.calls[FAKE_CREATE] > 0;
}

static void cancel(struct world *world, const char *id)
{
	struct err err = { 0 };

	assert_int_equal(operation_cancel(operation_find(world->core->engine, id), NULL, &err), 0);
}

/* The volume comes after the operation has looked for it. */
static void cancelled_while_it_is_asked_for(void **state)
{
	struct world *world = *state;
	const char *id;

	world->server.late_ms = 1500;
	server_fault(&world->server, (struct fake_fault){ FAKE_CREATE, 1, 1, FAULT_LATE });
	id = create(world);
	assert_true(world_until(world, is_asked_to_create, NULL, 60000));
	cancel(world, id);
	assert_int_equal(ended(world, id)->status, OPERATION_CANCELLED);
	assert_int_equal(world->server.volumes_made, 1);
	assert_int_equal(server_count(&world->server), 0);
	check_world(world, 0);
}

static bool is_destroyed(struct world *world, const void *arg)
{
	return world->server.calls[FAKE_DESTROY] > 0 && server_count(&world->server) == 0;
}

/* The operation says which volume it has made and destroyed, although it was killed in between. */
static void killed_after_it_was_destroyed(void **state)
{
	struct world *world = *state;
	char id[64];

	world->server.late_ms = 1500;
	server_fault(&world->server, (struct fake_fault){ FAKE_CREATE, 1, 1, FAULT_LATE });
	snprintf(id, sizeof(id), "%s", create(world));
	assert_true(world_until(world, is_asked_to_create, NULL, 60000));
	cancel(world, id);
	assert_true(world_until(world, is_destroyed, NULL, 60000));
	world_restart(world);
	assert_int_equal(ended(world, id)->status, OPERATION_CANCELLED);
	assert_string_equal(core_operation(world->core, id)->volume_id, VOLUME(1));
	check_world(world, 0);
}

/* A refusal leaves nothing to wait for. */
static void refused_at_once(void **state)
{
	struct world *world = *state;
	int64_t began_ms = clock_mono_ms();
	const char *id;

	server_fault(&world->server,
		     (struct fake_fault){ FAKE_CREATE, 1, 1, FAULT_REFUSED, 431, "No such size" });
	id = create(world);
	assert_int_equal(ended(world, id)->status, OPERATION_FAILED);
	assert_true(clock_mono_ms() - began_ms < 500);
	check_world(world, 0);
}

/* ---- the zone ---- */

static struct reply *create_anywhere(struct world *world)
{
	char name[] = "new", offering[] = VOLUME(9);
	struct volume_create_args args = { .name = name,
					   .size = GIB,
					   .disk_offering_id = offering };
	struct reply *reply = ask(world, METHOD_VOLUME_CREATE, &args);

	answered(world, reply);
	return reply;
}

static void zone_is_looked_up_once(void **state)
{
	struct world *world = *state;

	world->server.zone = "the north";
	core_set_zone(world->core, "the north");
	ended(world, accepted(world, create_anywhere(world)));
	core_set_zone(world->core, "the north");
	ended(world, accepted(world, create_anywhere(world)));
	assert_int_equal(world->server.calls[FAKE_FIND_ZONE], 1);
	assert_string_equal(world->core->env.zone_id, ZONE);
	/* Other keys may belong to another cloud, in which the name has another id. */
	core_set_cloud(world->core, world->cloud);
	ended(world, accepted(world, create_anywhere(world)));
	assert_int_equal(world->server.calls[FAKE_FIND_ZONE], 2);
	core_set_zone(world->core, VOLUME(8));
	ended(world, accepted(world, create_anywhere(world)));
	assert_int_equal(world->server.calls[FAKE_FIND_ZONE], 2);
	assert_int_equal(server_count(&world->server), 4);
}

static void zone_that_cannot_be_found(void **state)
{
	struct world *world = *state;

	refused(world, create_anywhere(world), ERR_INVALID, "neither cloud.zone");
	core_set_zone(world->core, "the north");
	refused(world, create_anywhere(world), ERR_INVALID, "no zone named \"the north\"");
	server_fault(&world->server, (struct fake_fault){ FAKE_FIND_ZONE, 2, 1, FAULT_AWAY });
	refused(world, create_anywhere(world), ERR_UNAVAILABLE, "did not answer");
	world_pass(world, 310000);
	world->server.zone = "the north";
	ended(world, accepted(world, create_anywhere(world)));
	assert_int_equal(server_count(&world->server), 1);
}

/* It was made anew in CloudStack. */
static void zone_with_another_id_now(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;

	world->server.zone = "the north";
	core_set_zone(world->core, "the north");
	server_fault(&world->server,
		     (struct fake_fault){
			     FAKE_CREATE, 1, 1, FAULT_REFUSED, 431,
			     "Unable to execute API command createvolume due to invalid value. "
			     "Invalid parameter zoneid value=" ZONE " due to incorrect long value "
			     "format, or entity does not exist or due to incorrect parameter "
			     "annotation for the field in api cmd class." });
	record = ended(world, accepted(world, create_anywhere(world)));
	assert_int_equal(record->status, OPERATION_FAILED);
	assert_string_equal(record->error_reason, "unknown_zone");
	ended(world, accepted(world, create_anywhere(world)));
	assert_int_equal(world->server.calls[FAKE_FIND_ZONE], 2);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(renamed),
		TEST(ignored),
		cmocka_unit_test(refused_or_failed),
		TEST(lost),
		TEST(lost_after_its_effect),
		TEST(lost_each_time),
		TEST(renamed_after_a_restart),
		TEST(cancelled_while_it_is_asked_for),
		TEST(killed_after_it_was_destroyed),
		TEST(refused_at_once),
		TEST(zone_is_looked_up_once),
		TEST(zone_that_cannot_be_found),
		TEST(zone_with_another_id_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
