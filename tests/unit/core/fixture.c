/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The world around a core; see fixture.h.
 *
 * Time stands still while there is anything to do, then takes a small step. What would be hours of
 * waiting is therefore some thousand turns of an idle loop, and every run takes the same way.
 */

#include "fixture.h"

#include "base/log.h"

#define STEP_MS 50
#define TURNS_MAX 10000

/* Copies a record that leaves the core. All of it must be JSON, the fields that hold JSON
 * themselves included. */
static void keep(const struct record *record, void *copy, const void *object)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };
	_cleanup_json_ struct json *parsed = NULL;

	record_to_json(record, object, true, &w);
	parsed = json_parse(text.data, text.length, NULL);
	if (!parsed)
		fail_msg("not JSON: %s", text.data);
	record_copy(record, copy, object);
}

/* ---- events ---- */

static const char *stored_status(struct world *world, const char *operation_id)
{
	struct store_memory_transition transitions[64];
	size_t count = store_memory_history(world->store, operation_id, transitions,
					    ARRAY_SIZE(transitions));

	assert_true(count <= ARRAY_SIZE(transitions));
	return count ? transitions[count - 1].new_status : "nothing";
}

/* An event tells what is durable, the first is STARTED, the last ENDED, and both come once. */
static void check_operation_event(struct world *world, const struct core_event *event)
{
	size_t started = events_of(world, EVENT_OPERATION_STARTED, event->id);
	size_t ended_before = events_of(world, EVENT_OPERATION_ENDED, event->id);

	if (event->type == EVENT_OPERATION_STARTED)
		assert_int_equal(started, 0);
	if (event->type == EVENT_OPERATION_FORGOTTEN) {
		assert_int_equal(ended_before, 1);
		return;
	}
	/* What needed attention may be settled after its end. */
	if (event->type != EVENT_OPERATION_CHANGED ||
	    !operation_status_is_final(event->operation->status))
		assert_int_equal(ended_before, 0);
	assert_string_not_equal(stored_status(world, event->id), "nothing");
	if (event->type != EVENT_OPERATION_ENDED)
		return;
	assert_true(operation_status_is_final(event->operation->status));
	assert_string_equal(stored_status(world, event->id),
			    operation_status_names[event->operation->status]);
}

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	struct world *world = container_of(listener, struct world, listener);
	struct seen *seen;

	if (event->type <= EVENT_OPERATION_FORGOTTEN)
		check_operation_event(world, event);
	if (world->seen_count == world->seen_room) {
		world->seen_room = world->seen_room ? 2 * world->seen_room : 64;
		world->seen = xrealloc(world->seen, world->seen_room * sizeof(*world->seen));
	}
	seen = &world->seen[world->seen_count++];
	*seen = (struct seen){ .type = event->type, .id = xstrdup(event->id) };
	if (event->operation)
		keep(&operation_record, &seen->operation, event->operation);
	if (event->device)
		keep(&device_record, &seen->device, event->device);
	if (event->mapping)
		keep(&mapping_record, &seen->mapping, event->mapping);
	if (event->drift)
		keep(&drift_record, &seen->drift, event->drift);
}

size_t events_of(const struct world *world, enum event_type type, const char *id)
{
	size_t count = 0;

	for (size_t i = 0; i < world->seen_count; i++)
		count += world->seen[i].type == type && (!id || streq(world->seen[i].id, id)) ? 1
											      : 0;
	return count;
}

static void forget_events(struct world *world)
{
	for (size_t i = 0; i < world->seen_count; i++) {
		free(world->seen[i].id);
		record_clear(&operation_record, &world->seen[i].operation);
		record_clear(&device_record, &world->seen[i].device);
		record_clear(&mapping_record, &world->seen[i].mapping);
		record_clear(&drift_record, &world->seen[i].drift);
	}
	world->seen_count = 0;
}

/* ---- turning ---- */

bool world_turn(struct world *world)
{
	return loop_turn(world->loop);
}

/* The time to the end of the first step in which the loop has something to do, or of the last one.
 * Nothing can happen in the steps before: the whole world is in memory, so no event comes from
 * outside. */
static int64_t idle_steps_ms(const struct world *world, int64_t left_ms)
{
	int64_t idle_ms = loop_idle_ms(world->loop);

	if (idle_ms > left_ms)
		idle_ms = left_ms;
	return idle_ms > STEP_MS ? (idle_ms + STEP_MS - 1) / STEP_MS * STEP_MS : STEP_MS;
}

