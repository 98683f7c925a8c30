/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names and exports compared with the desired ones: at the start, after each comparison with
 * CloudStack, when the disk behind a name changed, and when the NBD engine began anew. The name of
 * a mapped volume leads to the volume's disk, and the volume's export is served; a name or export
 * of ours is removed if its volume is provably not attached to this machine. While an operation is
 * under way, it alone changes its volume; and a name or export without an identity of ours belongs
 * to another program and is left alone.
 *
 * A disk that other programs use is not exported, and no program tells when it leaves a disk. So
 * while an export is pending and its disk is here, the comparison is repeated with a growing pause,
 * and when the kernel tells of a block device. The comparison itself may make the kernel tell of
 * devices, so for a moment afterwards the kernel's events do not count.
 *
 * Until it is known that the store is not one from the past, a name or export that stands may be
 * right and the store wrong. Until then only a name or export is made that is missing, for a disk
 * that is here; all that stands stays as it is. With one exception, for which no store is needed:
 * an export under the kernel's name of a disk, after the kernel gave that name to another disk,
 * serves the wrong volume. It is closed by force, also if the store is one from the past and
 * nothing else is done.
 */

#include "core/reconcile/host_sync.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/host/disk_rescan.h"
#include "core/host/suspended.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/stable_name.h"
#include "core/model/volume.h"
#include "core/reconcile/leftover_maps.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "dm/devmap.h"
#include "nbd/exporter.h"

/* Several disks that come together are handled by one comparison. */
#define SOON_MS 100

#define FIRST_PAUSE_MS 1000
#define LONGEST_PAUSE_MS 30000
#define DEAF_MS 1000

struct host_sync {
	struct env *env;
	struct model *model;
	struct host *host;
	struct engine *engine;
	struct leftover_maps *leftover;
	struct scan *scan; /* the comparison under way, NULL: none */
	struct loop_timer timer;
	struct loop_timer again; /* set while exports wait for their disks */
	int64_t pause_ms;        /* until the next comparison for them */
	int64_t deaf_until_ms;   /* clock_mono_ms(); the kernel's events count from then on */
	struct notice_listener listener;
};

/* One volume that is being put right. */
struct repair {
	TAILQ_ENTRY(repair) entry;
	struct scan *scan;
	char *volume_id;
	enum activation_goal goal;
	unsigned parts;
	struct activation *activation;
};

struct scan {
	struct host_sync *sync;
	struct devmap_call *maps_call;
	struct export_call *exports_call;
	struct devmap_map *maps;
	size_t map_count;
	bool maps_known;
	TAILQ_HEAD(, repair) repairs;
};

/* ---- the end ---- */

static void repair_free(struct repair *repair)
{
	TAILQ_REMOVE(&repair->scan->repairs, repair, entry);
	if (repair->activation)
		activation_cancel(repair->activation);
	free(repair->volume_id);
	free(repair);
}

static void drop(struct scan *scan)
{
	struct repair *repair;

	scan->sync->scan = NULL;
	if (scan->maps_call)
		devmap_cancel(scan->maps_call);
	if (scan->exports_call)
		export_cancel(scan->exports_call);
	while ((repair = TAILQ_FIRST(&scan->repairs)))
		repair_free(repair);
	free(scan->maps);
	free(scan);
}

/* An export is desired and not served, although its disk is here. */
static bool has_waiting_export(struct host_sync *sync)
{
	for (const struct export *export = export_first(sync->model); export;
	     export = export_next(export)) {
		const struct mapping *mapping = mapping_find(sync->model, export->record.volume_id);

		if (export->record.status == EXPORT_PENDING && mapping &&
		    env_is_appliance(sync->env, mapping->record.vm_id) &&
		    mapping_disk(sync->env, &mapping->record))
			return true;
	}
	return false;
}

static void plan_again(struct host_sync *sync)
{
	if (!env_may_change(sync->env) || loop_timer_is_set(&sync->again) ||
	    !has_waiting_export(sync))
		return;
	loop_timer_set(sync->env->loop, &sync->again, sync->pause_ms);
	sync->pause_ms =
		2 * sync->pause_ms < LONGEST_PAUSE_MS ? 2 * sync->pause_ms : LONGEST_PAUSE_MS;
}

