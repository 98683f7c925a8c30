/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is on a disk is read before anybody is told of it, and told with it: nobody shall format a disk with data on it
 * because it was called new. A disk that can't be read is attached still, and that is said.
 */

#include "core/ops/attach.h"

static void on_read(void *arg, const struct probe_result *result)
{
	struct operation *operation = arg;
	struct attach_context *context = operation->context;
	bool good = result->err.code == ERR_NONE;

	/* The name that was read may lead to another disk by now. */
	if (!op_attach_find_device(operation))
		return;
	if (context->device->seen != context->read_seen) {
		operation_again(operation, 0, "%s changed while it was read", context->device->path);
		return;
	}
	str_set(&context->unreadable, good ? NULL : result->err.text);
	str_set(&context->filesystem, good && result->filesystem[0] ? result->filesystem : NULL);
	str_set(&context->label, good && result->label[0] ? result->label : NULL);
	str_set(&context->filesystem_uuid, good && result->uuid[0] ? result->uuid : NULL);
	str_set(&context->partition_table, good && result->partition_table[0] ? result->partition_table : NULL);
	operation_next(operation);
}

static void cancel_read(void *awaited)
{
	probe_cancel(awaited);
}

void op_attach_read(struct operation *operation)
{
	static const struct wait_kind kind = { .cancel = cancel_read };
	struct attach_context *context = operation->context;
	struct core *core = operation->core;

	if (!core_is_appliance(core, operation->record.vm_id)) {
		operation_next(operation);
	} else if (op_attach_find_device(operation)) {
		context->read_seen = context->device->seen;
		operation_wait(operation, probe_start(core->prober, context->device->path, on_read, operation), &kind);
	}
}

/* A context that was loaded has empty texts for what it does not know. */
static const char *known(const char *text)
{
	return str_empty(text) ? NULL : text;
}

void op_attach_note_contents(const struct attach_context *context, struct mapping_record *record)
{
	str_set(&record->filesystem, known(context->filesystem));
	str_set(&record->label, known(context->label));
	str_set(&record->filesystem_uuid, known(context->filesystem_uuid));
	str_set(&record->partition_table, known(context->partition_table));
}

/* ext4 "backup" and a partition table (gpt) */
static char *describe_contents(const struct attach_context *context)
{
	struct buf text = BUF_NULL;

	if (known(context->filesystem))
		buf_printf(&text, "%s", context->filesystem);
	if (known(context->label))
		buf_printf(&text, " \"%s\"", context->label);
	if (known(context->partition_table))
		buf_printf(&text, "%sa partition table (%s)", text.length ? " and " : "", context->partition_table);
	return buf_take(&text);
}

char *op_attach_message(const struct attach_context *context)
{
	_cleanup_free_ char *contents = describe_contents(context);
	_cleanup_free_ char *users = op_attach_users_note(context);

	if (known(context->unreadable))
		return xasprintf("Volume attached%s; what is on it is not known: %s", users, context->unreadable);
	if (known(context->filesystem) || known(context->partition_table))
		return xasprintf("Volume attached%s; it is not empty, do not format it: %s", users, contents);
	return xasprintf("Volume attached%s", users);
}

static void put_found(struct json_writer *writer, const char *name, const char *text)
{
	if (!text)
		return;
	json_put_name(writer, name);
	json_put_text(writer, text);
}

void op_attach_put_contents(struct json_writer *writer, const struct mapping_record *record)
{
	put_found(writer, "filesystem", record->filesystem);
	put_found(writer, "label", record->label);
	put_found(writer, "filesystem_uuid", record->filesystem_uuid);
	put_found(writer, "partition_table", record->partition_table);
}
