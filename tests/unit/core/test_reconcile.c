/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What others do behind the daemon's back: each kind of drift is found, told once, and repaired or
 * left to people; and what operations could not take back is taken back later.
 */

#include "fixture.h"

/* One comparison; what it reports of the volume, NULL when nothing. The array is "drift",
 * "repaired" or "failed". */
static const char *sync_all(struct world *world, bool dry_run, const char *array)
{
	static char text[16384];
	struct reply *reply = ask_sync(world, dry_run);
	const struct sync_record *record;
	_cleanup_json_ struct json *report = NULL;
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	answered(world, reply);
	record = item(reply, 0);
	report = json_parse(record->report, strlen(record->report), NULL);
	assert_non_null(report);
	json_put_node(&writer, json_get(report, array));
	snprintf(text, sizeof(text), "%s", out.data);
	buf_clear(&out);
	return text;
}

static void found(struct world *world, const char *array, const char *kind)
{
	const char *text = sync_all(world, false, array);

	if (!strstr(text, kind))
		fail_msg("no %s in %s: %s", kind, array, text);
}

static void nothing_found(struct world *world)
{
	assert_string_equal(sync_all(world, false, "drift"), "[]");
}

static size_t told(struct world *world, enum drift_kind kind, const char *volume_id)
{
	size_t count = 0;

	world_pass(world, 100);
	for (size_t i = 0; i < world->seen_count; i++)
		count += world->seen[i].type == EVENT_DRIFT_FOUND &&
			 world->seen[i].drift.kind == (int)kind &&
			 streq(world->seen[i].id, volume_id);
	return count;
}

/* A volume attached to the appliance by an operation. */
static struct fake_volume *one_attached(struct world *world)
{
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	attached(world, VOLUME(1));
	nothing_found(world);
	return volume;
}

static void nothing_differs(void **state)
{
	struct world *world = *state;
	struct reply *reply;
	const struct sync_record *record;

	one_attached(world);
	reply = ask_sync(world, false);
	answered(world, reply);
	record = item(reply, 0);
	assert_string_equal(record->message, "1 volumes compared, nothing differs");
	assert_string_equal(
		record->report,
		"{\"checked\":1,\"dry_run\":false,\"drift\":[],\"repaired\":[],\"failed\":[]}");
	assert_true(record->timestamp > 0);
	assert_int_equal(events_of(world, EVENT_DRIFT_FOUND, NULL), 0);
}

static void attached_outside(void **state)
{
	struct world *world = *state;

	server_attach(&world->server, server_add(&world->server, "one", 5), APPLIANCE);
	found(world, "repaired", "attached-outside");
	check_mapped(world, VOLUME(1));
	assert_int_equal(told(world, DRIFT_ATTACHED_OUTSIDE, VOLUME(1)), 1);
	nothing_found(world);
}

/* Without a proof of identity nothing is mapped, whatever the size says. */
static void attached_outside_nameless(void **state)
{
	struct world *world = *state;

	server_attach(&world->server, server_add(&world->server, "one", 5), APPLIANCE);
	found(world, "failed", "device-missing");
	check_unmapped(world, VOLUME(1));
}

static void attached_outside_twins(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	char serial[21];

	volume_serial(volume, serial);
	kernel_plug(&world->kernel, "vdx", serial, 5 * GIB);
	server_attach(&world->server, volume, APPLIANCE);
	found(world, "failed", "both carry the serial");
	check_unmapped(world, VOLUME(1));
}

static void detached_outside(void **state)
{
	struct world *world = *state;

	server_detach(&world->server, one_attached(world));
	found(world, "repaired", "detached-outside");
	check_unmapped(world, VOLUME(1));
	assert_int_equal(told(world, DRIFT_DETACHED_OUTSIDE, VOLUME(1)), 1);
	nothing_found(world);
	attached(world, VOLUME(1));
}

static void detached_outside_elsewhere(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	server_detach(&world->server, volume);
	found(world, "repaired", "detached-outside");
	check_unmapped(world, VOLUME(1));
}

/* Another client empties a slot, and the next volume gets the slot before the next comparison: both
 * mappings keep their own paths until then. */