static void finish_if_done(struct scan *scan)
{
	struct host_sync *sync = scan->sync;

	if (!TAILQ_EMPTY(&scan->repairs))
		return;
	drop(scan);
	sync->deaf_until_ms = clock_mono_ms() + DEAF_MS;
	plan_again(sync);
	/* Before this moment an engine may still serve exports from these maps. */
	leftover_maps_remove(sync->leftover);
}

/* ---- chores ---- */

/* Clients are shown the state of the export, so the state is noted, too. */
static void note_export(struct host_sync *sync, const char *volume_id, const struct err *err)
{
	const struct export *export = export_find(sync->model, volume_id);
	const struct mapping *mapping = mapping_find(sync->model, volume_id);
	const struct device *device = mapping ? mapping_disk(sync->env, &mapping->record) : NULL;
	struct export_record record = { 0 };

	/* An export that clients use stays as it was; the next comparison tries again. */
	if (!export || (err->code == ERR_CONFLICT && !activation_export_waits(err)))
		return;
	export_make(sync->model, volume_id, &record);
	if (err->code == ERR_NONE && device) {
		export_place(sync->model, &record, device);
	} else {
		record.status = err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT ||
						activation_export_waits(err)
					? EXPORT_PENDING
					: EXPORT_FAILED;
		str_set(&record.error, err->code ? err->text : "its disk has just gone");
	}
	if (record.status != export->record.status || record.size != export->record.size ||
	    record.port != export->record.port ||
	    !streq(record.device_path, export->record.device_path) ||
	    !streq(str_or(record.error, ""), str_or(export->record.error, "")))
		commit_export(sync->model, volume_id, &record, CHANGE_WHATEVER_COMES, NULL, NULL);
	record_clear(&export_record, &record);
}

/* The export is not served any more: for good, or until its disk is back. */
static void note_cut(struct host_sync *sync, const char *volume_id)
{
	const struct mapping *mapping = mapping_find(sync->model, volume_id);
	bool is_here = mapping && env_is_appliance(sync->env, mapping->record.vm_id);
	struct export_record record = { 0 };

	if (!is_here && !env_trusts_store(sync->env))
		return;
	if (!is_here) {
		commit_export(sync->model, volume_id, NULL, CHANGE_WHATEVER_COMES, NULL, NULL);
		return;
	}
	export_make(sync->model, volume_id, &record);
	record.status = EXPORT_PENDING;
	str_set(&record.error, "its disk is gone");
	commit_export(sync->model, volume_id, &record, CHANGE_WHATEVER_COMES, NULL, NULL);
	record_clear(&export_record, &record);
}

static void on_repaired(void *arg, const struct err *err)
{
	struct repair *repair = arg;
	struct scan *scan = repair->scan;
	struct host_sync *sync = scan->sync;

	repair->activation = NULL;
	if (err->code == ERR_CONFLICT)
		log_info("volume=%s: its name or export is not as desired yet: %s",
			 repair->volume_id, err->text);
	else if (err->code)
		log_warning("volume=%s: its name or export could not be put right: %s",
			    repair->volume_id, err->text);
	if (!env_may_change(sync->env) || operation_busy(sync->engine, repair->volume_id)) {
		/* The operation decides about the export, and nothing goes to a store from the
		 * past. */
	} else if (repair->goal == ACTIVATION_UP && (repair->parts & ACTIVATION_EXPORT)) {
		note_export(sync, repair->volume_id, err);
	} else if (repair->goal == ACTIVATION_FORCED_DOWN && !err->code &&
		   export_find(sync->model, repair->volume_id)) {
		note_cut(sync, repair->volume_id);
	}
	repair_free(repair);
	finish_if_done(scan);
}

static void begin(struct scan *scan, const char *volume_id, enum activation_goal goal,
		  unsigned parts, const struct device *device)
{
	struct repair *repair;

	if (activation_is_busy(scan->sync->host, volume_id))
		return;
	repair = xnew(struct repair);
	repair->scan = scan;
	repair->volume_id = xstrdup(volume_id);
	repair->goal = goal;
	repair->parts = parts;
	TAILQ_INSERT_TAIL(&scan->repairs, repair, entry);
	repair->activation = activation_start(scan->sync->host, volume_id, goal, parts, device,
					      on_repaired, repair);
}

/* ---- the comparison ---- */

