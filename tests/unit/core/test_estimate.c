/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an operation shows of its end: nothing the first time, and afterwards what the operations
 * before it took, also after a restart and after one that was stuck. */

#include "core/engine/estimate.h"
#include "fixture.h"

#define LONG_MS 20000 /* far more than the rest of an operation takes in this world */

static int setup(void **state)
{
	int r = world_setup(state);
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	world->server.job_ms = LONG_MS;
	return r;
}

static struct operation *attach_begun(struct world *world)
{
	const char *id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));

	return at_step(world, id, "await-job", PHASE_WAITING);
}

static void finish(struct world *world, const struct operation *operation)
{
	_cleanup_free_ char *id = xstrdup(operation->record.id);

	completed(world, id);
}

static void attach_and_detach(struct world *world)
{
	finish(world, attach_begun(world));
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
}

/* The end is near the time that was expected in the middle of the operation. */
static void check_end(struct world *world, struct operation *operation)
{
	int64_t expected = operation->record.expected_end;
	_cleanup_free_ char *id = xstrdup(operation->record.id);
	const struct operation_record *record;

	assert_true(operation->record.progress > 0 && operation->record.progress < 0.5);
	completed(world, id);
	record = ended(world, id);
	assert_true(expected > record->started_at);
	assert_true(llabs(expected - record->completed_at) < LONG_MS / 10);
	assert_true(record->progress == 1);
	assert_int_equal(record->expected_end, 0);
}

static void test_first_operation_cannot_tell(void **state)
{
	struct world *world = *state;
	struct operation *operation = attach_begun(world);
	_cleanup_free_ char *id = xstrdup(operation->record.id);
	int64_t started_at = operation->record.started_at;

	assert_true(operation->record.progress == -1);
	assert_int_equal(operation->record.expected_end, 0);
	assert_true(started_at >= operation->record.created_at);
	completed(world, id);
	assert_true(ended(world, id)->progress == 1);
	assert_int_equal(ended(world, id)->started_at, started_at);
}

static void test_second_operation_knows_from_the_first(void **state)
{
	struct world *world = *state;
	struct operation *operation;
	double progress = 0;
	size_t seen, steps = 0;

	attach_and_detach(world);
	seen = world->seen_count;
	operation = attach_begun(world);
	check_end(world, operation);
	for (; seen < world->seen_count; seen++) {
		if (world->seen[seen].type != EVENT_OPERATION_CHANGED)
			continue;
		assert_true(world->seen[seen].operation.progress >= progress);
		progress = world->seen[seen].operation.progress;
		steps++;
	}
	assert_true(steps > 3 && progress > 0.5 && progress < 1);
}

static void test_knowledge_is_in_the_store(void **state)
{
	struct world *world = *state;

	attach_and_detach(world);
	world_restart(world);
	world_pass(world, 1000);
	check_end(world, attach_begun(world));
}

static void test_one_that_was_stuck_teaches_little(void **state)
{
	struct world *world = *state;

	for (int i = 0; i < 3; i++)
		attach_and_detach(world);
	world->server.job_ms = 10 * LONG_MS;
	attach_and_detach(world);
	world->server.job_ms = LONG_MS;
	check_end(world, attach_begun(world));
}

/* Attachments to this machine wait for their disks. Nothing is waited for on another one. */
static void test_steps_that_are_left_out_take_no_time(void **state)
{
	struct world *world = *state;
	const char *id;

	server_find(&world->server, VOLUME(1))->plug_ms = LONG_MS + LONG_MS / 2;
	attach_and_detach(world);
	id = accepted(world, ask_attach(world, VOLUME(1), OTHER_VM));
	check_end(world, at_step(world, id, "await-job", PHASE_WAITING));
}

/* The operation that was resumed knows its end when the history has been read. */
static void test_operation_that_was_resumed(void **state)
{
	struct world *world = *state;
	_cleanup_free_ char *id = NULL;
	int64_t started_at;

	attach_and_detach(world);
	id = xstrdup(attach_begun(world)->record.id);
	started_at = core_operation(world->core, id)->started_at;
	world_restart(world);
	at_step(world, id, "await-job", PHASE_WAITING);
	world_pass(world, 100);
	assert_true(core_operation(world->core, id)->expected_end > 0);
	assert_int_equal(core_operation(world->core, id)->started_at, started_at);
	completed(world, id);
}

static void test_operation_that_waits_and_one_that_fails(void **state)
{
	struct world *world = *state;
	_cleanup_free_ char *attach = NULL, *detach = NULL;
	struct reply *reply;

	attach_and_detach(world);
	attach = xstrdup(attach_begun(world)->record.id);
	detach = xstrdup(accepted(world, ask_detach(world, VOLUME(1), false)));
	assert_true(core_operation(world->core, detach)->progress == 0);
	assert_int_equal(core_operation(world->core, detach)->expected_end, 0);
	assert_int_equal(core_operation(world->core, detach)->started_at, 0);
	reply = ask(world, METHOD_OPERATION_LIST, &(struct operation_list_args){ .limit = 10 });
	answered(world, reply);
	assert_true(((const struct operation_record *)item(reply, 1))->expected_end > 0);

	answered(world, ask_operation(world, METHOD_OPERATION_CANCEL, attach));
	ended_with(world, attach, OPERATION_CANCELLED, "cancelled by request");
	assert_true(core_operation(world->core, attach)->progress == -1);
	assert_int_equal(core_operation(world->core, attach)->expected_end, 0);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_operation_cannot_tell),
		TEST(test_second_operation_knows_from_the_first),
		TEST(test_knowledge_is_in_the_store),
		TEST(test_one_that_was_stuck_teaches_little),
		TEST(test_steps_that_are_left_out_take_no_time),
		TEST(test_operation_that_was_resumed),
		TEST(test_operation_that_waits_and_one_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
