/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A disk that is here although CloudStack says that its volume is attached to nothing: a detachment
 * that ended late has cleared a newer attachment in CloudStack's records, or a management server
 * was restarted while its hypervisor attached the volume. CloudStack may give such a volume to
 * another VM, and then two machines write to it; and it may give the slot to another volume, which
 * the hypervisor then refuses.
 *
 * CloudStack refuses to detach a volume that it calls detached. So the volume is attached again, in
 * the slot in which the hypervisor has its disk. If CloudStack and the hypervisor can come to agree
 * in this way, they do; otherwise the hypervisor refuses the second disk in one slot, nothing is
 * changed, and the error says who can remove the disk. If a detachment left the disk behind, the
 * same detachment follows.
 *
 * If the disk goes before CloudStack is asked, somebody has detached the volume, and it stays
 * detached.
 *
 * A failed attachment can make a hypervisor let go of the storage. So nothing may use the disk: its
 * export and its name are closed first, which fails while they have users.
 */

#include "core/reconcile/reattach.h"

#include "base/clock.h"
#include "base/json.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/host/disk_users.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/ops/ops.h"
#include "core/reconcile/drift_log.h"
#include "core/reconcile/drift_repair.h"

/* A hypervisor that refuses the disk refuses it until a person has removed it. */
#define TRIES_MAX 3

struct reattachment {
	struct suspect *suspect;
	/* what is waited for, one of these */
	struct disk_users *users;
	struct activation *closing;
	struct operation_asker *starting;
	struct activation_claim *claim;
};

void reattachment_cancel(struct reattachment *reattachment)
{
	if (reattachment->users)
		disk_users_cancel(reattachment->users);
	if (reattachment->closing)
		activation_cancel(reattachment->closing);
	if (reattachment->starting)
		operation_leave(reattachment->starting);
	activation_release(reattachment->claim);
	free(reattachment);
}

/* why: NULL if the record says all. */
static void end(struct reattachment *reattachment, const char *why)
{
	struct suspect *suspect = reattachment->suspect;

	suspect->reattachment = NULL;
	if (why)
		str_set(&suspect->record.action, why);
	reattachment_cancel(reattachment);
	suspect_done(suspect);
}

static struct reconciler *reconciler_of(const struct suspect *suspect)
{
	return suspect->comparison->reconciler;
}

static struct known_drift *known_of(const struct suspect *suspect)
{
	return known_get(reconciler_of(suspect)->drift_log, &suspect->record);
}

/* ---- the operations ---- */

static char *request_json(const struct suspect *suspect, const char *vm_id)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	json_put_name(&writer, "volume_id");
	json_put_text(&writer, suspect->volume_id);
	json_put_name(&writer, "vm_id");
	json_put_text(&writer, vm_id);
	json_put_name(&writer, "repairs");
	json_put_text(&writer, drift_kind_names[suspect->record.kind]);
	json_end_object(&writer);
	return buf_take(&out);
}

static void start(struct reattachment *reattachment, enum operation_type type, void *context,
		  operation_accepted_fn accepted)
{
	const struct suspect *suspect = reattachment->suspect;
	struct reconciler *reconciler = reconciler_of(suspect);
	const char *vm_id = env_appliance_id(reconciler->env);
	const struct operation_order order = {
		.type = type,
		.volume_id = suspect->volume_id,
		.vm_id = vm_id,
		.request = request_json(suspect, vm_id),
		.context = context,
	};

	reattachment->starting =
		operation_start(reconciler->engine, &order, accepted, reattachment);
}

static void on_detach_accepted(void *arg, struct operation *operation, const struct err *err)
{
	struct reattachment *reattachment = arg;

	reattachment->starting = NULL;
	end(reattachment, operation ? NULL : err->text);
}

/* The disk was to go, and an operation has failed to make it. */
static bool was_detached(const struct suspect *suspect)
{
	return suspect->origin.id && suspect->origin.needs_attention &&
	       suspect->origin.type == OPERATION_DETACH;
}

static void on_attach_accepted(void *arg, struct operation *operation, const struct err *err)
{
	struct reattachment *reattachment = arg;
	struct suspect *suspect = reattachment->suspect;

	reattachment->starting = NULL;
	if (!operation) {
		end(reattachment, err->text);
		return;
	}
	suspect->record.repaired = true;
	str_set(&suspect->record.operation_id, operation->record.id);
	if (was_detached(suspect))
		start(reattachment, OPERATION_DETACH,
		      op_detach_context(&(struct volume_detach_args){ 0 }), on_detach_accepted);
	else
		end(reattachment, NULL);
}

