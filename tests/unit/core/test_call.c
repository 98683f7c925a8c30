/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one door: who may come in and when, that each asker is answered once, and that one who leaves
 * leaves nothing. */

#include "fixture.h"

static enum err_code code_of(struct world *world, struct reply *reply)
{
	answered(world, reply);
	return reply->err.code;
}

/* ---- coming in ---- */

static void never_from_inside(void **state)
{
	struct world *world = *state;
	struct no_args args = { 0 };
	struct reply *reply = ask(world, METHOD_HEALTH_GET, &args);

	assert_false(reply->done);
	answered(world, reply);
	assert_string_equal(((const struct health_record *)item(reply, 0))->status, "healthy");
}

/* Other calls pass lists, which take their time, and so do clients that come later. */
static void lists_leave_turns_to_others(void **state)
{
	struct world *world = *state;
	struct volume_list_args args = { 0 };
	struct no_args none = { 0 };
	struct reply *lists[5], *health;
	size_t made = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		lists[i] = ask(world, METHOD_VOLUME_LIST, &args);
	health = ask(world, METHOD_HEALTH_GET, &none);
	loop_turn(world->loop);
	assert_true(health->done);
	loop_turn(world->loop);
	loop_turn(world->loop);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		made += lists[i]->done;
	assert_true(made <= 1);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		answered(world, lists[i]);
}

static void access_levels(void **state)
{
	struct world *world = *state;
	char volume[] = VOLUME(1), vm[] = APPLIANCE;
	struct volume_attach_args args = { .volume_id = volume, .vm_id = vm };

	server_add(&world->server, "one", 5);
	for (int id = 0; id < METHOD_COUNT; id++) {
		const struct method *method = &methods[id];
		char text[] = "x";
		union {
			struct operation_args operation;
			struct operation_list_args list;
			struct volume_create_args create;
		} any = { 0 };

		if (method->args == &operation_args)
			any.operation.operation_id = text;
		for (int access = ACCESS_READ; access < (int)method->access; access++)
			assert_int_equal(code_of(world, ask_as(world, (enum method_id)id, &any,
							       (enum method_access)access)),
					 ERR_FORBIDDEN);
	}
	assert_int_equal(code_of(world, ask_as(world, METHOD_VOLUME_ATTACH, &args, ACCESS_READ)),
			 ERR_FORBIDDEN);
	assert_int_equal(operation_count(world->core->engine), 0);
	completed(world,
		  accepted(world, ask_as(world, METHOD_VOLUME_ATTACH, &args, ACCESS_CHANGE)));
}

static void required_arguments(void **state)
{
	struct world *world = *state;
	struct volume_attach_args args = { 0 };
	struct reply *reply = ask(world, METHOD_VOLUME_ATTACH, &args);

	assert_int_equal(code_of(world, reply), ERR_INVALID);
	assert_string_equal(reply->err.field, "volume_id");
	assert_int_equal(operation_count(world->core->engine), 0);
}

static void too_many(void **state)
{
	struct world *world = *state;
	struct reply *replies[4];

	world->core->env.options.max_operations = 3;
	for (int i = 0; i < 4; i++) {
		server_add(&world->server, "one", 5);
		replies[i] = ask_attach(world,
					i == 0   ? VOLUME(1)
					: i == 1 ? VOLUME(2)
					: i == 2 ? VOLUME(3)
						 : VOLUME(4),
					OTHER_VM);
	}
	for (int i = 0; i < 3; i++)
		accepted(world, replies[i]);
	assert_int_equal(code_of(world, replies[3]), ERR_TOO_MANY);
	completed(world, accepted(world, replies[0]));
	completed(world, accepted(world, ask_attach(world, VOLUME(4), OTHER_VM)));
}

static struct reply *attach_by(struct world *world, int nth, const struct caller *caller)
{
	char volume[] = VOLUME(1), vm[] = APPLIANCE;
	struct volume_attach_args args = { .volume_id = volume, .vm_id = vm };

