/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An administrator's methods: the daemon's health, and a comparison of store, CloudStack and kernel
 * now. */

#include "core/methods/admin_methods.h"

#include "core/call.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/health.h"
#include "core/reconcile/reconciler.h"

static void on_compared(void *arg, const struct sync_record *record, const struct err *err)
{
	struct call *call = arg;

	call_waited(call);
	if (record)
		call_answer(call, record);
	else
		call_fail(call, err);
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
