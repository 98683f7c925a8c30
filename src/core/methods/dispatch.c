/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a call to its method: the checks that every call passes, in one order - rights, required
 * arguments, the request key, whether the store may be changed, whether a change can be begun now -
 * and the list of methods. */

#include <assert.h>

#include "base/log.h"
#include "core/call.h"
#include "core/engine/operation_owner.h"
#include "core/env.h"
#include "core/methods/admin_methods.h"
#include "core/methods/admission.h"
#include "core/methods/attention_methods.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/caller.h"
#include "core/methods/calls.h"
#include "core/methods/cloud_lists.h"
#include "core/methods/cloud_rights.h"
#include "core/methods/cloud_snapshots.h"
#include "core/methods/device_methods.h"
#include "core/methods/export_audit.h"
#include "core/methods/export_methods.h"
#include "core/methods/health.h"
#include "core/methods/health_watch.h"
#include "core/methods/idempotency.h"
#include "core/methods/metrics.h"
#include "core/methods/open_device.h"
#include "core/methods/operation_history.h"
#include "core/methods/operation_methods.h"
#include "core/methods/past_methods.h"
#include "core/methods/plan.h"
#include "core/methods/snapshot_methods.h"
#include "core/methods/store_methods.h"
#include "core/methods/token_methods.h"
#include "core/methods/volume_methods.h"
#include "core/methods/volume_users.h"
#include "core/reconcile/store_guard.h"
#include "io/user_names.h"
#include "store/snapshot.h"

typedef void (*call_impl)(struct call *call);

static void plan_get(struct call *call);

static const call_impl impls[METHOD_COUNT] = {
	[METHOD_EXPORT_CREATE] = export_create,
	[METHOD_EXPORT_LIST] = export_list_asked,
	[METHOD_EXPORT_GET] = export_get,
	[METHOD_EXPORT_DELETE] = export_delete,
	[METHOD_EXPORT_VALIDATE] = export_validate,
	[METHOD_EXPORT_CLEANUP] = export_cleanup,
	[METHOD_EXPORT_CLEANUP_AGE] = export_cleanup_age,
	[METHOD_EXPORT_ORPHANS] = export_orphans,
	[METHOD_VOLUME_CREATE] = volume_create,
	[METHOD_VOLUME_ATTACH] = volume_attach,
	[METHOD_VOLUME_ATTACH_ROOT] = volume_attach_root,
	[METHOD_VOLUME_DETACH] = volume_detach,
	[METHOD_VOLUME_DELETE] = volume_delete,
	[METHOD_VOLUME_RESIZE] = volume_resize,
	[METHOD_VOLUME_CLEANUP] = volume_cleanup,
	[METHOD_VOLUME_LIST] = volume_list,
	[METHOD_VOLUME_GET] = volume_get,
	[METHOD_VOLUME_DEVICE] = volume_device,
	[METHOD_VOLUME_USERS] = volume_users,
	[METHOD_VOLUME_OPEN] = volume_open,
	[METHOD_VOLUME_FORGET] = volume_forget,
	[METHOD_VM_VOLUMES] = vm_volumes,
	[METHOD_VM_LIST] = vm_list,
	[METHOD_OFFERING_LIST] = offering_list,
	[METHOD_ZONE_LIST] = zone_list,
	[METHOD_RIGHT_LIST] = right_list,
	[METHOD_MAPPING_LIST] = mapping_list,
	[METHOD_DEVICE_LIST] = device_list,
	[METHOD_DEVICE_VOLUME] = device_volume,
	[METHOD_VOLUME_SNAPSHOT] = snapshot_create,
	[METHOD_VOLUME_SNAPSHOTS] = volume_snapshots,
	[METHOD_VOLUME_REVERT] = snapshot_revert,
	[METHOD_VOLUME_DELETE_SNAPSHOT] = snapshot_delete,
	[METHOD_SNAPSHOT_TRACK] = snapshot_track,
	[METHOD_SNAPSHOT_LIST] = snapshot_list_asked,
	[METHOD_SNAPSHOT_UPDATE] = snapshot_update,
	[METHOD_SNAPSHOT_UNTRACK] = snapshot_untrack,
	[METHOD_OPERATION_LIST] = operation_list,
	[METHOD_OPERATION_GET] = operation_get,
	[METHOD_OPERATION_HISTORY] = operation_history,
	[METHOD_OPERATION_CANCEL] = operation_cancel_asked,
	[METHOD_OPERATION_RESOLVE] = operation_resolve_asked,
	[METHOD_FORCE_SYNC] = force_sync,
	[METHOD_CHANGES_PAUSE] = changes_pause,
	[METHOD_CHANGES_RESUME] = changes_resume,
	[METHOD_CONFIG_RELOAD] = config_reload,
	[METHOD_HEALTH_GET] = health_get,
	[METHOD_METRICS_GET] = metrics_get,
	[METHOD_TOKEN_CREATE] = token_create,
	[METHOD_TOKEN_LIST] = token_list_asked,
	[METHOD_TOKEN_REVOKE] = token_revoke,
	[METHOD_PLAN_GET] = plan_get,
	[METHOD_STORE_BACKUP] = store_backup,
	[METHOD_STORE_CHECK] = store_check_asked,
	[METHOD_STORE_PLAN] = store_plan,
	[METHOD_STORE_ACCEPT] = store_accept,
};