	volume[7] = (char)('0' + nth);
	return ask_by(world, METHOD_VOLUME_ATTACH, &args, caller);
}

static void too_many_of_one_caller(void **state)
{
	struct world *world = *state;
	const struct caller ci = { .surface = "rest", .access = ACCESS_CHANGE, .token = "ci" };
	const struct caller other = { .surface = "rest", .access = ACCESS_CHANGE, .token = "x" };
	const struct caller on_bus = { .surface = "bus", .access = ACCESS_CHANGE };

	for (int i = 0; i < 8; i++)
		server_add(&world->server, "one", 5)->plug_ms = 20000;
	world->core->env.options.max_operations_per_caller = 2;
	for (int i = 1; i <= 2; i++)
		accepted(world, attach_by(world, i, &ci));
	refused(world, attach_by(world, 3, &ci), ERR_TOO_MANY,
		"2 operations of this caller (token ci) are unfinished");
	accepted(world, attach_by(world, 3, &other));
	for (int i = 4; i <= 6; i++)
		accepted(world, attach_by(world, i, &on_bus));
	world_restart(world);
	world->core->env.options.max_operations_per_caller = 2;
	world_pass(world, 3000); /* CloudStack has answered */
	refused(world, attach_by(world, 7, &ci), ERR_TOO_MANY, "operations.max_per_caller");
	world_pass(world, 60000);
	accepted(world, attach_by(world, 7, &ci));
}

static void without_cloud(void **state)
{
	struct world *world = *state;
	char id[] = VOLUME(1);
	struct volume_get_args args = { .volume_id = id, .refresh = true };

	server_add(&world->server, "one", 5);
	world->server.down = true;
	assert_int_equal(code_of(world, ask(world, METHOD_VOLUME_GET, &args)), ERR_UNAVAILABLE);
	assert_int_equal(code_of(world, ask_attach(world, VOLUME(1), OTHER_VM)), ERR_UNAVAILABLE);
	assert_int_equal(operation_count(world->core->engine), 0);
	/* It comes back, and that is noticed within seconds. */
	world->server.down = false;
	world_pass(world, 6000);
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	world_kill(world);
	world->core = core_new(world->loop, &world->options, world->store, NULL, NULL);
	core_listen(world->core, &world->listener);
	assert_int_equal(code_of(world, ask_attach(world, VOLUME(1), OTHER_VM)), ERR_UNAVAILABLE);
	assert_int_equal(code_of(world, ask(world, METHOD_VOLUME_GET, &args)), ERR_UNAVAILABLE);
	assert_int_equal(code_of(world,
				 ask(world, METHOD_VOLUME_LIST, &(struct volume_list_args){ 0 })),
			 ERR_UNAVAILABLE);
}

static void cloud_comes_later(void **state)
{
	struct world *world = *state;
	char id[64];

	server_add(&world->server, "one", 5);
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	world_kill(world);
	world->core = core_new(world->loop, &world->options, world->store, NULL, NULL);
	core_listen(world->core, &world->listener);
	world_pass(world, 60000);
	/* Nobody has shown yet that the store is current. */
	assert_int_equal(core_operation(world->core, id)->status, OPERATION_PENDING);
	world->cloud = server_connect(&world->server);
	core_set_cloud(world->core, world->cloud);
	completed(world, id);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
}

static void store_away(void **state)
{
	struct world *world = *state;
	struct reply *health;

	store_memory_set_away(world->store, "disk full");
	assert_int_equal(code_of(world, ask_attach(world, VOLUME(1), OTHER_VM)), ERR_UNAVAILABLE);
	assert_int_equal(code_of(world, ask_operation(world, METHOD_OPERATION_GET, "op-x")),
			 ERR_UNAVAILABLE);
	health = ask(world, METHOD_HEALTH_GET, &(struct no_args){ 0 });
	answered(world, health);
	assert_true(health->unhealthy);
	assert_string_equal(((const struct health_record *)item(health, 0))->database_health,
			    "disk full");
}

