/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Putting core together: the store's rows are loaded, the kernel's disks are scanned, and
 * unfinished operations are resumed, in that order, before a client can make any request. */

#include "core/core.h"

#include <assert.h>
#include <fcntl.h>
#include <malloc.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "core/call.h"
#include "core/core_parts.h"
#include "core/engine/estimate.h"
#include "core/engine/operation_past.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/event.h"
#include "core/host/host.h"
#include "core/host/suspended.h"
#include "core/methods/calls.h"
#include "core/methods/exposition.h"
#include "core/methods/health_watch.h"
#include "core/model/commit.h"
#include "core/model/event.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/model.h"
#include "core/model/snapshot.h"
#include "core/model/stable_name.h"
#include "core/model/token.h"
#include "core/model/volume.h"
#include "core/model/volume_view.h"
#include "core/ops/ops.h"
#include "core/reconcile/content_probe.h"
#include "core/reconcile/device_sync.h"
#include "core/reconcile/disk_doubt.h"
#include "core/reconcile/host_sync.h"
#include "core/reconcile/reconciler.h"
#include "core/reconcile/retention.h"
#include "core/reconcile/store_guard.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "spec/messages.h"
#include "store/store.h"

static void tell_device(struct core *core, enum event_type type, const struct device *device)
{
	struct device_record record = { 0 };

	device_to_record(core->model, device, &record);
	events_device(core->model, type, &record);
	record_clear(&device_record, &record);
}

static void on_device_added(void *arg, const struct device *device)
{
	struct core *core = arg;

	log_tell(LOG_LEVEL_INFO,
		 (.message_id = messages[MESSAGE_DEVICE_APPEARED].id, .device = device->path),
		 "device %s: appeared, %llu bytes, serial %s", device->path,
		 (unsigned long long)device->size, device->serial[0] ? device->serial : "none");
	tell_device(core, EVENT_DEVICE_ADDED, device);
	operation_on_device(core->engine, device);
	device_sync_soon(core->device_sync);
	host_sync_on_disk(core->host_sync);
	disk_doubt_added(core->disk_doubt, device);
}

static void on_device_removed(void *arg, const struct device *device)
{
	struct core *core = arg;

	log_tell(LOG_LEVEL_INFO,
		 (.message_id = messages[MESSAGE_DEVICE_GONE].id, .device = device->path),
		 "device %s: gone", device->path);
	tell_device(core, EVENT_DEVICE_REMOVED, device);
	operation_on_device(core->engine, device);
	device_sync_soon(core->device_sync);
}

static void on_device_resized(void *arg, const struct device *device, uint64_t old_size)
{
	struct core *core = arg;

	log_info("device %s: size %llu, was %llu", device->path, (unsigned long long)device->size,
		 (unsigned long long)old_size);
	tell_device(core, EVENT_DEVICE_CHANGED, device);
	operation_on_device(core->engine, device);
	device_sync_soon(core->device_sync);
}

static void on_devices_stirred(void *arg)
{
	struct core *core = arg;

	host_sync_on_kernel_event(core->host_sync);
}

/* Operations that had begun come first, so that they are at the head of their queues even if an
 * earlier release has stored them by a clock that was set back. */
static void load_operations(struct core *core, struct store_loaded *loaded, bool pending)
{
	for (size_t i = 0; i < loaded->operation_count; i++) {
		struct operation_record *record = &loaded->operations[i];

		if (record->id && (record->status == OPERATION_PENDING) == pending)
			operation_load(core->engine, record);
	}
}

/* If the clock is behind the newest record by more than this, a warning is logged. */
#define BEHIND_MS 60000

/* The clock may have been set back since an earlier process made its records. */
static void continue_records(const struct store_loaded *loaded)
{
	if (!str_empty(loaded->newest_id))
		uuid_continue_after(loaded->newest_id);
	clock_record_after(loaded->newest_ms);
	if (loaded->newest_ms > clock_wall_ms() + BEHIND_MS) {
		char newest[TIME_TEXT_SIZE];

		time_format(loaded->newest_ms, newest);
		log_warning(
			"the clock is behind the newest record, which is of %s: new records get later times than that until the clock has caught up",
			newest);
	}
}