static int check(struct call *call, struct err *err)
{
	const struct method *method = call->method;
	enum method_access needs = method_needs(method, call->args);

	if (needs > call->caller.access)
		return err_set(err, ERR_FORBIDDEN, "%s needs the right \"%s\"; %s \"%s\"",
			       method->name, access_names[needs],
			       call->caller.token ? "the token has the scope" : "this caller has",
			       access_names[call->caller.access]);
	return record_check_required(method->args, call->args, err);
}

/* The caller says which export is made or closed, and a cancelled operation that began is undone
 * when operations go on. */
static bool needs_cloud(const struct call *call)
{
	static const enum method_id without[] = { METHOD_EXPORT_CREATE,    METHOD_EXPORT_DELETE,
						  METHOD_SNAPSHOT_TRACK,   METHOD_SNAPSHOT_UPDATE,
						  METHOD_SNAPSHOT_UNTRACK, METHOD_OPERATION_CANCEL,
						  METHOD_CHANGES_PAUSE,    METHOD_CHANGES_RESUME,
						  METHOD_TOKEN_CREATE,     METHOD_TOKEN_REVOKE };

	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		if (call->method == &methods[without[i]])
			return false;
	}
	return true;
}

static void run(struct call *call)
{
	impls[call->method - methods](call);
}

static void admit(struct call *call);

static void on_store_checked(void *arg)
{
	struct call *call = arg;

	call_waited(call);
	admit(call);
}

static void admit(struct call *call)
{
	struct store_guard *guard = call->calls->store_guard;
	bool awaits_store = admission_awaits_store(call) && needs_cloud(call);
	struct err err;

	err_clear(&err);
	if (admission_awaits_store(call))
		store_guard_soon(guard);
	/* Without CloudStack nobody knows how long the check of the store will take. */
	if (admission_check(call, &err) < 0 ||
	    (awaits_store && health_check_changes(call->calls, &err) < 0))
		call_fail(call, &err);
	else if (awaits_store)
		call_wait_store(call, store_guard_wait(guard, on_store_checked, call));
	else
		run(call);
}

static void on_not_admitted(void *arg, const char *check, const struct err *err)
{
	plan_refuse(arg, check, err);
}

/* A plan names all that is in the way, and not only the first. */
static void admit_plan(struct call *call)
{
	admission_each(call, on_not_admitted, call);
	if (call->calls->env->cloud || call->method->answer != ANSWER_OPERATION)
		run(call);
	else
		plan_answer(call);
}

static void begin_as(struct call *call, const char *user)
{
	call->asked_by = caller_to_json(&call->caller, user);
	call->owner = operation_owner(call->asked_by);
	if (call->plan) {
		admit_plan(call);
		return;
	}
	if (call->method->answer != ANSWER_OPERATION &&
	    log_limit_allows(&call->calls->changes_limit, LOG_LEVEL_INFO))
		log_info("%s by %s", call->method->name, call->asked_by);
	if (request_id_of(call))
		idempotency_begin(call, admit);
	else
		admit(call);
}

static void on_user_found(void *arg, const char *name)
{
	struct call *call = arg;

	call_waited(call);
	begin_as(call, name);
}

/* The history of a change names its caller. */
static void begin_change(struct call *call)
{
	struct user_names *names = call->calls->user_names;
	const struct caller *caller = &call->caller;
	const char *user = NULL;

	if (caller->has_uid && !user_names_find(names, caller->uid, &user))
		call_wait_user(call, user_lookup_start(names, caller->uid, on_user_found, call));
	else
		begin_as(call, user);
}

static void begin(struct call *call)
{
	struct err err;

	err_clear(&err);
	if (check(call, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	if (method_asks_plan(call->method, call->args))
		plan_begin(call);
	if (call->method->access != ACCESS_READ)
		begin_change(call);
	else
		admit(call);
}

static void plan_get(struct call *call)
{
	struct err err = { 0 };

	if (plan_take_change(call, &err) < 0)
		call_fail(call, &err);
	else
		begin(call);
}

static void on_begin(struct loop_task *task)
{
	begin(container_of(task, struct call, begin));
}

struct call *calls_start(struct calls *calls, enum method_id id, const void *args,
			 const struct caller *caller, call_done_fn done, void *arg)
{
	struct call *call;

	assert(id < METHOD_COUNT);
	call = call_new(calls, id, args, caller, done, arg);
	if (call->method->answer == ANSWER_MANY) {
		call_list(call, begin);
		return call;
	}
	call->begin.run = on_begin;
	loop_task_queue(calls->env->loop, &call->begin);
	return call;
}

void calls_init(struct calls *calls)
{
	TAILQ_INIT(&calls->calls);
	calls->snapshots = snapshots_new(calls->env->loop, calls->env->store);
	calls->metrics = metrics_new(calls);
	calls->health_watch = health_watch_new(calls);
	calls->cloud_lists = cloud_lists_new(calls);
	calls->cloud_rights = cloud_rights_new(calls);
	calls->user_names = user_names_new(calls->env->loop);
	operation_methods_begin(calls);
}

void calls_fini(struct calls *calls)
{
	struct call *call;

	while ((call = TAILQ_FIRST(&calls->calls)))
		call_cancel(call);
	operation_methods_end(calls);
	calls->health_watch = health_watch_free(calls->health_watch);
	calls->cloud_lists = cloud_lists_free(calls->cloud_lists);
	calls->cloud_rights = cloud_rights_free(calls->cloud_rights);
	calls->user_names = user_names_free(calls->user_names);
	calls->metrics = metrics_free(calls->metrics);
	calls->snapshots = snapshots_free(calls->snapshots);
}