static void draining(void **state)
{
	struct world *world = *state;
	char id[64];

	server_add(&world->server, "one", 5);
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	at_step(world, id, "await-job", PHASE_WAITING);
	core_drain(world->core);
	assert_int_equal(code_of(world, ask_detach(world, VOLUME(1), false)), ERR_UNAVAILABLE);
	assert_int_equal(code_of(world, ask(world, METHOD_MAPPING_LIST,
					    &(struct mapping_list_args){ .limit = 1 })),
			 ERR_NONE);
	world_pass(world, 60000);
	/* What had begun stands where it was, and goes on after the next start. */
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, id), 0);
	world_stop(world);
	world_open(world);
	completed(world, id);
	world_pass(world, 1000);
	check_world(world, 1);
}

/* ---- leaving ---- */

static struct reply *ask_any(struct world *world, enum method_id id)
{
	char volume[] = VOLUME(1), operation[] = "op-unknown", name[] = "new", vm[] = APPLIANCE,
	     other[] = OTHER_VM;
	struct volume_create_args create = {
		.name = name, .disk_offering_id = volume, .size = GIB, .zone_id = volume
	};
	struct volume_attach_args attach = { .volume_id = volume, .vm_id = vm };
	struct volume_attach_root_args attach_root = { .volume_id = volume, .vm_id = other };
	struct volume_cleanup_args clean = { .test_vm_id = other,
					     .volume_id = volume,
					     .oma_vm_id = vm };
	struct volume_detach_args detach = { .volume_id = volume };
	struct volume_resize_args resize = { .volume_id = volume, .size = 8 * GIB };
	struct operation_get_args get = { .operation_id = operation };
	struct operation_list_args list = { .limit = 10 };
	struct operation_history_args history = { .operation_id = operation, .limit = 10 };
	struct volume_list_args volumes = { 0 };
	struct mapping_list_args mappings = { .limit = 10 };
	struct volume_get_args volume_get = { .volume_id = volume, .refresh = true };
	struct vm_volumes_args vms = { .vm_id = vm };
	struct device_args device = { .device = name };
	struct sync_args sync = { 0 };
	struct reload_args reload = { 0 };
	struct export_create_args export = { .volume_id = volume };
	struct export_list_args exports = { .limit = 10 };
	struct export_delete_args unexport = { .volume_id = volume };
	struct export_cleanup_args cleanup = { 0 };
	struct export_cleanup_age_args cleanup_age = { .max_age_hours = 1 };
	struct snapshot_track_args track = { .volume_uuid = volume,
					     .vm_context_id = name,
					     .snapshot_id = name };
	struct snapshot_update_args update = { .id = volume, .snapshot_id = name };
	struct vm_context_args context = { .vm_context_id = name };
	struct token_create_args token_create = { .name = name };
	struct token_args token = { .name = name };
	const struct record *record = methods[id].args;
	/* Of all others: what they name stands first, and nothing else is asked for. */
	const char *const named = volume;
	_Alignas(struct volume_attach_args) char others[512] = { 0 };

	assert_true(record->size <= sizeof(others));
	memcpy(others, &named, sizeof(named));
	return ask(world, id,
		   record == &volume_create_args        ? (void *)&create
		   : record == &volume_attach_args      ? (void *)&attach
		   : record == &volume_attach_root_args ? (void *)&attach_root
		   : record == &volume_cleanup_args     ? (void *)&clean
		   : record == &volume_detach_args      ? (void *)&detach
		   : record == &volume_resize_args      ? (void *)&resize
		   : record == &operation_get_args || record == &operation_args ? (void *)&get
		   : record == &operation_list_args                             ? (void *)&list
		   : record == &operation_history_args                          ? (void *)&history
		   : record == &volume_list_args                                ? (void *)&volumes
		   : record == &mapping_list_args                               ? (void *)&mappings
		   : record == &volume_get_args         ? (void *)&volume_get
		   : record == &sync_args               ? (void *)&sync
		   : record == &reload_args             ? (void *)&reload
		   : record == &token_create_args       ? (void *)&token_create
		   : record == &token_args              ? (void *)&token
		   : record == &export_create_args      ? (void *)&export
		   : record == &export_list_args        ? (void *)&exports
		   : record == &export_delete_args      ? (void *)&unexport
		   : record == &export_cleanup_args     ? (void *)&cleanup
		   : record == &export_cleanup_age_args ? (void *)&cleanup_age
		   : record == &vm_volumes_args         ? (void *)&vms
		   : record == &device_args             ? (void *)&device
		   : record == &snapshot_track_args     ? (void *)&track
		   : record == &snapshot_update_args    ? (void *)&update
		   : record == &vm_context_args         ? (void *)&context
							: (void *)others);
}

