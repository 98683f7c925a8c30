/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The list of all volumes is dear, and may fail while CloudStack answers all else: what the daemon
 * does without it. Other lists of CloudStack's are fetched for those who ask, and shared. */

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

static uint64_t requests(struct world *world)
{
	static const char name[] = "\"cloudstack_api_calls\":";
	const char *at = strstr(health(world)->details, name);

	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, 10);
}

/* An account of 10,000 volumes, at the defaults: 20 pages, which take CloudStack 0.9 s each. It has
 * at most 12 requests a minute, and 1.2 % of its time is for the lists. */
static void an_idle_hour_costs_little(void **state)
{
	const int64_t hour_ms = 60 * 60000, page_ms = 900, pages = 20;
	struct world *world = *state;
	uint64_t before;
	size_t lists;

	server_add(&world->server, "here", 5);
	server_add(&world->server, "there", 5);
	attached(world, VOLUME(1));
	completed(world, accepted(world, ask_attach(world, VOLUME(2), OTHER_VM)));
	world->server.list_ms = pages * page_ms;
	world->options.reconcile_ms = 60000;
	world_restart(world);
	before = requests(world);
	lists = lists_in(world, hour_ms);
	assert_in_range(lists, 1, hour_ms * 12 / 1000 / (pages * page_ms));
	assert_in_range(requests(world) - before + lists * (pages - 1), 60, 12 * 60);
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

/* ---- other lists ---- */

#define SMALL "dddddddd-0000-4000-8000-00000000000d"
#define LARGE "eeeeeeee-0000-4000-8000-00000000000e"

static struct reply *ask_other(struct world *world, enum method_id method, const char *name,
			       int64_t limit, const char *cursor)
{
	struct cloud_list_args args = { .name = (char *)(intptr_t)name,
					.limit = limit,
					.cursor = (char *)(intptr_t)cursor };

	return ask(world, method, &args);
}

static void assert_vm(struct world *world, struct reply *reply, const char *id, bool is_appliance)
{
	const struct vm_record *vm;

	answered(world, reply);
	assert_int_equal(reply->count, 1);
	vm = item(reply, 0);
	assert_string_equal(vm->id, id);
	assert_int_equal(vm->is_appliance, is_appliance);
}

/* In the order of their ids, each once, and a page at a time from one list. */
static void vms_come_in_pages(void **state)
{
	struct world *world = *state;
	struct reply *page;

	page = ask_other(world, METHOD_VM_LIST, NULL, 1, NULL);
	assert_vm(world, page, APPLIANCE, true);
	assert_string_equal(page->next_cursor, APPLIANCE);
	page = ask_other(world, METHOD_VM_LIST, NULL, 1, page->next_cursor);
	assert_vm(world, page, OTHER_VM, false);
	assert_null(page->next_cursor);
	assert_int_equal(world->server.other_lists, 1);
	/* When the list is kept no longer, the cursor fits a new one. */
	world_pass(world, 120000);
	assert_vm(world, ask_other(world, METHOD_VM_LIST, NULL, 1, APPLIANCE), OTHER_VM, false);
	assert_int_equal(world->server.other_lists, 2);
}

static void offerings_and_zones_by_name(void **state)
{
	const struct offering_record *offering;
	const struct zone_record *zone;
	struct world *world = *state;
	struct reply *reply = ask_other(world, METHOD_OFFERING_LIST, NULL, 100, NULL);

	answered(world, reply);
	assert_int_equal(reply->count, 2);
	offering = item(reply, 0);
	assert_string_equal(offering->id, SMALL);
	assert_true(offering->size == 5 * GIB);
	reply = ask_other(world, METHOD_OFFERING_LIST, "large", 100, NULL);
	answered(world, reply);
	assert_int_equal(reply->count, 1);
	offering = item(reply, 0);
	assert_string_equal(offering->id, LARGE);
	assert_true(offering->size == 0);
	reply = ask_other(world, METHOD_ZONE_LIST, "zone", 100, NULL);
	answered(world, reply);
	assert_int_equal(reply->count, 0);
	reply = ask_other(world, METHOD_ZONE_LIST, "zone-1", 100, NULL);
	answered(world, reply);
	zone = item(reply, 0);
	assert_string_equal(zone->id, ZONE);
}

/* Questions that come while a list is being fetched are answered with the next one. */
static void who_comes_meanwhile_shares_the_next_list(void **state)
{
	struct world *world = *state;
	struct reply *first = ask_other(world, METHOD_VM_LIST, NULL, 100, NULL), *later[5];

	while (world->server.other_lists == 0)
		world_turn(world);
	for (size_t i = 0; i < ARRAY_SIZE(later); i++)
		later[i] = ask_other(world, METHOD_VM_LIST, NULL, 100, NULL);
	answered(world, first);
	for (size_t i = 0; i < ARRAY_SIZE(later); i++) {
		answered(world, later[i]);
		assert_int_equal(later[i]->count, 2);
	}
	assert_int_equal(world->server.other_lists, 2);
}

static void the_failure_of_a_list_is_told(void **state)
{
	struct world *world = *state;

	world->server.down = true;
	refused(world, ask_other(world, METHOD_VM_LIST, NULL, 100, NULL), ERR_UNAVAILABLE,
		"did not answer");
	world->server.down = false;
	answered(world, ask_other(world, METHOD_VM_LIST, NULL, 100, NULL));
}

/* ---- rights ---- */

static const struct right_record *right_told(struct world *world, struct reply *reply)
{
	const struct right_record *right;

	answered(world, reply);
	assert_int_equal(reply->count, 1);
	right = item(reply, 0);
	assert_string_equal(right->name, "attachVolume");
	assert_string_equal(right->needed_to, "attach the volume");
	assert_int_equal(right->kind, RIGHT_COMMAND);
	return right;
}

static struct reply *ask_rights(struct world *world)
{
	struct no_args args = { 0 };

	return ask(world, METHOD_RIGHT_LIST, &args);
}

static void rights_are_asked_for_once(void **state)
{
	struct world *world = *state;
	struct reply *first = ask_rights(world), *second = ask_rights(world);

	assert_int_equal(right_told(world, first)->allowed, RIGHT_YES);
	assert_int_equal(right_told(world, second)->allowed, RIGHT_YES);
	assert_int_equal(world->server.calls[FAKE_TELL], 1);
	/* The next question is a new one. */
	world->server.facts.forbidden = "attachVolume";
	assert_int_equal(right_told(world, ask_rights(world))->allowed, RIGHT_NO);
	assert_int_equal(world->server.calls[FAKE_TELL], 2);
}

static void rights_that_are_not_told(void **state)
{
	struct world *world = *state;
	const struct right_record *right;

	world->server.down = true;
	right = right_told(world, ask_rights(world));
	assert_int_equal(right->allowed, RIGHT_UNKNOWN);
	assert_non_null(strstr(right->text, "did not answer"));
}

/* ---- users of a disk ---- */

static struct reply *ask_users(struct world *world, const char *volume_id)
{
	struct volume_args args = { .volume_id = (char *)(intptr_t)volume_id };

	return ask(world, METHOD_VOLUME_USERS, &args);
}

static void users_of_a_volume(void **state)
{
	const struct volume_user_record *user;
	struct world *world = *state;
	struct reply *reply;

	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5);
	world_restart(world);
	world_pass(world, 5000);
	attached(world, VOLUME(1));
	reply = ask_users(world, VOLUME(1));
	answered(world, reply);
	assert_int_equal(reply->count, 0);

	kernel_mount(&world->kernel, "vdb");
	reply = ask_users(world, VOLUME(1));
	answered(world, reply);
	assert_int_equal(reply->count, 1);
	user = item(reply, 0);
	assert_string_equal(user->device_path, "/dev/vdb");
	assert_string_equal(user->use, "mounted at /mnt/data");
	assert_false(user->is_system);

	/* It is attached to nothing, so it has no disk here. */
	reply = ask_users(world, VOLUME(2));
	answered(world, reply);
	assert_int_equal(reply->count, 0);
	refused(world, ask_users(world, VOLUME(9)), ERR_NOT_FOUND, VOLUME(9));

	/* Newer than the list. */
	server_add(&world->server, "three", 5);
	reply = ask_users(world, VOLUME(3));
	answered(world, reply);
	assert_int_equal(reply->count, 0);
	world->server.down = true;
	refused(world, ask_users(world, VOLUME(4)), ERR_UNAVAILABLE, "did not answer");
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
		TEST(an_idle_hour_costs_little),
		TEST(a_list_that_fails_slowly_is_not_given_up),
		TEST(a_volume_that_vanished_is_forgotten),
		TEST(a_new_list_by_request),
		TEST(strange_volumes_are_named),
		TEST(a_page_may_be_older_than_an_answer),
		TEST(a_volume_with_a_long_text_is_followed),
		TEST(vms_come_in_pages),
		TEST(offerings_and_zones_by_name),
		TEST(who_comes_meanwhile_shares_the_next_list),
		TEST(the_failure_of_a_list_is_told),
		TEST(rights_are_asked_for_once),
		TEST(rights_that_are_not_told),
		TEST(users_of_a_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
