/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Detaching a volume: the shared steps of ops/detach_steps and nothing else. */

#include "core/engine/operation_table.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/detach_steps.h"
#include "core/ops/ops.h"

struct detach_context {
	struct detaching detaching;
};

_Static_assert(offsetof(struct detaching, silence) == 0, "a context starts with its silence");

_Static_assert(offsetof(struct detach_context, detaching) == 0,
	       "a context starts with its detaching");

static const struct field detach_fields[] = { DETACHING_FIELDS };
static const struct record detach_context = RECORD("detach_context", detach_context, detach_fields);

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct detach_context *context = operation->context;
	_cleanup_free_ char *words = cloud_change_note(context->detaching.words);
	_cleanup_free_ char *text = xasprintf("Volume detached%s", words);

	json_put_name(writer, "volume_id");
	json_put_text(writer, operation->record.volume_id);
	json_put_name(writer, "device_path");
	json_put_text(writer, str_or(context->detaching.device_path, ""));
	json_put_name(writer, "message");
	json_put_text(writer, text);
}

static const struct op_check *const checks[] = {
	&check_volume_exists,  &check_own_root, &check_volume_attached,
	&check_disk_users,     &check_clients,  &check_root_state,
	&check_from_snapshots, &check_rights,   NULL,
};

static const struct op_checks detach_checks = { .list = checks,
						.foresee = detaching_foresee,
						.users = detaching_users,
						.needs_no_clients = detaching_sends_clients_away };

const struct operation_kind op_detach = {
	.type = OPERATION_DETACH,
	.context = &detach_context,
	.groups = { DETACHING_STEPS },
	.respond = respond,
	.left_over = detaching_left_over,
	.checks = &detach_checks,
};

void *op_detach_context(const struct volume_detach_args *args)
{
	struct detach_context *context = xnew(struct detach_context);

	context->detaching.force = args->force;
	context->detaching.keep_name = args->keep_name;
	cloud_step_new_job(&context->detaching.job_id);
	return context;
}
