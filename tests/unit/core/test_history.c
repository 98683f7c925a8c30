/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The history of an operation: each status and step in its order, and the caller of each change.
 */

#include "fixture.h"

static const struct caller on_bus = { .surface = "bus",
				      .access = ACCESS_CHANGE,
				      .bus_name = ":1.42" };
static const struct caller over_tcp = { .surface = "rest",
					.access = ACCESS_CHANGE,
					.address = "127.0.0.1:40312" };

static struct reply *attach_by(struct world *world, const char *volume_id,
			       const struct caller *caller)
{
	char volume[37], vm[] = APPLIANCE;
	struct volume_attach_args args = { .volume_id = volume, .vm_id = vm };

	snprintf(volume, sizeof(volume), "%s", volume_id);
	return ask_by(world, METHOD_VOLUME_ATTACH, &args, caller);
}

static struct reply *ask_page(struct world *world, const char *operation_id, const char *cursor,
			      int64_t limit)
{
	char id[64], place[256];
	struct operation_history_args args = { .operation_id = id,
					       .limit = limit,
					       .cursor = cursor ? place : NULL };

	snprintf(id, sizeof(id), "%s", operation_id);
	snprintf(place, sizeof(place), "%s", cursor ? cursor : "");
	return ask(world, METHOD_OPERATION_HISTORY, &args);
}

static struct reply *history_of(struct world *world, const char *operation_id)
{
	struct reply *reply = ask_page(world, operation_id, NULL, 1000);

	answered(world, reply);
	assert_int_equal(reply->err.code, ERR_NONE);
	return reply;
}

static const struct history_record *transition(const struct reply *history, size_t n)
{
	return item(history, n);
}

static void every_step_and_who_asked(void **state)
{
	struct world *world = *state;
	const struct fake_volume *volume = server_add(&world->server, "v", 5);
	const char *id = accepted(world, attach_by(world, volume->id, &over_tcp));
	struct reply *history;
	const struct history_record *first, *last;

	completed(world, id);
	history = history_of(world, id);
	first = transition(history, 0);
	assert_string_equal(first->previous_status, "");
	assert_string_equal(first->new_status, "pending");
	assert_string_equal(first->caller,
			    "{\"surface\":\"rest\",\"address\":\"127.0.0.1:40312\"}");
	assert_string_equal(first->asked_by, "address 127.0.0.1:40312");
	assert_null(first->step);
	for (size_t i = 1; i < history->count; i++) {
		assert_string_equal(transition(history, i)->previous_status,
				    transition(history, i - 1)->new_status);
		assert_true(transition(history, i)->changed_at >=
			    transition(history, i - 1)->changed_at);
		assert_null(transition(history, i)->caller);
		assert_string_equal(transition(history, i)->asked_by, first->asked_by);
	}
	assert_string_equal(transition(history, 1)->step, "check");
	last = transition(history, history->count - 1);
	assert_string_equal(last->new_status, "completed");
	assert_string_equal(core_operation(world->core, id)->caller, first->caller);
}

static void who_cancelled(void **state)
{
	struct world *world = *state;
	const struct fake_volume *volume = server_add(&world->server, "v", 5);
	char id[64];
	struct operation_cancel_args args = { .operation_id = id };
	struct reply *history;
	size_t n;

	snprintf(id, sizeof(id), "%s", accepted(world, attach_by(world, volume->id, &over_tcp)));
	at_step(world, id, "await-job", PHASE_WAITING);
	ask_by(world, METHOD_OPERATION_CANCEL, &args, &on_bus);
	ended_with(world, id, OPERATION_CANCELLED, "cancelled by request");
	history = history_of(world, id);
	for (n = 1; n < history->count && !transition(history, n)->caller; n++)
		assert_string_equal(transition(history, n)->asked_by, "address 127.0.0.1:40312");
	assert_true(n > 1 && n < history->count);
	assert_string_equal(transition(history, n)->caller,
			    "{\"surface\":\"bus\",\"bus_name\":\":1.42\"}");
	for (; n < history->count; n++)
		assert_string_equal(transition(history, n)->asked_by, "connection :1.42");
	/* The operation itself is still that of its first caller. */
	assert_string_equal(core_operation(world->core, id)->caller,
			    "{\"surface\":\"rest\",\"address\":\"127.0.0.1:40312\"}");
}

/* An operation that goes on after a restart has the caller that it had. */
static void after_a_restart(void **state)
{
	struct world *world = *state;
	const struct fake_volume *volume = server_add(&world->server, "v", 5);
	char id[64];
	struct reply *history;

	snprintf(id, sizeof(id), "%s", accepted(world, attach_by(world, volume->id, &over_tcp)));
	at_step(world, id, "await-job", PHASE_WAITING);
	world_restart(world);
	assert_string_equal(core_operation(world->core, id)->caller,
			    "{\"surface\":\"rest\",\"address\":\"127.0.0.1:40312\"}");
	completed(world, id);
	history = history_of(world, id);
	for (size_t i = 0; i < history->count; i++)
		assert_string_equal(transition(history, i)->asked_by, "address 127.0.0.1:40312");
}

static void of_no_operation(void **state)
{
	struct world *world = *state;

	refused(world, ask_page(world, "op-x", NULL, 100), ERR_NOT_FOUND,
		"operation op-x does not exist");
}

/* Two callers, whose words go on from page to page. */
static void in_pages(void **state)
{
	struct world *world = *state;
	const struct fake_volume *volume = server_add(&world->server, "v", 5);
	char id[64];
	struct operation_cancel_args args = { .operation_id = id };
	struct reply *all, *page;
	const char *cursor = NULL;
	size_t n = 0;

	snprintf(id, sizeof(id), "%s", accepted(world, attach_by(world, volume->id, &over_tcp)));
	at_step(world, id, "await-job", PHASE_WAITING);
	ask_by(world, METHOD_OPERATION_CANCEL, &args, &on_bus);
	ended_with(world, id, OPERATION_CANCELLED, "cancelled by request");
	all = history_of(world, id);
	assert_true(all->count > 4);
	assert_null(all->next_cursor);
	do {
		page = ask_page(world, id, cursor, 2);
		answered(world, page);
		assert_in_range(page->count, 1, 2);
		for (size_t i = 0; i < page->count; i++, n++) {
			assert_string_equal(transition(page, i)->id, transition(all, n)->id);
			assert_string_equal(transition(page, i)->asked_by,
					    transition(all, n)->asked_by);
		}
		cursor = page->next_cursor;
	} while (!str_empty(cursor));
	assert_int_equal(n, all->count);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_step_and_who_asked), TEST(who_cancelled),   TEST(in_pages),
		TEST(after_a_restart),          TEST(of_no_operation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
