/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What happens in a world: some volumes, a dozen or so deeds at random moments, faults on the way
 * to CloudStack, and at last an hour of peace in which everything must come to rest.
 */

#include <assert.h>

#include "sim.h"

#define DEEDS_MAX 16
#define PEACE_MS (3600 * 1000)

static uint64_t roll(struct sim *sim, uint64_t high)
{
	return (uint64_t)random_between(&sim->chance, 0, (int64_t)high);
}

static struct fake_volume *some_volume(struct sim *sim)
{
	struct fake_volume *volume;
	uint64_t left = roll(sim, sim->server.volumes_made - 1);

	TAILQ_FOREACH(volume, &sim->server.volumes, entry) {
		if (left-- == 0)
			return volume;
	}
	abort();
}

/* ---- asking the daemon ---- */

void ask_answered(void *arg, const struct answer *answer)
{
	struct ask *ask = arg;
	const struct operation_record *operation;

	ask->call = NULL;
	if (answer->err)
		sim_say(ask->sim, "answer: %s: %s", methods[ask->method].name, answer->err->text);
	check_answer(ask->sim, ask, answer);
	if (answer->err || answer->record != &operation_record ||
	    methods[ask->method].answer != ANSWER_OPERATION)
		return;
	operation = answer_item(answer, 0);
	snprintf(ask->operation_id, sizeof(ask->operation_id), "%s", operation->id);
	if (ask->method == METHOD_VOLUME_ATTACH)
		naive_begin(ask->sim, ask);
}

static struct ask *ask_new(struct sim *sim, enum method_id method)
{
	struct ask *ask;

	if (!sim->core || sim->ask_count == ASKS_MAX - (method == METHOD_OPERATION_LIST ? 0 : 1))
		return NULL;
	ask = &sim->asks[sim->ask_count++];
	*ask = (struct ask){ .sim = sim, .method = method };
	return ask;
}

static void ask_begin(struct ask *ask, const void *args)
{
	struct caller caller = { .surface = "truth", .access = ACCESS_ADMIN };

	sim_say(ask->sim, "asked: %s %s%s", methods[ask->method].name, ask->volume_id, ask->name);
	ask->call = call_start(ask->sim->core, ask->method, args, &caller, ask_answered, ask);
}

/* Nobody has been told of it yet, so nobody can ask for it; it gets its name last. */
static bool is_being_made(const struct sim *sim, const struct fake_volume *volume)
{
	for (size_t i = 0; i < sim->ask_count; i++) {
		if (sim->asks[i].method == METHOD_VOLUME_CREATE &&
		    streq(sim->asks[i].name, volume->name))
			return !sim->asks[i].ended;
	}
	return !streq(volume->name, "data");
}

static void ask_about(struct sim *sim, enum method_id method, const struct fake_volume *volume)
{
	struct ask *ask = is_being_made(sim, volume) ? NULL : ask_new(sim, method);

	if (!ask)
		return;
	snprintf(ask->volume_id, sizeof(ask->volume_id), "%s", volume->id);
	if (method == METHOD_VOLUME_ATTACH) {
		struct volume_attach_args args = { .volume_id = ask->volume_id,
						   .vm_id = ask->vm_id };

		snprintf(ask->vm_id, sizeof(ask->vm_id), "%s",
			 random_percent(&sim->chance, 92) ? APPLIANCE : OTHER_VM);
		ask_begin(ask, &args);
	} else if (method == METHOD_VOLUME_DETACH) {
		struct volume_detach_args args = { .volume_id = ask->volume_id,
						   .force = random_percent(&sim->chance, 30) };

		ask_begin(ask, &args);
	} else if (method == METHOD_VOLUME_CLEANUP) {
		static char test_vm[] = OTHER_VM, appliance[] = APPLIANCE;
		struct volume_cleanup_args args = { .test_vm_id = test_vm,
						    .volume_id = ask->volume_id,
						    .oma_vm_id = appliance };

		ask_begin(ask, &args);
	} else if (method == METHOD_VOLUME_RESIZE) {
		struct volume_resize_args args = { .volume_id = ask->volume_id,
						   .size = (1 + roll(sim, 4)) * GIB,
						   .allow_shrink =
							   random_percent(&sim->chance, 30) };

		ask_begin(ask, &args);
	} else if (method == METHOD_VOLUME_OPEN) {
		struct volume_open_args args = { .volume_id = ask->volume_id,
						 .read_only = random_percent(&sim->chance, 30) };

		ask_begin(ask, &args);
	} else {
		struct volume_get_args args = { .volume_id = ask->volume_id };

		ask_begin(ask, &args);
	}
}

