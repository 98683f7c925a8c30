/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The same request twice.
 *
 * A client that lost our answer asks again, and must not get a second volume. If the client gives
 * its request a key of its own, the operation keeps that key, and for a day every request with the
 * key gets that operation, in this process or a later one: even if it is still being accepted, or
 * ended long ago. The key is looked up before anything else is checked, so that the client gets the
 * answer again even while no new operation can begin. A call that waits after this lookup looks
 * once more when it begins its operation, and then in memory only: an operation of another call is
 * there.
 */

#include "core/methods/idempotency.h"

#include "base/clock.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/operation_methods.h"
#include "store/store.h"

#define KEPT_MS (INT64_C(24) * 3600 * 1000)

static bool is_same_request(const struct call *call, const struct operation_record *record)
{
	_cleanup_buf_ struct buf request = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &request };

	record_to_json(call->method->args, call->args, false, &writer);
	return (int)call->method->operation == record->type && streq(request.data, record->request);
}

static void answer_again(struct call *call, const struct operation_record *record,
			 void (*answer)(struct call *call, const struct operation_record *record))
{
	if (is_same_request(call, record))
		answer(call, record);
	else
		call_failf(
			call, ERR_CONFLICT,
			"the request key was used for another request: operation %s, %s; give each request a key of "
			"its own",
			record->id, operation_type_names[record->type]);
}

static void answer_living(struct call *call, const struct operation_record *record)
{
	call_answer(call, record);
}

bool idempotency_find(struct call *call)
{
	struct operation *operation =
		operation_find_request(call->calls->engine, request_id_of(call));

	if (!operation || clock_wall_ms() - operation->record.created_at >= KEPT_MS)
		return false;
	if (operation->accepting && is_same_request(call, &operation->record))
		call_wait_operation(call, operation_join(operation, call_on_accepted, call));
	else
		answer_again(call, operation_shown(operation), answer_living);
	return true;
}

/* The key is looked up in the store. */
struct lookup {
	struct call *call;
	struct store_read *read;
	void (*admit)(struct call *call);
};

static void lookup_cancel(void *awaited)
{
	struct lookup *lookup = awaited;

	if (lookup->read)
		store_read_cancel(lookup->read);
	free(lookup);
}

static void on_looked_up(void *arg, const struct store_operations *result)
{
	struct lookup *lookup = arg;
	struct call *call = lookup->call;
	void (*admit)(struct call * call) = lookup->admit;

	call_waited(call);
	free(lookup);
	if (result->err.code)
		call_fail(call, &result->err);
	else if (result->count > 0)
		answer_again(call, &result->items[0], operation_answer_stored);
	else if (!idempotency_find(call)) /* another call may have come with the key meanwhile */
		admit(call);
}

void idempotency_begin(struct call *call, void (*admit)(struct call *call))
{
	const struct store_operation_filter filter = {
		.type = -1,
		.status = -1,
		.request_id = request_id_of(call),
		.since_ms = clock_wall_ms() - KEPT_MS,
		.limit = 1,
	};
	struct lookup *lookup;

	if (idempotency_find(call))
		return;
	lookup = xnew(struct lookup);
	lookup->call = call;
	lookup->admit = admit;
	lookup->read =
		store_list_operations(call->calls->env->store, &filter, on_looked_up, lookup);
	call_wait(call, lookup, lookup_cancel);
}
