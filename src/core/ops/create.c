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
 * volume tells which operation it was. A volume that cannot be renamed works as well under its
 * longer name, so it is kept, and the response says why it has that name.
 */

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/engine/silence.h"
#include "core/env.h"
#include "core/model/volume.h"
#include "core/ops/check.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/destroy_step.h"
#include "core/ops/ops.h"
#include "core/ops/reason.h"

#define LOOK_AGAIN_MS 1000
#define NAME_MAX_BYTES 255
/* An operation's id is "op-" and a UUID; in a name, a hyphen stands before it. */
#define ID_BYTES 39

struct create_context {
	struct silence silence;
	char *name;
	char *zone_id;
	char *offering_id;
	char *project_id; /* "" or NULL: a volume of the account */
	int64_t size_gib;
	char *job_id;
	char *rename_job_id;
	char *undo_job_id;
	/* why the volume keeps the longer name, under which it was created; NULL or "": it does not
	 */
	char *not_renamed;
	/* not stored */
	struct cloud_change creation;
	struct cloud_change change;
	struct destruction destruction;
};

_Static_assert(offsetof(struct create_context, silence) == 0, "a context starts with its silence");

#define F(MEMBER, TYPE, ...) FIELD(create_context, MEMBER, TYPE, __VA_ARGS__)
static const struct field create_fields[] = {
	SILENCE_FIELDS(create_context),
	F(name, TEXT, .doc = "The name that was asked for."),
	F(zone_id, UUID, .doc = "The zone."),
	F(offering_id, UUID, .doc = "The disk offering."),
	F(project_id, TEXT, .doc = "The project."),
	F(size_gib, INT, .doc = "GiB, rounded up."),
	F(job_id, UUID, .doc = "Job of the creation."),
	F(rename_job_id, UUID, .doc = "Job of the renaming."),
	F(undo_job_id, UUID, .doc = "Job of the destruction, if the creation must be undone."),
	F(not_renamed, TEXT, .doc = "Why the volume keeps its longer name."),
};
#undef F
static const struct record create_context = RECORD("create_context", create_context, create_fields);

/* ---- ask-cloud ---- */

/* The wanted name, shortened at a character's boundary so that the id fits behind it. */
char *op_create_name(const char *name, const char *operation_id)
{
	size_t length = strlen(name);

	if (length > NAME_MAX_BYTES - 1 - ID_BYTES) {
		length = NAME_MAX_BYTES - 1 - ID_BYTES;
		while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80)
			length--;
	}
	return xasprintf("%.*s-%s", (int)length, name, operation_id);
}