/* The export leads to the kernel's name of a disk, and another disk has that name now. */
static bool serves_another_disk(const struct host_sync *sync, const struct export_seen *seen,
				const char *volume_id)
{
	for (size_t i = 0; i < sysblock_count(sync->env->sysblock); i++) {
		const struct device *device = sysblock_at(sync->env->sysblock, i);

		if (streq(device->path, seen->device_path))
			return device_identity(device, volume_id) == IDENTITY_OTHER;
	}
	return false;
}

/* While the store is not trusted, operations stand still, and none closes the export. */
static void cut_wrong(struct scan *scan, const struct export_seen *seen)
{
	struct host_sync *sync = scan->sync;
	const char *volume_id = export_volume_of(seen->name);

	if (!volume_id || !serves_another_disk(sync, seen, volume_id) ||
	    (env_trusts_store(sync->env) && operation_busy(sync->engine, volume_id)))
		return;
	log_warning(
		"volume=%s: its export leads to %s, which is another disk now, so the export is closed",
		volume_id, seen->device_path);
	begin(scan, volume_id, ACTIVATION_FORCED_DOWN, ACTIVATION_EXPORT, NULL);
}

static const struct devmap_map *map_of(const struct scan *scan, const char *volume_id)
{
	for (size_t i = 0; i < scan->map_count; i++) {
		if (streq(scan->maps[i].volume_id, volume_id))
			return &scan->maps[i];
	}
	return NULL;
}

static bool is_well(struct host_sync *sync, const struct devmap_map *map,
		    const struct device *device)
{
	return map && map->target == DEVMAP_LINEAR && !map->suspended &&
	       map->size == device->size && streq(map->device, device->number) &&
	       streq(map->name, name_find(sync->model, map->volume_id));
}

static const struct export_seen *seen_of(const struct export_seen *items, size_t count,
					 const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(items[i].name, name))
			return &items[i];
	}
	return NULL;
}

static bool is_served(struct host_sync *sync, const struct export_record *record,
		      const struct device *device, const struct export_seen *seen)
{
	_cleanup_free_ char *path = name_path(sync->model, record->volume_id, device);

	return seen && streq(seen->device_path, path) && seen->read_only == record->read_only &&
	       record->status == EXPORT_ACTIVE && record->size == device->size &&
	       record->port == export_port(sync->env->options.exporter);
}

/* The parts of a volume whose disk is here that have to be made, or made anew. */
static unsigned parts_to_make(const struct scan *scan, const char *volume_id,
			      const struct device *device, const struct export_seen *seen,
			      bool exports_known)
{
	struct host_sync *sync = scan->sync;
	const struct export *export = export_find(sync->model, volume_id);
	const struct devmap_map *map = map_of(scan, volume_id);
	unsigned parts = 0;

	if (scan->maps_known && !is_well(sync, map, device))
		parts |= ACTIVATION_MAP;
	if (exports_known && export && !is_served(sync, &export->record, device, seen))
		parts |= ACTIVATION_EXPORT;
	if (!env_trusts_store(sync->env) &&
	    (((parts & ACTIVATION_MAP) && map) || ((parts & ACTIVATION_EXPORT) && seen)))
		return 0;
	return parts;
}

static void look_at_mapping(struct scan *scan, const struct mapping *mapping,
			    const struct export_seen *items, size_t count, bool exports_known)
{
	struct host_sync *sync = scan->sync;
	const char *volume_id = mapping->record.volume_id;
	const struct export *export = export_find(sync->model, volume_id);
	const struct device *device = mapping_disk(sync->env, &mapping->record);
	const struct export_seen *seen =
		export ? seen_of(items, count, export->record.export_name) : NULL;
	unsigned parts;

	if (!env_is_appliance(sync->env, mapping->record.vm_id) ||
	    operation_busy(sync->engine, volume_id))
		return;
	/* Without a stable name the export is served under the kernel's name, which the next disk
	 * may get. */
	if (!device && exports_known && export && !sync->env->options.devmap &&
	    (seen || export->record.status == EXPORT_ACTIVE) && env_trusts_store(sync->env))
		begin(scan, volume_id, ACTIVATION_FORCED_DOWN, ACTIVATION_EXPORT, NULL);
	if (!device || !volume_may_be_here(sync->model, volume_id))
		return;
	parts = parts_to_make(scan, volume_id, device, seen, exports_known);
	if (parts)
		begin(scan, volume_id, ACTIVATION_UP, parts, device);
}

