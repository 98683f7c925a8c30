/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Giving a volume another size.
 *
 * CloudStack resizes the volume. On this VM the kernel's disk follows some time before or after
 * CloudStack reports the new size, and the operation ends when the disk has followed. A resize is
 * never undone: a volume that has grown may be written to its new end at once, and cutting that off
 * would harm more than a failure. So from the request on the operation only goes forward, and if it
 * fails, its error names the sizes; a repeated request goes on from there.
 *
 * Growing disturbs no user and is done while the volume is in use. Shrinking loses the data behind
 * the new end, so the client has to allow it, and a volume is shrunk only while it is attached
 * nowhere: a program that opened the disk between the look at its users and the cut would lose
 * data.
 */

#include <inttypes.h>

#include "base/field_value.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/engine/silence.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/host/disk_rescan.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/ops/activation_step.h"
#include "core/ops/check.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/leftover_disk.h"
#include "core/ops/ops.h"
#include "core/ops/vm_idle.h"
#include "core/rules/match.h"
#include "disk/device.h"
#include "disk/sysblock.h"

#define LOOK_AGAIN_MS 1000

struct resize_context {
	struct silence silence;
	int64_t size_gib; /* as requested */
	bool allow_shrink;
	char *job_id;
	uint64_t previous_size; /* CloudStack's, in bytes, when the turn came */
	uint64_t size;          /* CloudStack's last word */
	/* why the export has not grown, as half a sentence; NULL or empty: it has grown */
	char *kept;
	/* CloudStack's words, if the job failed and resized the volume all the same; NULL or empty:
	 * none */
	char *words;
	/* not stored */
	struct leftover_disk leftover;
	struct cloud_change change;
};

_Static_assert(offsetof(struct resize_context, silence) == 0, "a context starts with its silence");

#define F(MEMBER, TYPE, ...) FIELD(resize_context, MEMBER, TYPE, __VA_ARGS__)
static const struct field resize_fields[] = {
	SILENCE_FIELDS(resize_context),
	F(size_gib, INT, .doc = "GiB, rounded up."),
	F(allow_shrink, BOOL, .doc = "The client allows the volume to become smaller."),
	F(job_id, UUID, .doc = "Job of the resizing."),
	F(previous_size, SIZE, .doc = "CloudStack's size of the volume before."),
	F(size, SIZE, .doc = "CloudStack's size of the volume."),
	F(kept, TEXT, .doc = "Why its export has not grown."),
	F(words, TEXT, .doc = "CloudStack's words, if the job failed and resized it all the same."),
};
#undef F
static const struct record resize_context = RECORD("resize_context", resize_context, resize_fields);

static uint64_t wanted_size(const struct resize_context *context)
{
	return (uint64_t)context->size_gib * CLOUD_GIB;
}

/* CloudStack then has nothing to do, but the kernel may still have to learn the size. */
static bool had_that_size(const struct resize_context *context)
{
	return context->previous_size == wanted_size(context);
}

static void note_volume(struct operation *operation, const struct cloud_volume *volume)
{
	struct resize_context *context = operation->context;

	context->size = volume->size;
	str_set(&operation_edit(operation)->vm_id, volume->vm_id);
}

/* The number of the volume's disks here, mapped or not; *out is the last of them. */
static size_t find_disks(struct operation *operation, const struct device **out)
{
	struct model *model = operation->ops->model;
	const char *volume_id = operation->record.volume_id;
	const struct device *device = NULL;
	size_t count = 0;

	while ((device = mapping_next_disk(model, volume_id, device))) {
		*out = device;
		count++;
	}
	return count;
}

/* ---- check: may it be done, now that it is our turn? ---- */

static bool shrinks(const struct operation *operation, const struct cloud_volume *volume)
{
	return wanted_size(operation->context) < volume->size;
}

static int judge_shrink(const struct operation *operation, const struct op_facts *facts,
			struct err *err)
{
	const struct resize_context *context = operation->context;
	const struct cloud_volume *volume = facts->volume;
	_cleanup_buf_ struct buf now = BUF_NULL, wanted = BUF_NULL;

	if (!op_volume_is_settled(facts) || !shrinks(operation, volume))
		return 0;
	field_size_text(volume->size, " ", &now);
	field_size_text(wanted_size(context), " ", &wanted);
	if (!context->allow_shrink)
		return err_set(err, ERR_CONFLICT,
			       "volume %s has %s; with %s the data behind them would be lost. If "
			       "that is intended, give allow_shrink",
			       volume->id, now.data, wanted.data);
	if (volume->vm_id)
		return err_set(
			err, ERR_CONFLICT,
			"volume %s is attached to VM %s; it is made smaller only when it is detached",
			volume->id, volume->vm_id);
	return 0;
}

