/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Creating a volume.
 *
 * CloudStack chooses the ids of volumes itself, and volume names need not be unique. Its create
 * command inserts the volume before it checks whether the job id was used before, so asking twice
 * can make two volumes. An operation must therefore recognise the volume of its own earlier
 * request: it creates the volume under a unique name (the wanted name and the operation's id),
 * looks for it by job and by that name before it repeats the request, and gives the volume its
 * wanted name at the end. If an operation leaves a volume behind in CloudStack, the name of the
 * volume tells which operation it was.
 */

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/volume.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"

#define NAME_MAX_BYTES 255
/* An operation's id is "op-" and a UUID; in a name, a hyphen stands before it. */
#define ID_BYTES 39

struct create_context {
	char *name;
	char *zone_id;
	char *offering_id;
	int64_t size_gib;
	char *job_id;
	char *rename_job_id;
	char *undo_job_id;
	/* not stored */
	/* clock_mono_ms() of the first look for the volume of an earlier request */
	int64_t looking_since;
	struct cloud_change change;
	bool keeps_name; /* the longer name, under which the volume was created */
};

#define F(MEMBER, TYPE, ...) FIELD(create_context, MEMBER, TYPE, __VA_ARGS__)
static const struct field create_fields[] = {
	F(name, TEXT, .doc = "The name that was asked for."),
	F(zone_id, UUID, .doc = "The zone."),
	F(offering_id, UUID, .doc = "The disk offering."),
	F(size_gib, INT, .doc = "GiB, rounded up."),
	F(job_id, UUID, .doc = "Job of the creation."),
	F(rename_job_id, UUID, .doc = "Job of the renaming."),
	F(undo_job_id, UUID, .doc = "Job of the destruction, if the creation must be undone."),
};
#undef F
static const struct record create_context = RECORD("create_context", create_context, create_fields);

/* ---- ask-cloud ---- */

/* The wanted name, shortened at a character's boundary so that the id fits behind it. */
static char *unique_name(const struct operation *operation)
{
	const struct create_context *context = operation->context;
	size_t length = strlen(context->name);

	if (length > NAME_MAX_BYTES - 1 - ID_BYTES) {
		length = NAME_MAX_BYTES - 1 - ID_BYTES;
		while (length > 0 && ((unsigned char)context->name[length] & 0xc0) == 0x80)
			length--;
	}
	return xasprintf("%.*s-%s", (int)length, context->name, operation->record.id);
}

const char *op_create_of_name(const char *name)
{
	size_t length = name ? strlen(name) : 0;
	const char *id;

	if (length <= ID_BYTES)
		return NULL;
	id = name + length - ID_BYTES;
	return str_has_prefix(id, "op-") && id[-1] == '-' && uuid_is_valid(id + 3) ? id : NULL;
}

static void on_submitted(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct create_context *context = operation->context;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	if (!result->entity_id) {
		operation_again(operation, 1000,
				"CloudStack accepted the volume but did not say its id");
		return;
	}
	cloud_step_note_job(&context->job_id, result);
	operation_set_volume(operation, result->entity_id);
	operation_next(operation);
}

static void submit(struct operation *operation)
{
	struct create_context *context = operation->context;
	_cleanup_free_ char *name = unique_name(operation);

	context->looking_since = 0; /* this request, too, may get lost and arrive late */
	cloud_step_wait_call(operation,
			     cloud_create_volume(operation->ops->env->cloud, name, context->zone_id,
						 context->offering_id, (uint64_t)context->size_gib,
						 context->job_id, on_submitted, operation));
}

static void look_by_name(struct operation *operation, cloud_done_fn done)
{
	_cleanup_free_ char *name = unique_name(operation);
	struct cloud_volume_filter filter = { .name = name };

	cloud_step_wait_call(operation, cloud_list_volumes(operation->ops->env->cloud, &filter,
							   done, operation));
}

static void on_looked_by_name(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct create_context *context = operation->context;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	if (result->count > 0) {
		operation_set_volume(operation, result->volumes[0].id);
		operation_next(operation);
		return;
	}
	/* An earlier request may still be on its way to CloudStack; only after its time-out is it
	 * certainly lost. */
	if (clock_mono_ms() - context->looking_since < operation->ops->env->options.request_ms) {
		operation_again(operation, 1000,
				"waiting until an earlier request can no longer arrive");
		return;
	}
	submit(operation);
}

static void on_looked_by_job(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;

	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (result->outcome == CLOUD_OK && result->entity_id) {
		operation_set_volume(operation, result->entity_id);
		operation_next(operation);
		return;
	}
	look_by_name(operation, on_looked_by_name);
}

static void ask_cloud(struct operation *operation)
{
	struct create_context *context = operation->context;

	if (!operation_is_rerun(operation)) {
		submit(operation);
		return;
	}
	if (!context->looking_since)
		context->looking_since = clock_mono_ms();
	cloud_step_wait_call(operation, cloud_find_job(operation->ops->env->cloud, context->job_id,
						       on_looked_by_job, operation));
}

/* ---- await-job ---- */

/* The job's answer need not hold the volume, and a job that is unknown need not have failed, so the
 * volume decides. */
static bool on_told(struct operation *operation, const struct cloud_volume *volume)
{
	return true;
}

static void verify(struct operation *operation, const struct cloud_volume *volume)
{
	if (volume)
		operation_next(operation);
	else
		operation_failf(operation, ERR_CLOUD,
				"CloudStack accepted the volume but does not have it");
}

static void await_job(struct operation *operation)
{
	static const struct cloud_change_kind creation = { .told = on_told,
							   .verify = verify,
							   .can_undo = true };
	struct create_context *context = operation->context;

	cloud_change_settle(&context->change, &creation, operation, &context->job_id);
}

/* ---- rename ---- */

static struct cloud_call *submit_rename(struct operation *operation, const char *job_id,
					cloud_done_fn done, void *arg)
{
	const struct create_context *context = operation->context;

	return cloud_rename_volume(operation->ops->env->cloud, operation->record.volume_id,
				   context->name, job_id, done, arg);
}

/* A volume that could not be renamed still works under its longer name, so it need not be
 * destroyed. */
static enum cloud_refusal on_not_renamed(struct operation *operation, const struct err *err)
{
	struct create_context *context = operation->context;

	log_warning("volume=%s keeps its longer name: %s", operation->record.volume_id, err->text);
	context->keeps_name = true;
	return REFUSAL_PASSES;
}

static enum cloud_refusal on_rename_failed(struct operation *operation,
					   const struct cloud_result *result)
{
	return on_not_renamed(operation, &result->err);
}

static void on_renamed(struct operation *operation, const struct cloud_volume *answer)
{
	struct create_context *context = operation->context;
	struct volume *volume = volume_find(operation->ops->model, operation->record.volume_id);

	if (!context->keeps_name && volume) {
		str_set(&volume->cloud.name, context->name);
		volume_touch(operation->ops->model, volume->id);
	}
	operation_next(operation);
}

static void rename_volume(struct operation *operation)
{
	static const struct cloud_change_kind renaming = {
		.submit = submit_rename,
		.refused = on_not_renamed,
		.failed = on_rename_failed,
		.verify = on_renamed,
		.in_one_step = true,
	};
	struct create_context *context = operation->context;

	cloud_change_ask(&context->change, &renaming, operation, &context->rename_job_id);
}

/* ---- undo ---- */

static struct cloud_call *submit_destroy(struct operation *operation, const char *job_id,
					 cloud_done_fn done, void *arg)
{
	return cloud_destroy_volume(operation->ops->env->cloud, operation->record.volume_id, job_id,
				    done, arg);
}

static enum cloud_refusal on_not_destroyed(struct operation *operation, const struct err *err)
{
	return err->code == ERR_NOT_FOUND ? REFUSAL_PASSES : REFUSAL_FAILS;
}

static enum cloud_refusal on_destroy_failed(struct operation *operation,
					    const struct cloud_result *result)
{
	return result->job_status == CLOUD_JOB_FAILED ? on_not_destroyed(operation, &result->err)
						      : REFUSAL_PASSES;
}

static void on_destroyed(struct operation *operation, const struct cloud_volume *answer)
{
	volume_remove(operation->ops->model, operation->record.volume_id);
	operation_next(operation);
}

static void destroy(struct operation *operation)
{
	static const struct cloud_change_kind destruction = {
		.submit = submit_destroy,
		.refused = on_not_destroyed,
		.failed = on_destroy_failed,
		.verify = on_destroyed,
		.in_one_step = true,
	};
	struct create_context *context = operation->context;

	cloud_change_ask(&context->change, &destruction, operation, &context->undo_job_id);
}

static void on_left_over(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	if (result->count == 0) {
		operation_next(operation);
		return;
	}
	operation_set_volume(operation, result->volumes[0].id);
	destroy(operation);
}

static void undo_creation(struct operation *operation)
{
	if (str_empty(operation->record.volume_id))
		look_by_name(operation, on_left_over);
	else
		destroy(operation);
}

/* ---- the table ---- */

static const struct step create_steps[] = {
	{ .name = "ask-cloud", .run = ask_cloud, .undo = undo_creation, .deadline = STEP_CLOUD },
	{ .name = "await-job", .run = await_job, .deadline = STEP_CLOUD },
	{ .name = "rename", .run = rename_volume, .deadline = STEP_CLOUD },
};

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct volume *volume =
		volume_find(operation->ops->model, operation->record.volume_id);

	json_put_name(writer, "volume_id");
	json_put_text(writer, operation->record.volume_id);
	if (volume) {
		json_put_name(writer, "size");
		json_put_uint(writer, volume->cloud.size);
	}
	json_put_name(writer, "message");
	json_put_text(writer, "Volume created");
}

static char *left_over(const struct operation *operation)
{
	_cleanup_free_ char *name = unique_name(operation);

	if (str_empty(operation->record.volume_id))
		return xasprintf("a volume named %s may be left in CloudStack", name);
	return xasprintf("volume %s may be left in CloudStack", operation->record.volume_id);
}

const struct operation_kind op_create = {
	.type = OPERATION_CREATE,
	.context = &create_context,
	.groups = { STEP_GROUP(create_steps) },
	.respond = respond,
	.left_over = left_over,
};

void *op_create_context(const struct volume_create_args *args, const char *zone_id)
{
	struct create_context *context = xnew(struct create_context);

	context->name = xstrdup(args->name);
	context->zone_id = xstrdup(zone_id);
	context->offering_id = xstrdup(args->disk_offering_id);
	context->size_gib = (int64_t)cloud_gib(args->size);
	cloud_step_new_job(&context->job_id);
	cloud_step_new_job(&context->rename_job_id);
	cloud_step_new_job(&context->undo_job_id);
	return context;
}
