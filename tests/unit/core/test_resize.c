/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Another size for a volume: what may be asked, what the kernel has to show before it is said to be
 * done, and what is said when one of the two, CloudStack or the kernel, does not follow.
 */

#include <inttypes.h>

#include "base/json.h"
#include "fixture.h"

static const char *resized(struct world *world, uint64_t size, bool allow_shrink)
{
	return accepted(world, ask_resize(world, VOLUME(1), size, allow_shrink));
}

static void must_fail(struct world *world, uint64_t size, bool allow_shrink, enum err_code code,
		      const char *text)
{
	const char *id = resized(world, size, allow_shrink);

	ended_with(world, id, OPERATION_FAILED, text);
	assert_string_equal(ended(world, id)->error_code, err_view(code)->word);
	assert_false(ended(world, id)->needs_attention);
	assert_int_equal(server_jobs(&world->server, FAKE_RESIZE), 0);
}

static int64_t number_of(const char *object, const char *name)
{
	_cleanup_json_ struct json *json = json_parse(object, strlen(object), NULL);
	int64_t number = -1;

	assert_int_equal(json_integer(json_get(json, name), &number), 0);
	return number;
}

static bool says(const char *object, const char *name, const char *text)
{
	_cleanup_json_ struct json *json = json_parse(object, strlen(object), NULL);

	return streq(json_text(json_get(json, name)), text);
}

/* In CloudStack, in the kernel, in the mapping. */
static void check_sizes(struct world *world, uint64_t cloud, uint64_t kernel)
{
	const struct fake_volume *volume = server_find(&world->server, VOLUME(1));
	const struct mapping *mapping = mapping_find(world->core->model, VOLUME(1));
	const struct device *device = sysblock_find(world->core->env.sysblock, volume->disk);

	assert_int_equal(volume->size, cloud);
	assert_int_equal(device->size, kernel);
	assert_int_equal(mapping->record.size, kernel);
	check_mapped(world, VOLUME(1));
}

static struct fake_volume *one_attached(struct world *world)
{
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	attached(world, VOLUME(1));
	return volume;
}

/* ---- growing ---- */

static void grows_under_its_users(void **state)
{
	struct world *world = *state;
	const struct fake_volume *volume = one_attached(world);
	size_t changes = events_of(world, EVENT_MAPPING_CHANGED, VOLUME(1));
	const struct operation_record *record;
	_cleanup_free_ char *path = NULL;

	kernel_mount(&world->kernel, volume->disk);
	path = xasprintf("%s/%s", world->kernel.dev, volume->disk);
	record = ended(world, resized(world, 6 * GIB, false));
	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_string_equal(record->vm_id, APPLIANCE);
	assert_true(says(record->response, "volume_id", VOLUME(1)));
	assert_true(says(record->response, "device_path", path));
	assert_true(says(record->response, "message", "Volume resized"));
	assert_int_equal(number_of(record->response, "size"), 6 * GIB);
	assert_int_equal(number_of(record->response, "previous_size"), 5 * GIB);
	check_sizes(world, 6 * GIB, 6 * GIB);
	assert_int_equal(events_of(world, EVENT_MAPPING_CHANGED, VOLUME(1)), changes + 1);
	assert_int_equal(volume_find(world->core->model, VOLUME(1))->cloud.size, 6 * GIB);
}

static void sizes_are_rounded_up(void **state)
{
	struct world *world = *state;

	one_attached(world);
	completed(world, resized(world, 5 * GIB + 1, false));
	check_sizes(world, 6 * GIB, 6 * GIB);
}

static void nowhere_or_elsewhere(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;

	server_add(&world->server, "one", 5);
	record = ended(world, resized(world, 6 * GIB, false));
	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_null(record->vm_id);
	assert_true(says(record->response, "device_path", ""));
	assert_int_equal(server_find(&world->server, VOLUME(1))->size, 6 * GIB);

	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	record = ended(world, resized(world, 7 * GIB, false));
	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_true(says(record->response, "device_path", "remote-vm-" OTHER_VM "-" VOLUME(1)));
	assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.size, 7 * GIB);
	check_world(world, 1);
}