static void attach(struct sim *sim)
{
	const struct fake_volume *volume = some_volume(sim);

	/* Mostly what can be attached. */
	for (int tries = 0; tries < 4 && (volume->vm_id[0] || volume->gone); tries++)
		volume = some_volume(sim);
	ask_about(sim, METHOD_VOLUME_ATTACH, volume);
}

/* Several at once: the hardest case for whoever counts disks. */
static void attach_many(struct sim *sim)
{
	for (uint64_t count = 2 + roll(sim, 2); count > 0; count--)
		attach(sim);
}

static void detach(struct sim *sim)
{
	const struct fake_volume *volume = some_volume(sim);

	for (int tries = 0; tries < 4 && !volume->vm_id[0]; tries++)
		volume = some_volume(sim);
	ask_about(sim, METHOD_VOLUME_DETACH, volume);
}

/* Without waiting in between, as old clients do. */
static void detach_and_attach(struct sim *sim)
{
	const struct fake_volume *volume = some_volume(sim);

	ask_about(sim, METHOD_VOLUME_DETACH, volume);
	ask_about(sim, METHOD_VOLUME_ATTACH,
		  random_percent(&sim->chance, 50) ? volume : some_volume(sim));
}

/* Mostly of a volume that a test has, or had. */
static void clean_up(struct sim *sim)
{
	const struct fake_volume *volume = some_volume(sim);

	for (int tries = 0; tries < 4 && streq(volume->vm_id, APPLIANCE); tries++)
		volume = some_volume(sim);
	sim->server.other_runs = random_percent(&sim->chance, 50);
	ask_about(sim, METHOD_VOLUME_CLEANUP, volume);
}

static void create(struct sim *sim)
{
	struct ask *ask = sim->server.volumes_made + 3 < VOLUMES_MAX
				  ? ask_new(sim, METHOD_VOLUME_CREATE)
				  : NULL;
	char offering[] = "dddddddd-0000-4000-8000-00000000000d",
	     zone[] = "cccccccc-0000-4000-8000-00000000000c";

	if (!ask)
		return;
	struct volume_create_args args = { .name = ask->name,
					   .disk_offering_id = offering,
					   .size = (1 + roll(sim, 2)) * GIB,
					   .zone_id = zone };

	snprintf(ask->name, sizeof(ask->name), "made-%zu", sim->ask_count);
	ask_begin(ask, &args);
}

static void destroy(struct sim *sim)
{
	ask_about(sim, METHOD_VOLUME_DELETE, some_volume(sim));
}

static void resize(struct sim *sim)
{
	ask_about(sim, METHOD_VOLUME_RESIZE, some_volume(sim));
}

static const struct operation *youngest_operation(struct sim *sim)
{
	const struct operation *youngest = NULL, *operation;

	if (!sim->core)
		return NULL;
	for (operation = operation_first(sim->core->engine); operation;
	     operation = operation_after(operation))
		youngest = operation;
	return youngest;
}

static void cancel(struct sim *sim)
{
	const struct operation *operation = youngest_operation(sim);
	struct ask *ask = operation ? ask_new(sim, METHOD_OPERATION_CANCEL) : NULL;

	if (!ask)
		return;
	struct operation_cancel_args args = { .operation_id = ask->operation_id };

	snprintf(ask->operation_id, sizeof(ask->operation_id), "%s", operation->record.id);
	ask_begin(ask, &args);
	ask->operation_id[0] = '\0';
}

/* Mostly of a volume that has a disk here, or is about to get one. */
static void open_disk(struct sim *sim)
{
	const struct fake_volume *volume = some_volume(sim);

	for (int tries = 0; tries < 4 && !volume->disk[0]; tries++)
		volume = some_volume(sim);
	ask_about(sim, METHOD_VOLUME_OPEN, volume);
}

static void read_device(struct sim *sim)
{
	struct ask *ask = ask_new(sim, METHOD_DEVICE_VOLUME);
	char name[16];

	if (!ask)
		return;
	disk_name(1 + roll(sim, 5), name);
	struct device_args args = { .device = name };

	ask_begin(ask, &args);
}

