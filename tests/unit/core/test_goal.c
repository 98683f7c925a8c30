/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A job of CloudStack may fail and do what was asked, or succeed and do nothing. What became of the
 * volume decides, not the job's word; and what a job tells of the volume replaces what was known
 * before it.
 */

#include <inttypes.h>

#include "base/json.h"
#include "fixture.h"

#define TEXT "Command failed due to Internal Server Error"

static void fault(struct world *world, enum fake_command command, enum fault_kind kind)
{
	server_fault(&world->server, (struct fake_fault){ .command = command,
							  .nth = world->server.calls[command] + 1,
							  .kind = kind,
							  .text = TEXT });
}

/* Completed, and its message ends with CloudStack's words. */
static void completed_in_spite(struct world *world, const char *operation_id)
{
	const struct operation_record *record = ended(world, operation_id);

	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_false(record->needs_attention);
	assert_non_null(strstr(record->response,
			       "; CloudStack's job reported a failure all the same: " TEXT "\""));
}

static unsigned lists_of(struct world *world, const char *operation_id,
			 enum operation_status status)
{
	unsigned before = world->server.calls[FAKE_LIST];

	assert_int_equal(ended(world, operation_id)->status, status);
	return world->server.calls[FAKE_LIST] - before;
}

/* ---- it failed, and did it ---- */

static void attached_in_spite(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5);
	fault(world, FAKE_ATTACH, FAULT_JOB_FAILED_AFTER);
	completed_in_spite(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	check_mapped(world, VOLUME(1));
	fault(world, FAKE_ATTACH, FAULT_JOB_FAILED_AFTER);
	completed_in_spite(world, accepted(world, ask_attach(world, VOLUME(2), OTHER_VM)));
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
	check_world(world, 2);
}

static void detached_in_spite(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	fault(world, FAKE_DETACH, FAULT_JOB_FAILED_AFTER);
	completed_in_spite(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	check_unmapped(world, VOLUME(1));
	check_world(world, 1);
}

static void resized_in_spite(void **state)
{
	struct world *world = *state;
	const struct fake_volume *volume = server_add(&world->server, "one", 5);

	attached(world, VOLUME(1));
	fault(world, FAKE_RESIZE, FAULT_JOB_FAILED_AFTER);
	completed_in_spite(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	assert_int_equal(volume->size, 6 * GIB);
	assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.size, 6 * GIB);
}

static void deleted_in_spite(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	fault(world, FAKE_DETACH, FAULT_JOB_FAILED_AFTER);
	fault(world, FAKE_DESTROY, FAULT_JOB_FAILED_AFTER);
	completed(world, accepted(world, ask_delete(world, VOLUME(1))));
	check_world(world, 0);
}

/* Between our look and our request another client attaches it: that is not our doing, and its
 * attachment stays. */
static void attached_by_another_client(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "ask-cloud", PHASE_COMMITTING);
	server_attach(&world->server, server_find(&world->server, VOLUME(1)), APPLIANCE);
	ended_with(world, id, OPERATION_FAILED,
		   "another client of CloudStack has attached the volume to VM " APPLIANCE);
	world_pass(world, 60000);
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
}

/* The words survive a restart between the job and the end. */
static void words_are_kept(void **state)
{
	struct world *world = *state;
	char id[64];

	server_add(&world->server, "one", 5)->plug_ms = 20000;
	fault(world, FAKE_ATTACH, FAULT_JOB_FAILED_AFTER);
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	at_step(world, id, "await-device", PHASE_SLEEPING);
	world_restart(world);
	completed_in_spite(world, id);
}

/* ---- it succeeded, and did nothing ---- */

static void not_attached(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	fault(world, FAKE_ATTACH, FAULT_JOB_IDLE);
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED,
		   "CloudStack reported that volume " VOLUME(
			   1) " was attached, but the volume is not attached");
	world_pass(world, 5000);
	check_world(world, 1);
}

/* Name and export are there again. */
static void not_detached(void **state)
{
	struct world *world = *state;

	served_one(world);
	fault(world, FAKE_DETACH, FAULT_JOB_IDLE);
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   "was detached, but the volume is still attached to VM " APPLIANCE);
	world_pass(world, 5000);
	check_served(world, VOLUME(1));
	check_world(world, 1);
}

static void not_resized(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	fault(world, FAKE_RESIZE, FAULT_JOB_IDLE);
	record = ended(world, accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)));
	assert_int_equal(record->status, OPERATION_FAILED);
	assert_string_equal(record->error_code, "CLOUDSTACK_ERROR");
	assert_non_null(
		strstr(record->error,
		       "was resized, but the volume has 5368709120 bytes instead of 6442450944"));
	assert_false(record->needs_attention);
	assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.size, 5 * GIB);
}