static void by_size_alone(void **state)
{
	struct world *world = *state;

	one_attached(world);
	assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.matched_by,
			 MATCHED_BY_SIZE);
	completed(world, resized(world, 6 * GIB, false));
	check_sizes(world, 6 * GIB, 6 * GIB);
	assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.matched_by,
			 MATCHED_BY_SIZE);
}

static void unknown_volume(void **state)
{
	struct world *world = *state;

	must_fail(world, 6 * GIB, false, ERR_NOT_FOUND, "does not exist");
}

/* ---- the size it has ---- */

static void that_size_already(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;

	one_attached(world);
	record = ended(world, resized(world, 5 * GIB, false));
	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_true(says(record->response, "message", "Volume has that size already"));
	assert_int_equal(number_of(record->response, "previous_size"), 5 * GIB);
	assert_int_equal(world->server.calls[FAKE_RESIZE], 0);
}

/* What CloudStack has done and the kernel has not is caught up with by asking again. */
static void asked_again_it_goes_on(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);
	const char *id;

	volume->resize_ms = -1;
	id = resized(world, 6 * GIB, false);
	ended_with(world, id, OPERATION_FAILED, "but the kernel shows");
	id = resized(world, 6 * GIB, false);
	at_step(world, id, "await-size", PHASE_SLEEPING);
	kernel_resize(&world->kernel, volume->disk, 6 * GIB);
	completed(world, id);
	check_sizes(world, 6 * GIB, 6 * GIB);
	assert_int_equal(server_jobs(&world->server, FAKE_RESIZE), 1);
}

/* ---- shrinking ---- */

static void shrinks_only_if_allowed(void **state)
{
	struct world *world = *state;
	const struct fake_volume *volume = server_add(&world->server, "one", 5);

	must_fail(world, 4 * GIB, false, ERR_CONFLICT, "give allow_shrink");
	assert_int_equal(volume->size, 5 * GIB);
	completed(world, resized(world, 4 * GIB, true));
	assert_int_equal(volume->size, 4 * GIB);
	attached(world, VOLUME(1));
	check_sizes(world, 4 * GIB, 4 * GIB);
}

static void never_shrinks_while_attached(void **state)
{
	struct world *world = *state;

	one_attached(world);
	must_fail(world, 4 * GIB, true, ERR_CONFLICT, "is attached to VM " APPLIANCE);
	check_sizes(world, 5 * GIB, 5 * GIB);
	server_attach(&world->server, server_add(&world->server, "two", 5), OTHER_VM);
	ended_with(world, accepted(world, ask_resize(world, VOLUME(2), 4 * GIB, true)),
		   OPERATION_FAILED, "is attached to VM " OTHER_VM);
	assert_int_equal(server_find(&world->server, VOLUME(2))->size, 5 * GIB);
	assert_int_equal(world->server.calls[FAKE_RESIZE], 0);
}

/* A detachment that left the disk in the kernel left its users there, too. */
static void never_shrinks_a_disk_that_stayed(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	volume->vm_id[0] = '\0';
	must_fail(world, 4 * GIB, true, ERR_CONFLICT, "but it is still here as ");
	kernel_mount(&world->kernel, volume->disk);
	must_fail(world, 4 * GIB, true, ERR_CONFLICT, "vdb and in use: mounted at /mnt/data");
	assert_int_equal(volume->size, 5 * GIB);
	kernel_mount(&world->kernel, NULL);
	kernel_unplug(&world->kernel, volume->disk);
	volume->disk[0] = '\0';
	completed(world, resized(world, 4 * GIB, true));
	assert_int_equal(volume->size, 4 * GIB);
}

/* ---- the kernel ---- */

static void kernel_before_the_job_ends(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	volume->resize_ms = 0;
	world->server.job_ms = 30000;
	completed(world, resized(world, 6 * GIB, false));
	check_sizes(world, 6 * GIB, 6 * GIB);
	assert_int_equal(events_of(world, EVENT_DRIFT_FOUND, NULL), 0);
}