static void slot_given_again(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	server_add(&world->server, "two", 5);
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	server_detach(&world->server, volume);
	completed(world, accepted(world, ask_attach(world, VOLUME(2), OTHER_VM)));
	check_mapped(world, VOLUME(2));
	found(world, "repaired", "detached-outside");
	check_unmapped(world, VOLUME(1));
	check_mapped(world, VOLUME(2));
}

static void deleted_outside(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	server_detach(&world->server, volume);
	volume->gone = true;
	found(world, "repaired", "deleted-outside");
	check_unmapped(world, VOLUME(1));
	assert_int_equal(told(world, DRIFT_DELETED_OUTSIDE, VOLUME(1)), 1);
	nothing_found(world);
}

static void moved_away(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);
	const struct mapping *mapping;

	server_detach(&world->server, volume);
	server_attach(&world->server, volume, OTHER_VM);
	found(world, "repaired", "moved");
	mapping = mapping_find(world->core->model, VOLUME(1));
	assert_string_equal(mapping->record.vm_id, OTHER_VM);
	assert_non_null(strstr(mapping->record.device_path, "remote-vm-" OTHER_VM));
	assert_string_equal(mapping->record.linux_state, "n/a");
	nothing_found(world);
}

static void moved_here(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
	server_detach(&world->server, volume);
	server_attach(&world->server, volume, APPLIANCE);
	found(world, "repaired", "moved");
	check_mapped(world, VOLUME(1));
	nothing_found(world);
}

/* The volume stays where it is, and that machine turns out to be the appliance. Its disk comes
 * late: otherwise the attachment would fail with the news. */
static void another_machine_is_the_appliance(void **state)
{
	struct world *world = *state;
	const struct mapping *mapping;

	world_kill(world);
	world->options.appliance_id = OTHER_VM;
	world_open(world);
	world_accept(world);
	world_pass(world, 5000);
	server_add(&world->server, "one", 5)->plug_ms = 20000;
	completed(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	world_pass(world, 20000);
	mapping = mapping_find(world->core->model, VOLUME(1));
	assert_string_equal(mapping->record.operation_mode, "failover");
	assert_int_equal(mapping->record.matched_by, MATCHED_NOT);
	world_kill(world);
	world->options.appliance_id = APPLIANCE;
	world_open(world);
	world_accept(world);
	world_pass(world, 310000);
	check_mapped(world, VOLUME(1));
	mapping = mapping_find(world->core->model, VOLUME(1));
	assert_string_equal(mapping->record.operation_mode, "oma");
	assert_int_equal(mapping->record.matched_by, MATCHED_BY_IDENTITY);
	nothing_found(world);
}

static void device_missing(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);
	char serial[21];

	volume_serial(volume, serial);
	kernel_unplug(&world->kernel, volume->disk);
	found(world, "failed", "device-missing");
	found(world, "failed", "device-missing");
	assert_int_equal(told(world, DRIFT_DEVICE_MISSING, VOLUME(1)), 1); /* once while it lasts */
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "gone");
	kernel_plug(&world->kernel, "vdk", serial, 5 * GIB);
	world_pass(world, 5000);
	nothing_found(world);
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "detected");
	kernel_unplug(&world->kernel, "vdk");
	found(world, "failed", "device-missing");
	/* and again when it is new */
	assert_int_equal(told(world, DRIFT_DEVICE_MISSING, VOLUME(1)), 2);
}

/* A management server that was restarted has forgotten the attachment; the disk is still there. */
static void device_unexpected(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	volume->vm_id[0] = '\0';
	found(world, "failed", "device-unexpected");
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.linux_state,
			    "detected");
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.cloudstack_state,
			    "detached");
	found(world, "failed", "device-unexpected");
	assert_int_equal(told(world, DRIFT_DEVICE_UNEXPECTED, VOLUME(1)), 1);
	snprintf(volume->vm_id, sizeof(volume->vm_id), "%s", APPLIANCE);
	found(world, "repaired", "attached-outside");
	assert_string_equal(mapping_find(world->core->model, VOLUME(1))->record.cloudstack_state,
			    "attached");
	nothing_found(world);
}

