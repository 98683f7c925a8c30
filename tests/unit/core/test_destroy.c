/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Deleting a volume where CloudStack does not allow the strongest form, or loses the job; what
 * proves that a volume is gone, and what a failed deletion says of its work so far. */

#include "base/clock.h"
#include "fixture.h"

#define FORBIDDEN "The API [X] does not exist or is not available for the account Account [narrow]."

static void forbid(struct world *world, enum fake_command command)
{
	server_fault(&world->server,
		     (struct fake_fault){ command, 1, 1000, FAULT_REFUSED, 432, FORBIDDEN });
}

static void detach_first(struct world *world)
{
	served_one(world);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
}

static void deleted_with(struct world *world, const char *message)
{
	const struct operation_record *record =
		ended(world, accepted(world, ask_delete(world, VOLUME(1))));

	if (record->status != OPERATION_COMPLETED || !strstr(record->response, message))
		fail_msg("%s: %s", str_or(record->error, ""), str_or(record->response, ""));
	assert_null(volume_find(world->core->model, VOLUME(1)));
}

/* ---- weaker forms ---- */

static void to_the_bin(void **state)
{
	struct world *world = *state;

	served_one(world);
	world->server.no_expunge = true;
	deleted_with(world, "bin until its purge delay");
	assert_true(server_find(&world->server, VOLUME(1))->in_bin);
	assert_int_equal(server_jobs(&world->server, FAKE_DESTROY), 2);
	assert_int_equal(world->server.calls[FAKE_DELETE], 0);
}

static void command_forbidden(void **state)
{
	struct world *world = *state;

	served_one(world);
	forbid(world, FAKE_DESTROY);
	deleted_with(world, "\"Volume deleted\"");
	assert_int_equal(world->server.calls[FAKE_DESTROY], 1);
	assert_int_equal(world->server.calls[FAKE_DELETE], 1);
	check_world(world, 0);
}

/* A volume without storage can only be expunged, and this account may not: each form is asked for
 * once. */
static void nothing_left_to_try(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	world->server.no_expunge = true;
	ended_with(world, accepted(world, ask_delete(world, VOLUME(1))), OPERATION_FAILED,
		   "only an administrator may expunge volumes");
	assert_int_equal(server_jobs(&world->server, FAKE_DESTROY), 2);
	assert_int_equal(world->server.calls[FAKE_DELETE], 1);
	check_world(world, 1);
}

/* Another refusal is final: nothing weaker is tried against it. */
static void protected_from_deletion(void **state)
{
	struct world *world = *state;

	detach_first(world);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DESTROY, 1, 1, FAULT_JOB_FAILED, 431,
					  "Volume has delete protection enabled and cannot be "
					  "deleted." });
	ended_with(world, accepted(world, ask_delete(world, VOLUME(1))), OPERATION_FAILED,
		   "protected from deletion");
	assert_int_equal(world->server.calls[FAKE_DESTROY], 1);
	assert_int_equal(world->server.calls[FAKE_DELETE], 0);
	check_world(world, 1);
}

/* ---- what stays of a failed deletion ---- */

static void what_stays_is_said(void **state)
{
	struct world *world = *state;

	served_one(world);
	forbid(world, FAKE_DESTROY);
	forbid(world, FAKE_DELETE);
	ended_with(world, accepted(world, ask_delete(world, VOLUME(1))), OPERATION_FAILED,
		   "; the volume has been detached from VM " APPLIANCE ", and stays detached");
	/* Now nothing is detached any more. */
	assert_null(strstr(ended(world, accepted(world, ask_delete(world, VOLUME(1))))->error,
			   "detached"));
	check_world(world, 1);
}

static void nothing_stays_of_a_refused_detachment(void **state)
{
	struct world *world = *state;

	served_one(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_REFUSED });
	assert_null(strstr(ended(world, accepted(world, ask_delete(world, VOLUME(1))))->error,
			   "has been detached"));
	check_world(world, 1);
}

static void silence_says_what_stays(void **state)
{
	struct world *world = *state;
	const char *id;

	served_one(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 1, 1, FAULT_JOB_STUCK });
	id = accepted(world, ask_delete(world, VOLUME(1)));
	ended_with(world, id, OPERATION_FAILED,
		   "; the volume has been detached from VM " APPLIANCE ", and stays detached; "
		   "volume " VOLUME(1) " may be gone with its data");
	server_release_stuck(&world->server);
}

/* ---- what proves that a volume is gone ---- */