static void kernel_long_after(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	volume->resize_ms = DEVICE_WAIT_MS - 5000;
	completed(world, resized(world, 6 * GIB, false));
	check_sizes(world, 6 * GIB, 6 * GIB);
	assert_int_equal(events_of(world, EVENT_DRIFT_FOUND, NULL), 0);
}

/* It is said, and the mapping tells the kernel's size; when the kernel follows after all, so does
 * the mapping. */
static void kernel_never(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);
	const struct operation_record *record;

	volume->resize_ms = -1;
	record = ended(world, resized(world, 6 * GIB, false));
	assert_int_equal(record->status, OPERATION_FAILED);
	assert_string_equal(record->error_code, "TIMEOUT");
	assert_true(record->needs_attention);
	assert_non_null(strstr(record->error, "detach the volume and attach it again"));
	assert_non_null(
		strstr(record->error, "from 5368709120 to 6442450944 bytes, and that stays"));
	check_sizes(world, 6 * GIB, 5 * GIB);
	kernel_resize(&world->kernel, volume->disk, 6 * GIB);
	world_pass(world, 5000);
	check_sizes(world, 6 * GIB, 6 * GIB);
	assert_int_equal(server_jobs(&world->server, FAKE_RESIZE), 1);
}

/* On a SCSI bus; the kernel learns its new size only when it is told to look. */
static struct fake_volume *one_on_scsi(struct world *world)
{
	struct fake_volume *volume = one_attached(world);
	char vpd[4 + 20 + 1] = { 0, (char)0x80, 0, 20 };

	volume_serial(volume, vpd + 4);
	kernel_rename(&world->kernel, volume->disk, "sdb");
	snprintf(volume->disk, sizeof(volume->disk), "sdb");
	tree_write_bytes(&world->kernel.tree, "sys/block/sdb/device/vpd_pg80", vpd, 24);
	volume->resize_ms = -1;
	world_pass(world, 5000);
	check_world(world, 1);
	return volume;
}

static bool is_rescanned(struct world *world, const void *arg)
{
	return fake_disk.rescans > 0;
}

static const struct health_record *health_of(struct world *world)
{
	struct no_args none = { 0 };
	struct reply *reply = ask(world, METHOD_HEALTH_GET, &none);

	answered(world, reply);
	return item(reply, 0);
}

static void kernel_when_it_is_told_to_look(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_on_scsi(world);
	const char *id = resized(world, 6 * GIB, false);

	assert_true(world_until(world, is_rescanned, NULL, 60000));
	kernel_resize(&world->kernel, volume->disk, 6 * GIB);
	completed(world, id);
	check_sizes(world, 6 * GIB, 6 * GIB);
	assert_in_range(fake_disk.rescans, 1, 2);
	assert_string_equal(health_of(world)->device_monitor, "healthy");
}

static void kernel_must_not_be_told_to_look(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_on_scsi(world);

	err_set(&fake_disk.rescan_err, ERR_FORBIDDEN, "no right");
	ended_with(world, resized(world, 6 * GIB, false), OPERATION_FAILED,
		   "/block/sdb/device/rescan");
	assert_in_range(fake_disk.rescans, 2, DEVICE_WAIT_MS / 5000 + 1);
	assert_non_null(strstr(health_of(world)->device_monitor, "/sdb has another size"));
	assert_non_null(strstr(health_of(world)->device_monitor, "run as root: echo 1 > "));
	assert_string_equal(health_of(world)->status, "degraded");
	/* An operator does it. */
	kernel_resize(&world->kernel, volume->disk, 6 * GIB);
	world_pass(world, 5000);
	check_sizes(world, 6 * GIB, 6 * GIB);
	assert_string_equal(health_of(world)->device_monitor, "healthy");
}

/* Somebody resized it in CloudStack, and not through us. */
static void kernel_is_told_to_look_without_a_request(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_on_scsi(world);

	volume->size = 6 * GIB;
	assert_true(world_until(world, is_rescanned, NULL, 15 * 60000));
	kernel_resize(&world->kernel, volume->disk, 6 * GIB);
	world_pass(world, 5000);
	check_sizes(world, 6 * GIB, 6 * GIB);
}

