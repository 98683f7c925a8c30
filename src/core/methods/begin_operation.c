/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A call that begins an operation is answered with the operation once the operation is durable. */

#include "core/methods/begin_operation.h"

#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/methods/admission.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/idempotency.h"
#include "core/methods/plan_operation.h"

/* While the call waited for the store to be checked, or for the users of its disk, another call may
 * have begun an operation under its key. */
static bool was_begun(struct call *call)
{
	return request_id_of(call) && idempotency_find(call);
}

/* Changes may have been paused while it waited. */
static bool is_refused(struct call *call)
{
	struct err err;

	err_clear(&err);
	if (admission_check(call, &err) == 0)
		return false;
	call_fail(call, &err);
	return true;
}

void begin_operation(struct call *call, const char *volume_id, const char *vm_id, void *context)
{
	struct buf request = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &request };
	struct engine *engine = call->calls->engine;
	struct operation_order order = {
		.type = call->method->operation,
		.volume_id = volume_id,
		.vm_id = vm_id,
		.request_id = request_id_of(call),
		.caller = call->asked_by,
		.owner = call->owner,
		.context = context,
	};

	if (!call->plan && (was_begun(call) || is_refused(call))) {
		operation_context_free(engine, order.type, context);
		return;
	}
	record_to_json(call->method->args, call->args, false, &writer);
	order.request = buf_take(&request);
	if (call->plan) {
		plan_operation(call, &order);
		return;
	}
	call_wait_operation(call, operation_start(engine, &order, call_on_accepted, call));
}
