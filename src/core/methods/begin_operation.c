/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A call that begins an operation is answered with the operation once the operation is durable. */

#include "core/methods/begin_operation.h"

#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/methods/call.h"
#include "core/methods/calls.h"

static void on_accepted(void *arg, struct operation *operation, const struct err *err)
{
	struct call *call = arg;

	call_waited(call);
	if (operation)
		call_answer(call, &operation->record);
	else
		call_fail(call, err);
}

static void cancel_asker(void *awaited)
{
	operation_leave(awaited);
}

void join_operation(struct call *call, struct operation *operation)
{
	call_wait(call, operation_join(operation, on_accepted, call), cancel_asker);
}

void begin_operation(struct call *call, const char *volume_id, const char *vm_id, void *context)
{
	struct buf request = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &request };
	struct operation_order order = {
		.type = call->method->operation,
		.volume_id = volume_id,
		.vm_id = vm_id,
		.request_id = request_id_of(call),
		.context = context,
	};

	record_to_json(call->method->args, call->args, false, &writer);
	order.request = buf_take(&request);
	call_wait(call, operation_start(call->calls->engine, &order, on_accepted, call),
		  cancel_asker);
}