/* A larger disk than CloudStack says is another volume's or nobody's idea of this one. */
static void kernel_shows_too_much(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	volume->size_error = (int64_t)GIB;
	ended_with(world, resized(world, 6 * GIB, false), OPERATION_FAILED, "but the kernel shows");
}

static void disk_goes_meanwhile(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);
	const char *id;

	volume->resize_ms = -1;
	id = resized(world, 6 * GIB, false);
	at_step(world, id, "await-size", PHASE_SLEEPING);
	kernel_unplug(&world->kernel, volume->disk);
	volume->disk[0] = '\0';
	ended_with(world, id, OPERATION_FAILED, "does not show one disk");
	world_pass(world, 1000);
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "gone");
}

/* After a boot in the middle the disks have swapped names: each mapping gets its own, and none
 * another's. */
static void names_change_hands_meanwhile(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world), *other;
	char id[64], swapped[16];

	other = server_add(&world->server, "two", 7);
	attached(world, VOLUME(2));
	volume->resize_ms = -1;
	snprintf(id, sizeof(id), "%s", resized(world, 6 * GIB, false));
	at_step(world, id, "await-size", PHASE_SLEEPING);
	world_kill(world);
	kernel_swap(&world->kernel, volume->disk, other->disk);
	memcpy(swapped, volume->disk, sizeof(swapped));
	memcpy(volume->disk, other->disk, sizeof(swapped));
	memcpy(other->disk, swapped, sizeof(swapped));
	kernel_resize(&world->kernel, volume->disk, 6 * GIB);
	kernel_reboot(&world->kernel, (const char *const[]){ "vda", "vdb", "vdc", NULL });
	world_open(world);
	completed(world, id);
	world_pass(world, 5000);
	check_sizes(world, 6 * GIB, 6 * GIB);
	check_world(world, 2);
}

/* ---- CloudStack ---- */

static void cloud_refuses(void **state)
{
	struct world *world = *state;
	const struct operation_record *record;

	one_attached(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_RESIZE, 1, 1, FAULT_REFUSED, 535,
							  "Quota exceeded" });
	record = ended(world, resized(world, 6 * GIB, false));
	assert_int_equal(record->status, OPERATION_FAILED);
	assert_string_equal(record->error_code, "CLOUDSTACK_ERROR");
	assert_non_null(strstr(record->error, "Quota exceeded"));
	assert_false(record->needs_attention);
	check_sizes(world, 5 * GIB, 5 * GIB);
}

static void job_lost(void **state)
{
	struct world *world = *state;

	one_attached(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_RESIZE, 1, 1, FAULT_JOB_LOST });
	ended_with(world, resized(world, 6 * GIB, false), OPERATION_FAILED,
		   "the volume has 5368709120 bytes instead of 6442450944; try again");
	check_sizes(world, 5 * GIB, 5 * GIB);

	server_fault(&world->server,
		     (struct fake_fault){ FAKE_RESIZE, 2, 1, FAULT_JOB_LOST_AFTER });
	completed(world, resized(world, 6 * GIB, false));
	check_sizes(world, 6 * GIB, 6 * GIB);
	/* both jobs, and nothing about sizes */
	assert_int_equal(events_of(world, EVENT_DRIFT_FOUND, NULL), 2);
}

/* What became of it is looked at until CloudStack shows it. */
static void not_shown(void **state)
{
	struct world *world = *state;

	one_attached(world);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_RESIZE, 1, 1, FAULT_JOB_LOST_AFTER });
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_LIST, world->server.calls[FAKE_LIST] + 2, 3,
					  FAULT_REFUSED });
	completed(world, resized(world, 6 * GIB, false));
	check_sizes(world, 6 * GIB, 6 * GIB);
}

/* The answer got lost, the request arrives when the next one has been refused: its job and the
 * volume decide. */
static void late_behind_a_refusal(void **state)
{
	struct world *world = *state;

	one_attached(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_RESIZE, 1, 1, FAULT_LATE });
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_RESIZE, 2, 1, FAULT_REFUSED, 530, "Not now" });
	completed(world, resized(world, 6 * GIB, false));
	check_sizes(world, 6 * GIB, 6 * GIB);
	assert_int_equal(server_jobs(&world->server, FAKE_RESIZE), 1);
}

