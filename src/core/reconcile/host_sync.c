/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names and exports compared with what should be there: at the start, after each comparison with CloudStack, when a
 * disk changed behind a name, and when the NBD engine began anew. A name of a mapped volume leads to its disk and its
 * export is served; a name or export of ours whose volume is provably not attached to this machine goes. What an
 * operation is under way on is left to it, and what carries no identity of ours is somebody else's and not looked at.
 */

#include "core/reconcile/host_sync.h"

#include "base/log.h"
#include "core/core_parts.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
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

/* Several disks that come together are looked at together. */
#define SOON_MS 100

/* One volume that is being put right. */
struct chore {
	TAILQ_ENTRY(chore) entry;
	struct tidy *tidy;
	char *volume_id;
	enum serving_goal goal;
	unsigned parts;
	struct serving *serving;
};

struct tidy {
	struct core *core;
	struct devmap_call *maps_call;
	struct export_call *exports_call;
	struct devmap_map *maps;
	size_t map_count;
	bool maps_known;
	TAILQ_HEAD(, chore) chores;
};

/* ---- the end ---- */

static void chore_free(struct chore *chore)
{
	TAILQ_REMOVE(&chore->tidy->chores, chore, entry);
	if (chore->serving)
		serving_cancel(chore->serving);
	free(chore->volume_id);
	free(chore);
}

static void drop(struct tidy *tidy)
{
	struct chore *chore;

	tidy->core->tidy = NULL;
	if (tidy->maps_call)
		devmap_cancel(tidy->maps_call);
	if (tidy->exports_call)
		export_cancel(tidy->exports_call);
	while ((chore = TAILQ_FIRST(&tidy->chores)))
		chore_free(chore);
	free(tidy->maps);
	free(tidy);
}

static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	struct core *core = container_of(listener, struct core, tidy_listener);

	if (notice->type == NOTICE_HOST_UNSURE)
		tidy_soon(core);
	/* An operation brings name and export to the disk itself. */
	else if (notice->type == NOTICE_DISK_CHANGED && !operation_busy(core, notice->volume_id))
		tidy_soon(core);
}

void tidy_begin(struct core *core)
{
	core->tidy_listener.on_notice = on_notice;
	notice_listen(core, &core->tidy_listener);
}

void tidy_free(struct core *core)
{
	notice_unlisten(core, &core->tidy_listener);
	loop_timer_clear(core->loop, &core->tidy_timer);
	if (core->tidy)
		drop(core->tidy);
}

static void finish_if_done(struct tidy *tidy)
{
	struct core *core = tidy->core;

	if (!TAILQ_EMPTY(&tidy->chores))
		return;
	drop(tidy);
	/* Not before, since an engine may still serve from them. */
	old_names_take_away(core);
}

/* ---- chores ---- */

/* What the export has become is part of what is shown. */
static void note_export(struct core *core, const char *volume_id, const struct err *err)
{
	const struct export *export = export_find(core, volume_id);
	const struct mapping *mapping = mapping_find(core, volume_id);
	const struct device *device = mapping ? mapping_disk(core, &mapping->record) : NULL;
	struct export_record record = { 0 };

	/* Who uses it as it was keeps it so; it is looked at again with the next comparison. */
	if (!export || err->code == ERR_CONFLICT)
		return;
	export_make(core, volume_id, &record);
	if (err->code == ERR_NONE && device) {
		export_place(core, &record, device);
	} else {
		record.status =
			err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT ? EXPORT_PENDING : EXPORT_FAILED;
		str_set(&record.error, err->code ? err->text : "its disk has just gone");
	}
	if (record.status != export->record.status || record.size != export->record.size ||
	    record.port != export->record.port || !streq(record.device_path, export->record.device_path) ||
	    !streq(str_or(record.error, ""), str_or(export->record.error, "")))
		commit_export(core, volume_id, &record, CHANGE_WHATEVER_COMES, NULL, NULL);
	record_clear(&export_record, &record);
}

/* It is not served any more: for good, or until its disk is back. */
static void note_cut(struct core *core, const char *volume_id)
{
	const struct mapping *mapping = mapping_find(core, volume_id);
	struct export_record record = { 0 };

	if (!mapping || !core_is_appliance(core, mapping->record.vm_id)) {
		commit_export(core, volume_id, NULL, CHANGE_WHATEVER_COMES, NULL, NULL);
		return;
	}
	export_make(core, volume_id, &record);
	record.status = EXPORT_PENDING;
	str_set(&record.error, "its disk is gone");
	commit_export(core, volume_id, &record, CHANGE_WHATEVER_COMES, NULL, NULL);
	record_clear(&export_record, &record);
}