/* An empty list is no proof: the volume belongs to another account by now, and no list shows it. */
static void out_of_sight(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	const char *id;

	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 1, 1, FAULT_JOB_LOST });
	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 2, 1, FAULT_REFUSED, 531,
							  "Acting account has no access" });
	id = accepted(world, ask_delete(world, VOLUME(1)));
	at_step(world, id, "await-destroyed", PHASE_WAITING);
	volume->hidden = true;
	ended_with(world, id, OPERATION_FAILED, "has no access");
	assert_false(volume->gone);
	assert_int_equal(world->server.calls[FAKE_DESTROY], 2);
}

/* The job has expunged the volume, and then was lost: CloudStack itself says that it is gone. */
static void lost_after_its_effect(void **state)
{
	struct world *world = *state;

	detach_first(world);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DESTROY, 1, 1, FAULT_JOB_LOST_AFTER });
	deleted_with(world, "\"Volume deleted\"");
	assert_int_equal(world->server.calls[FAKE_DESTROY], 2);
	check_world(world, 0);
}

static void lost_without_effect(void **state)
{
	struct world *world = *state;

	detach_first(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 1, 3, FAULT_JOB_LOST });
	deleted_with(world, "\"Volume deleted\"");
	assert_int_equal(server_jobs(&world->server, FAKE_DESTROY), 4);
	check_world(world, 0);
}

/* The pauses between the requests grow, since a server that has just started loses more. */
static void lost_each_time(void **state)
{
	struct world *world = *state;
	int64_t began_ms;

	detach_first(world);
	began_ms = clock_mono_ms();
	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 1, 1000, FAULT_JOB_LOST });
	ended_with(
		world, accepted(world, ask_delete(world, VOLUME(1))), OPERATION_FAILED,
		"lost the job by which volume " VOLUME(
			1) " was to be destroyed, and the volume still exists; try again (asked 6 times)");
	assert_true(clock_mono_ms() - began_ms > 15000);
	check_world(world, 1);
}

/* The next request tells, and the refusal to show the job is not taken for one to destroy. */
static void job_not_shown(void **state)
{
	struct world *world = *state;

	detach_first(world);
	world->server.no_query = true;
	deleted_with(world, "\"Volume deleted\"");
	assert_int_equal(world->server.calls[FAKE_DESTROY], 2);
	assert_int_equal(world->server.calls[FAKE_DELETE], 0);
	check_world(world, 0);
}

static void no_job_shown_and_no_effect(void **state)
{
	struct world *world = *state;

	detach_first(world);
	world->server.no_query = true;
	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 1, 1000, FAULT_JOB_IDLE });
	ended_with(world, accepted(world, ask_delete(world, VOLUME(1))), OPERATION_FAILED,
		   "the command queryAsyncJobResult");
	assert_int_equal(server_jobs(&world->server, FAKE_DESTROY), 6);
	assert_int_equal(world->server.calls[FAKE_DELETE], 0);
	check_world(world, 1);
}

/* Nor does the failure of a job make an empty list a proof. */
static void out_of_sight_after_a_failure(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	const char *id;

	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 1, 1, FAULT_JOB_FAILED });
	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 2, 1, FAULT_REFUSED, 531,
							  "Acting account has no access" });
	id = accepted(world, ask_delete(world, VOLUME(1)));
	at_step(world, id, "await-destroyed", PHASE_WAITING);
	volume->hidden = true;
	ended_with(world, id, OPERATION_FAILED, "has no access");
	assert_false(volume->gone);
}

/* If the job of the deletion finds no volume, that is no lost job. */
static void gone_before_is_no_drift(void **state)
{
	struct world *world = *state;
	const char *id;

	detach_first(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 1, 1, FAULT_JOB_FAILED, 431,
							  "Unable to find volume with ID: 1" });
	id = accepted(world, ask_delete(world, VOLUME(1)));
	at_step(world, id, "await-destroyed", PHASE_WAITING);
	server_find(&world->server, VOLUME(1))->gone = true;
	completed(world, id);
	for (size_t i = 0; i < world->seen_count; i++)
		assert_int_not_equal(world->seen[i].type, EVENT_DRIFT_FOUND);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(to_the_bin),
		TEST(command_forbidden),
		TEST(nothing_left_to_try),
		TEST(protected_from_deletion),
		TEST(what_stays_is_said),
		TEST(nothing_stays_of_a_refused_detachment),
		TEST(silence_says_what_stays),
		TEST(out_of_sight),
		TEST(lost_after_its_effect),
		TEST(lost_without_effect),
		TEST(lost_each_time),
		TEST(job_not_shown),
		TEST(no_job_shown_and_no_effect),
		TEST(out_of_sight_after_a_failure),
		TEST(gone_before_is_no_drift),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
