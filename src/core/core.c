/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Putting core together: what the store remembers is loaded, the kernel's disks are looked at, and unfinished
 * operations are put back to work, in that order, before anybody can ask anything.
 */

#include "core/core.h"

#include <assert.h>
#include <fcntl.h>
#include <malloc.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/core_parts.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/event.h"
#include "core/host/activation.h"
#include "core/host/suspended.h"
#include "core/methods/call.h"
#include "core/methods/operation_methods.h"
#include "core/model/commit.h"
#include "core/model/event.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/stable_name.h"
#include "core/model/volume.h"
#include "core/model/volume_view.h"
#include "core/ops/ops.h"
#include "core/reconcile/content_probe.h"
#include "core/reconcile/device_sync.h"
#include "core/reconcile/host_sync.h"
#include "core/reconcile/leftover_maps.h"
#include "core/reconcile/reconciler.h"
#include "core/reconcile/retention.h"
#include "disk/device.h"
#include "disk/flush.h"
#include "disk/probe.h"
#include "disk/sysblock.h"
#include "disk/usage.h"
#include "store/store.h"

static void tell_device(struct core *core, enum event_type type, const struct device *device)
{
	struct device_record record = { 0 };

	device_to_record(core, device, &record);
	events_device(core, type, &record);
	record_clear(&device_record, &record);
}

static void on_device_added(void *arg, const struct device *device)
{
	struct core *core = arg;

	log_info("device %s: appeared, %llu bytes, serial %s", device->path, (unsigned long long)device->size,
		 device->serial[0] ? device->serial : "none");
	tell_device(core, EVENT_DEVICE_ADDED, device);
	operation_on_device(core, device);
	mappings_follow_kernel(core);
}

static void on_device_removed(void *arg, const struct device *device)
{
	struct core *core = arg;

	log_info("device %s: gone", device->path);
	tell_device(core, EVENT_DEVICE_REMOVED, device);
	operation_on_device(core, device);
	mappings_follow_kernel(core);
}

static void on_device_resized(void *arg, const struct device *device, uint64_t old_size)
{
	struct core *core = arg;

	log_info("device %s: size %llu, was %llu", device->path, (unsigned long long)device->size,
		 (unsigned long long)old_size);
	tell_device(core, EVENT_DEVICE_CHANGED, device);
	operation_on_device(core, device);
	mappings_follow_kernel(core);
}

/* Those that had begun come first, so that they find themselves at the head of their queues whatever the clock did. */
static void resume(struct core *core, const struct store_loaded *loaded, bool pending)
{
	for (size_t i = 0; i < loaded->operation_count; i++) {
		if ((loaded->operations[i].status == OPERATION_PENDING) == pending)
			operation_resume(core, &loaded->operations[i]);
	}
}

static int load(struct core *core, struct err *err)
{
	struct store_loaded loaded = { 0 };

	if (store_load(core->store, &loaded, err) < 0)
		return -1;
	for (size_t i = 0; i < loaded.name_count; i++)
		name_load(core, &loaded.names[i]);
	for (size_t i = 0; i < loaded.export_count; i++)
		export_put(core, &loaded.exports[i]);
	for (size_t i = 0; i < loaded.mapping_count; i++)
		mapping_load(core, &loaded.mappings[i]);
	core->content_probe = content_probe_new(core);
	resume(core, &loaded, false);
	resume(core, &loaded, true);
	if (loaded.operation_count > 0)
		log_notice("%zu operations go on where they stood", loaded.operation_count);
	store_loaded_clear(&loaded);
	malloc_trim(0); /* what was read stood twice in memory, once as the store has it */
	mappings_follow_kernel(core);
	tidy_soon(core);
	return 0;
}

static int open_devices(struct core *core, struct err *err)
{
	struct sysblock_options options = {
		.sysfs_root = core->options.sysfs_root,
		.dev_root = core->options.dev_root,
		.scan_ms = core->options.scan_ms,
		.buses = core->options.buses,
		.uevents = true,
	};
	struct sysblock_listener listener = {
		.arg = core,
		.added = on_device_added,
		.removed = on_device_removed,
		.resized = on_device_resized,
	};

	core->sysblock = sysblock_open(core->loop, &options, &listener, err);
	return core->sysblock ? 0 : -1;
}

struct core *core_new(struct loop *loop, const struct core_options *options, struct store *store, struct cloud *cloud,
		      struct err *err)
{
	struct core *core = xnew(struct core);
	struct usage_options usage = {
		.proc_root = options->proc_root,
		.sysfs_root = options->sysfs_root,
		.dev_root = options->dev_root,
		.timeout_ms = options->probe_ms,
	};

