/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names that are left from the time when names were turned on. Once names are turned off, these
 * names are not needed any more, and each keeps its disk in use: so they are removed, at the start
 * and after each comparison, until none is left. A name that a program has open is in use and stays
 * until the program has closed it; but users that wait at a suspended name get an error, since the
 * name will not lead to the disk again.
 */

#include "core/reconcile/leftover_maps.h"

#include "base/log.h"
#include "core/env.h"
#include "dm/devmap.h"

struct leftover_maps {
	struct env *env;
	struct devmap_call *call;
	struct devmap_map *maps; /* as they were listed */
	size_t count, at;
	bool is_known; /* the names that stay were logged */
	bool are_gone;
};

static void look_at_next(struct leftover_maps *leftover);

static void end(struct leftover_maps *leftover)
{
	leftover->are_gone = leftover->count == 0;
	leftover->is_known = true;
	free(TAKE_PTR(leftover->maps));
	leftover->count = leftover->at = 0;
}

static void leave(struct leftover_maps *leftover, const char *why)
{
	const struct devmap_map *map = &leftover->maps[leftover->at++];

	log_write(leftover->is_known ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
		  "volume=%s: names are turned off, but %s stays for now: %s", map->volume_id,
		  map->name, why);
	look_at_next(leftover);
}

static void on_removed(void *arg, const struct err *err)
{
	struct leftover_maps *leftover = arg;
	const struct devmap_map *map = &leftover->maps[leftover->at];

	leftover->call = NULL;
	if (err->code) {
		leave(leftover, err->text);
		return;
	}
	log_notice("volume=%s: names are turned off, so %s is taken away", map->volume_id,
		   map->name);
	leftover->at++;
	look_at_next(leftover);
}

static void on_failed(void *arg, const struct err *err)
{
	struct leftover_maps *leftover = arg;

	leftover->call = NULL;
	if (err->code) {
		leave(leftover, err->text);
		return;
	}
	leftover->maps[leftover->at].suspended = false;
	look_at_next(leftover);
}

static void look_at_next(struct leftover_maps *leftover)
{
	struct devmap *devmap = leftover->env->options.old_names;
	const struct devmap_map *map = &leftover->maps[leftover->at];

	if (leftover->at == leftover->count)
		end(leftover);
	else if (map->suspended)
		leftover->call = devmap_wipe(devmap, map->volume_id, on_failed, leftover);
	else if (map->open_count > 0)
		leave(leftover, "a program has it open");
	else
		leftover->call = devmap_remove(devmap, map->volume_id, on_removed, leftover);
}

static void on_listed(void *arg, const struct devmap_map *maps, size_t count, const struct err *err)
{
	struct leftover_maps *leftover = arg;

	leftover->call = NULL;
	if (err->code) {
		log_warning("the device-mapper names that are left could not be listed: %s",
			    err->text);
		return;
	}
	leftover->maps = xcalloc(count + 1, sizeof(*maps));
	memcpy(leftover->maps, maps, count * sizeof(*maps));
	leftover->count = count;
	look_at_next(leftover);
}

void leftover_maps_remove(struct leftover_maps *leftover)
{
	struct devmap *devmap = leftover->env->options.old_names;

	if (devmap && env_may_change(leftover->env) && env_trusts_store(leftover->env) &&
	    !leftover->call && !leftover->are_gone)
		leftover->call = devmap_list(devmap, on_listed, leftover);
}

struct leftover_maps *leftover_maps_new(struct env *env)
{
	struct leftover_maps *leftover = xnew(struct leftover_maps);

	leftover->env = env;
	return leftover;
}

struct leftover_maps *leftover_maps_free(struct leftover_maps *leftover)
{
	if (!leftover)
		return NULL;
	if (leftover->call)
		devmap_cancel(leftover->call);
	free(leftover->maps);
	free(leftover);
	return NULL;
}