static void on_chore_done(void *arg, const struct err *err)
{
	struct chore *chore = arg;
	struct tidy *tidy = chore->tidy;
	struct core *core = tidy->core;

	chore->serving = NULL;
	if (err->code == ERR_CONFLICT)
		log_info("volume=%s: its name or export is not as it should be yet: %s", chore->volume_id, err->text);
	else if (err->code)
		log_warning("volume=%s: its name or export could not be put right: %s", chore->volume_id, err->text);
	if (core->draining || operation_busy(core, chore->volume_id)) {
		/* The operation says what becomes of it. */
	} else if (chore->goal == SERVING_THERE && (chore->parts & SERVING_EXPORT)) {
		note_export(core, chore->volume_id, err);
	} else if (chore->goal == SERVING_CUT && !err->code && export_find(core, chore->volume_id)) {
		note_cut(core, chore->volume_id);
	}
	chore_free(chore);
	finish_if_done(tidy);
}

static void begin(struct tidy *tidy, const char *volume_id, enum serving_goal goal, unsigned parts,
		  const struct device *device)
{
	struct chore *chore;

	if (serving_is_busy(tidy->core, volume_id))
		return;
	chore = xnew(struct chore);
	chore->tidy = tidy;
	chore->volume_id = xstrdup(volume_id);
	chore->goal = goal;
	chore->parts = parts;
	TAILQ_INSERT_TAIL(&tidy->chores, chore, entry);
	chore->serving = serving_start(tidy->core, volume_id, goal, parts, device, on_chore_done, chore);
}

/* ---- what should be there ---- */

static const struct devmap_map *map_of(const struct tidy *tidy, const char *volume_id)
{
	for (size_t i = 0; i < tidy->map_count; i++) {
		if (streq(tidy->maps[i].volume_id, volume_id))
			return &tidy->maps[i];
	}
	return NULL;
}

static bool is_well(struct core *core, const struct devmap_map *map, const struct device *device)
{
	return map && map->target == DEVMAP_LINEAR && !map->suspended && map->size == device->size &&
	       streq(map->device, device->number) && streq(map->name, name_find(core, map->volume_id));
}

static const struct export_seen *seen_of(const struct export_seen *items, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(items[i].name, name))
			return &items[i];
	}
	return NULL;
}

static bool is_served(struct core *core, const struct export_record *record, const struct device *device,
		      const struct export_seen *seen)
{
	_cleanup_free_ char *path = served_path(core, record->volume_id, device);

	return seen && streq(seen->device_path, path) && seen->read_only == record->read_only &&
	       record->status == EXPORT_ACTIVE && record->size == device->size &&
	       record->port == export_port(core->options.exporter);
}

static void look_at_mapping(struct tidy *tidy, const struct mapping *mapping, const struct export_seen *items,
			    size_t count, bool exports_known)
{
	struct core *core = tidy->core;
	const char *volume_id = mapping->record.volume_id;
	const struct export *export = export_find(core, volume_id);
	const struct device *device = mapping_disk(core, &mapping->record);
	const struct export_seen *seen = export ? seen_of(items, count, export->record.export_name) : NULL;
	unsigned parts = 0;

	if (!core_is_appliance(core, mapping->record.vm_id) || operation_busy(core, volume_id))
		return;
	/* Without a name of its own it is served under the kernel's, which the next disk may get. */
	if (!device && seen && !core->options.devmap)
		begin(tidy, volume_id, SERVING_CUT, SERVING_EXPORT, NULL);
	if (!device || !volume_may_be_here(core, volume_id))
		return;
	if (tidy->maps_known && !is_well(core, map_of(tidy, volume_id), device))
		parts |= SERVING_NAME;
	if (exports_known && export && !is_served(core, &export->record, device, seen))
		parts |= SERVING_EXPORT;
	if (parts)
		begin(tidy, volume_id, SERVING_THERE, parts, device);
}

static bool kernel_shows(struct core *core, const char *volume_id)
{
	for (size_t i = 0; i < sysblock_count(core->sysblock); i++) {
		if (mapping_is_disk(core, volume_id, sysblock_at(core->sysblock, i)))
			return true;
	}
	return false;
}

/*
 * CloudStack has been heard, and nothing says that the volume is or will be here. Who does not know which VM this is,
 * or has been told another one, takes every volume for one that is elsewhere; so the kernel is asked as well.
 */
static bool is_provably_away(struct core *core, const char *volume_id)
{
	const struct volume *volume = volume_find(core, volume_id);
	const struct mapping *mapping = mapping_find(core, volume_id);

	return volumes_are_known(core) && core->options.appliance_id &&
	       !(mapping && core_is_appliance(core, mapping->record.vm_id)) && !operation_busy(core, volume_id) &&
	       !hold_is_on(core, volume_id) && !(volume && core_is_appliance(core, volume->cloud.vm_id)) &&
	       !kernel_shows(core, volume_id);
}