	core->loop = loop;
	core->store = store;
	core->cloud = cloud;
	core->operation_kinds = operation_kinds;
	core->started_ms = clock_mono_ms();
	options_copy(&core->options, options);
	TAILQ_INIT(&core->unfinished);
	TAILQ_INIT(&core->ended);
	TAILQ_INIT(&core->calls);
	TAILQ_INIT(&core->changes);
	TAILQ_INIT(&core->settlings);
	TAILQ_INIT(&core->servings);
	TAILQ_INIT(&core->claims);
	TAILQ_INIT(&core->notice_listeners);
	events_init(core, volumes_tell_changed);
	operation_methods_begin(core);
	holds_begin(core);
	tidy_begin(core);
	follow_begin(core);
	reconcile_begin(core);
	read_boot_id(core);
	core->prober = prober_new(loop, options->probe_ms);
	core->usage_checker = usage_checker_new(loop, &usage);
	/* A disk and what stands on it before the step's own deadline, so that force can go on. */
	usage.timeout_ms = options->device_wait_ms / 3;
	core->flusher = flusher_new(loop, &usage);
	if (open_devices(core, err) < 0 || load(core, err) < 0)
		return core_free(core);
	reconcile_start(core);
	retention_begin(core);
	return core;
}

bool core_drain(struct core *core)
{
	core->draining = true;
	loop_timer_clear(core->loop, &core->refresh);
	loop_timer_clear(core->loop, &core->tidy_timer);
	return holds_give_up(core) && core->commits_waiting == 0;
}

struct core *core_free(struct core *core)
{
	if (!core)
		return NULL;
	core->draining = true;
	calls_free(core);
	retention_end(core);
	reconcile_end(core);
	operation_free_all(core);
	tidy_free(core);
	servings_free(core);
	holds_free(core);
	old_names_free(core);
	changes_free(core);
	exports_free(core);
	names_free(core);
	core->sysblock = sysblock_close(core->sysblock);
	follow_end(core);
	core->content_probe = content_probe_free(core->content_probe);
	mappings_free(core);
	volumes_free(core);
	operation_methods_end(core);
	events_free(core);
	prober_free(core->prober);
	usage_checker_free(core->usage_checker);
	flusher_free(core->flusher);
	options_clear(&core->options);
	free(core->zone_id);
	free(core);
	return NULL;
}

void core_listen(struct core *core, struct event_listener *listener)
{
	events_listen(core, listener);
}

void core_unlisten(struct core *core, struct event_listener *listener)
{
	events_unlisten(core, listener);
}

bool core_volume(struct core *core, const char *volume_id, struct volume_record *out)
{
	const struct volume *volume = volume_find(core, volume_id);

	if (volume)
		volume_to_record(core, volume, out);
	return volume != NULL;
}

void core_each_volume(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg)
{
	for (const struct volume *volume = volume_first(core); volume; volume = volume_next(volume))
		fn(arg, volume->id);
}

bool core_export(struct core *core, const char *volume_id, struct export_record *out)
{
	const struct export *export = export_find(core, volume_id);

	if (export)
		record_copy(&export_record, out, &export->record);
	return export != NULL;
}

void core_each_export(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg)
{
	for (const struct export *export = export_first(core); export; export = export_next(export))
		fn(arg, export->record.volume_id);
}

const struct operation_record *core_operation(struct core *core, const char *operation_id)
{
	const struct operation *operation = operation_find(core, operation_id);

	return operation ? &operation->record : NULL;
}

void core_each_operation(struct core *core, void (*fn)(void *arg, const char *operation_id), void *arg)
{
	operation_each(core, fn, arg);
}

void core_set_cloud(struct core *core, struct cloud *cloud)
{
	bool first = !core->cloud;

	core->cloud = cloud;
	if (first || loop_timer_is_set(&core->refresh))
		reconcile_in(core, 0);
}

void core_set_zone(struct core *core, const char *id)
{
	str_set(&core->zone_id, id);
}

bool core_set_appliance(struct core *core, const char *id)
{
	if (operation_count(core))
		return false;
	freep(&core->options.appliance_id);
	core->options.appliance_id = xstrdup(id);
	/* Otherwise they are being listed just now. */
	if (loop_timer_is_set(&core->refresh))
		reconcile_in(core, 0);
	return true;
}

void core_exports_lost(struct core *core)
{
	tidy_soon(core);
}