static void read_something(struct sim *sim)
{
	static const enum method_id lists[] = { METHOD_DEVICE_LIST, METHOD_MAPPING_LIST,
						METHOD_VOLUME_LIST };
	struct volume_list_args args = { 0 }; /* the others take none */
	struct ask *ask;

	ask_about(sim, METHOD_VOLUME_DEVICE, some_volume(sim));
	ask_about(sim, METHOD_VOLUME_GET, some_volume(sim));
	read_device(sim);
	ask = ask_new(sim, lists[roll(sim, ARRAY_SIZE(lists) - 1)]);
	if (ask)
		ask_begin(ask, &args);
}

static void list_operations(struct sim *sim)
{
	struct operation_list_args args = { .limit = 2 * ASKS_MAX };
	struct ask *ask = ask_new(sim, METHOD_OPERATION_LIST);

	assert(ask);
	ask_begin(ask, &args);
	sim_pass(sim, 1);
}

/* ---- what others do ---- */

static void plug_stranger(struct sim *sim)
{
	char name[16], serial[21];
	const struct fake_volume *volume = some_volume(sim);
	bool nameless = random_percent(&sim->chance, 50);
	uint64_t size =
		random_percent(&sim->chance, 70) ? volume->size : (1 + roll(sim, 3)) * GIB + 4096;

	/* Where no disk has a serial, one of this very size that comes during an attachment cannot
	 * be told apart. */
	if (sim->server.serial == SERIAL_NONE && size % GIB == 0)
		size += 512;
	snprintf(serial, sizeof(serial), "5%019llx", (unsigned long long)roll(sim, UINT32_MAX));
	kernel_free_name(&sim->kernel.face, name);
	kernel_plug(&sim->kernel.face, name, nameless ? NULL : serial, size);
}

static struct fake_volume *volume_of(struct sim *sim, size_t index)
{
	struct fake_volume *volume;
	char name[16];

	disk_name(index, name);
	TAILQ_FOREACH(volume, &sim->server.volumes, entry) {
		if (streq(volume->disk, name))
			return volume;
	}
	return NULL;
}

static void unplug_some(struct sim *sim, bool strangers)
{
	for (size_t index = 1; index < DISKS_MAX; index++) {
		struct fake_volume *volume = volume_of(sim, index);
		char name[16];

		if (!sim->kernel.disks[index].there || strangers == (volume != NULL) ||
		    !random_percent(&sim->chance, 50))
			continue;
		disk_name(index, name);
		kernel_unplug(&sim->kernel.face, name);
		if (volume)
			volume->disk[0] = '\0';
		return;
	}
}

static void unplug_stranger(struct sim *sim)
{
	unplug_some(sim, true);
}

static void unplug_volume(struct sim *sim)
{
	unplug_some(sim, false);
	if (random_percent(&sim->chance, 50))
		plug_stranger(sim);
}

static void attach_behind(struct sim *sim)
{
	struct fake_volume *volume = some_volume(sim);

	if (volume->gone || volume->vm_id[0] || volume->disk[0] ||
	    server_pending_job(&sim->server, volume) || sim->server.serial == SERIAL_NONE)
		return;
	sim_say(sim, "somebody attaches %s", volume->id);
	sim->meddled[sim_number(volume)] = true;
	server_attach(&sim->server, volume, APPLIANCE);
}

static void detach_behind(struct sim *sim)
{
	struct fake_volume *volume = some_volume(sim);

	if (volume->gone || !volume->vm_id[0])
		return;
	sim_say(sim, "somebody detaches %s", volume->id);
	sim->meddled[sim_number(volume)] = true;
	server_detach(&sim->server, volume);
}

/* What a detachment does that ends late: CloudStack forgets an attachment, and its disk stays. */
static void clear_behind(struct sim *sim)
{
	struct fake_volume *volume = some_volume(sim);

	if (volume->gone || !streq(volume->vm_id, APPLIANCE) || !volume->disk[0] ||
	    server_pending_job(&sim->server, volume))
		return;
	sim_say(sim, "CloudStack forgets the attachment of %s", volume->id);
	sim->meddled[sim_number(volume)] = sim->cleared = true;
	volume->vm_id[0] = '\0';
	volume->device_id = -1;
}

static void mount_something(struct sim *sim)
{
	size_t index = 1 + roll(sim, 5);

	sim->kernel.disks[index].held = !sim->kernel.disks[index].held;
}

/* ---- what breaks ---- */

static void cloud_goes_or_comes(struct sim *sim)
{
	sim->server.down = !sim->server.down;
	sim_say(sim, "CloudStack is %s", sim->server.down ? "away" : "back");
}