/* At every turn of every method the asker leaves: nothing is left of the call, and an operation
 * goes on by itself. */
static void asker_leaves_at_every_turn(void **state)
{
	for (int id = 0; id < METHOD_COUNT; id++) {
		for (unsigned count = 0; count < 12; count++) {
			void *each = NULL;
			struct world *world;
			struct reply *reply;
			bool late;

			world_setup(&each);
			world = each;
			server_add(&world->server, "one", 5);
			reply = ask_any(world, (enum method_id)id);
			for (unsigned i = 0; i < count; i++) {
				if (!world_turn(world))
					clock_test_advance(20);
			}
			late = reply->done;
			if (!late)
				call_cancel(reply->call);
			assert_true(TAILQ_EMPTY(&world->core->calls.calls));
			world_pass(world, 120000);
			assert_int_equal(reply->done, late);
			assert_int_equal(operation_count(world->core->engine), 0);
			world_teardown(&each);
		}
	}
}

/* ---- waiting for an operation ---- */

static struct reply *ask_wait(struct world *world, const char *operation_id, int64_t seconds)
{
	char id[64];
	struct operation_get_args args = { .operation_id = id, .wait = seconds };

	snprintf(id, sizeof(id), "%s", operation_id);
	return ask(world, METHOD_OPERATION_GET, &args);
}

static void wait_is_over(void **state)
{
	struct world *world = *state;
	struct reply *short_one, *long_one, *late;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = 20000;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	short_one = ask_wait(world, id, 5);
	long_one = ask_wait(world, id, 60);
	world_pass(world, 4000);
	assert_false(short_one->done);
	world_pass(world, 2000);
	assert_int_equal(((const struct operation_record *)item(short_one, 0))->status,
			 OPERATION_EXECUTING);
	completed(world, id);
	assert_int_equal(((const struct operation_record *)item(long_one, 0))->status,
			 OPERATION_COMPLETED);
	late = ask_wait(world, id, 60);
	world_pass(world, 0);
	assert_int_equal(((const struct operation_record *)item(late, 0))->status,
			 OPERATION_COMPLETED);
	assert_int_equal(code_of(world, ask_wait(world, "op-unknown", 60)), ERR_NOT_FOUND);
}

/* Before the wait began, and in the midst of it. A hurried caller is answered once. */
static void hurried_waits_are_answered_as_it_is(void **state)
{
	struct world *world = *state;
	struct reply *early, *late, *patient;
	const char *id;

	server_add(&world->server, "one", 5)->plug_ms = 20000;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	early = ask_wait(world, id, 60);
	call_hurry(early->call);
	late = ask_wait(world, id, 60);
	patient = ask_wait(world, id, 60);
	world_pass(world, 1000);
	assert_true(early->done);
	assert_false(late->done);
	call_hurry(late->call);
	assert_false(late->done);
	world_pass(world, 0);
	assert_int_equal(((const struct operation_record *)item(early, 0))->status,
			 OPERATION_EXECUTING);
	assert_int_equal(((const struct operation_record *)item(late, 0))->status,
			 OPERATION_EXECUTING);
	assert_false(patient->done);
	completed(world, id);
	assert_true(patient->done);
}

