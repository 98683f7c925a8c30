/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every message about an operation has the same fields, so that journalctl finds the whole life of
 * an operation, or of a volume, by one of them. */

#include "core/engine/operation_log.h"

#include "base/log.h"
#include "core/engine/operation_table.h"
#include "spec/messages.h"

static void tell(const struct operation *operation, enum log_level level, enum message_kind kind,
		 const char *undo, const char *what, const char *why)
{
	const struct operation_record *record = &operation->record;

	log_tell(level,
		 (.message_id = messages[kind].id, .operation_id = record->id,
		  .operation_type = operation_type_names[record->type], .step = record->step,
		  .volume_id = record->volume_id, .vm_id = record->vm_id,
		  .error_code = record->error_code, .actor = record->caller),
		 "%s operation=%s volume=%s: %s%s%s%s", operation_type_names[record->type],
		 record->id, record->volume_id, undo, what, why ? ": " : "", str_or(why, ""));
}

void operation_log_accepted(const struct operation *operation)
{
	tell(operation, LOG_LEVEL_INFO, MESSAGE_OPERATION_ACCEPTED, "", "accepted", NULL);
}

void operation_log_step(const struct operation *operation)
{
	tell(operation, LOG_LEVEL_DEBUG, MESSAGE_OPERATION_STEP,
	     operation->record.undoing ? "undo " : "", operation->record.step, NULL);
}

static enum message_kind kind_of_end(const struct operation_record *record)
{
	if (record->needs_attention)
		return MESSAGE_OPERATION_ATTENTION;
	if (record->status == OPERATION_FAILED)
		return MESSAGE_OPERATION_FAILED;
	return record->status == OPERATION_CANCELLED ? MESSAGE_OPERATION_CANCELLED
						     : MESSAGE_OPERATION_COMPLETED;
}

void operation_log_ended(const struct operation *operation)
{
	const struct operation_record *record = &operation->record;

	tell(operation, record->status == OPERATION_FAILED ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
	     kind_of_end(record), "", operation_status_names[record->status], record->error);
}