static void deleted_meanwhile(void **state)
{
	struct world *world = *state;
	const char *id;

	server_add(&world->server, "one", 5);
	server_fault(&world->server, (struct fake_fault){ FAKE_RESIZE, 1, 1, FAULT_JOB_LOST });
	id = resized(world, 6 * GIB, false);
	at_step(world, id, "await-job", PHASE_WAITING);
	server_find(&world->server, VOLUME(1))->gone = true;
	ended_with(world, id, OPERATION_FAILED, "no longer lists volume " VOLUME(1));
}

static void only_forward(void **state)
{
	struct world *world = *state;
	struct reply *reply;
	const char *id;

	one_attached(world);
	world->server.job_ms = 30000;
	id = resized(world, 6 * GIB, false);
	at_step(world, id, "await-job", PHASE_WAITING);
	reply = ask_operation(world, METHOD_OPERATION_CANCEL, id);
	answered(world, reply);
	assert_int_equal(reply->err.code, ERR_CONFLICT);
	completed(world, id);
}

/* ---- comparing ---- */

/* A comparison in the middle finds CloudStack and kernel of two minds, and knows why. */
static void under_way_is_no_drift(void **state)
{
	struct sync_args args = { 0 };
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);
	struct reply *reply;
	const char *id;

	volume->resize_ms = 50000;
	id = resized(world, 6 * GIB, false);
	at_step(world, id, "await-size", PHASE_SLEEPING);
	reply = ask(world, METHOD_FORCE_SYNC, &args);
	answered(world, reply);
	assert_non_null(
		strstr(((const struct sync_record *)item(reply, 0))->message, "nothing differs"));
	completed(world, id);
	reply = ask(world, METHOD_FORCE_SYNC, &args);
	answered(world, reply);
	assert_non_null(
		strstr(((const struct sync_record *)item(reply, 0))->message, "nothing differs"));
	assert_int_equal(events_of(world, EVENT_DRIFT_FOUND, NULL), 0);
}

/* What a resize could not bring about needs attention for as long as it is found. */
static void needs_attention_until_it_agrees(void **state)
{
	struct sync_args args = { 0 };
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);
	const struct operation_record *record;

	volume->resize_ms = -1;
	record = ended(world, resized(world, 6 * GIB, false));
	assert_true(record->needs_attention);
	answered(world, ask(world, METHOD_FORCE_SYNC, &args));
	world_pass(world, 1000);
	assert_true(record->needs_attention);
	kernel_resize(&world->kernel, volume->disk, 6 * GIB);
	world_pass(world, 5000);
	answered(world, ask(world, METHOD_FORCE_SYNC, &args));
	world_pass(world, 1000);
	assert_false(record->needs_attention);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(grows_under_its_users),
		TEST(sizes_are_rounded_up),
		TEST(nowhere_or_elsewhere),
		cmocka_unit_test_setup_teardown(by_size_alone, world_setup_nameless,
						world_teardown),
		TEST(unknown_volume),
		TEST(that_size_already),
		TEST(asked_again_it_goes_on),
		TEST(shrinks_only_if_allowed),
		TEST(never_shrinks_while_attached),
		TEST(never_shrinks_a_disk_that_stayed),
		TEST(kernel_before_the_job_ends),
		TEST(kernel_long_after),
		TEST(kernel_never),
		TEST(kernel_when_it_is_told_to_look),
		TEST(kernel_must_not_be_told_to_look),
		TEST(kernel_is_told_to_look_without_a_request),
		TEST(kernel_shows_too_much),
		TEST(disk_goes_meanwhile),
		TEST(names_change_hands_meanwhile),
		TEST(cloud_refuses),
		TEST(job_lost),
		TEST(not_shown),
		TEST(late_behind_a_refusal),
		TEST(deleted_meanwhile),
		TEST(only_forward),
		TEST(under_way_is_no_drift),
		TEST(needs_attention_until_it_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
