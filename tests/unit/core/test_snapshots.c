/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The snapshots that clients keep: what one request has left, the next one changes. */

#include "core/model/snapshot.h"

#include "fixture.h"

static char volume[] = VOLUME(1), context[] = "ctx-db1", one[] = "snap-1", two[] = "snap-2";

static char other_context[] = "ctx-db2";

static struct reply *track_for(struct world *world, char *vm_context_id, char *snapshot_id)
{
	return ask(world, METHOD_SNAPSHOT_TRACK,
		   &(struct snapshot_track_args){ .volume_uuid = volume,
						  .vm_context_id = vm_context_id,
						  .snapshot_id = snapshot_id });
}

static struct reply *track(struct world *world, char *snapshot_id)
{
	return track_for(world, context, snapshot_id);
}

static struct reply *untrack(struct world *world)
{
	return ask(world, METHOD_SNAPSHOT_UNTRACK,
		   &(struct snapshot_untrack_args){ .vm_context_id = context });
}

static struct reply *update(struct world *world, char *status)
{
	return ask(world, METHOD_SNAPSHOT_UPDATE,
		   &(struct snapshot_update_args){ .id = volume, .snapshot_status = status });
}

static const struct snapshot_record *kept(struct world *world)
{
	const struct snapshot_kept *snapshot = snapshot_find(world->core->model, volume);

	return snapshot ? &snapshot->record : NULL;
}

static void in_their_order(void **state)
{
	struct world *world = *state;
	char failed[] = "failed";
	struct reply *first, *second;
	int64_t created_at;

	server_add(&world->server, "one", 5);
	attached(world, volume);
	answered(world, track(world, one));
	created_at = kept(world)->snapshot_created_at;
	world_pass(world, 5000);
	/* Neither waits for the other. */
	first = track(world, two);
	second = update(world, failed);
	answered(world, first);
	answered(world, second);
	assert_int_equal(first->err.code, ERR_NONE);
	assert_int_equal(second->err.code, ERR_NONE);
	world_restart(world);
	assert_string_equal(kept(world)->snapshot_id, two);
	assert_string_equal(kept(world)->snapshot_status, failed);
	assert_string_equal(kept(world)->vm_context_id, context);
	assert_true(kept(world)->snapshot_created_at > created_at);
}

static int64_t cleared(struct world *world, struct reply *reply)
{
	const struct snapshot_change_record *record;

	answered(world, reply);
	record = item(reply, 0);
	return record->snapshots_cleared;
}

/* The snapshots that are let go of are those that the last request has left. */
static void let_go_in_their_order(void **state)
{
	struct world *world = *state;
	char failed[] = "failed";
	struct reply *first, *second;

	server_add(&world->server, "one", 5);
	attached(world, volume);
	first = track(world, one);
	second = untrack(world);
	answered(world, first);
	assert_int_equal(cleared(world, second), 1);
	assert_null(kept(world));
	/* What was let go of does not come back with the next word about the volume. */
	answered(world, track(world, one));
	first = untrack(world);
	second = update(world, failed);
	assert_int_equal(cleared(world, first), 1);
	answered(world, second);
	assert_null(kept(world)->snapshot_id);
	assert_string_equal(kept(world)->vm_context_id, "");
	/* The volume has gone to another VM meanwhile. */
	answered(world, track(world, one));
	first = track_for(world, other_context, two);
	second = untrack(world);
	answered(world, first);
	assert_int_equal(cleared(world, second), 0);
	world_restart(world);
	assert_string_equal(kept(world)->vm_context_id, other_context);
	assert_string_equal(kept(world)->snapshot_id, two);
}

/* The time of a snapshot is that of its first request. */
static void told_again(void **state)
{
	struct world *world = *state;
	struct reply *reply;
	int64_t created_at;

	server_add(&world->server, "one", 5);
	attached(world, volume);
	answered(world, track(world, one));
	created_at = kept(world)->snapshot_created_at;
	world_pass(world, 5000);
	answered(world, reply = track(world, one));
	assert_int_equal(reply->err.code, ERR_NONE);
	assert_int_equal(kept(world)->snapshot_created_at, created_at);
	assert_string_equal(kept(world)->snapshot_status, "ready");
}

static void ends_with_the_volume(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, volume);
	answered(world, track(world, one));
	ended(world, accepted(world, ask_detach(world, volume, false)));
	assert_non_null(kept(world));
	ended(world, accepted(world, ask_delete(world, volume)));
	assert_null(kept(world));
	world_restart(world);
	assert_null(kept(world));
}

static void not_while_the_store_is_away(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	server_add(&world->server, "one", 5);
	attached(world, volume);
	store_memory_set_away(world->store, "disk full");
	answered(world, reply = track(world, one));
	assert_int_equal(reply->err.code, ERR_UNAVAILABLE);
	assert_null(kept(world));
	store_memory_set_away(world->store, NULL);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_their_order),       TEST(let_go_in_their_order),       TEST(told_again),
		TEST(ends_with_the_volume), TEST(not_while_the_store_is_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