/* Jobs under way are lost; what they were to do is done, or not. */
static void cloud_restarts(struct sim *sim)
{
	struct fake_job *job;

	sim_say(sim, "CloudStack restarts");
	TAILQ_FOREACH(job, &sim->server.jobs, entry) {
		struct fake_volume *volume = job->volume;

		if (job->state > JOB_RUNNING)
			continue;
		loop_timer_clear(sim->loop, &job->timer);
		if (job->state == JOB_RUNNING && !job->code && random_percent(&sim->chance, 50)) {
			if (job->command == FAKE_ATTACH) {
				snprintf(volume->vm_id, sizeof(volume->vm_id), "%s", job->vm_id);
				volume->size = server_stored_size(volume);
				volume->device_id = 9;
			} else if (job->command == FAKE_DETACH) {
				server_detach(&sim->server, volume);
			} else if (job->command == FAKE_RESIZE) {
				server_resize(&sim->server, volume, job->size);
			} else if (job->command == FAKE_DESTROY) {
				volume->gone = true;
			}
		} else if (job->command == FAKE_ATTACH && !volume->vm_id[0]) {
			server_detach(&sim->server, volume);
		} else if (job->command == FAKE_DETACH) {
			loop_timer_clear(sim->loop, &volume->unplug);
		} else if (job->command == FAKE_RESIZE) {
			loop_timer_clear(sim->loop, &volume->resize);
		}
		job->state = JOB_FAILED;
		job->code = 530;
		job->text = "";
	}
}

static void store_goes_or_comes(struct sim *sim)
{
	if (!sim->core)
		return;
	sim->store_away = !sim->store_away;
	sim_say(sim, "the store is %s", sim->store_away ? "away" : "back");
	store_memory_set_away(sim->store, sim->store_away ? "No space left on device" : NULL);
}

static void crash(struct sim *sim)
{
	sim_say(sim, "the daemon crashes");
	sim_kill(sim);
}

static void crash_soon(struct sim *sim)
{
	struct store_health health;

	if (!sim->core)
		return;
	store_health(sim->store, &health);
	store_memory_crash_at(sim->store, health.transactions + 1 + roll(sim, 6),
			      random_percent(&sim->chance, 50));
}

static void start(struct sim *sim)
{
	if (!sim->core)
		sim_open(sim);
}

static void reboot(struct sim *sim)
{
	sim_say(sim, "the appliance reboots");
	naive_stop(sim);
	memset(sim->size_named, 0, sizeof(sim->size_named));
	sim_kill(sim);
	sim_kernel_reboot(&sim->kernel);
	sim->rebooted = true;
}

static void release(struct sim *sim)
{
	server_release_stuck(&sim->server);
}

/* ---- the schedule ---- */

static const struct {
	void (*run)(struct sim *sim);
	unsigned weight;
} deeds[] = {
	{ attach, 20 },
	{ attach_many, 10 },
	{ detach, 14 },
	{ detach_and_attach, 8 },
	{ create, 5 },
	{ destroy, 4 },
	{ resize, 6 },
	{ clean_up, 6 },
	{ cancel, 5 },
	{ read_something, 10 },
	{ open_disk, 20 },
	{ plug_stranger, 10 },
	{ unplug_stranger, 5 },
	{ unplug_volume, 3 },
	{ attach_behind, 3 },
	{ detach_behind, 3 },
	{ clear_behind, 3 },
	{ mount_something, 2 },
	{ cloud_goes_or_comes, 3 },
	{ cloud_restarts, 2 },
	{ store_goes_or_comes, 3 },
	{ crash, 3 },
	{ crash_soon, 3 },
	{ reboot, 2 },
	{ release, 1 },
};

static void do_something(struct sim *sim)
{
	uint64_t sum = 0, left;

	for (size_t i = 0; i < ARRAY_SIZE(deeds); i++)
		sum += deeds[i].weight;
	left = roll(sim, sum - 1);
	for (size_t i = 0; i < ARRAY_SIZE(deeds); i++) {
		if (left < deeds[i].weight) {
			deeds[i].run(sim);
			return;
		}
		left -= deeds[i].weight;
	}
}

