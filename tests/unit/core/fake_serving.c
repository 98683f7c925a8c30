/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The fake behind dm/devmap.h and nbd/exporter.h; see fake_serving.h. */

#include "fake_serving.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/core_parts.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/methods/call.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/stable_name.h"
#include "core/model/volume.h"
#include "core/reconcile/reconciler.h"
#include "disk/flush.h"
#include "disk/probe.h"
#include "disk/sysblock.h"
#include "disk/usage.h"
#include "dm/devmap.h"
#include "nbd/exporter.h"

struct fake_call {
	struct fake_serving *fake;
	enum fake_verb verb;
	char *name, *volume_id, *device;
	uint64_t size;
	bool flag; /* read-only, or by force */
	struct loop_timer timer;
	devmap_done_fn done; /* of the same type as export_done_fn */
	devmap_listed_fn maps_listed;
	export_listed_fn exports_listed;
	void *arg;
};

void serving_fake_init(struct fake_serving *fake, struct loop *loop)
{
	*fake = (struct fake_serving){ .loop = loop };
}

struct devmap *fake_devmap(struct fake_serving *fake)
{
	return (struct devmap *)fake;
}

struct exporter *fake_exporter(struct fake_serving *fake)
{
	return (struct exporter *)fake;
}

void fake_fault(struct fake_serving *fake, enum fake_verb verb, unsigned times, enum err_code code,
		bool effect)
{
	fake->fault[verb].times = times;
	fake->fault[verb].code = code;
	fake->fault[verb].effect = effect;
}

struct fake_map *fake_map_of(struct fake_serving *fake, const char *volume_id)
{
	for (size_t i = 0; i < fake->map_count; i++) {
		if (!fake->maps[i].foreign && streq(fake->maps[i].map.volume_id, volume_id))
			return &fake->maps[i];
	}
	return NULL;
}

static struct fake_map *map_called(struct fake_serving *fake, const char *name)
{
	for (size_t i = 0; i < fake->map_count; i++) {
		if (streq(fake->maps[i].map.name, name))
			return &fake->maps[i];
	}
	return NULL;
}

static struct fake_export *export_called(struct fake_serving *fake, const char *name)
{
	for (size_t i = 0; i < fake->export_count; i++) {
		if (streq(fake->exports[i].name, name))
			return &fake->exports[i];
	}
	return NULL;
}

struct fake_export *fake_export_of(struct fake_serving *fake, const char *volume_id)
{
	_cleanup_free_ char *name = xasprintf("migration-vol-%s", volume_id);

	return export_called(fake, name);
}

void fake_foreign_map(struct fake_serving *fake, const char *name)
{
	struct fake_map *map = &fake->maps[fake->map_count++];

	memset(map, 0, sizeof(*map));
	map->foreign = true;
	snprintf(map->map.name, sizeof(map->map.name), "%s", name);
}

/* ---- what the verbs do ---- */

static int activate(struct fake_serving *fake, const struct fake_call *call, struct err *err)
{
	struct fake_map *map = fake_map_of(fake, call->volume_id),
			*other = map_called(fake, call->name);

	if (other && other != map)
		return err_set_field(err, "name", ERR_CONFLICT, "%s is the name of another map",
				     call->name);
	assert(call->device[0] && call->size > 0);
	if (fake->disks_taken)
		return err_set_field(err, "disk", ERR_CONFLICT, "%s is held by somebody else",
				     call->device);
	if (!map) {
		assert(fake->map_count < FAKE_MAPS_MAX);
		map = &fake->maps[fake->map_count++];
		memset(map, 0, sizeof(*map));
		snprintf(map->map.volume_id, sizeof(map->map.volume_id), "%s", call->volume_id);
	}
	snprintf(map->map.name, sizeof(map->map.name), "%s", call->name);
	snprintf(map->map.device, sizeof(map->map.device), "%s", call->device);
	map->map.size = call->size;
	map->map.target = DEVMAP_LINEAR;
	map->map.suspended = false;
	return 0;
}

/* An export keeps its map open. */
static bool is_open(struct fake_serving *fake, const struct fake_map *map)
{
	if (map->map.open_count > 0)
		return true;
	for (size_t i = 0; i < fake->export_count; i++) {
		const char *slash = strrchr(fake->exports[i].path, '/');

		if (strstr(fake->exports[i].path, "/mapper/") && streq(slash + 1, map->map.name))
			return true;
	}
	return false;
}

static int unmap(struct fake_serving *fake, const struct fake_call *call, struct err *err)
{
	struct fake_map *map = fake_map_of(fake, call->volume_id);

	if (!map)
		return 0;
	if (is_open(fake, map))
		return err_set(err, ERR_CONFLICT, "%s is in use", map->map.name);
	*map = fake->maps[--fake->map_count];
	return 0;
}

