/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A disk in hand: which volumes' disks are opened for whom. That the open disk is the right one is
 * the matter of disk/proof.c. */

#include "fixture.h"

static struct reply *begin_opening(struct world *world, const char *volume_id, bool read_only)
{
	char volume[37];
	struct volume_open_args args = { .volume_id = volume, .read_only = read_only };

	snprintf(volume, sizeof(volume), "%s", volume_id);
	return ask(world, METHOD_VOLUME_OPEN, &args);
}

static void refused_to_open(struct world *world, const char *volume_id, bool read_only,
			    const char *text)
{
	refused(world, begin_opening(world, volume_id, read_only), ERR_CONFLICT, text);
}

static void opened(struct world *world, const char *volume_id, bool read_only, const char *disk)
{
	struct reply *reply = begin_opening(world, volume_id, read_only);
	const struct opened_device_record *record;

	answered(world, reply);
	record = item(reply, 0);
	assert_true(fcntl(record->disk, F_GETFD) >= 0);
	assert_string_equal(fake_disk.opened, disk);
}

static void served_volume_is_opened(void **state)
{
	struct world *world = *state;

	served_one(world);
	fake_disk.opener = 4711; /* it may know of the others */
	opened(world, VOLUME(1), false, "vdb");
	opened(world, VOLUME(1), true, "vdb read-only");
}

/* Neither the store nor CloudStack has a part in it, and nothing that the daemon manages changes.
 */
static void opened_whatever_is_away(void **state)
{
	char reason[] = "works on the storage";
	struct pause_args args = { .reason = reason };
	struct world *world = *state;
	struct reply *reply;

	served_one(world);
	reply = ask(world, METHOD_CHANGES_PAUSE, &args);
	answered(world, reply);
	item(reply, 0);
	store_memory_set_away(world->store, "No space left on device");
	world->server.down = true;
	opened(world, VOLUME(1), false, "vdb");
}

static void not_without_the_right(void **state)
{
	char volume[] = VOLUME(1);
	struct volume_open_args args = { .volume_id = volume, .read_only = true };
	struct world *world = *state;

	served_one(world);
	refused(world, ask_as(world, METHOD_VOLUME_OPEN, &args, ACCESS_READ), ERR_FORBIDDEN,
		"volume.open");
}

static void not_what_others_use(void **state)
{
	struct world *world = *state;

	served_one(world);
	kernel_mount(&world->kernel, "vdb");
	refused_to_open(world, VOLUME(1), true,
			"mounted at /mnt/data; release it before it is opened");
	kernel_mount(&world->kernel, NULL);
	connect_client(world, VOLUME(1));
	refused_to_open(world, VOLUME(1), false, "used over NBD by 127.0.0.1:41234");
	opened(world, VOLUME(1), true, "vdb read-only");
	/* Who is connected cannot be learned. */
	fake_fault(&world->serving, VERB_LIST_EXPORTS, 1, ERR_TIMEOUT, false);
	refused(world, begin_opening(world, VOLUME(1), false), ERR_TIMEOUT,
		"the NBD clients of volume " VOLUME(1) " are not known");
}

static void not_what_is_not_here(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume;

	refused(world, begin_opening(world, VOLUME(9), false), ERR_NOT_FOUND, VOLUME(9));
	volume = server_add(&world->server, "one", 5);
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	refused_to_open(world, VOLUME(1), false, "not attached to this machine");
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	refused_to_open(world, VOLUME(1), false, "not attached to this machine");
	attached(world, VOLUME(1));
	kernel_unplug(&world->kernel, volume->disk);
	refused_to_open(world, VOLUME(1), false, "is gone");
	volume->disk[0] = '\0';
}

/* Only one of them can be the volume, and nothing tells which. */
static void not_one_of_two(void **state)
{
	struct world *world = *state;
	char serial[64];

	served_one(world);
	kernel_serial(&world->kernel, "vdb", serial);
	kernel_plug(&world->kernel, "vdx", serial, 5 * GIB);
	refused_to_open(world, VOLUME(1), false, "more than one disk");
	kernel_unplug(&world->kernel, "vdx");
	opened(world, VOLUME(1), false, "vdb");
}

static void not_during_an_operation(void **state)
{
	struct world *world = *state;
	struct reply *early;
	const char *id;

	served_one(world);
	early = begin_opening(world, VOLUME(1), false);
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	/* The detachment began while the disk was looked at. */
	refused(world, early, ERR_CONFLICT, "another request works on volume");
	refused_to_open(world, VOLUME(1), false, "another request works on volume");
	completed(world, id);
}

/* The operation has not ended, but the disk is here, and clients know that. */
static void as_soon_as_it_is_ready(void **state)
{
	struct world *world = *state;
	const char *id;

	world->server.job_ms = 30000;
	server_add(&world->server, "one", 5)->plug_ms = 2000;
	id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));
	at_step(world, id, "await-job", PHASE_WAITING);
	refused_to_open(world, VOLUME(1), false, "another request works on volume");
	world_pass(world, 4000);
	opened(world, VOLUME(1), false, "vdb");
	assert_int_equal(events_of(world, EVENT_OPERATION_ENDED, id), 0);
	completed(world, id);
}

static void failure_is_told(void **state)
{
	struct world *world = *state;

	served_one(world);
	err_set(&fake_disk.open_err, ERR_CONFLICT, "/dev/vdb was another disk");
	refused_to_open(world, VOLUME(1), false, "was another disk");
}

/* The volume is known by the number of its disk in this boot, since it has no serial. */
static void opened_without_identity(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	attached(world, VOLUME(1));
	opened(world, VOLUME(1), false, "vdb");
}

static void asker_leaves(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	served_one(world);
	for (int64_t after_ms = 0; after_ms < 60; after_ms += 5) {
		reply = begin_opening(world, VOLUME(1), false);
		world_pass(world, after_ms);
		if (!reply->done)
			call_cancel(reply->call);
	}
	world_pass(world, 1000);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(served_volume_is_opened),
		TEST(opened_whatever_is_away),
		TEST(not_without_the_right),
		TEST(not_what_others_use),
		TEST(not_what_is_not_here),
		TEST(not_one_of_two),
		TEST(not_during_an_operation),
		TEST(as_soon_as_it_is_ready),
		TEST(failure_is_told),
		cmocka_unit_test_setup_teardown(opened_without_identity, world_setup_nameless,
						world_teardown),
		TEST(asker_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