/* A granted cancellation is durable, so its answer cannot come early; nor can any other. */
static void other_calls_are_not_hurried(void **state)
{
	struct world *world = *state;
	struct reply *created;

	created = ask_create(world, "one");
	call_hurry(created->call);
	completed(world, accepted(world, created));
}

static void cancel_other(struct reply *reply)
{
	if (reply->other && reply->other->call)
		call_cancel(TAKE_PTR(reply->other->call));
}

/* The one who is answered first makes the next one leave. */
static void answered_one_sends_the_next_away(void **state)
{
	struct world *world = *state;
	struct reply *replies[3];
	const char *id;

	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	for (int i = 0; i < 3; i++)
		replies[i] = ask_wait(world, id, 60);
	replies[0]->then = cancel_other;
	replies[0]->other = replies[1];
	completed(world, id);
	assert_true(replies[0]->done);
	assert_false(replies[1]->done);
	assert_true(replies[2]->done);
}

/* ---- lists ---- */

static size_t count_of(struct world *world, struct volume_list_args args)
{
	struct reply *reply = ask(world, METHOD_VOLUME_LIST, &args);

	answered(world, reply);
	assert_int_equal(reply->err.code, ERR_NONE);
	return reply->count;
}

static struct reply *create_with_metadata(struct world *world, size_t size)
{
	_cleanup_free_ char *metadata = xasprintf("{\"k\":\"%0*d\"}", (int)size - 8, 0);
	char name[] = "one", offering[] = "dddddddd-0000-4000-8000-00000000000d",
	     zone[] = "cccccccc-0000-4000-8000-00000000000c";
	struct volume_create_args args = { .name = name,
					   .disk_offering_id = offering,
					   .size = UINT64_C(5) << 30,
					   .zone_id = zone,
					   .metadata = metadata };

	return ask(world, METHOD_VOLUME_CREATE, &args);
}

/* A page ends where its records become too large for a message, and the next one goes on there. */
static void pages_end_by_weight(void **state)
{
	struct world *world = *state;
	struct operation_list_args args = { .limit = 1000 };
	size_t seen = 0, pages = 0;

	for (int i = 0; i < 100; i++)
		completed(world, accepted(world, create_with_metadata(world, 16 << 10)));
	do {
		struct reply *reply = ask(world, METHOD_OPERATION_LIST, &args);
		size_t weight = 0;

		answered(world, reply);
		assert_true(reply->count > 0);
		for (size_t i = 0; i < reply->count; i++)
			weight += record_weight(reply->record, item(reply, i));
		assert_in_range(weight, 1, ANSWER_SIZE_MAX / 2);
		seen += reply->count;
		pages++;
		args.cursor = reply->next_cursor;
	} while (args.cursor);
	assert_int_equal(seen, 100);
	assert_in_range(pages, 2, 10);
}

static void volume_filters(void **state)
{
	struct world *world = *state;
	char one[] = "one", ready[] = "Ready", allocated[] = "Allocated", vm[] = OTHER_VM;
	struct volume_list_args page = { .limit = 2 };
	struct reply *reply;

	server_attach(&world->server, server_add(&world->server, "one", 5), OTHER_VM);
	server_add(&world->server, "two", 5);
	server_add(&world->server, "one", 5);
	world_pass(world, 310000);
	assert_int_equal(count_of(world, (struct volume_list_args){ 0 }), 3);
	assert_int_equal(count_of(world, (struct volume_list_args){ .name = one }), 2);
	assert_int_equal(count_of(world, (struct volume_list_args){ .vm_id = vm }), 1);
	assert_int_equal(count_of(world, (struct volume_list_args){ .name = one, .state = ready }),
			 1);
	assert_int_equal(count_of(world, (struct volume_list_args){ .state = allocated }), 2);
	reply = ask(world, METHOD_VOLUME_LIST, &page);
	answered(world, reply);
	assert_int_equal(reply->count, 2);
	assert_string_equal(reply->next_cursor, VOLUME(2));
	page.cursor = reply->next_cursor;
	reply = ask(world, METHOD_VOLUME_LIST, &page);
	answered(world, reply);
	assert_string_equal(((const struct volume_record *)item(reply, 0))->volume_id, VOLUME(3));
	assert_int_equal(reply->count, 1);
	assert_null(reply->next_cursor);
}

