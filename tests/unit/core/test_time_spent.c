/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where the time of an operation went, shown while it runs, when it has ended, and after restarts.
 */

#include "core/engine/time_spent.h"
#include "fixture.h"

#define LONG_MS 20000 /* far more than the rest of an operation takes in this world */

static int64_t part(const struct operation_record *record, const char *name)
{
	_cleanup_json_ struct json *json = NULL;
	int64_t ms = -1;

	assert_non_null(record->time_spent);
	json = json_parse(record->time_spent, strlen(record->time_spent), NULL);
	assert_int_equal(json_integer(json_get(json, name), &ms), 0);
	return ms;
}

static int64_t all_parts(const struct operation_record *record)
{
	return part(record, "own_ms") + part(record, "waiting_ms") + part(record, "cloudstack_ms") +
	       part(record, "kernel_ms");
}

/* Nothing is counted twice, and nothing is left out. */
static void assert_whole(const struct operation_record *record)
{
	assert_int_equal(all_parts(record), record->completed_at - record->created_at);
}

static const char *attach_stuck(struct world *world, const char *volume_id)
{
	const char *id;

	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_JOB_STUCK });
	id = accepted(world, ask_attach(world, volume_id, APPLIANCE));
	at_step(world, id, "await-job", PHASE_WAITING);
	return id;
}

static void test_time_of_cloudstack_and_of_the_queue(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;
	const char *attach, *detach;

	server_add(&world->server, "one", 5);
	attach = attach_stuck(world, VOLUME(1));
	detach = accepted(world, ask_detach(world, VOLUME(1), false));
	world_pass(world, LONG_MS);
	server_release_stuck(&world->server);
	record = ended(world, attach);
	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_true(part(record, "cloudstack_ms") >= LONG_MS);
	assert_true(all_parts(record) - part(record, "cloudstack_ms") < LONG_MS);
	assert_whole(record);
	record = ended(world, detach);
	assert_true(part(record, "waiting_ms") >= LONG_MS);
	assert_true(all_parts(record) - part(record, "waiting_ms") < LONG_MS);
	assert_whole(record);
}

static double sum_of_attachments(struct world *world)
{
	static const char series[] = "volumed_operation_duration_seconds_sum{type=\"attach\"} ";
	_cleanup_buf_ struct buf page = BUF_NULL;
	const char *found;

	core_put_metrics(world->core, &page);
	found = strstr(page.data, series);
	assert_non_null(found);
	return strtod(found + strlen(series), NULL);
}

/* Somebody sets it back while an operation runs. */
static void test_the_wall_clock_measures_nothing(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	id = attach_stuck(world, VOLUME(1));
	clock_test_set_wall(clock_wall_ms() - 3600000);
	world_pass(world, LONG_MS);
	server_release_stuck(&world->server);
	assert_int_equal(ended(world, id)->status, OPERATION_COMPLETED);
	assert_true(sum_of_attachments(world) >= (double)LONG_MS / 1000);
}

/* The disk comes long after the job's end. */
static void test_time_from_cloudstack_to_the_kernel(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = LONG_MS;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	record = ended(world, id);
	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_true(part(record, "kernel_ms") >= LONG_MS / 2);
	assert_true(part(record, "own_ms") < LONG_MS / 10);
	assert_whole(record);
}

static void test_time_survives_a_restart(void **state)
{
	struct world *world = *state;
	_cleanup_free_ char *shown = NULL;
	char type[] = "detach";
	struct reply *reply;
	const char *attach, *detach;
	_cleanup_free_ char *id = NULL;

	server_add(&world->server, "one", 5);
	attach = attach_stuck(world, VOLUME(1));
	detach = accepted(world, ask_detach(world, VOLUME(1), false));
	id = xstrdup(detach);
	world_pass(world, LONG_MS);
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_JOB_STUCK });
	server_release_stuck(&world->server);
	completed(world, attach);
	at_step(world, id, "await-job", PHASE_WAITING);
	world_restart(world);
	server_release_stuck(&world->server);
	shown = xstrdup(ended(world, id)->time_spent);
	assert_true(part(ended(world, id), "waiting_ms") >= LONG_MS);

	/* from the store */
	world_restart(world);
	assert_null(core_operation(world->core, id));
	reply = ask_operation(world, METHOD_OPERATION_GET, id);
	answered(world, reply);
	assert_string_equal(((const struct operation_record *)item(reply, 0))->time_spent, shown);
	reply = ask(world, METHOD_OPERATION_LIST,
		    &(struct operation_list_args){ .type = type, .limit = 10 });
	answered(world, reply);
	assert_int_equal(reply->count, 1);
	assert_string_equal(((const struct operation_record *)item(reply, 0))->time_spent, shown);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_time_of_cloudstack_and_of_the_queue),
		TEST(test_time_from_cloudstack_to_the_kernel),
		TEST(test_the_wall_clock_measures_nothing),
		TEST(test_time_survives_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