/* Two disks swap their names while nobody runs, as a reboot does it. */
static void device_renamed(void **state)
{
	struct world *world = *state;
	const char *order[] = { "vda", "vdc", "vdb", NULL };

	server_add(&world->server, "one", 5);
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(1));
	attached(world, VOLUME(2));
	world_kill(world);
	kernel_swap(&world->kernel, "vdb", "vdc");
	kernel_reboot(&world->kernel, order);
	world_open(world);
	world_pass(world, 5000);
	assert_non_null(strstr(mapping_find(world->core->model, VOLUME(1))->record.device_path,
			       "/dev/vdc"));
	assert_non_null(strstr(mapping_find(world->core->model, VOLUME(2))->record.device_path,
			       "/dev/vdb"));
	assert_int_equal(told(world, DRIFT_DEVICE_RENAMED, VOLUME(1)), 1);
	assert_int_equal(told(world, DRIFT_DEVICE_RENAMED, VOLUME(2)), 1);
	nothing_found(world);
}

static void size_changed(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	volume->size = 8 * GIB;
	found(world, "failed", "size-changed"); /* the kernel does not know yet */
	kernel_resize(&world->kernel, volume->disk, 8 * GIB);
	world_pass(world, 120000);
	assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.size, 8 * GIB);
	assert_int_equal(told(world, DRIFT_SIZE_CHANGED, VOLUME(1)), 2);
	nothing_found(world);
}

static void operation_lost(void **state)
{
	struct world *world = *state;

	server_add(&world->server, "one", 5);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_JOB_LOST_AFTER });
	completed(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	assert_int_equal(told(world, DRIFT_OPERATION_LOST, VOLUME(1)), 1);
	check_mapped(world, VOLUME(1));
}

/* Its request may still arrive, so the volume is looked at again and again: one loss all the
 * same. */
static void operation_lost_and_looked_for(void **state)
{
	struct world *world = *state;
	const char *id;

	one_attached(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_LOST_BEFORE });
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 2, 1, FAULT_JOB_LOST });
	id = accepted(world, ask_detach(world, VOLUME(1), false));
	ended_with(world, id, OPERATION_FAILED, "lost the job");
	assert_int_equal(told(world, DRIFT_OPERATION_LOST, VOLUME(1)), 1);
}

/* An attachment that fails, and whose taking back is refused, is taken back when CloudStack lets
 * us. */
static void not_taken_back(void **state)
{
	struct world *world = *state;
	char id[64];

	server_add(&world->server, "one", 5)->plug_ms = -1;
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1, FAULT_JOB_FAILED });
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	ended_with(world, id, OPERATION_FAILED, "may still be attached to VM " APPLIANCE);
	assert_true(core_operation(world->core, id)->needs_attention);
	assert_non_null(strstr(sync_all(world, true, "failed"), "not-taken-back"));
	/* that was a dry run */
	assert_string_not_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
	found(world, "repaired", "not-taken-back");
	world_pass(world, 10000);
	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, "");
	nothing_found(world);
	world_pass(world, 1000);
	assert_false(core_operation(world->core, id)->needs_attention);
	assert_int_equal(told(world, DRIFT_NOT_TAKEN_BACK, VOLUME(1)), 1);
	check_world(world, 1);
}

/* A detachment that ended in silence: while the disk is still here, somebody has to look, whatever
 * CloudStack says. */
static void a_disk_that_does_not_go(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	char id[64];

	volume->unplug_ms = -1;
	attached(world, VOLUME(1));
	snprintf(id, sizeof(id), "%s", accepted(world, ask_detach(world, VOLUME(1), false)));
	ended_with(world, id, OPERATION_FAILED, "but the kernel still shows it as");
	found(world, "failed", "device-unexpected");
	world_pass(world, 3 * world->options.reconcile_ms);
	assert_true(core_operation(world->core, id)->needs_attention);
	kernel_unplug(&world->kernel, volume->disk);
	volume->disk[0] = '\0';
	found(world, "repaired", "detached-outside");
	nothing_found(world);
	/* One after the other: the repairs have ended in the same silence. */
	world_pass(world, 5 * world->options.reconcile_ms);
	assert_false(core_operation(world->core, id)->needs_attention);
	check_world(world, 1);
}

/* ---- a disk that CloudStack calls detached ---- */

#define LATE_MS 5000 /* much less than the time until the next comparison */

static bool is_told(struct world *world, enum drift_kind kind)
{
	world_pass(world, LATE_MS);
	return told(world, kind, VOLUME(1)) > 0;
}

