/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One key, one operation: asked again at every moment of its life, by two at once, after a restart,
 * after it has left memory, and a day later.
 */

#include "fixture.h"

static struct reply *create_with_key(struct world *world, const char *key, const char *name)
{
	char text[64], key_text[64], offering[] = "dddddddd-0000-4000-8000-00000000000d",
				     zone[] = "cccccccc-0000-4000-8000-00000000000c";
	struct volume_create_args args = {
		.name = text,
		.disk_offering_id = offering,
		.size = 5 * GIB,
		.zone_id = zone,
		.request_id = key_text,
	};

	snprintf(text, sizeof(text), "%s", name);
	snprintf(key_text, sizeof(key_text), "%s", key);
	return ask(world, METHOD_VOLUME_CREATE, &args);
}

static struct reply *detach_with_key(struct world *world, const char *key, const char *volume_id)
{
	char volume[37], key_text[64];
	struct volume_detach_args args = { .volume_id = volume, .request_id = key_text };

	snprintf(volume, sizeof(volume), "%s", volume_id);
	snprintf(key_text, sizeof(key_text), "%s", key);
	return ask(world, METHOD_VOLUME_DETACH, &args);
}

static const char *id_of(struct world *world, struct reply *reply)
{
	answered(world, reply);
	return ((const struct operation_record *)item(reply, 0))->id;
}

/* The second comes at each turn of the first one's life. */
static void asked_again_at_every_turn(void **state)
{
	for (unsigned turns = 0; turns < 60; turns++) {
		struct reply *first, *second;
		struct world *world;
		char id[64];
		void *each;

		world_setup(&each);
		world = each;
		first = create_with_key(world, "k", "one");
		for (unsigned i = 0; i < turns; i++) {
			if (!world_turn(world))
				clock_test_advance(10);
		}
		second = create_with_key(world, "k", "one");
		snprintf(id, sizeof(id), "%s", id_of(world, first));
		assert_string_equal(id_of(world, second), id);
		completed(world, id);
		world_pass(world, 1000);
		check_world(world, 1);
		assert_int_equal(events_of(world, EVENT_OPERATION_STARTED, NULL), 1);
		world_teardown(&each);
	}
}

static void many_at_once(void **state)
{
	struct world *world = *state;
	struct reply *replies[20];

	for (size_t i = 0; i < ARRAY_SIZE(replies); i++)
		replies[i] = create_with_key(world, "k", "one");
	call_cancel(TAKE_PTR(replies[0]->call)); /* even if the first of them leaves */
	call_cancel(TAKE_PTR(replies[7]->call));
	for (size_t i = 1; i < ARRAY_SIZE(replies); i++) {
		if (i != 7)
			assert_string_equal(id_of(world, replies[i]), id_of(world, replies[1]));
	}
	completed(world, id_of(world, replies[1]));
	world_pass(world, 1000);
	check_world(world, 1);
}

static void another_request_under_the_key(void **state)
{
	struct world *world = *state;
	struct reply *first = create_with_key(world, "k", "one"),
		     *meanwhile = create_with_key(world, "k", "two");

	refused(world, meanwhile, ERR_CONFLICT,
		"the request key was used for another request: operation op-");
	completed(world, id_of(world, first));
	refused(world, create_with_key(world, "k", "two"), ERR_CONFLICT, id_of(world, first));
	refused(world, detach_with_key(world, "k", VOLUME(1)), ERR_CONFLICT, "create");
	completed(world, id_of(world, create_with_key(world, "other", "two")));
	world_pass(world, 1000);
	check_world(world, 2);
}

static void after_a_restart(void **state)
{
	struct world *world = *state;
	char id[64];

	snprintf(id, sizeof(id), "%s", id_of(world, create_with_key(world, "k", "one")));
	world_restart(world); /* it runs */
	assert_string_equal(id_of(world, create_with_key(world, "k", "one")), id);
	completed(world, id);
	world_restart(world); /* only the store remembers */
	assert_null(core_operation(world->core, id));
	assert_string_equal(id_of(world, create_with_key(world, "k", "one")), id);
	refused(world, create_with_key(world, "k", "two"), ERR_CONFLICT, id);
	world_pass(world, 1000);
	check_world(world, 1);
}

static void after_many_newer_ones(void **state)
{
	struct world *world = *state;
	char id[64];

	snprintf(id, sizeof(id), "%s", id_of(world, create_with_key(world, "k", "one")));
	completed(world, id);
	for (int i = 0; i < 257; i++)
		ended_with(world, accepted(world, ask_attach(world, VOLUME(9), APPLIANCE)),
			   OPERATION_FAILED, VOLUME(9));
	assert_null(core_operation(world->core, id));
	assert_string_equal(id_of(world, create_with_key(world, "k", "one")), id);
}

/* Two come for a key that only the store knows, or that nobody knows: the store is asked in
 * between. */
