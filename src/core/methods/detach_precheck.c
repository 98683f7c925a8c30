/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A client that asks to detach a volume in use gets the refusal at once, and not from an operation
 * that fails a moment later. This is a courtesy: the operation looks for users again when its turn
 * comes, and that look decides. So a question that cannot be answered here is left to the
 * operation, and a volume with an operation under way is not checked.
 *
 * If several volumes are served, only the NBD server can tell which volume a client uses, and the
 * server tells that only when it is asked to close the export. So this check asks for that, as the
 * operation would do next. If no operation follows, the reconciler brings the export back.
 */

#include "core/methods/detach_precheck.h"

#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/host/disk_users.h"
#include "core/methods/call.h"
#include "core/methods/calls.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/volume.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "disk/usage.h"
#include "nbd/exporter.h"

/* After this time the question is left to the operation. */
#define PATIENCE_MS 3000

/* An NBD server may need a moment to drop a client that has just left. */
#define LEAVING_MS 700

struct precheck {
	struct call *call;
	const char *volume_id; /* in the call's arguments */
	enum in_use_leave leave;
	void (*proceed)(struct call *call);
	bool looked; /* true in the second look, which follows if the export has clients */
	struct activation_claim *claim;
	struct loop_timer patience;
	/* the call that the check waits for, at most one of these */
	struct usage_check *usage_check;
	struct export_call *listing;
	struct activation *closing;
};

static void stop_waiting(struct precheck *precheck)
{
	if (precheck->usage_check)
		usage_check_cancel(TAKE_PTR(precheck->usage_check));
	if (precheck->listing)
		export_cancel(TAKE_PTR(precheck->listing));
	if (precheck->closing)
		activation_cancel(TAKE_PTR(precheck->closing));
}

static void precheck_free(void *awaited)
{
	struct precheck *precheck = awaited;

	stop_waiting(precheck);
	loop_timer_clear(precheck->call->calls->env->loop, &precheck->patience);
	activation_release(precheck->claim);
	free(precheck);
}

static void go_on(struct precheck *precheck)
{
	struct call *call = precheck->call;
	void (*proceed)(struct call * call) = precheck->proceed;

	call_waited(call);
	precheck_free(precheck);
	proceed(call);
}

static void on_impatient(struct loop_timer *timer)
{
	go_on(container_of(timer, struct precheck, patience));
}

static const struct export_seen *seen_of(const struct precheck *precheck,
					 const struct export_seen *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(export_volume_of(items[i].name), precheck->volume_id))
			return &items[i];
	}
	return NULL;
}

static void on_clients(void *arg, const struct export_seen *items, size_t count,
		       const struct err *err);

static void ask_for_clients(struct precheck *precheck)
{
	precheck->listing =
		export_list(precheck->call->calls->env->options.exporter, on_clients, precheck);
}

static void on_look_again(struct loop_timer *timer)
{
	struct precheck *precheck = container_of(timer, struct precheck, patience);

	precheck->looked = true;
	precheck->patience.fire = on_impatient;
	loop_deadline_set(precheck->call->calls->env->loop, &precheck->patience, PATIENCE_MS);
	ask_for_clients(precheck);
}

/* False: that was the second look. */
static bool look_again(struct precheck *precheck)
{
	if (precheck->looked)
		return false;
	precheck->patience.fire = on_look_again;
	loop_timer_set(precheck->call->calls->env->loop, &precheck->patience, LEAVING_MS);
	return true;
}

static void on_closed(void *arg, const struct err *err)
{
	struct precheck *precheck = arg;
	struct err in_use = *err;

	precheck->closing = NULL;
	precheck->claim = activation_release(precheck->claim);
	notice_tell(precheck->call->calls->model, NOTICE_HOST_UNSURE);
	if (err->code != ERR_CONFLICT) {
		go_on(precheck);
	} else if (!look_again(precheck)) {
		err_reword(&in_use, "%s; disconnect the client, or use force", err->text);
		call_fail(precheck->call, &in_use);
	}
}

static void close_export(struct precheck *precheck)
{
	if (operation_busy(precheck->call->calls->engine, precheck->volume_id) ||
	    activation_is_busy(precheck->call->calls->host, precheck->volume_id)) {
		go_on(precheck);
		return;
	}
	precheck->claim = activation_claim(precheck->call->calls->host, precheck->volume_id);
	precheck->closing =
		activation_start(precheck->call->calls->host, precheck->volume_id, ACTIVATION_DOWN,
				 ACTIVATION_EXPORT, NULL, on_closed, precheck);
}

static void on_clients(void *arg, const struct export_seen *items, size_t count,
		       const struct err *err)
{
	struct precheck *precheck = arg;
	const struct export_seen *seen = seen_of(precheck, items, count);
	struct err in_use;

	precheck->listing = NULL;
	if (!seen || seen->client_count == 0)
		go_on(precheck);
	else if (!seen->clients_certain)
		close_export(precheck);
	else if (!look_again(precheck)) {
		export_clients_refuse(precheck->volume_id, seen, &in_use);
		call_fail(precheck->call, &in_use);
	}
}

static bool may_stay(const struct precheck *precheck, const struct usage_result *result)
{
	switch (precheck->leave) {
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
	struct precheck *precheck = arg;
	struct calls *calls = precheck->call->calls;
	const struct device *device = mapping_next_disk(calls->model, precheck->volume_id, NULL);
	const char *path = device ? device->path : "its disk";
	bool users_may_stay = result->err.code || may_stay(precheck, result);
	struct err err;

	precheck->usage_check = NULL;
	if (!result->err.code && result->kind == USAGE_ROOT) {
		call_failf(precheck->call, ERR_CONFLICT,
			   "volume %s carries this system (%s); it is never detached",
			   precheck->volume_id, result->what);
	} else if (!users_may_stay && result->kind == USAGE_HELD) {
		err_set_reason(&err, ERR_REASON_IN_USE, ERR_CONFLICT,
			       "%s is in use: %s; release it, or use force", path, result->what);
		call_fail(precheck->call, &err);
	} else if (!users_may_stay && calls->env->options.exporter) {
		ask_for_clients(precheck);
	} else {
		go_on(precheck);
	}
}

void detach_precheck(struct call *call, const char *volume_id, enum in_use_leave leave,
		     void (*proceed)(struct call *call))
{
	struct calls *calls = call->calls;
	const struct volume *volume = volume_find(calls->model, volume_id);
	const struct device *device;
	struct precheck *precheck;

	/* The checks of the plan look for users, and close no export for that. */
	if (call->plan) {
		proceed(call);
		return;
	}
	if (volume && volume_is_own_root(calls->model, &volume->cloud)) {
		call_failf(call, ERR_CONFLICT,
			   "volume %s carries this system; it is never detached", volume_id);
		return;
	}
	/* The last scan may be seconds old. */
	device = sysblock_scan(calls->env->sysblock, NULL) < 0
			 ? NULL
			 : mapping_next_disk(calls->model, volume_id, NULL);
	if (!device || operation_busy(calls->engine, volume_id)) {
		proceed(call);
		return;
	}
	precheck = xnew(struct precheck);
	precheck->call = call;
	precheck->volume_id = volume_id;
	precheck->leave = leave;
	precheck->proceed = proceed;
	precheck->patience.fire = on_impatient;
	call_wait(call, precheck, precheck_free);
	loop_deadline_set(calls->env->loop, &precheck->patience, PATIENCE_MS);
	precheck->usage_check = usage_start(calls->host, volume_id, device, on_usage, precheck);
}