static const struct op_check check_shrink = { "shrink", FACT_VOLUME, judge_shrink };

static const struct op_check *const checks[] = {
	&check_volume_exists,  &check_volume_kept, &check_shrink, &check_disk_users,
	&check_from_snapshots, &check_quota,       &check_rights, NULL,
};

static void wish(const struct operation *operation, struct op_wish *out)
{
	const struct resize_context *context = operation->context;

	out->gib = (uint64_t)context->size_gib;
}

static void foresee(struct operation *operation, const struct op_facts *facts)
{
	struct resize_context *context = operation->context;

	if (!facts->volume)
		return;
	note_volume(operation, facts->volume);
	context->previous_size = facts->volume->size;
}

/* Growing disturbs no user. */
static disk_users_judge_fn users(const struct operation *operation)
{
	const struct resize_context *context = operation->context;

	return wanted_size(context) < context->previous_size ? leftover_disk_may_stay : NULL;
}

static const struct op_checks resize_checks = {
	.list = checks, .wish = wish, .foresee = foresee, .users = users
};

static void on_checked(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	struct resize_context *context = operation->context;
	const struct cloud_volume *volume = op_check_volume_or_end(operation, result);

	if (!volume || !operation_on_vm_or_queued(operation, volume->vm_id))
		return;
	foresee(operation, &(struct op_facts){ .volume = volume });
	if (shrinks(operation, volume))
		leftover_disk_gone_then(&context->leftover, operation, true, operation_next);
	else
		operation_next(operation);
}

static void check(struct operation *operation)
{
	if (cloud_step_open_or_wait(operation))
		cloud_step_list(operation, on_checked);
}

/* ---- ask-cloud, await-job ---- */

static struct cloud_call *submit(struct operation *operation, const char *job_id,
				 cloud_done_fn done, void *arg)
{
	const struct resize_context *context = operation->context;
	bool shrinks = wanted_size(context) < context->previous_size;

	/* The request gives the whole size, not an increment, so it may arrive twice without
	 * harm. */
	return cloud_resize_volume(operation->ops->env->cloud, operation->record.volume_id,
				   (uint64_t)context->size_gib, shrinks, job_id,
				   operation->asked_ms, done, arg);
}

/* If an earlier request may have arrived, its job and the volume decide, and not the refusal of
 * this request. */
static enum cloud_refusal on_refused(struct operation *operation, const struct err *err)
{
	const struct resize_context *context = operation->context;

	return context->change.in_doubt ? REFUSAL_PASSES : REFUSAL_FAILS;
}

/* Some storages round up further than to whole GiB. */
static bool is_resized(const struct resize_context *context, uint64_t size)
{
	bool shrinks = wanted_size(context) < context->previous_size;

	return size >= wanted_size(context) && (!shrinks || size < context->previous_size);
}

static int check_resized(struct operation *operation, const struct cloud_volume *volume,
			 struct err *err)
{
	const struct resize_context *context = operation->context;

	if (!volume)
		return err_set(err, ERR_NOT_FOUND, "CloudStack no longer lists the volume");
	note_volume(operation, volume);
	if (is_resized(context, volume->size))
		return 0;
	return err_set(err, ERR_CLOUD, "the volume has %" PRIu64 " bytes instead of %" PRIu64,
		       volume->size, wanted_size(context));
}

static void keep_words(struct operation *operation, const char *words)
{
	struct resize_context *context = operation->context;

	str_set(&context->words, words);
}

static const struct cloud_change_kind resizing = {
	.done = "resized",
	.submit = submit,
	.refused = on_refused,
	.check = check_resized,
	.keep_words = keep_words,
	.volume_tells = true,
};

static void ask_cloud(struct operation *operation)
{
	struct resize_context *context = operation->context;

	cloud_change_ask(&context->change, &resizing, operation, &context->job_id);
}

static void await_job(struct operation *operation)
{
	struct resize_context *context = operation->context;

	cloud_change_settle(&context->change, &resizing, operation, &context->job_id);
}

/* ---- await-size ---- */

static void await_growth(struct operation *operation, const struct device *device)
{
	const struct resize_context *context = operation->context;
	struct host *host = operation->ops->host;
	_cleanup_free_ char *trouble = NULL;

	disk_rescan(host, device);
	trouble = disk_rescan_trouble(host, device);
	operation_again(operation, LOOK_AGAIN_MS,
			"volume %s has %" PRIu64
			" bytes in CloudStack, but the kernel shows %s with %" PRIu64 "; %s",
			operation->record.volume_id, context->size, device->path, device->size,
			str_or(trouble, "if it stays so, detach the volume and attach it again"));
}

/* The volume's disk, if the kernel's attributes, read again at this moment, show the new size.
 * NULL: the step has ended. */