static void add_faults(struct sim *sim)
{
	for (uint64_t count = random_percent(&sim->chance, 60) ? roll(sim, 4) : 0; count > 0;
	     count--) {
		struct fake_fault fault = {
			.command = (enum fake_command)roll(sim, FAKE_ANY),
			.nth = 1 + (unsigned)roll(sim, 12),
			.times = 1 + (unsigned)roll(sim, 2),
			.kind = (enum fault_kind)random_between(&sim->chance, FAULT_AWAY,
								FAULT_KIND_COUNT - 1),
		};

		server_fault(&sim->server, fault);
	}
}

static void add_volumes(struct sim *sim)
{
	bool equal = random_percent(&sim->chance, 60);

	for (uint64_t count = 2 + roll(sim, 4); count > 0; count--) {
		struct fake_volume *volume =
			server_add(&sim->server, "data", equal ? 2 : 1 + roll(sim, 2));

		if (volume->serial == SERIAL_OWN && random_percent(&sim->chance, 6))
			volume->serial =
				random_percent(&sim->chance, 50) ? SERIAL_FOREIGN : SERIAL_NONE;
		if (random_percent(&sim->chance, 15))
			volume->size_error = 512 * 1024;
	}
}

/* How long each disk takes from now on: usually a moment, sometimes until after the job, sometimes
 * for ever. */
static void change_delays(struct sim *sim)
{
	struct fake_volume *volume;

	TAILQ_FOREACH(volume, &sim->server.volumes, entry) {
		uint64_t kind = roll(sim, 99);

		volume->plug_ms = kind < 70   ? (int64_t)roll(sim, 2000)
				  : kind < 95 ? (int64_t)roll(sim, 40000)
					      : -1;
		volume->resize_ms =
			kind < 70 ? (int64_t)roll(sim, 2000) : (int64_t)roll(sim, 40000);
		volume->unplug_ms = (int64_t)(kind < 90 ? roll(sim, 1000) : roll(sim, 20000));
	}
}

static void make_peace(struct sim *sim)
{
	struct fake_volume *volume;

	sim->server.fault_count = 0;
	sim->server.down = false;
	if (sim->store_away)
		store_goes_or_comes(sim);
	if (sim->core)
		store_memory_crash_at(sim->store, UINT64_MAX, true); /* no crash is still to come */
	sim->kernel.lost_percent = 0;
	TAILQ_FOREACH(volume, &sim->server.volumes, entry)
		volume->plug_ms = volume->unplug_ms = volume->resize_ms = 100;
	for (size_t i = 0; i < DISKS_MAX; i++)
		sim->kernel.disks[i].held = false;
	sim_say(sim, "peace");
}

static bool is_quiet(const struct sim *sim)
{
	return sim->core && operation_count(sim->core->engine) == 0 &&
	       server_busy(&sim->server) == 0;
}

/* Longer than any operation takes in a world where nothing goes wrong. */
static void await_quiet(struct sim *sim)
{
	for (int tries = 0; tries < 60 && !is_quiet(sim) && !sim->failure[0]; tries++)
		sim_pass(sim, 1000);
}

void schedule_run(struct sim *sim)
{
	add_volumes(sim);
	add_faults(sim);
	sim_pass(sim, 1000);
	for (uint64_t count = 4 + roll(sim, DEEDS_MAX - 4); count > 0 && !sim->failure[0];
	     count--) {
		change_delays(sim);
		do_something(sim);
		sim_pass(sim, (int64_t)(random_percent(&sim->chance, 40) ? roll(sim, 300)
									 : roll(sim, 15000)));
		if (!sim->core && random_percent(&sim->chance, 60))
			start(sim);
	}
	make_peace(sim);
	for (int64_t passed = 0; passed < PEACE_MS && !sim->failure[0]; passed += 10000) {
		release(sim);
		start(sim);
		sim_pass(sim, 10000);
		if (is_quiet(sim))
			break;
	}
	if (sim->failure[0])
		return;
	start(sim);
	sim_pass(sim, 65000); /* a scan of the slowest kind, and whatever follows from it */
	/* A disk that was left here has its time to go, and the comparison after that heals it. */
	if (sim->cleared)
		sim_pass(sim, DEVICE_WAIT_MS + 65000);
	/* A comparison may just now have begun to mend what it found: that has to end as well. */
	await_quiet(sim);
	if (!sim->failure[0])
		list_operations(sim);
	/* An undo that failed is tried again, after a pause. */
	if (sim->left_over)
		sim_pass(sim, 65000);
	/* The daemon lists volumes and compares all the time; that is no unfinished business. */
	await_quiet(sim);
	if (!sim->failure[0])
		check_end(sim);
}