/* A detachment that ends late has cleared it, and CloudStack shows that to whoever asks. */
static void cleared(struct world *world, struct fake_volume *volume)
{
	struct volume_get_args args = { .volume_id = volume->id, .refresh = true };

	volume->vm_id[0] = '\0';
	volume->device_id = -1;
	answered(world, ask(world, METHOD_VOLUME_GET, &args));
}

static void told_when_cloudstack_says_so(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	world_pass(world, LATE_MS);
	cleared(world, volume);
	assert_true(is_told(world, DRIFT_DEVICE_UNEXPECTED));
}

static void told_when_an_operation_ends(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	volume->unplug_ms = -1;
	attached(world, VOLUME(1));
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   "but the kernel still shows it as");
	assert_true(is_told(world, DRIFT_DEVICE_UNEXPECTED));
}

static void told_when_the_disk_comes(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	char serial[21];

	volume_serial(volume, serial);
	nothing_found(world);
	kernel_plug(&world->kernel, "vdk", serial, 5 * GIB);
	assert_true(is_told(world, DRIFT_DEVICE_UNEXPECTED));
}

/* Long enough for all tries. */
static void pass_hours(struct world *world)
{
	world_pass(world, 4 * 3600 * 1000);
}

static void attached_again(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume;

	one_attached(world);
	volume = server_add(&world->server, "two", 5);
	attached(world, VOLUME(2));
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
	volume->vm_id[0] = '\0';
	volume->device_id = -1;
	found(world, "failed", "device-unexpected");
	/* It may still be on its way out. */
	found(world, "failed", "in a while");
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 2);
	world_pass(world, DEVICE_WAIT_MS);
	found(world, "repaired", "device-unexpected");
	world_pass(world, LATE_MS);
	assert_string_equal(volume->vm_id, APPLIANCE);
	/* The first slot is free again, but the hypervisor has the disk in this one. */
	assert_int_equal(volume->device_id, 2);
	check_mapped(world, VOLUME(2));
	check_served(world, VOLUME(2));
	nothing_found(world);
	check_world(world, 2);
}

static const struct operation_record *repair_of(struct world *world, const char *volume_id)
{
	const struct operation *operation;

	for (operation = operation_first(world->core->engine); operation;
	     operation = operation_after(operation)) {
		if (streq(operation->record.volume_id, volume_id))
			return &operation->record;
	}
	return NULL;
}

static bool is_repaired(struct world *world, const void *volume_id)
{
	return repair_of(world, volume_id) != NULL;
}

/* Somebody detaches the volume while the repair waits for another change of the VM: then the disk
 * was on its way out, and the volume stays detached. */
static void not_after_its_disk_has_gone(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);
	const char *stuck;
	char id[64];

	server_add(&world->server, "two", 5);
	server_fault(&world->server, (struct fake_fault){ FAKE_ATTACH, 2, 1, FAULT_JOB_STUCK });
	stuck = accepted(world, ask_attach(world, VOLUME(2), APPLIANCE));
	at_step(world, stuck, "await-job", PHASE_WAITING);
	cleared(world, volume);
	assert_true(world_until(world, is_repaired, VOLUME(1), CLOUD_WAIT_MS / 2));
	snprintf(id, sizeof(id), "%s", repair_of(world, VOLUME(1))->id);
	at_step(world, id, NULL, PHASE_QUEUED);
	kernel_unplug(&world->kernel, volume->disk);
	volume->disk[0] = '\0';
	server_release_stuck(&world->server);
	ended_with(world, id, OPERATION_FAILED, "has gone meanwhile");
	completed(world, stuck);
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 2);
	assert_string_equal(volume->vm_id, "");
	pass_hours(world);
	check_unmapped(world, VOLUME(1));
	check_world(world, 2);
}

/* CloudStack has given the slot away, and the hypervisor has taken the other disk: it does not go
 * by slots. */
static void attached_again_in_another_slot(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	cleared(world, volume);
	server_add(&world->server, "two", 5);
	attached(world, VOLUME(2));
	assert_int_equal(server_find(&world->server, VOLUME(2))->device_id, 1);
	pass_hours(world);
	assert_string_equal(volume->vm_id, APPLIANCE);
	assert_int_equal(volume->device_id, 2);
	check_served(world, VOLUME(1));
	check_world(world, 2);
}