/*
 * The volumes of the appliance are known, and no sign says that the volume is or will be here. A
 * daemon that does not know its VM, or has been told another one, believes that every volume is
 * elsewhere; so the kernel is asked as well.
 */
static bool is_provably_away(const struct host_sync *sync, const char *volume_id)
{
	const struct volume *volume = volume_find(sync->model, volume_id);
	const struct mapping *mapping = mapping_find(sync->model, volume_id);

	return volumes_here_are_known(sync->model) && sync->env->options.appliance_id &&
	       !(mapping && env_is_appliance(sync->env, mapping->record.vm_id)) &&
	       !operation_busy(sync->engine, volume_id) && !suspended_has(sync->host, volume_id) &&
	       !(volume && env_is_appliance(sync->env, volume->cloud.vm_id)) &&
	       !mapping_next_disk(sync->model, volume_id, NULL);
}

bool host_sync_is_orphan(const struct host_sync *sync, const char *name)
{
	const char *volume_id = export_volume_of(name);

	return volume_id && is_provably_away(sync, volume_id);
}

static void take_away(struct scan *scan, const char *volume_id, unsigned parts,
		      enum log_level level)
{
	if (!env_trusts_store(scan->sync->env) || !is_provably_away(scan->sync, volume_id))
		return;
	log_write(level, "volume=%s is not attached here, so its name and export are removed",
		  volume_id);
	begin(scan, volume_id, ACTIVATION_FORCED_DOWN, parts, NULL);
}

static void look_at_map(struct scan *scan, const struct devmap_map *map)
{
	if (map->suspended && !activation_is_busy(scan->sync->host, map->volume_id))
		suspended_found(scan->sync->host, map->volume_id);
	/* A map that is cut off stays while a program has the map open, and the log says so
	 * already. */
	take_away(scan, map->volume_id, ACTIVATION_ALL,
		  map->target == DEVMAP_ERROR ? LOG_LEVEL_DEBUG : LOG_LEVEL_NOTICE);
}

/* The export is served but not desired. It is not closed by force, since its disk is there and its
 * clients do no harm. */
static void look_at_unwanted(struct scan *scan, const char *volume_id)
{
	struct host_sync *sync = scan->sync;
	const struct mapping *mapping = mapping_find(sync->model, volume_id);

	if (!mapping || !env_is_appliance(sync->env, mapping->record.vm_id))
		take_away(scan, volume_id, ACTIVATION_EXPORT, LOG_LEVEL_NOTICE);
	else if (env_trusts_store(sync->env) && !operation_busy(sync->engine, volume_id))
		begin(scan, volume_id, ACTIVATION_DOWN, ACTIVATION_EXPORT, NULL);
}

static void compare(struct scan *scan, const struct export_seen *items, size_t count,
		    bool exports_known)
{
	struct host_sync *sync = scan->sync;
	struct mapping *mapping;
	struct export *export;

	for (mapping = mapping_first(sync->model); mapping; mapping = mapping_next(mapping))
		look_at_mapping(scan, mapping, items, count, exports_known);
	for (size_t i = 0; i < scan->map_count; i++)
		look_at_map(scan, &scan->maps[i]);
	for (export = export_first(sync->model); export; export = export_next(export))
		take_away(scan, export->record.volume_id, ACTIVATION_EXPORT, LOG_LEVEL_NOTICE);
	for (size_t i = 0; i < count; i++) {
		const char *volume_id = export_volume_of(items[i].name);

		if (volume_id && !export_find(sync->model, volume_id))
			look_at_unwanted(scan, volume_id);
	}
}

static void look(struct scan *scan, const struct export_seen *items, size_t count,
		 bool exports_known)
{
	struct env *env = scan->sync->env;

	for (size_t i = 0; i < count && !env->draining; i++)
		cut_wrong(scan, &items[i]);
	if (env_may_change(env))
		compare(scan, items, count, exports_known);
	finish_if_done(scan);
}

/* ---- the scan ---- */

static void on_exports(void *arg, const struct export_seen *items, size_t count,
		       const struct err *err)
{
	struct scan *scan = arg;

	scan->exports_call = NULL;
	if (err->code)
		log_warning("the exports could not be listed: %s", err->text);
	look(scan, items, err->code ? 0 : count, !err->code);
}

