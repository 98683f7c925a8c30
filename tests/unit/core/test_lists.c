/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The list of all volumes is dear, and may fail while CloudStack answers all else: what the daemon
 * does without it. */

#include "fixture.h"

#define INTERVAL_MS 300000
#define TROUBLE "CloudStack did not answer when asked to list volumes: too slow"

static const struct health_record *health(struct world *world)
{
	struct reply *reply = ask(world, METHOD_HEALTH_GET, &(struct no_args){ 0 });

	answered(world, reply);
	return item(reply, 0);
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in \"%s\"", part, text);
}

static struct reply *ask_list(struct world *world)
{
	struct reply *reply = ask(world, METHOD_VOLUME_LIST, &(struct volume_list_args){ 0 });

	answered(world, reply);
	return reply;
}

static size_t lists_in(struct world *world, int64_t ms)
{
	unsigned before = world->server.whole_lists;

	world_pass(world, ms);
	return world->server.whole_lists - before;
}

static void changes_go_on(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	world->server.no_list = TROUBLE;
	world_restart(world);
	world_pass(world, 10000);
	assert_string_equal(health(world)->status, "degraded");
	assert_says(
		health(world)->cloudstack_health,
		"CloudStack answers, but its list of volumes fails, and no volumes are known yet: " TROUBLE);
	assert_says(health(world)->details, "\"accepting_changes\":true");
	attached(world, VOLUME(1));
	refused(world, ask_list(world), ERR_UNAVAILABLE, TROUBLE);

	world->server.no_list = NULL;
	world_pass(world, INTERVAL_MS);
	assert_string_equal(health(world)->cloudstack_health, "healthy");
	assert_int_equal(ask_list(world)->count, 1);
}

static void what_was_known_is_kept(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	world_pass(world, INTERVAL_MS + 5000);
	assert_int_equal(ask_list(world)->count, 1);
	world->server.no_list = TROUBLE;
	world_pass(world, INTERVAL_MS);
	assert_int_equal(ask_list(world)->count, 1);
	assert_says(health(world)->cloudstack_health, "the list that is known is 30");
	assert_says(health(world)->details, "\"volume_list_age_seconds\":30");
}

static void a_list_that_fails_is_asked_for_less_and_less(void **state)
{
	struct world *world = *state;

	world->server.no_list = TROUBLE;
	world_restart(world);
	assert_in_range(lists_in(world, 60000), 5, 9);
	assert_in_range(lists_in(world, 10 * INTERVAL_MS), 8, 14);
}

/* Then there are no volumes that could be listed instead. */
static void without_an_appliance_too(void **state)
{
	struct world *world = *state;

	world->options.appliance_id = NULL;
	world->server.no_list = TROUBLE;
	world_restart(world);
	assert_in_range(lists_in(world, 60000), 5, 9);
	world->server.no_list = NULL;
	world->server.list_ms = 60000;
	assert_int_equal(lists_in(world, 2 * INTERVAL_MS), 1);
	assert_int_equal(lists_in(world, 5000000), 0);
}

/* CloudStack itself is away: its return is noticed soon. */
static void no_rest_while_all_fails(void **state)
{
	struct world *world = *state;

	world->server.no_list = TROUBLE;
	world->server.down = true;
	world_restart(world);
	world_pass(world, 600000);
	world->server.no_list = NULL;
	world->server.down = false;
	world_pass(world, 6000);
	assert_string_equal(health(world)->status, "healthy");
}

static void ours_are_compared_without_the_list(void **state)
{
	struct world *world = *state;
	struct fake_volume *here = server_add(&world->server, "here", 5);
	struct fake_volume *there = server_add(&world->server, "there", 5);

	attached(world, VOLUME(1));
	completed(world, accepted(world, ask_attach(world, VOLUME(2), OTHER_VM)));
	world->server.no_list = TROUBLE;
	world_restart(world);
	server_detach(&world->server, here);
	server_detach(&world->server, there);
	server_attach(&world->server, server_add(&world->server, "new", 5), APPLIANCE);
	world_pass(world, 10000);
	check_unmapped(world, VOLUME(1));
	check_unmapped(world, VOLUME(2));
	check_mapped(world, VOLUME(3));
}

/* A list that takes CloudStack a minute is made once in a hundred minutes. */
static void a_list_is_worth_its_price(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	attached(world, VOLUME(1));
	world->server.list_ms = 60000;
	assert_int_equal(lists_in(world, 2 * INTERVAL_MS), 1);
	assert_int_equal(lists_in(world, 5000000), 0);
	server_detach(&world->server, volume);
	assert_int_equal(lists_in(world, INTERVAL_MS + 5000), 0);
	check_unmapped(world, VOLUME(1));
	assert_int_equal(lists_in(world, 1000000), 1);
}