static void not_while_it_is_used(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	kernel_mount(&world->kernel, volume->disk);
	cleared(world, volume);
	pass_hours(world);
	found(world, "failed", "vdb is in use: mounted at /mnt/data");
	/* Not even to say so is the hypervisor asked. */
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 1);
	refused(world, ask_detach(world, VOLUME(1), false), ERR_CONFLICT, "in use");
	ended_with(world, accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)),
		   OPERATION_FAILED, "and in use: mounted at /mnt/data");
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 1);
	kernel_mount(&world->kernel, NULL);
	pass_hours(world);
	assert_string_equal(volume->vm_id, APPLIANCE);
	check_served(world, VOLUME(1));
}

static void not_while_its_export_is_used(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	connect_client(world, VOLUME(1));
	cleared(world, volume);
	pass_hours(world);
	found(world, "failed", "127.0.0.1:41234");
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 1);
	check_served(world, VOLUME(1));
}

/* The hypervisor does not take what it has already: it is asked a few times, and all stays. */
static void the_hypervisor_refuses(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	server_fault(&world->server,
		     (struct fake_fault){
			     FAKE_ATTACH, 1, 1000, FAULT_JOB_FAILED, 530,
			     "org.libvirt.LibvirtException: XML error: target 'vdb' duplicated "
			     "for disk sources '/mnt/a' and '/mnt/a'" });
	cleared(world, volume);
	pass_hours(world);
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 1 + 3);
	assert_int_equal(server_jobs(&world->server, FAKE_DETACH), 0);
	assert_true(kernel_has(&world->kernel, volume->disk));
	found(world, "failed", "stop this VM in CloudStack and start it again");
	/* Nobody is led to a disk that CloudStack may give away. */
	assert_null(fake_map_of(&world->serving, VOLUME(1)));
	assert_null(fake_export_of(&world->serving, VOLUME(1)));
}

/* Comparisons pass over the volume while the hypervisor thinks about it for minutes. */
static void the_hypervisor_refuses_slowly(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, 1, 1000, FAULT_JOB_FAILED, 530, "no" });
	world->server.job_ms = CLOUD_WAIT_MS / 2;
	cleared(world, volume);
	for (int minutes = 0; minutes < 8 * 60; minutes++) {
		world_pass(world, 60000);
		answered(world, ask_sync(world, false));
	}
	assert_int_equal(server_jobs(&world->server, FAKE_ATTACH), 1 + 3);
	/* As it was found, and at each try. */
	assert_int_equal(told(world, DRIFT_DEVICE_UNEXPECTED, VOLUME(1)), 1 + 3);
	found(world, "failed", "stop this VM in CloudStack and start it again");
}

/* A detachment left it: the same detachment follows. */
static void detached_after_all(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	volume->unplug_ms = -1;
	attached(world, VOLUME(1));
	ended_with(world, accepted(world, ask_detach(world, VOLUME(1), false)), OPERATION_FAILED,
		   "but the kernel still shows it as");
	volume->unplug_ms = 100;
	pass_hours(world);
	assert_string_equal(volume->vm_id, "");
	assert_false(kernel_has(&world->kernel, "vdb"));
	check_unmapped(world, VOLUME(1));
	check_world(world, 1);
}

/* The same after a restart, and CloudStack goes on refusing: it is not asked every minute. */
static void refused_again_and_again(void **state)
{
	struct world *world = *state;
	char id[64];

	server_add(&world->server, "one", 5)->plug_ms = -1;
	server_fault(&world->server, (struct fake_fault){ FAKE_DETACH, 1, 1000, FAULT_REFUSED });
	snprintf(id, sizeof(id), "%s", accepted(world, ask_attach(world, VOLUME(1), APPLIANCE)));
	ended_with(world, id, OPERATION_FAILED, "may still be attached");
	world_restart(world);
	world->server.calls[FAKE_DETACH] = 0;
	world_pass(world, 4 * 3600 * 1000);
	assert_in_range(world->server.calls[FAKE_DETACH], 2, 12);
}