static const struct device *new_size_or_wait(struct operation *operation)
{
	struct resize_context *context = operation->context;
	struct sysblock *sysblock = operation->ops->env->sysblock;
	const char *volume_id = operation->record.volume_id;
	const struct device *device = NULL;

	if (find_disks(operation, &device) != 1) {
		operation_again(operation, LOOK_AGAIN_MS,
				"the kernel does not show one disk of volume %s", volume_id);
		return NULL;
	}
	if (!sysblock_verify(sysblock, device)) {
		sysblock_wake(sysblock);
		operation_again(operation, LOOK_AGAIN_MS, "%s changed while it was looked at",
				device->path);
		return NULL;
	}
	if (!match_size_fits(context->size, device->size)) {
		await_growth(operation, device);
		return NULL;
	}
	return device;
}

static bool is_here(const struct operation *operation)
{
	return op_on_appliance(operation);
}

static void await_size(struct operation *operation)
{
	if (new_size_or_wait(operation))
		operation_next(operation);
}

/* ---- grow, grow-export ---- */

static bool is_mapped_here(const struct operation *operation)
{
	return op_on_appliance(operation) &&
	       mapping_find(operation->ops->model, operation->record.volume_id);
}

/* The size that CloudStack shows stays, whatever comes after it. */
static char *left_over(const struct operation *operation)
{
	const struct resize_context *context = operation->context;
	const char *volume_id = operation->record.volume_id;

	if (had_that_size(context))
		return xasprintf("volume %s has that size in CloudStack", volume_id);
	if (context->size != context->previous_size)
		return xasprintf("CloudStack has resized volume %s from %" PRIu64 " to %" PRIu64
				 " bytes, and that stays",
				 volume_id, context->previous_size, context->size);
	return xasprintf("volume %s may have its new size, %" PRIu64
			 " bytes, or the one it had, %" PRIu64,
			 volume_id, wanted_size(context), context->previous_size);
}

static void fail_resized(struct operation *operation, const struct err *err)
{
	_cleanup_free_ char *stays = left_over(operation);
	struct err failure = *err;

	err_reword(&failure, "%s; %s", err->text, stays);
	operation_fail(operation, &failure);
}

static void grow(struct operation *operation, unsigned part, activation_done_fn done)
{
	const struct device *device = new_size_or_wait(operation);

	if (device)
		activation_step_then(operation, ACTIVATION_UP, part, device, done);
}

static void on_name_grown(void *arg, const struct err *err)
{
	struct operation *operation = arg;

	/* Other programs have the disk to themselves, so there is no name yet that could grow. */
	if (!err->code || activation_disk_is_taken(operation, err))
		operation_next(operation);
	else if (activation_step_is_passing(operation, err))
		activation_step_failed(operation, err);
	else
		fail_resized(operation, err);
}

/* The name grows while programs use it. */
static void grow_name(struct operation *operation)
{
	grow(operation, ACTIVATION_MAP, on_name_grown);
}

/*
 * An NBD client has learned the export's size when it connected and keeps that size for as long as
 * it stays, so its export is left alone. The volume has grown even if its export has not: the
 * reconciler makes the export again when it can, so the client of the operation is told and need
 * not wait.
 */
static void on_export_grown(void *arg, const struct err *err)
{
	struct operation *operation = arg;
	struct resize_context *context = operation->context;

	free(TAKE_PTR(context->kept));
	if (activation_export_waits(err))
		context->kept =
			xasprintf("its export is made as soon as that is possible: %s", err->text);
	else if (err->code == ERR_CONFLICT)
		context->kept = xasprintf(
			"its NBD clients keep the size they know until they connect again: %s",
			err->text);
	else if (err->code)
		context->kept = xasprintf("its export has not grown yet: %s", err->text);
	if (err->code)
		log_notice("volume=%s has grown; %s", operation->record.volume_id, context->kept);
	operation_next(operation);
}

static bool is_exported_here(const struct operation *operation)
{
	return is_mapped_here(operation) &&
	       export_find(operation->ops->model, operation->record.volume_id);
}

static void grow_export(struct operation *operation)
{
	grow(operation, ACTIVATION_EXPORT, on_export_grown);
}

/* ---- publish ---- */

static void put_export(struct operation *operation, const struct device *device)
{
	const struct resize_context *context = operation->context;
	struct export_record record = { 0 };

	if (!str_empty(context->kept) ||
	    !export_find(operation->ops->model, operation->record.volume_id))
		return;
	export_make(operation->ops->model, operation->record.volume_id, &record);
	export_place(operation->ops->model, &record, device);
	change_set_export(operation_change(operation), &record);
}

