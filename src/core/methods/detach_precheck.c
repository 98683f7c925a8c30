/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who asks to take a volume away from under somebody is told so at once, instead of by an operation that fails a moment
 * later. This is a courtesy: the operation looks again when its turn comes, and that look decides. So whatever can't be
 * found out here is left to it, and a volume that something is being done to already is not looked at.
 *
 * Where several volumes are served, nobody can say whose a client is but the NBD server, and it says so only when it
 * is asked to close the export. So it is asked, as the operation would do next. If no operation comes of it, tidying
 * brings the export back.
 */

#include "core/methods/detach_precheck.h"

#include "core/core_parts.h"
#include "core/engine/operation_table.h"
#include "core/host/activation.h"
#include "core/host/disk_users.h"
#include "core/methods/call.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/volume.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "disk/usage.h"
#include "nbd/exporter.h"

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
	if (call->serving)
		serving_cancel(TAKE_PTR(call->serving));
	call->serves = NULL;
	go_on(call);
}

static const struct export_seen *seen_of(const struct call *call, const struct export_seen *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(export_volume_of(items[i].name), call->about))
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

/* False: that was the second look. */
static bool look_again(struct call *call)
{
	if (call->looked)
		return false;
	call->patience.fire = on_look_again;
	loop_timer_set(call->core->loop, &call->patience, LEAVING_MS);
	return true;
}

static void on_closed(void *arg, const struct err *err)
{
	struct call *call = arg;

	call->serving = NULL;
	call->serves = NULL;
	notice_tell(call->core, NOTICE_HOST_UNSURE);
	if (err->code != ERR_CONFLICT)
		go_on(call);
	else if (!look_again(call))
		call_failf(call, ERR_CONFLICT, "%s; disconnect it, or use force", err->text);
}

static void close_export(struct call *call)
{
	if (operation_busy(call->core, call->about) || serving_is_busy(call->core, call->about)) {
		go_on(call);
		return;
	}
	call->serves = call->about;
	call->serving = serving_start(call->core, call->about, SERVING_GONE, SERVING_EXPORT, NULL, on_closed, call);
}

static void name_clients(struct call *call, const struct export_seen *seen)
{
	_cleanup_buf_ struct buf clients = BUF_NULL;

	for (size_t i = 0; i < seen->client_count && i < 8; i++)
		buf_printf(&clients, "%sNBD client %s", i ? ", " : "", seen->clients[i].address);
	call_failf(call, ERR_CONFLICT, "volume %s is in use: %s; disconnect it, or use force", call->about,
		   clients.data);
}

static void on_clients(void *arg, const struct export_seen *items, size_t count, const struct err *err)
{
	struct call *call = arg;
	const struct export_seen *seen = seen_of(call, items, count);

	call->export_call = NULL;
	if (!seen || seen->client_count == 0)
		go_on(call);
	else if (!seen->clients_certain)
		close_export(call);
	else if (!look_again(call))
		name_clients(call, seen);
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
	} else if (core->options.exporter) {
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