/* A create that cannot be taken back leaves a volume that says whose it is. */
static void orphan_of_a_failed_create(void **state)
{
	struct world *world = *state;
	const char *id = accepted(world, ask_create(world, "one"));
	struct err err;

	server_fault(&world->server, (struct fake_fault){ FAKE_DESTROY, 1, 1, FAULT_REFUSED });
	at_step(world, id, "await-job", PHASE_WAITING);
	assert_int_equal(operation_cancel(operation_find(world->core->engine, id), NULL, &err), 0);
	ended_with(world, id, OPERATION_CANCELLED, "may be left in CloudStack");
	assert_int_equal(server_count(&world->server), 1);
	world_pass(world, 10000); /* its job ends */
	found(world, "repaired", "orphan");
	world_pass(world, 10000);
	assert_int_equal(server_count(&world->server), 0);
	nothing_found(world);
	world_pass(world, 1000);
	assert_false(core_operation(world->core, id)->needs_attention);
}

/* A second volume of one create, made by a request that arrived hours late; a completed one of the
 * same name stays. */
static void orphan_by_name(void **state)
{
	struct world *world = *state;
	char name[256], id[64];

	snprintf(id, sizeof(id), "%s", accepted(world, ask_create(world, "one")));
	completed(world, id);
	snprintf(name, sizeof(name), "one-%s", id);
	server_add(&world->server, name, 5);
	/* nobody's we know */
	server_add(&world->server, "two-op-00000000-0000-7000-8000-000000000000", 5);
	found(world, "repaired", "orphan");
	world_pass(world, 10000);
	assert_int_equal(server_count(&world->server), 2);
	assert_non_null(server_find(&world->server, VOLUME(1)));
	nothing_found(world);
}

/* A volume that CloudStack did not rename, detached or attached, is told once, for as long as it
 * has that name. */
static void not_renamed(void **state)
{
	struct world *world = *state;

	world->server.no_rename = true;
	completed(world, accepted(world, ask_create(world, "one")));
	found(world, "failed", "not-renamed");
	attached(world, VOLUME(1));
	found(world, "failed", "not-renamed");
	assert_int_equal(told(world, DRIFT_NOT_RENAMED, VOLUME(1)), 1);
	snprintf(server_find(&world->server, VOLUME(1))->name, 10, "one");
	nothing_found(world);
	check_world(world, 1);
}

/* What was attached once may hold data: only a person deletes it. */
static void orphan_with_storage(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume;
	char name[256];

	snprintf(name, sizeof(name), "one-%s", accepted(world, ask_create(world, "one")));
	completed(world, name + 4);
	volume = server_add(&world->server, name, 5);
	volume->used = true;
	found(world, "failed", "orphan");
	world_pass(world, 600000);
	assert_int_equal(server_count(&world->server), 2);
}

/* Hundreds that only people can settle do not keep the one behind them from being found. */
static void more_than_can_be_looked_at(void **state)
{
	struct world *world = *state;
	struct fake_volume *last;

	for (int i = 0; i < 450; i++)
		snprintf(server_add(&world->server, "missing", 5)->vm_id, sizeof(last->vm_id), "%s",
			 APPLIANCE);
	last = server_add(&world->server, "last", 5);
	server_attach(&world->server, last, APPLIANCE);
	/* whoever counts must not lose count */
	server_find(&world->server, VOLUME(1))->gone = true;
	for (int i = 0; i < 3; i++)
		sync_all(world, false, "drift");
	check_mapped(world, last->id);
	for (int i = 0; i < 6; i++)
		sync_all(world, false, "drift");
	assert_int_equal(told(world, DRIFT_DEVICE_MISSING, VOLUME(2)), 1);
	assert_int_equal(events_of(world, EVENT_DRIFT_FOUND, NULL), 450);
}

static void dry_run_changes_nothing(void **state)
{
	struct world *world = *state;
	size_t events;

	server_detach(&world->server, one_attached(world));
	world_pass(world, 3000); /* the kernel's part is followed in any case */
	events = events_of(world, EVENT_MAPPING_CHANGED, NULL);
	assert_non_null(strstr(sync_all(world, true, "failed"), "detached-outside"));
	assert_non_null(mapping_find(world->core->model, VOLUME(1)));
	assert_int_equal(events_of(world, EVENT_MAPPING_CHANGED, NULL), events);
	assert_int_equal(events_of(world, EVENT_MAPPING_REMOVED, NULL), 0);
	assert_int_equal(events_of(world, EVENT_DRIFT_FOUND, NULL), 0);
}

