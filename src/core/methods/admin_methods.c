/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An administrator's methods: the daemon's health, a comparison of store, CloudStack and kernel
 * now, the configuration read anew, and a pause of changes. A pause is kept in the store;
 * operations that were accepted before go on, since their clients have been promised that. */

#include "core/methods/admin_methods.h"

#include "base/json.h"
#include "base/log.h"
#include "core/call.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/methods/admission.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/health.h"
#include "core/methods/plan.h"
#include "core/model/commit.h"
#include "core/reconcile/reconciler.h"
#include "core/reload.h"

/* Changes were paused while the call waited for its turn, and perhaps go on again by now. */
static void fail_without_repair(struct call *call)
{
	struct err err = { 0 };

	if (admission_check(call, &err) == 0)
		err_set(&err, ERR_UNAVAILABLE,
			"changes were paused when the comparison began, so it has repaired nothing; try again");
	call_fail(call, &err);
}

static void on_compared(void *arg, const struct sync_record *record, bool dry_run,
			const struct err *err)
{
	struct call *call = arg;
	const struct sync_args *args = call->args;

	call_waited(call);
	if (!record)
		call_fail(call, err);
	else if (dry_run && !args->dry_run)
		fail_without_repair(call);
	else
		call_answer(call, record);
}

void force_sync(struct call *call)
{
	const struct sync_args *args = call->args;
	struct err err = { 0 };

	if (health_check_changes(call->calls, &err) < 0)
		call_fail(call, &err);
	else
		call_wait_comparison(call, reconcile_request(call->calls->reconciler, args->dry_run,
							     on_compared, call));
}

void health_get(struct call *call)
{
	struct health_record record = { 0 };
	struct answer answer = { .record = &health_record, .items = &record, .count = 1 };

	answer.unhealthy = !health_to_record(call->calls, &record);
	call_answer_as(call, &answer);
	record_clear(&health_record, &record);
}

static void answer_words(struct call *call, char *words)
{
	struct message_record record = { .message = words };

	call_answer(call, &record);
	record_clear(&message_record, &record);
}

static void on_pause_changed(void *arg, const struct err *err)
{
	struct call *call = arg;
	const char *reason = call->calls->env->paused;

	call_waited(call);
	if (err->code)
		call_fail(call, err);
	else if (reason)
		answer_words(call,
			     xasprintf("changes are paused, and running operations finish: %s",
				       reason));
	else
		answer_words(call, xstrdup("changes go on"));
}

static void set_paused(struct call *call, const char *reason)
{
	struct change *change = change_new(call->calls->model, "pause");

	change_set_paused(change, reason);
	change_submit(change, CHANGE_OPTIONAL, NULL, on_pause_changed, call);
	call_wait_change(call, change);
}

void changes_pause(struct call *call)
{
	const struct pause_args *args = call->args;

	if (plan_ends(call,
		      "Let no further change begin until 'volumectl resume'; %zu running "
		      "operations finish.",
		      operation_count(call->calls->engine)))
		return;
	log_notice("%s pauses changes: %s", call->caller.surface, args->reason);
	set_paused(call, args->reason);
}

void changes_resume(struct call *call)
{
	const struct pause_args *args = call->args;

	if (plan_ends(call, call->calls->env->paused ? "Let changes begin again."
						     : "Nothing: changes are not paused."))
		return;
	log_notice("%s lets changes go on%s%s", call->caller.surface,
		   str_empty(args->reason) ? "" : ": ", str_or(args->reason, ""));
	set_paused(call, NULL);
}

static void on_reloaded(void *arg, const struct reload_record *record, const struct err *err)
{
	struct call *call = arg;

	call_waited(call);
	if (record)
		call_answer(call, record);
	else
		call_fail(call, err);
}

/* "a, b" from a list of the report, NULL: it is empty. */
static char *keys_of(const struct json *report, const char *list)
{
	const struct json *key = json_first(json_get(report, list));
	struct buf out = BUF_NULL;

	for (; key; key = json_next(key))
		buf_printf(&out, "%s%s", out.length ? ", " : "", json_text(key));
	return out.length ? buf_take(&out) : NULL;
}

static void would_reload(struct call *call, const struct reload_record *record)
{
	_cleanup_json_ struct json *report =
		json_parse(record->report, strlen(record->report), NULL);
	_cleanup_free_ char *changed = keys_of(report, "changed");
	_cleanup_free_ char *needs_restart = keys_of(report, "needs_restart");
	_cleanup_free_ char *now = NULL, *later = NULL;

	if (!changed && !needs_restart) {
		plan_would(call, "change", "Nothing: the configuration has not changed.");
		return;
	}
	if (changed) {
		now = xasprintf("Put these into force: %s.", changed);
		plan_would(call, "change", now);
	}
	if (needs_restart) {
		later = xasprintf("Leave these until the daemon is restarted: %s.", needs_restart);
		plan_would(call, "restart", later);
	}
}

static void on_looked(void *arg, const struct reload_record *record, const struct err *err)
{
	struct call *call = arg;

	call_waited(call);
	if (record)
		would_reload(call, record);
	else
		plan_refuse(call, "configuration", err);
	plan_answer(call);
}

void config_reload(struct call *call)
{
	const struct reloader *reloader = call->calls->env->options.reloader;

	if (reloader)
		call_wait_reload(call,
				 reloader->request(reloader->self, call->plan != NULL,
						   call->plan ? on_looked : on_reloaded, call));
	else
		call_failf(call, ERR_UNAVAILABLE, "the daemon runs without a configuration file");
}