static char *unique_name(const struct operation *operation)
{
	const struct create_context *context = operation->context;

	return op_create_name(context->name, operation->record.id);
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

static void settle_doubt(struct operation *operation);

static void on_submitted(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct create_context *context = operation->context;
	bool refused = result->outcome == CLOUD_REFUSED;

	cloud_change_answered(&context->creation, result);
	if (result->err.reason == ERR_REASON_UNKNOWN_ZONE)
		env_forget_zone(operation->ops->env);
	if (refused && (context->creation.in_doubt || cloud_err_is_duplicate_job(&result->err))) {
		cloud_change_note_refusal(&context->creation, operation, &result->err);
		settle_doubt(operation);
		return;
	}
	context->creation.unasked = refused;
	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (refused) {
		reason_fail_refused(operation, &result->err);
		return;
	}
	if (!result->entity_id) {
		context->creation.in_doubt = true;
		operation_again(operation, LOOK_AGAIN_MS,
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
	struct err err = { 0 };
	const struct cloud_creation creation = {
		.name = name,
		.zone_id = context->zone_id,
		.offering_id = context->offering_id,
		.project_id = str_empty(context->project_id) ? NULL : context->project_id,
		.size_gib = (uint64_t)context->size_gib,
	};

	if (operation->from_past) {
		cloud_step_set_past_err(operation, &err);
		operation_fail(operation, &err);
		return;
	}
	if (!cloud_change_may_ask_or_wait(operation))
		return;
	cloud_change_asks(&context->creation, operation);
	cloud_step_wait_call(operation, cloud_create_volume(operation->ops->env->cloud, &creation,
							    context->job_id, operation->asked_ms,
							    on_submitted, operation));
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
	} else if (cloud_change_refusal(&context->creation)->code) {
		reason_fail_refused(operation, context->creation.refusal);
	} else if (cloud_change_is_late_or_wait(
			   &context->creation, operation,
			   "waiting until an earlier request can no longer arrive")) {
		submit(operation);
	}
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

/* An earlier request may have arrived. Its job tells; if CloudStack does not know the job, the
 * volume tells, by the name that no other operation gives. */
static void settle_doubt(struct operation *operation)
{
	struct create_context *context = operation->context;

	cloud_step_wait_call(operation, cloud_find_job(operation->ops->env->cloud, context->job_id,
						       on_looked_by_job, operation));
}

static void ask_cloud(struct operation *operation)
{
	struct create_context *context = operation->context;

	if (context->creation.in_doubt || operation->resumed) {
		settle_doubt(operation);
		return;
	}
	context->creation.unasked = true;
	if (cloud_step_open_or_wait(operation))
		submit(operation);
}

/* ---- await-job ---- */

/* A job that is unknown need not have failed, so the volume decides: CloudStack inserts it before
 * the job begins, and destroys it if the job fails. */
static int check_created(struct operation *operation, const struct cloud_volume *volume,
			 struct err *err)
{
	const struct create_context *context = operation->context;

	if (!volume)
		return err_set(err, ERR_CLOUD,
			       "CloudStack accepted the volume but does not have it");
	if (context->change.end == CLOUD_JOB_FAILED || cloud_volume_is_destroyed(volume))
		return err_set(err, ERR_CLOUD, "the volume is not used");
	return 0;
}

static void await_job(struct operation *operation)
{
	static const struct cloud_change_kind creation = {
		.done = "created", .check = check_created, .can_undo = true, .volume_tells = true
	};
	struct create_context *context = operation->context;

	cloud_change_settle(&context->change, &creation, operation, &context->job_id);
}

/* ---- rename ---- */

static struct cloud_call *submit_rename(struct operation *operation, const char *job_id,
					cloud_done_fn done, void *arg)
{
	const struct create_context *context = operation->context;

	return cloud_rename_volume(operation->ops->env->cloud, operation->record.volume_id,
				   context->name, job_id, operation->asked_ms, done, arg);
}

static int check_renamed(struct operation *operation, const struct cloud_volume *volume,
			 struct err *err)
{
	const struct create_context *context = operation->context;

	if (volume && streq(volume->name, context->name))
		return 0;
	return err_set(err, ERR_CLOUD, "the volume has its longer name");
}

/* An earlier request may have renamed it. */
static enum cloud_refusal on_refused(struct operation *operation, const struct err *err)
{
	return REFUSAL_PASSES;
}

static const char *why_not_renamed(const struct cloud_change *change, const struct err *err)
{
	if (change->end == CLOUD_JOB_SUCCEEDED)
		return "CloudStack reported that the volume was renamed, but did not rename it, as a "
		       "server before 4.16 does";
	if (change->lost)
		return "CloudStack lost the job each time";
	return err->text;
}

static void keep_name(struct operation *operation, const struct err *err)
{
	struct create_context *context = operation->context;

	str_set(&context->not_renamed, why_not_renamed(&context->change, err));
	log_warning("volume=%s keeps its longer name: %s", operation->record.volume_id,
		    context->not_renamed);
	operation_next(operation);
}

static void on_not_renamed(struct operation *operation, const struct err *err)
{
	struct create_context *context = operation->context;
	struct cloud_change *change = &context->change;

	if (!(change->lost || change->hidden) || !cloud_change_repeat(change))
		keep_name(operation, err);
}

static void rename_volume(struct operation *operation)
{
	static const struct cloud_change_kind renaming = {
		.done = "renamed",
		.submit = submit_rename,
		.refused = on_refused,
		.check = check_renamed,
		.missed = on_not_renamed,
		.volume_tells = true,
		.in_one_step = true,
	};
	struct create_context *context = operation->context;

	cloud_change_ask(&context->change, &renaming, operation, &context->rename_job_id);
}

/* ---- undo ---- */

static struct cloud_call *submit_destroy(struct operation *operation, const char *job_id,
					 cloud_done_fn done, void *arg)
{
	const struct create_context *context = operation->context;

	return destruction_submit(&context->destruction, operation, job_id, done, arg);
}

static enum cloud_refusal on_not_destroyed(struct operation *operation, const struct err *err)
{
	struct create_context *context = operation->context;

	return destruction_refused(&context->destruction, err);
}

static int check_destroyed(struct operation *operation, const struct cloud_volume *volume,
			   struct err *err)
{
	struct create_context *context = operation->context;

	if (destruction_check(&context->destruction, volume, err) < 0)
		return -1;
	volume_remove(operation->ops->model, operation->record.volume_id);
	return 0;
}

static void on_destruction_missed(struct operation *operation, const struct err *err)
{
	struct create_context *context = operation->context;

	destruction_missed(&context->destruction, err);
}

static void destroy(struct operation *operation)
{
	static const struct cloud_change_kind destruction = {
		.done = "destroyed",
		.submit = submit_destroy,
		.refused = on_not_destroyed,
		.check = check_destroyed,
		.missed = on_destruction_missed,
		.in_one_step = true,
	};
	struct create_context *context = operation->context;

	cloud_change_ask(&context->destruction.change, &destruction, operation,
			 &context->undo_job_id);
}

/* A volume that is not there can still come, by a request that was under way when it was
 * interrupted. */
static void on_left_over(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct create_context *context = operation->context;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	if (result->count > 0) {
		/* Once it is destroyed, no list would tell a later life its id. */
		operation_set_volume(operation, result->volumes[0].id);
		operation_store(operation);
	} else if (context->creation.unasked ||
		   cloud_change_is_late_or_wait(&context->creation, operation,
						"waiting until the request can no longer arrive")) {
		operation_next(operation);
	}
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
	{ .name = "ask-cloud",
	  .would = "Ask CloudStack to create the volume, under a longer name.",
	  .command = "createVolume",
	  .run = ask_cloud,
	  .undo = undo_creation,
	  .deadline = STEP_CLOUD,
	  .asks = true },
	{ .name = "await-job",
	  .would = "Wait until CloudStack has created the volume.",
	  .run = await_job,
	  .deadline = STEP_CLOUD },
	{ .name = "rename",
	  .would = "Give the volume its name; if CloudStack refuses that, the longer one stays.",
	  .run = rename_volume,
	  .deadline = STEP_CLOUD },
};

static const struct op_check *const checks[] = { &check_new_zone, &check_offering, &check_quota,
						 &check_rights, NULL };

static void wish(const struct operation *operation, struct op_wish *out)
{
	const struct create_context *context = operation->context;

	out->creates = true;
	out->zone_id = context->zone_id;
	out->offering_id = context->offering_id;
	out->project_id = str_empty(context->project_id) ? NULL : context->project_id;
	out->gib = (uint64_t)context->size_gib;
}

static const struct op_checks create_checks = { .list = checks, .wish = wish };

static char *message(const struct create_context *context, const struct volume *volume)
{
	if (str_empty(context->not_renamed))
		return xstrdup("Volume created");
	return xasprintf("Volume created, but not renamed from %s to %s: %s",
			 volume ? volume->cloud.name : "its longer name", context->name,
			 context->not_renamed);
}

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct create_context *context = operation->context;
	const struct volume *volume =
		volume_find(operation->ops->model, operation->record.volume_id);
	_cleanup_free_ char *text = message(context, volume);

	json_put_name(writer, "volume_id");
	json_put_text(writer, operation->record.volume_id);
	if (volume) {
		json_put_name(writer, "name");
		json_put_text(writer, volume->cloud.name);
		json_put_name(writer, "size");
		json_put_uint(writer, volume->cloud.size);
	}
	json_put_name(writer, "message");
	json_put_text(writer, text);
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
	.checks = &create_checks,
};

void *op_create_context(const struct volume_create_args *args, const char *zone_id,
			const char *project_id)
{
	struct create_context *context = xnew(struct create_context);

	context->name = xstrdup(args->name);
	context->zone_id = xstrdup(zone_id);
	context->offering_id = xstrdup(args->disk_offering_id);
	context->project_id = xstrdup(project_id);
	context->size_gib = (int64_t)cloud_gib(args->size);
	cloud_step_new_job(&context->job_id);
	cloud_step_new_job(&context->rename_job_id);
	cloud_step_new_job(&context->undo_job_id);
	return context;
}