static void a_busy_volume_is_left_alone(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = server_add(&world->server, "one", 5);
	const char *id = accepted(world, ask_attach(world, VOLUME(1), APPLIANCE));

	volume->plug_ms = 30000;
	at_step(world, id, "await-device", PHASE_SLEEPING);
	nothing_found(world);
	completed(world, id);
	check_world(world, 1);
}

/* Nobody asks: it is found at the start and by the clock. */
static void by_itself(void **state)
{
	struct world *world = *state;
	struct fake_volume *volume = one_attached(world);

	world_kill(world);
	server_detach(&world->server, volume);
	world_open(world);
	world_pass(world, 5000);
	check_unmapped(world, VOLUME(1));
	server_attach(&world->server, volume, APPLIANCE);
	world_pass(world, world->options.reconcile_ms + 5000);
	check_mapped(world, VOLUME(1));
}

static void while_cloudstack_is_away(void **state)
{
	struct world *world = *state;
	struct reply *reply;

	one_attached(world);
	world->server.down = true;
	reply = ask_sync(world, false);
	answered(world, reply);
	assert_int_equal(reply->err.code, ERR_UNAVAILABLE);
	check_mapped(world, VOLUME(1));
	world->server.down = false;
	world_pass(world, 10000);
	nothing_found(world);
}

/* Dry and not: each gets what it asked for. */
static void asked_by_many(void **state)
{
	struct world *world = *state;
	struct reply *dry, *real;

	server_detach(&world->server, one_attached(world));
	dry = ask_sync(world, true);
	real = ask_sync(world, false);
	ask_sync(world, false);
	answered(world, dry);
	answered(world, real);
	assert_non_null(
		strstr(((const struct sync_record *)item(dry, 0))->report, "\"dry_run\":true"));
	assert_non_null(
		strstr(((const struct sync_record *)item(real, 0))->report, "\"dry_run\":false"));
	world_pass(world, 1000);
}

static void killed_meanwhile(void **state)
{
	for (unsigned turns = 1; turns < 40; turns++) {
		struct world *world;
		void *each;

		world_setup(&each);
		world = each;
		server_detach(&world->server, one_attached(world));
		ask_sync(world, false);
		for (unsigned i = 0; i < turns; i++) {
			if (!world_turn(world))
				clock_test_advance(10);
		}
		world_restart(world);
		world_pass(world, 5000);
		check_unmapped(world, VOLUME(1));
		world_teardown(&each);
	}
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_differs),
		TEST(attached_outside),
		cmocka_unit_test_setup_teardown(attached_outside_nameless, world_setup_nameless,
						world_teardown),
		TEST(attached_outside_twins),
		TEST(detached_outside),
		TEST(detached_outside_elsewhere),
		TEST(slot_given_again),
		TEST(deleted_outside),
		TEST(moved_away),
		TEST(moved_here),
		TEST(another_machine_is_the_appliance),
		TEST(device_missing),
		TEST(device_unexpected),
		TEST(device_renamed),
		TEST(size_changed),
		TEST(operation_lost),
		TEST(operation_lost_and_looked_for),
		TEST(not_taken_back),
		TEST(a_disk_that_does_not_go),
		TEST(told_when_cloudstack_says_so),
		TEST(told_when_an_operation_ends),
		TEST(told_when_the_disk_comes),
		TEST(attached_again),
		TEST(not_after_its_disk_has_gone),
		TEST(attached_again_in_another_slot),
		TEST(not_while_it_is_used),
		TEST(not_while_its_export_is_used),
		TEST(the_hypervisor_refuses),
		TEST(the_hypervisor_refuses_slowly),
		TEST(detached_after_all),
		TEST(refused_again_and_again),
		TEST(orphan_of_a_failed_create),
		TEST(orphan_by_name),
		TEST(not_renamed),
		TEST(orphan_with_storage),
		TEST(more_than_can_be_looked_at),
		TEST(dry_run_changes_nothing),
		TEST(a_busy_volume_is_left_alone),
		TEST(by_itself),
		TEST(while_cloudstack_is_away),
		TEST(asked_by_many),
		cmocka_unit_test(killed_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