bool export_is_orphan(struct core *core, const char *name)
{
	const char *volume_id = export_volume_of(name);

	return volume_id && is_provably_away(core, volume_id);
}

static void take_away(struct tidy *tidy, const char *volume_id, unsigned parts, enum log_level level)
{
	if (!is_provably_away(tidy->core, volume_id))
		return;
	log_write(level, "volume=%s: it is not attached here, so its name and export are taken away", volume_id);
	begin(tidy, volume_id, SERVING_CUT, parts, NULL);
}

static void look_at_map(struct tidy *tidy, const struct devmap_map *map)
{
	if (map->suspended && !serving_is_busy(tidy->core, map->volume_id))
		hold_found(tidy->core, map->volume_id);
	/* One that is cut off stays for as long as somebody has it open, and that was said. */
	take_away(tidy, map->volume_id, SERVING_ALL, map->target == DEVMAP_ERROR ? LOG_LEVEL_DEBUG : LOG_LEVEL_NOTICE);
}

/* Served, though nobody wants it: not by force, since its disk is there and whoever uses it does no harm. */
static void look_at_unwanted(struct tidy *tidy, const char *volume_id)
{
	struct core *core = tidy->core;
	const struct mapping *mapping = mapping_find(core, volume_id);

	if (!mapping || !core_is_appliance(core, mapping->record.vm_id))
		take_away(tidy, volume_id, SERVING_EXPORT, LOG_LEVEL_NOTICE);
	else if (!operation_busy(core, volume_id))
		begin(tidy, volume_id, SERVING_GONE, SERVING_EXPORT, NULL);
}

static void look(struct tidy *tidy, const struct export_seen *items, size_t count, bool exports_known)
{
	struct core *core = tidy->core;
	struct mapping *mapping;
	struct export *export;

	for (mapping = mapping_first(core); mapping; mapping = mapping_next(mapping))
		look_at_mapping(tidy, mapping, items, count, exports_known);
	for (size_t i = 0; i < tidy->map_count; i++)
		look_at_map(tidy, &tidy->maps[i]);
	for (export = export_first(core); export; export = export_next(export))
		take_away(tidy, export->record.volume_id, SERVING_EXPORT, LOG_LEVEL_NOTICE);
	for (size_t i = 0; i < count; i++) {
		const char *volume_id = export_volume_of(items[i].name);

		if (volume_id && !export_find(core, volume_id))
			look_at_unwanted(tidy, volume_id);
	}
	finish_if_done(tidy);
}

/* ---- what is there ---- */

static void on_exports(void *arg, const struct export_seen *items, size_t count, const struct err *err)
{
	struct tidy *tidy = arg;

	tidy->exports_call = NULL;
	if (err->code)
		log_warning("what is exported could not be found out: %s", err->text);
	look(tidy, items, err->code ? 0 : count, !err->code);
}

static void list_exports(struct tidy *tidy)
{
	struct exporter *exporter = tidy->core->options.exporter;

	if (exporter)
		tidy->exports_call = export_list(exporter, on_exports, tidy);
	else
		look(tidy, NULL, 0, false);
}

static void on_maps(void *arg, const struct devmap_map *maps, size_t count, const struct err *err)
{
	struct tidy *tidy = arg;

	tidy->maps_call = NULL;
	if (err->code) {
		log_warning("the names that are there could not be found out: %s", err->text);
	} else {
		tidy->maps = xcalloc(count + 1, sizeof(*maps));
		memcpy(tidy->maps, maps, count * sizeof(*maps));
		tidy->map_count = count;
		tidy->maps_known = true;
	}
	list_exports(tidy);
}

static void on_timer(struct loop_timer *timer)
{
	struct core *core = container_of(timer, struct core, tidy_timer);
	struct tidy *tidy;

	if (core->draining)
		return;
	if (core->tidy) {
		loop_timer_set(core->loop, timer, SOON_MS);
		return;
	}
	tidy = core->tidy = xnew(struct tidy);
	tidy->core = core;
	TAILQ_INIT(&tidy->chores);
	if (core->options.devmap)
		tidy->maps_call = devmap_list(core->options.devmap, on_maps, tidy);
	else
		list_exports(tidy);
}

void tidy_soon(struct core *core)
{
	if (core->draining || (!core->options.devmap && !core->options.old_names && !core->options.exporter))
		return;
	core->tidy_timer.fire = on_timer;
	if (!loop_timer_is_set(&core->tidy_timer))
		loop_timer_set(core->loop, &core->tidy_timer, SOON_MS);
}