bool world_until(struct world *world, world_test test, const void *arg, int64_t max_ms)
{
	for (int64_t passed = 0, step;; passed += step) {
		size_t turns = 0;

		do {
			if (test(world, arg))
				return true;
			assert_true(turns++ < TURNS_MAX); /* something spins */
		} while (loop_turn(world->loop));
		if (passed >= max_ms)
			return false;
		step = idle_steps_ms(world, max_ms - passed);
		clock_test_advance(step);
	}
}

static bool never(struct world *world, const void *arg)
{
	return false;
}

void world_pass(struct world *world, int64_t ms)
{
	world_until(world, never, NULL, ms);
}

static bool cloud_has_answered(struct world *world, const void *arg)
{
	return volumes_are_known(world->core->model) &&
	       !reconciler_is_comparing(world->core->reconciler);
}

/* ---- life ---- */

void world_open(struct world *world)
{
	struct err err = { 0 };

	world->cloud = server_connect(&world->server);
	world->core = core_new(world->loop, &world->options, world->store, world->cloud, &err);
	if (!world->core)
		fail_msg("%s", err.text);
	core_listen(world->core, &world->listener);
}

static void close_core(struct world *world)
{
	for (size_t i = 0; i < world->reply_count; i++)
		world->replies[i]->call = NULL;
	core_unlisten(world->core, &world->listener);
	world->core = core_free(world->core);
	world->cloud = cloud_free(world->cloud);
}

void world_kill(struct world *world)
{
	close_core(world);
	world->store = store_memory_reopen(world->store);
	/* The next process tells of its own; who listened to the last one has lost it. */
	forget_events(world);
}

static bool is_drained(struct world *world, const void *arg)
{
	return core_drain(world->core);
}

void world_accept(struct world *world)
{
	answered(world, ask(world, METHOD_STORE_ACCEPT, &(struct no_args){ 0 }));
}

void world_stop(struct world *world)
{
	assert_true(world_until(world, is_drained, NULL, 10000));
	world_kill(world);
}

