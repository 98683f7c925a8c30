/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names that are left from when there were names. Once they are turned off nobody needs them, and each has its disk in
 * use: so they are taken away, at the start and after each comparison until none is left. One that somebody has open is
 * what he works with and stays until he has closed it; but whoever waits at one for its volume is told, since it will
 * not be led to the disk again.
 */

#include "base/log.h"
#include "core/internal.h"

struct old_names {
	struct core *core;
	struct devmap_call *call;
	struct devmap_map *maps; /* as they were listed */
	size_t count, at;
	bool is_known; /* what stays was said */
	bool are_gone;
};

static void look_at_next(struct old_names *old);

static void end(struct old_names *old)
{
	old->are_gone = old->count == 0;
	old->is_known = true;
	free(TAKE_PTR(old->maps));
	old->count = old->at = 0;
}

static void leave(struct old_names *old, const char *why)
{
	const struct devmap_map *map = &old->maps[old->at++];

	log_write(old->is_known ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
		  "volume=%s: names are turned off, but %s stays for now: %s", map->volume_id, map->name, why);
	look_at_next(old);
}

static void on_removed(void *arg, const struct err *err)
{
	struct old_names *old = arg;
	const struct devmap_map *map = &old->maps[old->at];

	old->call = NULL;
	if (err->code) {
		leave(old, err->text);
		return;
	}
	log_notice("volume=%s: names are turned off, so %s is taken away", map->volume_id, map->name);
	old->at++;
	look_at_next(old);
}

static void on_failed(void *arg, const struct err *err)
{
	struct old_names *old = arg;

	old->call = NULL;
	if (err->code) {
		leave(old, err->text);
		return;
	}
	old->maps[old->at].suspended = false;
	look_at_next(old);
}

static void look_at_next(struct old_names *old)
{
	struct devmap *devmap = old->core->options.old_names;
	const struct devmap_map *map = &old->maps[old->at];

	if (old->at == old->count)
		end(old);
	else if (map->suspended)
		old->call = devmap_wipe(devmap, map->volume_id, on_failed, old);
	else if (map->open_count > 0)
		leave(old, "it is in use");
	else
		old->call = devmap_remove(devmap, map->volume_id, on_removed, old);
}

static void on_listed(void *arg, const struct devmap_map *maps, size_t count, const struct err *err)
{
	struct old_names *old = arg;

	old->call = NULL;
	if (err->code) {
		log_warning("the names that are left could not be found out: %s", err->text);
		return;
	}
	old->maps = xcalloc(count + 1, sizeof(*maps));
	memcpy(old->maps, maps, count * sizeof(*maps));
	old->count = count;
	look_at_next(old);
}

void old_names_take_away(struct core *core)
{
	if (!core->options.old_names || core->draining)
		return;
	if (!core->old_names) {
		core->old_names = xnew(struct old_names);
		core->old_names->core = core;
	}
	if (!core->old_names->call && !core->old_names->are_gone)
		core->old_names->call = devmap_list(core->options.old_names, on_listed, core->old_names);
}

void old_names_free(struct core *core)
{
	struct old_names *old = TAKE_PTR(core->old_names);

	if (!old)
		return;
	if (old->call)
		devmap_cancel(old->call);
	free(old->maps);
	free(old);
}