/*
 * The operation changes only the size. If the volume is mapped nowhere, or its disk has got another
 * name meanwhile, the reconciler puts the mapping in order right afterwards: it knows which names
 * are free.
 */
static bool is_noted_where_it_is(const struct operation *operation, const struct mapping *mapping,
				 const struct device *device)
{
	if (!mapping || !streq(mapping->record.vm_id, operation->record.vm_id))
		return false;
	return !device || streq(mapping->record.device_path, device->path);
}

static void publish(struct operation *operation)
{
	struct ops *ops = operation->ops;
	const struct resize_context *context = operation->context;
	const struct mapping *mapping = mapping_find(ops->model, operation->record.volume_id);
	const struct device *device =
		op_on_appliance(operation) ? new_size_or_wait(operation) : NULL;
	struct mapping_record record = { 0 };

	/* After a restart the device must be found again. */
	if (op_on_appliance(operation) && !device)
		return;
	if (is_noted_where_it_is(operation, mapping, device)) {
		record_copy(&mapping_record, &record, &mapping->record);
		mapping_place(ops->model, &record, record.cloudstack_device_id, context->size,
			      device);
		change_put_mapping(operation_change_anew(operation), &record);
		if (device)
			put_export(operation, device);
	}
	operation_next(operation);
}

/* ---- the table ---- */

static bool must_ask(const struct operation *operation)
{
	return !had_that_size(operation->context);
}

static const struct step resize_steps[] = {
	{ .name = "check",
	  .would = "Look at the volume in CloudStack.",
	  .run = check,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "ask-cloud",
	  .would = "Ask CloudStack to give the volume its new size.",
	  .applies = must_ask,
	  .command = "resizeVolume",
	  .run = ask_cloud,
	  .deadline = STEP_CLOUD,
	  .asks = true,
	  .no_return = true,
	  .vm_turn = true },
	{ .name = "await-job",
	  .would = "Wait until CloudStack has resized the volume.",
	  .applies = must_ask,
	  .run = await_job,
	  .deadline = STEP_CLOUD,
	  .vm_turn = true },
	{ .name = "await-size",
	  .would = "Wait until the disk here has the new size.",
	  .applies = is_here,
	  .run = await_size,
	  .deadline = STEP_DEVICE,
	  .awaits_kernel = true },
	{ .name = "grow",
	  .would = "Let the stable name lead to the whole disk.",
	  .applies = is_mapped_here,
	  .run = grow_name,
	  .deadline = STEP_DEVICE },
	{ .name = "grow-export",
	  .would = "Serve the new size over NBD, unless clients are connected.",
	  .applies = is_exported_here,
	  .run = grow_export,
	  .deadline = STEP_DEVICE },
	{ .name = "publish",
	  .would = "Note the new size in the store.",
	  .at_once = op_elsewhere,
	  .run = publish,
	  .deadline = STEP_DEVICE },
};

static void put_size(struct json_writer *writer, const char *name, uint64_t size)
{
	json_put_name(writer, name);
	json_put_uint(writer, size);
}

/* The size that the volume's NBD clients see. */
static void put_export_size(struct json_writer *writer, const struct operation *operation)
{
	const struct export *export =
		export_find(operation->ops->model, operation->record.volume_id);
	const struct export_record *staged = change_export(operation->change);

	if (export)
		put_size(writer, "export_size", staged ? staged->size : export->record.size);
}

static void respond(struct operation *operation, struct json_writer *writer)
{
	const struct resize_context *context = operation->context;
	const struct mapping_record *mapping = change_mapping(operation->change);
	bool kept = !str_empty(context->kept);
	_cleanup_free_ char *words = cloud_change_note(context->words);
	_cleanup_free_ char *text =
		xasprintf("%s%s%s%s",
			  had_that_size(context) ? "Volume has that size already"
						 : "Volume resized",
			  kept ? "; " : "", kept ? context->kept : "", words);

	json_put_member(writer, "volume_id", operation->record.volume_id);
	put_size(writer, "size", mapping ? mapping->size : context->size);
	put_size(writer, "previous_size", context->previous_size);
	put_export_size(writer, operation);
	json_put_member(writer, "device_path", mapping ? mapping->device_path : "");
	json_put_member(writer, "message", text);
}

const struct operation_kind op_resize = {
	.type = OPERATION_RESIZE,
	.context = &resize_context,
	.groups = { STEP_GROUP(resize_steps) },
	.respond = respond,
	.left_over = left_over,
	.checks = &resize_checks,
};

void *op_resize_context(const struct volume_resize_args *args)
{
	struct resize_context *context = xnew(struct resize_context);

	context->size_gib = (int64_t)cloud_gib(args->size);
	context->allow_shrink = args->allow_shrink;
	cloud_step_new_job(&context->job_id);
	return context;
}