static int setup(void **state, const char *root_serial, enum serial_kind serial)
{
	struct world *world = xnew(struct world);

	clock_test_start(1000000, 1790000000000);
	log_set_level(getenv("TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	world->loop = loop_new();
	kernel_init(&world->kernel);
	fake_disk_init();
	kernel_plug(&world->kernel, "vda", root_serial, 20 * GIB);
	server_init(&world->server, world->loop, &world->kernel);
	world->server.serial = serial;
	serving_fake_init(&world->serving, world->loop);
	world->store = store_memory_new(world->loop);
	world->listener.on_event = on_event;
	world->options = (struct core_options){
		.appliance_id = APPLIANCE,
		.sysfs_root = world->kernel.sys,
		.dev_root = world->kernel.dev,
		.proc_root = world->kernel.proc,
		.run_dir = world->kernel.run,
		.buses = 1u << BUS_VIRTIO | 1u << BUS_SCSI,
		.scan_ms = 2000,
		.device_wait_ms = DEVICE_WAIT_MS,
		.cloud_wait_ms = CLOUD_WAIT_MS,
		.probe_ms = PROBE_MS,
		.reconcile_ms = 300000,
		.hold_ms = HOLD_MS,
		.devmap = fake_devmap(&world->serving),
		.exporter = fake_exporter(&world->serving),
		.max_operations = MAX_OPERATIONS,
	};
	world_open(world);
	assert_true(world_until(world, cloud_has_answered, NULL, 1000));
	*state = world;
	return 0;
}

int world_setup(void **state)
{
	return setup(state, ROOT_SERIAL, SERIAL_OWN);
}

int world_setup_nameless(void **state)
{
	return setup(state, NULL, SERIAL_NONE);
}

int world_teardown(void **state)
{
	struct world *world = *state;

	/* In the daemon's own order. */
	if (world->core) {
		core_unlisten(world->core, &world->listener);
		core_drain(world->core);
	}
	store_close(world->store);
	core_free(world->core);
	cloud_free(world->cloud);
	server_fini(&world->server);
	kernel_fini(&world->kernel);
	forget_events(world);
	free(world->seen);
	for (size_t i = 0; i < world->reply_count; i++) {
		struct reply *reply = world->replies[i];

		for (size_t j = 0; j < reply->count; j++)
			record_clear(reply->record, (char *)reply->items + j * reply->record->size);
		free(reply->items);
		free(reply->next_cursor);
		free(reply);
	}
	loop_free(world->loop);
	free(world);
	return 0;
}

/* ---- asking ---- */

static void on_answer(void *arg, const struct answer *answer)
{
	struct reply *reply = arg;

	assert_false(reply->done);
	reply->done = true;
	reply->call = NULL;
	if (answer->err)
		reply->err = *answer->err;
	reply->unhealthy = answer->unhealthy;
	reply->next_cursor = xstrdup(answer->next_cursor);
	reply->listed_ms = answer->listed_ms;
	if (!answer->err) {
		reply->record = answer->record;
		reply->count = answer->count;
		reply->items = xcalloc(answer->count + 1, answer->record->size);
		for (size_t i = 0; i < answer->count; i++)
			keep(answer->record, (char *)reply->items + i * answer->record->size,
			     answer_item(answer, i));
	}
	if (reply->then)
		reply->then(reply);
}

struct reply *ask_by(struct world *world, enum method_id method, const void *args,
		     const struct caller *caller)
{
	struct reply *reply = xnew(struct reply);

	assert_true(world->reply_count < ARRAY_SIZE(world->replies));
	world->replies[world->reply_count++] = reply;
	reply->world = world;
	reply->call = call_start(world->core, method, args, caller, on_answer, reply);
	return reply;
}

struct reply *ask_as(struct world *world, enum method_id method, const void *args,
		     enum method_access access)
{
	return ask_by(world, method, args, &(struct caller){ .surface = "test", .access = access });
}

struct reply *ask(struct world *world, enum method_id method, const void *args)
{
	return ask_as(world, method, args, ACCESS_ADMIN);
}

static bool is_answered(struct world *world, const void *arg)
{
	return ((const struct reply *)arg)->done;
}

void answered(struct world *world, const struct reply *reply)
{
	assert_true(world_until(world, is_answered, reply, DAY_MS));
}

void refused(struct world *world, const struct reply *reply, enum err_code code, const char *text)
{
	answered(world, reply);
	if (reply->err.code != code || !strstr(reply->err.text, text))
		fail_msg("not refused with \"%s\": %s", text,
			 reply->err.code ? reply->err.text : "accepted");
}

const void *item(const struct reply *reply, size_t index)
{
	if (!reply->done || reply->err.code)
		fail_msg("%s", reply->done ? reply->err.text : "no answer");
	assert_true(index < reply->count);
	return (const char *)reply->items + index * reply->record->size;
}

struct reply *ask_create(struct world *world, const char *name)
{
	char text[64], offering[] = "dddddddd-0000-4000-8000-00000000000d",
		       zone[] = "cccccccc-0000-4000-8000-00000000000c";
	struct volume_create_args args = {
		.name = text, .disk_offering_id = offering, .size = 5 * GIB, .zone_id = zone
	};

	snprintf(text, sizeof(text), "%s", name);
	return ask(world, METHOD_VOLUME_CREATE, &args);
}

struct reply *ask_attach(struct world *world, const char *volume_id, const char *vm_id)
{
	char volume[37], vm[37];
	struct volume_attach_args args = { .volume_id = volume, .vm_id = vm };

	snprintf(volume, sizeof(volume), "%s", volume_id);
	snprintf(vm, sizeof(vm), "%s", vm_id);
	return ask(world, METHOD_VOLUME_ATTACH, &args);
}

struct reply *ask_attach_root(struct world *world, const char *volume_id, const char *vm_id,
			      bool replace)
{
	char *volume = (char *)(intptr_t)volume_id, *vm = (char *)(intptr_t)vm_id;
	struct volume_attach_root_args args = { .volume_id = volume,
						.vm_id = vm,
						.replace = replace };

	return ask(world, METHOD_VOLUME_ATTACH_ROOT, &args);
}

struct reply *ask_detach(struct world *world, const char *volume_id, bool force)
{
	char volume[37];
	struct volume_detach_args args = { .volume_id = volume, .force = force };

	snprintf(volume, sizeof(volume), "%s", volume_id);
	return ask(world, METHOD_VOLUME_DETACH, &args);
}

struct reply *ask_detach_keeping(struct world *world, const char *volume_id)
{
	char volume[37];
	struct volume_detach_args args = { .volume_id = volume, .keep_name = true };

	snprintf(volume, sizeof(volume), "%s", volume_id);
	return ask(world, METHOD_VOLUME_DETACH, &args);
}

struct reply *ask_delete(struct world *world, const char *volume_id)
{
	char volume[37];
	struct volume_delete_args args = { .volume_id = volume };

	snprintf(volume, sizeof(volume), "%s", volume_id);
	return ask(world, METHOD_VOLUME_DELETE, &args);
}

struct reply *ask_resize(struct world *world, const char *volume_id, uint64_t size,
			 bool allow_shrink)
{
	char volume[37];
	struct volume_resize_args args = { .volume_id = volume,
					   .size = size,
					   .allow_shrink = allow_shrink };

	snprintf(volume, sizeof(volume), "%s", volume_id);
	return ask(world, METHOD_VOLUME_RESIZE, &args);
}

struct reply *ask_clean_up(struct world *world, const char *volume_id, bool delete_vm,
			   bool force_clean)
{
	static char test_vm[] = OTHER_VM, appliance[] = APPLIANCE;
	struct volume_cleanup_args args = { .test_vm_id = test_vm,
					    .volume_id = (char *)(intptr_t)volume_id,
					    .oma_vm_id = appliance,
					    .delete_vm = delete_vm,
					    .force_clean = force_clean };

	return ask(world, METHOD_VOLUME_CLEANUP, &args);
}

struct reply *ask_sync(struct world *world, bool dry_run)
{
	struct sync_args args = { .dry_run = dry_run };

	return ask(world, METHOD_FORCE_SYNC, &args);
}

struct reply *ask_operation(struct world *world, enum method_id method, const char *operation_id)
{
	char id[64];
	/* begins like struct operation_args */
	struct operation_get_args args = { .operation_id = id };

	snprintf(id, sizeof(id), "%s", operation_id);
	return ask(world, method, &args);
}

const char *accepted(struct world *world, struct reply *reply)
{
	const struct operation_record *operation;

	answered(world, reply);
	operation = item(reply, 0);
	return operation->id;
}

static bool has_ended(struct world *world, const void *operation_id)
{
	return events_of(world, EVENT_OPERATION_ENDED, operation_id) > 0;
}

const struct operation_record *ended(struct world *world, const char *operation_id)
{
	const struct operation_record *record;

	if (!world_until(world, has_ended, operation_id, DAY_MS)) {
		record = core_operation(world->core, operation_id);
		fail_msg("operation %s does not end: %s", operation_id,
			 record ? record->step : "it is not known");
	}
	record = core_operation(world->core, operation_id);
	assert_non_null(record);
	return record;
}

void ended_with(struct world *world, const char *operation_id, enum operation_status status,
		const char *text)
{
	const struct operation_record *record = ended(world, operation_id);

	if (record->status != (int)status ||
	    (text && (!record->error || !strstr(record->error, text))))
		fail_msg("%s: %s, not %s: %s", operation_status_names[record->status],
			 str_or(record->error, "no error"), operation_status_names[status],
			 str_or(text, ""));
}

void completed(struct world *world, const char *operation_id)
{
	ended_with(world, operation_id, OPERATION_COMPLETED, NULL);
}

struct place {
	const char *id, *step;
	enum operation_phase phase;
};

static bool is_at_place(struct world *world, const void *arg)
{
	const struct place *place = arg;
	const struct operation *operation = operation_find(world->core->engine, place->id);

	return operation && operation->phase == place->phase &&
	       (!place->step || streq(operation->record.step, place->step));
}

struct operation *at_step(struct world *world, const char *operation_id, const char *step,
			  enum operation_phase phase)
{
	struct place place = { .id = operation_id, .step = step, .phase = phase };

	assert_true(world_until(world, is_at_place, &place, DAY_MS));
	return operation_find(world->core->engine, operation_id);
}

/* ---- what must always be so ---- */

void check_mapped(struct world *world, const char *volume_id)
{
	const struct fake_volume *volume = server_find(&world->server, volume_id);
	const struct mapping *mapping = mapping_find(world->core->model, volume_id);
	_cleanup_free_ char *path = NULL;

	assert_non_null(volume);
	assert_non_null(mapping);
	assert_string_equal(mapping->record.vm_id, volume->vm_id);
	path = streq(volume->vm_id, APPLIANCE)
		       ? xasprintf("%s/%s", world->kernel.dev, volume->disk)
		       : xasprintf("remote-vm-%s-%s", volume->vm_id, volume->id);
	assert_string_equal(mapping->record.device_path, path);
	if (volume->serial == SERIAL_OWN && streq(volume->vm_id, APPLIANCE)) {
		char serial[21], shown[64];

		volume_serial(volume, serial);
		kernel_serial(&world->kernel, volume->disk, shown);
		assert_string_equal(shown, serial);
	}
}

void check_served(struct world *world, const char *volume_id)
{
	const struct fake_volume *volume = server_find(&world->server, volume_id);
	const struct mapping *mapping = mapping_find(world->core->model, volume_id);
	const struct fake_map *map = fake_map_of(&world->serving, volume_id);
	const struct fake_export *export = fake_export_of(&world->serving, volume_id);
	const struct export *noted = export_find(world->core->model, volume_id);
	_cleanup_free_ char *path = xasprintf("%s/block/%s/dev", world->kernel.sys, volume->disk);
	_cleanup_free_ char *number = read_file_at(AT_FDCWD, path, 32, NULL);

	assert_non_null(map);
	assert_string_equal(map->map.name, name_find(world->core->model, volume_id));
	assert_string_equal(map->map.name, mapping->record.persistent_device_name);
	assert_int_equal(map->map.target, DEVMAP_LINEAR);
	assert_false(map->map.suspended);
	assert_int_equal(map->map.size, mapping->record.size);
	assert_memory_equal(map->map.device, number, strlen(map->map.device));
	/* Only attachments of ours are exported. */
	if (!noted)
		return;
	assert_non_null(export);
	assert_string_equal(export->path, mapping->record.symlink_path);
	assert_string_equal(noted->record.device_path, export->path);
	assert_int_equal(noted->record.status, EXPORT_ACTIVE);
}

void check_unmapped(struct world *world, const char *volume_id)
{
	assert_null(mapping_find(world->core->model, volume_id));
	/* What somebody else took away leaves a name behind, for a moment. */
	world_pass(world, 1000);
	assert_null(fake_map_of(&world->serving, volume_id));
	assert_null(fake_export_of(&world->serving, volume_id));
	assert_null(export_find(world->core->model, volume_id));
}

void check_world(struct world *world, size_t volumes)
{
	struct store_loaded loaded = { 0 };
	struct fake_volume *volume;
	size_t mapped = 0;

	assert_int_equal(server_count(&world->server), volumes);
	assert_int_equal(server_busy(&world->server), 0);
	TAILQ_FOREACH(volume, &world->server.volumes, entry) {
		if (volume->gone || !volume->vm_id[0]) {
			check_unmapped(world, volume->id);
			assert_string_equal(volume->disk, "");
			continue;
		}
		/* Root disks are mapped only if the daemon has attached them. */
		if (volume->is_root && !mapping_find(world->core->model, volume->id))
			continue;
		check_mapped(world, volume->id);
		if (streq(volume->vm_id, APPLIANCE))
			check_served(world, volume->id);
		mapped++;
	}
	assert_int_equal(mapping_count(world->core->model), mapped);
	assert_int_equal(store_load(world->store, &loaded, NULL), 0);
	assert_int_equal(loaded.mapping_count, mapped);
	for (size_t i = 0; i < loaded.mapping_count; i++)
		assert_string_equal(loaded.mappings[i].device_path,
				    mapping_find(world->core->model, loaded.mappings[i].volume_id)
					    ->record.device_path);
	store_loaded_clear(&loaded);
}

void attached(struct world *world, const char *volume_id)
{
	completed(world, accepted(world, ask_attach(world, volume_id, APPLIANCE)));
	check_mapped(world, volume_id);
}

struct fake_volume *served_one(struct world *world)
{
	struct fake_volume *volume = server_add(&world->server, "one", 5);

	attached(world, volume->id);
	return volume;
}

void connect_client(struct world *world, const char *volume_id)
{
	struct fake_export *export = fake_export_of(&world->serving, volume_id);

	assert_non_null(export);
	snprintf(export->client.address, sizeof(export->client.address), "127.0.0.1:41234");
}

bool is_served_nowhere(struct world *world, const void *volume_id)
{
	return !fake_map_of(&world->serving, volume_id) &&
	       !export_find(world->core->model, volume_id);
}