static void list_exports(struct scan *scan)
{
	struct exporter *exporter = scan->sync->env->options.exporter;

	if (exporter)
		scan->exports_call = export_list(exporter, on_exports, scan);
	else
		look(scan, NULL, 0, false);
}

static void on_maps(void *arg, const struct devmap_map *maps, size_t count, const struct err *err)
{
	struct scan *scan = arg;

	scan->maps_call = NULL;
	if (err->code) {
		log_warning("the names that are there could not be found out: %s", err->text);
	} else {
		scan->maps = xcalloc(count + 1, sizeof(*maps));
		memcpy(scan->maps, maps, count * sizeof(*maps));
		scan->map_count = count;
		scan->maps_known = true;
	}
	list_exports(scan);
}

static void on_timer(struct loop_timer *timer)
{
	struct host_sync *sync = container_of(timer, struct host_sync, timer);
	struct scan *scan;

	if (sync->env->draining)
		return;
	if (sync->scan) {
		loop_timer_set(sync->env->loop, timer, SOON_MS);
		return;
	}
	scan = sync->scan = xnew(struct scan);
	scan->sync = sync;
	TAILQ_INIT(&scan->repairs);
	if (sync->env->options.devmap && env_may_change(sync->env))
		scan->maps_call = devmap_list(sync->env->options.devmap, on_maps, scan);
	else
		list_exports(scan);
}

void host_sync_soon(struct host_sync *sync)
{
	if (sync->env->draining || (!sync->env->options.devmap && !sync->env->options.old_names &&
				    !sync->env->options.exporter))
		return;
	if (!loop_timer_is_set(&sync->timer))
		loop_timer_set(sync->env->loop, &sync->timer, SOON_MS);
}

static void on_again(struct loop_timer *timer)
{
	struct host_sync *sync = container_of(timer, struct host_sync, again);

	if (has_waiting_export(sync))
		host_sync_soon(sync);
}

void host_sync_on_disk(struct host_sync *sync)
{
	if (!env_trusts_store(sync->env))
		host_sync_soon(sync);
}

void host_sync_on_kernel_event(struct host_sync *sync)
{
	if (!sync->scan && clock_mono_ms() >= sync->deaf_until_ms && has_waiting_export(sync))
		host_sync_soon(sync);
}

static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	struct host_sync *sync = container_of(listener, struct host_sync, listener);

	/* An operation itself brings name and export to the disk. */
	if (notice->type == NOTICE_HOST_UNSURE ||
	    (notice->type == NOTICE_DISK_CHANGED &&
	     !operation_busy(sync->engine, notice->volume_id)))
		host_sync_soon(sync);
	if (notice->type == NOTICE_EXPORT_PENDING) {
		sync->pause_ms = FIRST_PAUSE_MS;
		loop_timer_clear(sync->env->loop, &sync->again);
		plan_again(sync);
	}
}

struct host_sync *host_sync_new(struct env *env, struct model *model, struct host *host,
				struct engine *engine)
{
	struct host_sync *sync = xnew(struct host_sync);

	sync->env = env;
	sync->model = model;
	sync->host = host;
	sync->engine = engine;
	sync->leftover = leftover_maps_new(env);
	sync->timer.fire = on_timer;
	sync->again.fire = on_again;
	sync->pause_ms = FIRST_PAUSE_MS;
	sync->listener.on_notice = on_notice;
	notice_listen(model, &sync->listener);
	return sync;
}

void host_sync_outgrown(struct host_sync *sync, const struct device *device)
{
	disk_rescan(sync->host, device);
}

void host_sync_drain(struct host_sync *sync)
{
	loop_timer_clear(sync->env->loop, &sync->timer);
	loop_timer_clear(sync->env->loop, &sync->again);
}

void host_sync_stop(struct host_sync *sync)
{
	host_sync_drain(sync);
	if (sync->scan)
		drop(sync->scan);
}

struct host_sync *host_sync_free(struct host_sync *sync)
{
	if (!sync)
		return NULL;
	notice_unlisten(sync->model, &sync->listener);
	host_sync_stop(sync);
	leftover_maps_free(sync->leftover);
	free(sync);
	return NULL;
}