static int add(struct fake_serving *fake, const struct fake_call *call, struct err *err)
{
	struct fake_export *export = export_called(fake, call->name);
	const struct fake_map *map = map_called(fake, strrchr(call->device, '/') + 1);
	uint64_t size = map ? map->map.size : 0;

	if (!map && strstr(call->device, "/mapper/"))
		return err_set(err, ERR_NOT_FOUND, "%s is not there", call->device);
	if (export && export->client.address[0] && export->size != size)
		return err_set(err, ERR_CONFLICT, "%s is used by NBD client %s", call->name,
			       export->client.address);
	if (!export) {
		assert(fake->export_count < FAKE_MAPS_MAX);
		export = &fake->exports[fake->export_count++];
		memset(export, 0, sizeof(*export));
	}
	snprintf(export->name, sizeof(export->name), "%s", call->name);
	snprintf(export->path, sizeof(export->path), "%s", call->device);
	export->read_only = call->flag;
	export->size = size;
	return 0;
}

static int take_off(struct fake_serving *fake, const struct fake_call *call, struct err *err)
{
	struct fake_export *export = export_called(fake, call->name);

	if (!export)
		return 0;
	if (export->client.address[0] && !call->flag)
		return err_set(err, ERR_CONFLICT, "%s is used by NBD client %s", call->name,
			       export->client.address);
	*export = fake->exports[--fake->export_count];
	return 0;
}

static int carry_out(struct fake_serving *fake, const struct fake_call *call, struct err *err)
{
	struct fake_map *map = call->volume_id ? fake_map_of(fake, call->volume_id) : NULL;

	switch (call->verb) {
	case VERB_ACTIVATE:
		return activate(fake, call, err);
	case VERB_SUSPEND:
		if (!map)
			return err_set(err, ERR_NOT_FOUND, "there is no map");
		map->map.suspended = true;
		return 0;
	case VERB_WIPE:
		if (map) {
			map->map.target = DEVMAP_ERROR;
			map->map.suspended = false;
		}
		return 0;
	case VERB_UNMAP:
		return unmap(fake, call, err);
	case VERB_ADD:
		return add(fake, call, err);
	case VERB_REMOVE:
		return take_off(fake, call, err);
	case VERB_CHECK:
		return export_called(fake, call->name)
			       ? 0
			       : err_set(err, ERR_NOT_FOUND, "%s is not served", call->name);
	case VERB_LIST_MAPS:
	case VERB_LIST_EXPORTS:
	case VERB_COUNT:
		break;
	}
	return 0;
}

/* ---- calls ---- */

static void call_free(struct fake_call *call)
{
	loop_timer_clear(call->fake->loop, &call->timer);
	free(call->name);
	free(call->volume_id);
	free(call->device);
	free(call);
}

static void answer_maps(struct fake_call *call, const struct err *err)
{
	struct devmap_map maps[FAKE_MAPS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < call->fake->map_count; i++) {
		if (!call->fake->maps[i].foreign)
			maps[count++] = call->fake->maps[i].map;
	}
	call->maps_listed(call->arg, maps, count, err);
}

/* As qemu-storage-daemon does: nobody knows whose a client is when there are several exports. */
static void answer_exports(struct fake_call *call, const struct err *err)
{
	struct export_seen seen[FAKE_MAPS_MAX];
	struct export_client clients[FAKE_MAPS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < call->fake->export_count; i++) {
		if (call->fake->exports[i].client.address[0])
			clients[count++] = call->fake->exports[i].client;
	}
	for (size_t i = 0; i < call->fake->export_count; i++) {
		const struct fake_export *export = &call->fake->exports[i];

		seen[i] = (struct export_seen){
			.name = export->name,
			.device_path = export->path,
			.read_only = export->read_only,
			.clients = clients,
			.client_count = count,
			.clients_certain = count == 0 || call->fake->export_count == 1,
		};
	}
	call->exports_listed(call->arg, seen, err->code ? 0 : call->fake->export_count, err);
}

static void on_due(struct loop_timer *timer)
{
	struct fake_call *call = container_of(timer, struct fake_call, timer);
	struct fake_serving *fake = call->fake;
	struct err err = { 0 };
	bool faulty = fake->fault[call->verb].times > 0;

	if (!faulty || fake->fault[call->verb].effect)
		carry_out(fake, call, &err);
	if (faulty) {
		fake->fault[call->verb].times--;
		if (fake->fault[call->verb].code)
			err_set(&err, fake->fault[call->verb].code, "a fault was asked for");
	}
	if (call->verb == VERB_LIST_MAPS)
		answer_maps(call, &err);
	else if (call->verb == VERB_LIST_EXPORTS)
		answer_exports(call, &err);
	else
		call->done(call->arg, &err);
	call_free(call);
}

