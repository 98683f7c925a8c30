/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A store from the past (reconcile/store_guard.h): what will happen to its unfinished operations,
 * and the word that lets them go on. */

#include "core/methods/past_methods.h"

#include "core/call.h"
#include "core/engine/operation_past.h"
#include "core/engine/operation_table.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/reconcile/store_guard.h"

static void put_text(struct json_writer *writer, const char *name, const char *text)
{
	if (str_empty(text))
		return;
	json_put_member(writer, name, text);
}

static void put_operation(struct calls *calls, const struct operation_record *record,
			  struct json_writer *writer)
{
	json_begin_object(writer);
	put_text(writer, "id", record->id);
	put_text(writer, "type", operation_type_names[record->type]);
	put_text(writer, "status", operation_status_names[record->status]);
	put_text(writer, "step", record->step);
	put_text(writer, "volume_id", record->volume_id);
	put_text(writer, "vm_id", record->vm_id);
	put_text(writer, "plan", operation_past_plan(calls->engine, record));
	json_end_object(writer);
}

static char *report_json(struct calls *calls)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };
	const struct operation *operation;

	json_begin_object(&writer);
	json_put_name(&writer, "operations");
	json_begin_array(&writer);
	/* Nothing is planned for the operations of a store that is current: they go on. */
	if (calls->env->store_state == STORE_PAST) {
		for (operation = operation_first(calls->engine); operation;
		     operation = operation_after(operation))
			put_operation(calls, &operation->record, &writer);
	}
	json_end_array(&writer);
	json_end_object(&writer);
	return buf_take(&out);
}

void store_plan(struct call *call)
{
	struct calls *calls = call->calls;
	struct store_plan_record record = {
		.state = xstrdup(store_state_names[calls->env->store_state]),
		.reason = xstrdup(store_guard_reason(calls->store_guard)),
		.report = report_json(calls),
	};

	call_answer(call, &record);
	record_clear(&store_plan_record, &record);
}

static void on_accepted(void *arg, const struct err *err)
{
	struct call *call = arg;
	struct message_record record = { 0 };

	call_waited(call);
	if (err->code) {
		call_fail(call, err);
		return;
	}
	record.message = xstrdup("The store is accepted, and operations go on.");
	call_answer(call, &record);
	record_clear(&message_record, &record);
}

void store_accept(struct call *call)
{
	struct err err = { 0 };
	struct store_accept *accept =
		store_guard_accept(call->calls->store_guard, on_accepted, call, &err);

	if (accept)
		call_wait_accept(call, accept);
	else
		call_fail(call, &err);
}