/* ---- does anything use it? ---- */

/* The operation opens the export again. */
static void note_closed(const struct suspect *suspect)
{
	struct model *model = reconciler_of(suspect)->model;
	struct export_record record = { 0 };

	if (!export_find(model, suspect->volume_id))
		return;
	export_make(model, suspect->volume_id, &record);
	record.status = EXPORT_PENDING;
	str_set(&record.error, "CloudStack says that the volume is attached to nothing");
	commit_export(model, suspect->volume_id, &record, CHANGE_WHATEVER_COMES, NULL, NULL);
}

static void on_closed(void *arg, const struct err *err)
{
	struct reattachment *reattachment = arg;
	struct suspect *suspect = reattachment->suspect;
	struct reconciler *reconciler = reconciler_of(suspect);

	reattachment->closing = NULL;
	reattachment->claim = activation_release(reattachment->claim);
	if (reconciler->env->draining)
		return;
	if (err->code) {
		end(reattachment, err->text);
	} else if (operation_busy(reconciler->engine, suspect->volume_id)) {
		end(reattachment, NULL); /* the next comparison decides */
	} else {
		note_closed(suspect);
		known_note_repair(known_of(suspect));
		start(reattachment, OPERATION_ATTACH, op_attach_again_context(),
		      on_attach_accepted);
	}
}

static void on_unused(void *arg, const struct err *err)
{
	struct reattachment *reattachment = arg;
	const char *volume_id = reattachment->suspect->volume_id;
	struct reconciler *reconciler = reconciler_of(reattachment->suspect);

	reattachment->users = NULL;
	if (reconciler->env->draining)
		return;
	if (err->code) {
		end(reattachment, err->text);
	} else if (reconciler->env->paused || operation_busy(reconciler->engine, volume_id) ||
		   activation_is_busy(reconciler->host, volume_id) ||
		   !mapping_next_disk(reconciler->model, volume_id, NULL)) {
		end(reattachment, NULL);
	} else {
		reattachment->claim = activation_claim(reconciler->host, volume_id);
		reattachment->closing =
			activation_start(reconciler->host, volume_id, ACTIVATION_DOWN,
					 ACTIVATION_ALL, NULL, on_closed, reattachment);
	}
}

static int is_unused(void *arg, const struct disk_use *use, struct err *err)
{
	(void)arg;
	if (use->result->kind == USAGE_NONE)
		return 0;
	return err_set_reason(err, ERR_REASON_IN_USE, ERR_CONFLICT,
			      "%s is in use: %s; release it, and the volume is attached again",
			      use->path, use->result->what);
}

/* ---- the time ---- */

void reattach_later(struct suspect *suspect)
{
	struct known_drift *known = known_of(suspect);

	known->repairs = 0;
	known->next_repair_ms =
		clock_mono_ms() + reconciler_of(suspect)->env->options.device_wait_ms;
}

/* Why it is not tried now; NULL: it is. */
static const char *reason_to_wait(struct suspect *suspect)
{
	struct known_drift *known = known_of(suspect);

	/* Noted by an earlier process. */
	if (!known->told && known->repairs == 0 && known->next_repair_ms == 0)
		reattach_later(suspect);
	if (known->repairs >= TRIES_MAX)
		return "the volume could not be attached again, see its operations; stop this VM in "
		       "CloudStack and start it again, or ask CloudStack's administrator to detach the disk";
	return known_is_due(known)
		       ? NULL
		       : "the volume is attached again in a while, unless its disk goes or is used";
}

void reattach(struct suspect *suspect)
{
	struct reconciler *reconciler = reconciler_of(suspect);
	const char *reason = reason_to_wait(suspect);
	struct reattachment *reattachment;
	struct err err;

	if (reason) {
		str_set(&suspect->record.action, reason);
		suspect_done(suspect);
		return;
	}
	reattachment = suspect->reattachment = xnew(struct reattachment);
	reattachment->suspect = suspect;
	reattachment->users = disk_users_check(reconciler->host, suspect->volume_id, is_unused,
					       on_unused, reattachment, &err);
	if (!reattachment->users)
		on_unused(reattachment, &err);
}