static void two_meet_at_the_store(void **state)
{
	struct world *world = *state;
	struct reply *one, *two;

	one = create_with_key(world, "k", "one");
	two = create_with_key(world, "k", "one");
	assert_string_equal(id_of(world, one), id_of(world, two));
	completed(world, id_of(world, one));
	assert_int_equal(server_count(&world->server), 1);
}

static void a_day_later(void **state)
{
	struct world *world = *state;
	char id[64];

	snprintf(id, sizeof(id), "%s", id_of(world, create_with_key(world, "k", "one")));
	completed(world, id);
	world_pass(world, DAY_MS - 60000);
	assert_string_equal(id_of(world, create_with_key(world, "k", "one")), id);
	world_pass(world, 120000);
	assert_string_not_equal(id_of(world, create_with_key(world, "k", "one")), id);
	/* the new one has the key */
	assert_string_not_equal(id_of(world, create_with_key(world, "k", "one")), id);
	world_pass(world, 20000);
	check_world(world, 2);
	world_restart(world);
	assert_string_not_equal(id_of(world, create_with_key(world, "k", "one")), id);
	world_pass(world, 1000);
	check_world(world, 2);
}

/* What failed is answered again as well: a client that wants another try takes another key. */
static void a_failed_one(void **state)
{
	struct world *world = *state;
	struct reply *reply = detach_with_key(world, "k", VOLUME(1));
	char id[64];

	snprintf(id, sizeof(id), "%s", id_of(world, reply));
	ended_with(world, id, OPERATION_FAILED, "does not exist");
	reply = detach_with_key(world, "k", VOLUME(1));
	assert_string_equal(id_of(world, reply), id);
	assert_int_equal(((const struct operation_record *)item(reply, 0))->status,
			 OPERATION_FAILED);
}

/* The store refuses the first: both hear of it, and the key is free. */
static void refused_by_the_store(void **state)
{
	struct world *world = *state;
	struct reply *one, *two;

	store_memory_set_away(world->store, "the test says so");
	one = create_with_key(world, "k", "one");
	two = create_with_key(world, "k", "one");
	refused(world, one, ERR_UNAVAILABLE, "");
	refused(world, two, ERR_UNAVAILABLE, "");
	store_memory_set_away(world->store, NULL);
	completed(world, id_of(world, create_with_key(world, "k", "one")));
	world_pass(world, 1000);
	check_world(world, 1);
}

/* After a start both wait until CloudStack has shown what it knows of the store. */
static void two_wait_for_the_check(void **state)
{
	struct world *world = *state;
	struct reply *one, *two, *left;

	completed(world, id_of(world, create_with_key(world, "before", "zero")));
	world->server.trip_ms = 500;
	world_restart(world);
	world_pass(world, 600); /* CloudStack has answered the first list */
	assert_int_equal(world->core->env.store_state, STORE_CHECKING);
	left = create_with_key(world, "k", "one");
	one = create_with_key(world, "k", "one");
	two = create_with_key(world, "k", "one");
	world_pass(world, 100);
	assert_false(one->done || two->done);
	call_cancel(TAKE_PTR(left->call));
	assert_string_equal(id_of(world, one), id_of(world, two));
	completed(world, id_of(world, one));
	world_pass(world, 1000);
	check_world(world, 2);
}

/* The answer can be had again while nothing new can be begun. */
static void while_cloudstack_is_away(void **state)
{
	struct world *world = *state;
	char id[64];

	snprintf(id, sizeof(id), "%s", id_of(world, create_with_key(world, "k", "one")));
	completed(world, id);
	world->server.down = true;
	world_pass(world, 400000);
	refused(world, create_with_key(world, "new", "one"), ERR_UNAVAILABLE, "CloudStack");
	assert_string_equal(id_of(world, create_with_key(world, "k", "one")), id);
}

static void killed_while_it_is_looked_up(void **state)
{
	for (unsigned turns = 0; turns < 12; turns++) {
		struct world *world;
		void *each;

		world_setup(&each);
		world = each;
		create_with_key(world, "k", "one");
		create_with_key(world, "k", "one");
		for (unsigned i = 0; i < turns; i++)
			world_turn(world);
		world_restart(world);
		world_pass(world, 1000);
		completed(world, id_of(world, create_with_key(world, "k", "one")));
		world_pass(world, 1000);
		check_world(world, 1);
		world_teardown(&each);
	}
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asked_again_at_every_turn),
		TEST(many_at_once),
		TEST(another_request_under_the_key),
		TEST(after_a_restart),
		TEST(after_many_newer_ones),
		TEST(two_meet_at_the_store),
		TEST(a_day_later),
		TEST(a_failed_one),
		TEST(refused_by_the_store),
		TEST(two_wait_for_the_check),
		TEST(while_cloudstack_is_away),
		cmocka_unit_test(killed_while_it_is_looked_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
