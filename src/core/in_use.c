/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who asks to take a volume away from under somebody is told so at once, instead of by an operation that fails a moment
 * later. This is a courtesy: the operation looks again when its turn comes, and that look decides. So whatever can't be
 * found out here is left to it, and a volume that something is being done to already is not looked at.
 */

#include "core/internal.h"

/* Nobody waits longer to hear that the operation will find out. */
#define PATIENCE_MS 3000
/* An NBD server may need a moment to part with a client that has just left. */
#define LEAVING_MS 700

static void go_on(struct call *call)
{
	loop_timer_clear(call->core->loop, &call->patience);
	call->proceed(call);
}

static void on_impatient(struct loop_timer *timer)
{
	struct call *call = container_of(timer, struct call, patience);

	if (call->usage_check)
		usage_check_cancel(TAKE_PTR(call->usage_check));
	if (call->export_call)
		export_cancel(TAKE_PTR(call->export_call));
	go_on(call);
}

static const struct export_seen *seen_of(const struct call *call, const struct export_seen *items, size_t count)
{
	const struct export *export = export_find(call->core, call->about);

	for (size_t i = 0; export && i < count; i++) {
		if (streq(items[i].name, export->record.export_name))
			return &items[i];
	}
	return NULL;
}

static void on_clients(void *arg, const struct export_seen *items, size_t count, const struct err *err);

static void ask_for_clients(struct call *call)
{
	call->export_call = export_list(call->core->options.exporter, on_clients, call);
}

static void on_look_again(struct loop_timer *timer)
{
	struct call *call = container_of(timer, struct call, patience);

	call->looked = true;
	call->patience.fire = on_impatient;
	loop_timer_set(call->core->loop, &call->patience, PATIENCE_MS);
	ask_for_clients(call);
}

static void on_clients(void *arg, const struct export_seen *items, size_t count, const struct err *err)
{
	struct call *call = arg;
	const struct export_seen *seen = seen_of(call, items, count);
	_cleanup_buf_ struct buf clients = BUF_NULL;

	call->export_call = NULL;
	/* Clients that may be another export's are no reason yet. */
	if (!seen || seen->client_count == 0 || !seen->clients_certain) {
		go_on(call);
		return;
	}
	if (!call->looked) {
		call->patience.fire = on_look_again;
		loop_timer_set(call->core->loop, &call->patience, LEAVING_MS);
		return;
	}
	for (size_t i = 0; i < seen->client_count && i < 8; i++)
		buf_printf(&clients, "%sNBD client %s", i ? ", " : "", seen->clients[i].address);
	call_failf(call, ERR_CONFLICT, "volume %s is in use: %s; disconnect it, or use force", call->about,
		   clients.data);
}

static const struct device *disk_of(struct core *core, const char *volume_id)
{
	for (size_t i = 0; i < sysblock_count(core->sysblock); i++) {
		const struct device *device = sysblock_at(core->sysblock, i);

		if (mapping_is_disk(core, volume_id, device))
			return device;
	}
	return NULL;
}

static bool may_stay(const struct call *call, const struct usage_result *result)
{
	switch (call->leave) {
	case IN_USE_REFUSED:
		return false;
	case IN_USE_BY_NAME:
		return !result->beside;
	case IN_USE_BY_FORCE:
		return true;
	}
	abort();
}

static void on_usage(void *arg, const struct usage_result *result)
{
	struct call *call = arg;
	struct core *core = call->core;
	const struct device *device = disk_of(core, call->about);
	const char *path = device ? device->path : "its disk";

	call->usage_check = NULL;
	if (result->err.code) {
		go_on(call);
	} else if (result->kind == USAGE_ROOT) {
		call_failf(call, ERR_CONFLICT, "volume %s carries this system (%s); it is never detached", call->about,
			   result->what);
	} else if (may_stay(call, result)) {
		go_on(call);
	} else if (result->kind == USAGE_HELD) {
		call_failf(call, ERR_CONFLICT, "%s is in use: %s; release it, or use force", path, result->what);
	} else if (core->options.exporter && export_find(core, call->about)) {
		ask_for_clients(call);
	} else {
		go_on(call);
	}
}

void in_use_check(struct call *call, const char *volume_id, enum in_use_leave leave, void (*proceed)(struct call *call))
{
	struct core *core = call->core;
	const struct volume *volume = volume_find(core, volume_id);
	const struct device *device;

	if (volume && volume_is_own_root(core, &volume->cloud)) {
		call_failf(call, ERR_CONFLICT, "volume %s carries this system; it is never detached", volume_id);
		return;
	}
	/* What the last scan saw may be seconds old. */
	device = sysblock_scan(core->sysblock, NULL) < 0 ? NULL : disk_of(core, volume_id);
	call->about = volume_id;
	call->leave = leave;
	call->proceed = proceed;
	if (!device || operation_busy(core, volume_id)) {
		go_on(call);
		return;
	}
	call->patience.fire = on_impatient;
	loop_timer_set(core->loop, &call->patience, PATIENCE_MS);
	call->usage_check = usage_start(core, volume_id, device, on_usage, call);
}

struct usage_check *usage_start(struct core *core, const char *volume_id, const struct device *device,
				usage_done_fn done, void *arg)
{
	_cleanup_free_ char *map = xasprintf(DEVMAP_UUID_PREFIX "%s", volume_id);
	struct usage_ignore ours = { .map_uuid = map };
	struct export_health engine = { 0 };

	/* The engine's clients are asked about where the export is closed. */
	if (core->options.exporter)
		exporter_health(core->options.exporter, &engine);
	ours.pid = engine.pid;
	return usage_check_start(core->usage_checker, device->name, &ours, done, arg);
}