/* An attachment that is taken back by a job that does nothing is still there, and the error says
 * so. */
static void not_taken_back(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;

	server_add(&world->server, "one", 5)->plug_ms = -1;
	fault(world, FAKE_DETACH, FAULT_JOB_IDLE);
	record = ended(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_int_equal(record->status, OPERATION_FAILED);
	assert_true(record->needs_attention);
	assert_non_null(strstr(record->error, "the volume is still attached to VM " APPLIANCE));
}

/* ---- how often CloudStack is asked ---- */

static void asked_no_more_than_needed(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	world_pass(world, 1000);
	/* The check lists the volume, and for an attachment those of the VM; the answer of the job
	 * shows the rest. */
	assert_int_equal(lists_of(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)),
				  OPERATION_COMPLETED),
			 2);
	assert_int_equal(lists_of(world,
				  accepted(world, ask_resize(world, VOLUME(1), 6 * GIB, false)),
				  OPERATION_COMPLETED),
			 1);
	assert_int_equal(lists_of(world, accepted(world, ask_detach(world, VOLUME(1), false)),
				  OPERATION_COMPLETED),
			 1);
	/* A failure is looked at once, and once more for its reason. */
	fault(world, FAKE_RESIZE, FAULT_JOB_FAILED);
	assert_int_equal(lists_of(world,
				  accepted(world, ask_resize(world, VOLUME(1), 7 * GIB, false)),
				  OPERATION_FAILED),
			 3);
}

/* ---- the world after it ---- */

static void check_size(struct world *world, uint64_t size)
{
	const struct mapping *mapping = mapping_find(world->core->model, VOLUME(1));

	check_mapped(world, VOLUME(1));
	assert_int_equal(mapping->record.size, size);
	assert_int_equal(volume_find(world->core->model, VOLUME(1))->cloud.size, size);
	check_world(world, 1);
	world_pass(world, 65000); /* nothing differs */
	assert_int_equal(events_of(world, EVENT_DRIFT_FOUND, NULL), 0);
}

/* The disk comes before the job has ended, or after. */
static void storage_rounds_up(void **state)
{
	static const int64_t plug_ms[] = { 0, 20000 };

	for (size_t i = 0; i < ARRAY_SIZE(plug_ms); i++) {
		void *each = NULL;
		struct world *world;

		world_setup(&each);
		world = each;
		world->server.storage_unit = 16 * GIB;
		world->server.job_ms = 5000;
		server_add(&world->server, "one", 12)->plug_ms = plug_ms[i];
		attached(world, VOLUME(1));
		assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.matched_by,
				 MATCHED_BY_IDENTITY);
		check_size(world, 16 * GIB);
		world_teardown(&each);
	}
}

/* The answer of the job got lost; the look at the volume tells the size. */
static void storage_rounds_up_and_the_job_is_lost(void **state)
{
	struct world *world = *state;

	world->server.storage_unit = 16 * GIB;
	server_add(&world->server, "one", 12);
	fault(world, FAKE_ATTACH, FAULT_JOB_FAILED_AFTER);
	attached(world, VOLUME(1));
	check_size(world, 16 * GIB);
}

static void storage_rounds_up_nameless(void **state)
{
	struct world *world = *state;

	world->server.storage_unit = 16 * GIB;
	server_add(&world->server, "one", 12);
	attached(world, VOLUME(1));
	assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.matched_by,
			 MATCHED_BY_SIZE);
	check_size(world, 16 * GIB);
}

/* A disk of the size that the volume had is not the volume. */
static void former_size_is_wrong(void **state)
{
	struct world *world = *state;

	world->server.storage_unit = 16 * GIB;
	server_add(&world->server, "one", 12)->size_error = -(int64_t)(4 * GIB);
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED, "has 12884901888 bytes where CloudStack says 17179869184");
	world_pass(world, 5000);
	check_world(world, 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(attached_in_spite),
		TEST(detached_in_spite),
		TEST(resized_in_spite),
		TEST(deleted_in_spite),
		TEST(attached_by_another_client),
		TEST(words_are_kept),
		TEST(not_attached),
		TEST(not_detached),
		TEST(not_resized),
		TEST(not_taken_back),
		TEST(asked_no_more_than_needed),
		cmocka_unit_test(storage_rounds_up),
		TEST(storage_rounds_up_and_the_job_is_lost),
		cmocka_unit_test_setup_teardown(storage_rounds_up_nameless, world_setup_nameless,
						world_teardown),
		TEST(former_size_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
