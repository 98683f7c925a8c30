/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A call is admitted when it comes, and may then wait: for the users of a disk, for a zone or a
 * snapshot in CloudStack, for the store. What it was admitted by may not hold any more when it goes
 * on. So one function decides, and it is asked both at the beginning of a call and at the beginning
 * of its operation.
 */

#include "core/methods/admission.h"

#include "core/call.h"
#include "core/engine/operation_owner.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/calls.h"
#include "core/methods/health.h"
#include "core/reconcile/store_guard.h"

static bool only_reports(const struct call *call)
{
	const struct sync_args *sync = call->args;
	const struct export_cleanup_args *cleanup = call->args;
	const struct export_cleanup_age_args *cleanup_age = call->args;

	switch (call->method - methods) {
	case METHOD_FORCE_SYNC:
		return sync->dry_run;
	case METHOD_EXPORT_CLEANUP:
		return cleanup->dry_run;
	case METHOD_EXPORT_CLEANUP_AGE:
		return cleanup_age->dry_run;
	}
	return false;
}

/* The caller of an open disk may change what is on it; the daemon changes nothing that it manages.
 */
static bool changes_nothing(const struct call *call)
{
	return only_reports(call) || call->method == &methods[METHOD_VOLUME_OPEN];
}

/* A cancellation ends a change, and an administrator may settle and repair what there is. */
static bool is_paused(const struct call *call)
{
	if (!call->calls->env->paused || changes_nothing(call))
		return false;
	if (call->method->access == ACCESS_ADMIN)
		return call->method == &methods[METHOD_FORCE_SYNC];
	return call->method->access == ACCESS_CHANGE &&
	       call->method != &methods[METHOD_OPERATION_CANCEL];
}

static bool needs_store(const struct call *call)
{
	if (changes_nothing(call))
		return false;
	/* The administrator's methods for the store itself, and for the configuration, change
	 * nothing that it tells of. */
	return call->method->access != ACCESS_READ &&
	       call->method != &methods[METHOD_CONFIG_RELOAD] &&
	       call->method != &methods[METHOD_STORE_ACCEPT] &&
	       call->method != &methods[METHOD_STORE_BACKUP] &&
	       call->method != &methods[METHOD_STORE_CHECK];
}

/* One caller leaves places for operations to the others. */
static int check_share(const struct call *call, struct err *err)
{
	size_t most = call->calls->env->options.max_operations_per_caller;

	if (!most || !call->owner || operation_count_of(call->calls->engine, call->owner) < most)
		return 0;
	return err_set(err, ERR_TOO_MANY,
		       "%zu operations of this caller (%s) are unfinished, which is the limit "
		       "(operations.max_per_caller); try again later",
		       most, call->owner);
}

bool admission_awaits_store(const struct call *call)
{
	return needs_store(call) && call->calls->env->store_state == STORE_CHECKING;
}

static int check_pause(const struct call *call, struct err *err)
{
	if (!is_paused(call))
		return 0;
	return err_set(
		err, ERR_UNAVAILABLE,
		"changes are paused: %s. An administrator lets them go on with 'volumectl resume'",
		call->calls->env->paused);
}

static int check_store(const struct call *call, struct err *err)
{
	return needs_store(call) ? store_guard_check(call->calls->store_guard, err) : 0;
}

static int check_changes(const struct call *call, struct err *err)
{
	return call->method->answer == ANSWER_OPERATION ? health_check_changes(call->calls, err)
							: 0;
}

static int check_limit(const struct call *call, struct err *err)
{
	return call->method->answer == ANSWER_OPERATION ? check_share(call, err) : 0;
}

static const struct {
	const char *name; /* for plans */
	int (*check)(const struct call *call, struct err *err);
} checks[] = {
	{ "pause", check_pause },
	{ "store", check_store },
	{ "cloudstack", check_changes },
	{ "limit", check_limit },
};

int admission_check(const struct call *call, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		if (checks[i].check(call, err) < 0)
			return -1;
	}
	return 0;
}

void admission_each(const struct call *call, admission_fn refused, void *arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		struct err err = { 0 };

		if (checks[i].check(call, &err) < 0)
			refused(arg, checks[i].name, &err);
	}
}
