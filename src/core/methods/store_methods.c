/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The administrator's methods for the store of a running daemon: a backup into a file that the
 * caller has opened, and a check. Both are answered from one snapshot (store/snapshot.h).
 */

#include "core/methods/store_methods.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "store/snapshot.h"

static char *backup_message(const struct snapshot_result *result)
{
	if (result->checked.faults == 0)
		return xasprintf("The backup is complete and was checked: %zu rows.",
				 result->checked.rows);
	return xasprintf(
		"The backup is complete, but %zu of the store's %zu rows break a rule; see 'volumectl store check'.",
		result->checked.faults, result->checked.rows);
}

static void on_backed_up(void *arg, const struct snapshot_result *result)
{
	struct call *call = arg;
	struct store_backup_record record = { .bytes = result->bytes,
					      .schema_version = result->schema_version,
					      .timestamp = clock_wall_ms() };

	call_waited(call);
	if (result->err.code) {
		log_warning("a backup of the store failed: %s", result->err.text);
		call_fail(call, &result->err);
		return;
	}
	record.message = backup_message(result);
	record.newest_operation = xstrdup(result->checked.newest_operation);
	log_notice("the store was backed up: %llu bytes", (unsigned long long)record.bytes);
	call_answer(call, &record);
	record_clear(&store_backup_record, &record);
}

void store_backup(struct call *call)
{
	const struct store_backup_args *args = call->args;

	call_wait_snapshot(call,
			   snapshot_start(call->calls->snapshots, args->file, on_backed_up, call));
}

/* {"faults":["volume_operations op-…: …", …]} */
static char *report_json(const struct snapshot_result *result)
{
	struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &text };

	json_begin_object(&writer);
	json_put_name(&writer, "faults");
	json_begin_array(&writer);
	for (size_t i = 0; i < result->fault_count; i++)
		json_put_text(&writer, result->faults[i]);
	json_end_array(&writer);
	json_end_object(&writer);
	return buf_take(&text);
}

static void on_checked(void *arg, const struct snapshot_result *result)
{
	struct call *call = arg;
	struct store_check_record record = { .rows = (int64_t)result->checked.rows,
					     .faults = (int64_t)result->checked.faults,
					     .timestamp = clock_wall_ms() };

	call_waited(call);
	if (result->err.code) {
		call_fail(call, &result->err);
		return;
	}
	record.message =
		xasprintf("%zu rows, %zu faults", result->checked.rows, result->checked.faults);
	record.report = report_json(result);
	if (result->checked.faults)
		log_warning("a check of the store found %zu faults, the first: %s",
			    result->checked.faults, result->faults[0]);
	call_answer(call, &record);
	record_clear(&store_check_record, &record);
}

void store_check_asked(struct call *call)
{
	call_wait_snapshot(call, snapshot_start(call->calls->snapshots, -1, on_checked, call));
}