static int load(struct core *core, struct err *err)
{
	struct store_loaded loaded = { 0 };

	if (store_load(core->env.store, &loaded, err) < 0)
		return -1;
	continue_records(&loaded);
	for (size_t i = 0; i < loaded.name_count; i++)
		name_load(core->model, &loaded.names[i]);
	for (size_t i = 0; i < loaded.export_count; i++)
		export_put(core->model, &loaded.exports[i]);
	for (size_t i = 0; i < loaded.snapshot_count; i++)
		snapshot_put(core->model, &loaded.snapshots[i]);
	for (size_t i = 0; i < loaded.token_count; i++)
		token_put(core->model, &loaded.tokens[i]);
	for (size_t i = 0; i < loaded.mapping_count; i++)
		mapping_load(core->model, &loaded.mappings[i]);
	content_probe_start(core->content_probe);
	env_set_paused(&core->env, store_loaded_mark(&loaded, STORE_MARK_PAUSED));
	if (core->env.paused)
		log_notice("changes are paused: %s", core->env.paused);
	operations_set_past(core->engine, str_or(store_loaded_mark(&loaded, STORE_MARK_PAST), ""));
	load_operations(core, &loaded, false);
	load_operations(core, &loaded, true);
	if (loaded.operation_count > 0)
		log_notice("%zu operations are unfinished", loaded.operation_count);
	store_guard_start(core->store_guard, &loaded);
	store_loaded_clear(&loaded);
	malloc_trim(0); /* the rows stood in memory twice, once as the store returned them */
	return 0;
}

static int open_devices(struct core *core, struct err *err)
{
	struct sysblock_options options = {
		.sysfs_root = core->env.options.sysfs_root,
		.dev_root = core->env.options.dev_root,
		.scan_ms = core->env.options.scan_ms,
		.buses = core->env.options.buses,
		.uevents = true,
	};
	struct sysblock_listener listener = {
		.arg = core,
		.added = on_device_added,
		.removed = on_device_removed,
		.resized = on_device_resized,
		.stirred = on_devices_stirred,
	};

	core->env.sysblock = sysblock_open(core->env.loop, &options, &listener, err);
	return core->env.sysblock ? 0 : -1;
}

static void make_modules(struct core *core)
{
	struct env *env = &core->env;

	core->model = model_new(env);
	core->host = host_new(env, core->model);
	core->engine = engine_new(env, core->model, operation_kinds, &core->ops);
	core->ops = (struct ops){
		.env = env, .model = core->model, .host = core->host, .engine = core->engine
	};
	core->content_probe = content_probe_new(env, core->model, core->engine);
	core->device_sync = device_sync_new(env, core->model, core->engine, core->content_probe);
	core->host_sync = host_sync_new(env, core->model, core->host, core->engine);
	core->disk_doubt = disk_doubt_new(core->model, core->engine);
	core->reconciler =
		reconciler_new(env, core->model, core->engine, core->host, core->host_sync);
	core->store_guard = store_guard_new(env, core->model, core->engine, core->reconciler,
					    core->device_sync, core->host_sync);
	core->calls = (struct calls){
		.env = env,
		.model = core->model,
		.host = core->host,
		.engine = core->engine,
		.reconciler = core->reconciler,
		.store_guard = core->store_guard,
		.host_sync = core->host_sync,
	};
	calls_init(&core->calls);
}

struct core *core_new(struct loop *loop, const struct core_options *options, struct store *store,
		      struct cloud *cloud, struct err *err)
{
	struct core *core = xnew(struct core);

	env_init(&core->env, loop, options, store, cloud);
	make_modules(core);
	if (open_devices(core, err) < 0 || load(core, err) < 0)
		return core_free(core);
	engine_estimates_recall(core->engine);
	core->retention = retention_new(&core->env);
	return core;
}

bool core_drain(struct core *core)
{
	core->env.draining = true;
	reconciler_drain(core->reconciler);
	host_sync_drain(core->host_sync);
	return suspended_give_up_all(core->host) && change_count(core->model) == 0;
}

struct core *core_free(struct core *core)
{
	if (!core)
		return NULL;
	core->env.draining = true;
	calls_fini(&core->calls);
	retention_free(core->retention);
	store_guard_free(core->store_guard);
	reconciler_free(core->reconciler);
	disk_doubt_free(core->disk_doubt);
	engine_free(core->engine);
	host_sync_free(core->host_sync);
	device_sync_free(core->device_sync);
	content_probe_free(core->content_probe);
	host_free(core->host);
	sysblock_close(core->env.sysblock);
	model_free(core->model);
	env_fini(&core->env);
	free(core);
	return NULL;
}