static struct fake_call *ask_fake(struct fake_serving *fake, enum fake_verb verb, const char *name,
				  const char *volume_id, devmap_done_fn done, void *arg)
{
	struct fake_call *call = xnew(struct fake_call);

	call->fake = fake;
	call->verb = verb;
	call->name = xstrdup(name);
	call->volume_id = xstrdup(volume_id);
	call->done = done;
	call->arg = arg;
	call->timer.fire = on_due;
	fake->asked[verb]++;
	loop_timer_set(fake->loop, &call->timer,
		       fake->fault[verb].times > 0 ? fake->fault[verb].after_ms : 0);
	return call;
}

#define DEVMAP(FAKE) ((struct fake_serving *)(FAKE))

struct devmap_call *devmap_activate(struct devmap *devmap, const char *name, const char *volume_id,
				    const char *device, uint64_t size, devmap_done_fn done,
				    void *arg)
{
	struct fake_call *call =
		ask_fake(DEVMAP(devmap), VERB_ACTIVATE, name, volume_id, done, arg);

	call->device = xstrdup(device);
	call->size = size;
	return (struct devmap_call *)call;
}

struct devmap_call *devmap_suspend(struct devmap *devmap, const char *volume_id,
				   devmap_done_fn done, void *arg)
{
	return (struct devmap_call *)ask_fake(DEVMAP(devmap), VERB_SUSPEND, NULL, volume_id, done,
					      arg);
}

struct devmap_call *devmap_wipe(struct devmap *devmap, const char *volume_id, devmap_done_fn done,
				void *arg)
{
	return (struct devmap_call *)ask_fake(DEVMAP(devmap), VERB_WIPE, NULL, volume_id, done,
					      arg);
}

struct devmap_call *devmap_remove(struct devmap *devmap, const char *volume_id, devmap_done_fn done,
				  void *arg)
{
	return (struct devmap_call *)ask_fake(DEVMAP(devmap), VERB_UNMAP, NULL, volume_id, done,
					      arg);
}

struct devmap_call *devmap_list(struct devmap *devmap, devmap_listed_fn done, void *arg)
{
	struct fake_call *call = ask_fake(DEVMAP(devmap), VERB_LIST_MAPS, NULL, NULL, NULL, arg);

	call->maps_listed = done;
	return (struct devmap_call *)call;
}

void devmap_cancel(struct devmap_call *call)
{
	call_free((struct fake_call *)call);
}

struct export_call *export_add(struct exporter *exporter, const struct export_item *item,
			       export_done_fn done, void *arg)
{
	struct fake_call *call = ask_fake(DEVMAP(exporter), VERB_ADD, item->name, NULL, done, arg);

	call->device = xstrdup(item->device_path);
	call->flag = item->read_only;
	return (struct export_call *)call;
}

struct export_call *export_remove(struct exporter *exporter, const char *name, bool force,
				  export_done_fn done, void *arg)
{
	struct fake_call *call = ask_fake(DEVMAP(exporter), VERB_REMOVE, name, NULL, done, arg);

	call->flag = force;
	return (struct export_call *)call;
}

struct export_call *export_list(struct exporter *exporter, export_listed_fn done, void *arg)
{
	struct fake_call *call =
		ask_fake(DEVMAP(exporter), VERB_LIST_EXPORTS, NULL, NULL, NULL, arg);

	call->exports_listed = done;
	return (struct export_call *)call;
}

struct export_call *export_check(struct exporter *exporter, const char *name, uint64_t size,
				 export_done_fn done, void *arg)
{
	return (struct export_call *)ask_fake(DEVMAP(exporter), VERB_CHECK, name, NULL, done, arg);
}

void export_cancel(struct export_call *call)
{
	call_free((struct fake_call *)call);
}

char *export_uri(const struct exporter *exporter, const char *name)
{
	return xasprintf("nbd://127.0.0.1:10809/%s", name);
}

int export_port(const struct exporter *exporter)
{
	return 10809;
}

void exporter_look(struct exporter *exporter)
{
}

void exporter_health(const struct exporter *exporter, struct export_health *out)
{
	const struct fake_serving *fake = (const struct fake_serving *)exporter;

	*out = (struct export_health){ .ok = true, .engine = "fake", .pid = fake->engine_pid };
}