#define MANY_VOLUMES 1001

/* What the list no longer shows is forgotten. */
static void many_volumes(void **state)
{
	struct world *world = *state;

	for (int i = 0; i < MANY_VOLUMES; i++)
		server_add(&world->server, "many", 5);
	world_pass(world, 310000);
	assert_int_equal(count_of(world, (struct volume_list_args){ 0 }), MANY_VOLUMES);
	server_find(&world->server, VOLUME(1))->gone = true;
	world_pass(world, 310000);
	assert_int_equal(count_of(world, (struct volume_list_args){ 0 }), MANY_VOLUMES - 1);
	assert_int_equal(events_of(world, EVENT_VOLUME_REMOVED, VOLUME(1)), 1);
}

static void operation_filters(void **state)
{
	struct world *world = *state;
	char detach[] = "detach", failed[] = "failed", nonsense[] = "levitate";
	struct operation_list_args args = { .limit = 2 };
	struct reply *reply;
	char newest[64];

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	snprintf(newest, sizeof(newest), "%s",
		 accepted(world, ask_detach(world, VOLUME(1), false)));
	ended_with(world, newest, OPERATION_FAILED, "not attached");
	reply = ask(world, METHOD_OPERATION_LIST, &args);
	answered(world, reply);
	assert_int_equal(reply->count, 2);
	assert_string_equal(((const struct operation_record *)item(reply, 0))->id, newest);
	args.cursor = reply->next_cursor;
	reply = ask(world, METHOD_OPERATION_LIST, &args);
	answered(world, reply);
	assert_int_equal(reply->count, 1);
	assert_null(reply->next_cursor);
	args = (struct operation_list_args){ .limit = 9, .type = detach, .status = failed };
	reply = ask(world, METHOD_OPERATION_LIST, &args);
	answered(world, reply);
	assert_int_equal(reply->count, 1);
	args.type = nonsense;
	reply = ask(world, METHOD_OPERATION_LIST, &args);
	assert_int_equal(code_of(world, reply), ERR_INVALID);
	assert_string_equal(reply->err.field, "type");
}

static int64_t operations_counted(struct world *world, int64_t taking_ms)
{
	struct reply *reply = ask(world, METHOD_METRICS_GET, &(struct no_args){ 0 });
	const struct metrics_record *record;

	world_turn(world); /* the count has begun */
	clock_test_advance(taking_ms);
	answered(world, reply);
	record = item(reply, 0);
	return record->total_operations;
}

/* A count that was slow once, or that the machine was paused in, does not stand for hours. */
static void a_slow_count_serves_for_a_minute(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	assert_int_equal(operations_counted(world, 20000), 0);
	attached(world, VOLUME(1));
	world_pass(world, 60000);
	assert_int_equal(operations_counted(world, 0), 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(never_from_inside),
		TEST(lists_leave_turns_to_others),
		TEST(access_levels),
		TEST(required_arguments),
		TEST(too_many),
		TEST(too_many_of_one_caller),
		TEST(without_cloud),
		TEST(cloud_comes_later),
		TEST(store_away),
		TEST(draining),
		cmocka_unit_test(asker_leaves_at_every_turn),
		TEST(wait_is_over),
		TEST(hurried_waits_are_answered_as_it_is),
		TEST(other_calls_are_not_hurried),
		TEST(answered_one_sends_the_next_away),
		TEST(pages_end_by_weight),
		TEST(volume_filters),
		TEST(many_volumes),
		TEST(operation_filters),
		TEST(a_slow_count_serves_for_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