struct call *call_start(struct core *core, enum method_id id, const void *args,
			const struct caller *caller, call_done_fn done, void *arg)
{
	return calls_start(&core->calls, id, args, caller, done, arg);
}

void core_put_metrics(struct core *core, struct buf *out)
{
	exposition_put(&core->calls, out);
}

bool caller_show_token(struct core *core, const char *text, struct caller *caller)
{
	const struct token *token = token_recognise(core->model, text);

	if (!token)
		return false;
	caller->token = token->record.id;
	caller->access = (enum method_access)token->record.scope;
	return true;
}

void core_listen(struct core *core, struct event_listener *listener)
{
	events_listen(core->model, listener);
}

void core_unlisten(struct core *core, struct event_listener *listener)
{
	events_unlisten(core->model, listener);
}

void core_watch_health(struct core *core, bool is_wanted)
{
	health_watch_set(core->calls.health_watch, is_wanted);
}

bool core_volume(struct core *core, const char *volume_id, struct volume_record *out)
{
	const struct volume *volume = volume_find(core->model, volume_id);
	struct volume_texts texts = { 0 };
	struct volume_record shown;

	if (!volume)
		return false;
	volume_show(core->model, volume, &texts, &shown);
	record_copy(&volume_record, out, &shown);
	volume_texts_clear(&texts);
	return true;
}

const char *core_volume_vm(struct core *core, const char *volume_id)
{
	const struct volume *volume = volume_find(core->model, volume_id);

	return volume ? volume->cloud.vm_id : NULL;
}

void core_each_volume(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg)
{
	for (const struct volume *volume = volume_first(core->model); volume;
	     volume = volume_next(volume))
		fn(arg, volume->id);
}

bool core_export(struct core *core, const char *volume_id, struct export_record *out)
{
	const struct export *export = export_find(core->model, volume_id);

	if (export)
		record_copy(&export_record, out, &export->record);
	return export != NULL;
}

void core_each_export(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg)
{
	for (const struct export *export = export_first(core->model); export;
	     export = export_next(export))
		fn(arg, export->record.volume_id);
}

const struct operation_record *core_operation(struct core *core, const char *operation_id)
{
	const struct operation *operation = operation_find(core->engine, operation_id);

	return operation ? operation_shown(operation) : NULL;
}

size_t core_unfinished(const struct core *core)
{
	return operation_count(core->engine);
}

void core_each_operation(struct core *core, void (*fn)(void *arg, const char *operation_id),
			 void *arg)
{
	operation_each(core->engine, fn, arg);
}

void core_set_cloud(struct core *core, struct cloud *cloud)
{
	bool first = !core->env.cloud;

	core->env.cloud = cloud;
	env_forget_zone(&core->env);
	if (core->env.store_state == STORE_CHECKING)
		store_guard_soon(core->store_guard);
	else if (first || reconciler_is_waiting(core->reconciler))
		reconcile_anew(core->reconciler);
}

void core_set_zone(struct core *core, const char *zone)
{
	env_set_zone(&core->env, zone);
}

void core_retune(struct core *core, const struct core_options *options)
{
	int64_t scan_ms = core->env.options.scan_ms, reconcile_ms = core->env.options.reconcile_ms;

	env_retune(&core->env, options);
	retention_retune(core->retention);
	if (scan_ms != options->scan_ms)
		sysblock_set_interval(core->env.sysblock, options->scan_ms);
	if (reconcile_ms != options->reconcile_ms && reconciler_is_waiting(core->reconciler))
		reconcile_anew(core->reconciler);
}

void core_set_rest_certificate(struct core *core, const char *words)
{
	str_set(&core->env.rest_certificate, words);
}

bool core_set_appliance(struct core *core, const char *id)
{
	if (operation_count(core->engine))
		return false;
	env_set_appliance(&core->env, id);
	store_guard_note_appliance(core->store_guard);
	volumes_here_anew(core->model);
	/* Otherwise the volumes are being listed just now. */
	if (reconciler_is_waiting(core->reconciler))
		reconcile_anew(core->reconciler);
	return true;
}

void core_exports_lost(struct core *core)
{
	host_sync_soon(core->host_sync);
}

const char *core_appliance_id(const struct core *core)
{
	return env_appliance_id(&core->env);
}