/* It has shown nothing for the minute that it took, so it is asked for again after an hour. */
static void a_list_that_fails_slowly_is_not_given_up(void **state)
{
	struct world *world = *state;

	world->server.list_ms = 60000;
	world->server.no_list = TROUBLE;
	world_restart(world);
	assert_int_equal(lists_in(world, 100000), 1);
	assert_int_equal(lists_in(world, 3500000), 0);
	assert_int_equal(lists_in(world, 200000), 1);
}

static void a_volume_that_vanished_is_forgotten(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	server_attach(&world->server, volume, APPLIANCE);
	world->server.list_ms = 60000;
	world_pass(world, 2 * INTERVAL_MS);
	check_mapped(world, VOLUME(1));
	server_detach(&world->server, volume);
	volume->gone = true;
	assert_int_equal(lists_in(world, INTERVAL_MS + 5000), 0);
	check_unmapped(world, VOLUME(1));
	assert_int_equal(ask_list(world)->count, 0);
}

static void a_new_list_by_request(void **state)
{
	struct volume_list_args refresh = { .refresh = true };
	struct world *world = *state;
	int64_t asked_ms;
	struct reply *reply;

	world_pass(world, 10000);
	server_add(&world->server, "new", 5);
	reply = ask_list(world);
	assert_int_equal(reply->count, 0);
	assert_in_range(clock_mono_ms() - reply->listed_ms, 9000, 11000);

	asked_ms = clock_mono_ms();
	reply = ask(world, METHOD_VOLUME_LIST, &refresh);
	answered(world, reply);
	assert_int_equal(reply->count, 1);
	assert_true(reply->listed_ms >= asked_ms);

	world->server.no_list = TROUBLE;
	refused(world, ask(world, METHOD_VOLUME_LIST, &refresh), ERR_UNAVAILABLE, TROUBLE);
	assert_int_equal(ask_list(world)->count, 1);
}

static void strange_volumes_are_named(void **state)
{
	struct world *world = *state;

	world->server.left_out = "\"odd\" (not-a-uuid)";
	world_pass(world, INTERVAL_MS + 5000);
	assert_string_equal(health(world)->status, "healthy");
	assert_says(health(world)->details, "\"volumes_left_out\":\"\\\"odd\\\" (not-a-uuid)\"");
}

/* An operation has renamed a volume since CloudStack wrote the page. */
static void a_page_may_be_older_than_an_answer(void **state)
{
	struct world *world = *state;
	struct model *model = world->core->model;
	char id[] = VOLUME(1), name[] = "data", before[] = "data-op-1", old[] = "{}", new[] = "{ }";
	struct cloud_volume page = { .id = id, .name = before, .raw = old };
	struct cloud_volume answer = { .id = id, .name = name, .raw = new };

	volumes_begin_list(model);
	volume_update(model, &answer);
	volume_update_listed(model, &page);
	assert_string_equal(volume_find(model, id)->cloud.name, name);
	assert_true(volume_is_listed(model, volume_find(model, id)));
	/* The next list is newer. */
	volumes_begin_list(model);
	volume_update_listed(model, &page);
	assert_string_equal(volume_find(model, id)->cloud.name, before);
}

/* Its text is left out, so that two answers about it can differ in nothing but their members. */
static void a_volume_with_a_long_text_is_followed(void **state)
{
	struct world *world = *state;
	struct model *model = world->core->model;
	char id[] = VOLUME(1), name[] = "data", here[] = APPLIANCE, there[] = OTHER_VM,
	     raw[] = "{}";
	struct cloud_volume cloud = {
		.id = id, .name = name, .vm_id = here, .device_id = 1, .raw = raw
	};
	const struct volume *volume = volume_update(model, &cloud);

	cloud.device_id = 2;
	volume_update(model, &cloud);
	assert_int_equal(volume->cloud.device_id, 2);
	cloud.vm_id = there;
	volumes_begin_list(model);
	volume_update_listed(model, &cloud);
	assert_string_equal(volume->cloud.vm_id, OTHER_VM);
	cloud.vm_id = NULL;
	volume_update(model, &cloud);
	assert_null(volume->cloud.vm_id);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(changes_go_on),
		TEST(what_was_known_is_kept),
		TEST(a_list_that_fails_is_asked_for_less_and_less),
		TEST(without_an_appliance_too),
		TEST(no_rest_while_all_fails),
		TEST(ours_are_compared_without_the_list),
		TEST(a_list_is_worth_its_price),
		TEST(a_list_that_fails_slowly_is_not_given_up),
		TEST(a_volume_that_vanished_is_forgotten),
		TEST(a_new_list_by_request),
		TEST(strange_volumes_are_named),
		TEST(a_page_may_be_older_than_an_answer),
		TEST(a_volume_with_a_long_text_is_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
