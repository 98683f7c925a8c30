/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Destroying a volume; see destroy_step.h.
 *
 * An administrator of CloudStack can forbid ordinary users to expunge (the setting
 * allow.user.expunge.recover.volume), and a role can lack destroyVolume, as servers before 4.14 do.
 * Then a weaker form of the command serves as well:
 *
 *   destroyVolume with expunge ──may not expunge──► destroyVolume
 *       │ the command is forbidden or unknown           │ the volume has no storage
 *       └───────────────────────► deleteVolume ◄────────┘
 *
 * Each form is requested under a job id of its own.
 */

#include "core/ops/destroy_step.h"

#include "base/log.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"

struct cloud_call *destruction_submit(const struct destruction *destruction,
				      struct operation *operation, const char *job_id,
				      cloud_done_fn done, void *arg)
{
	struct cloud *cloud = operation->ops->env->cloud;
	const char *volume_id = operation->record.volume_id;

	if (destruction->form == DESTROY_DELETE)
		return cloud_delete_volume(cloud, volume_id, operation->asked_ms, done, arg);
	return cloud_destroy_volume(cloud, volume_id, destruction->form == DESTROY_EXPUNGE, job_id,
				    operation->asked_ms, done, arg);
}

/* The form to try after this refusal; the same form if none is left. */
static enum destroy_form weaker_form(enum destroy_form form, const struct err *refusal)
{
	switch (form) {
	case DESTROY_EXPUNGE:
		if (cloud_err_is_no_expunge(refusal))
			return DESTROY_TO_BIN;
		return refusal->reason == ERR_REASON_FORBIDDEN_COMMAND ? DESTROY_DELETE : form;
	case DESTROY_TO_BIN:
		return cloud_err_is_only_expunge(refusal) ||
				       refusal->reason == ERR_REASON_FORBIDDEN_COMMAND
			       ? DESTROY_DELETE
			       : form;
	case DESTROY_DELETE:
		break;
	}
	return form;
}

/* True: a weaker form is requested, and the step has ended. */
static bool weaken(struct destruction *destruction, const struct err *refusal)
{
	enum destroy_form form = weaker_form(destruction->form, refusal);

	if (form == destruction->form)
		return false;
	log_notice("volume=%s is deleted in a weaker form: %s",
		   destruction->change.operation->record.volume_id, refusal->text);
	destruction->form = form;
	cloud_change_again(&destruction->change);
	return true;
}

enum cloud_refusal destruction_refused(struct destruction *destruction, const struct err *err)
{
	if (err->code == ERR_NOT_FOUND)
		return REFUSAL_PASSES;
	if (weaken(destruction, err))
		return REFUSAL_WAITS;
	/* An earlier request may be what CloudStack works on, and why it refuses this one. */
	return destruction->change.in_doubt ? REFUSAL_PASSES : REFUSAL_FAILS;
}

static bool is_proven(const struct cloud_change *change)
{
	return change->end == CLOUD_JOB_SUCCEEDED ||
	       (!change->lost && cloud_change_refusal(change)->code == ERR_NOT_FOUND);
}

int destruction_check(struct destruction *destruction, const struct cloud_volume *volume,
		      struct err *err)
{
	destruction->unlisted = !volume;
	if (volume && !cloud_volume_is_destroyed(volume))
		return err_set(err, ERR_CLOUD, "the volume still exists");
	if (!volume && !is_proven(&destruction->change))
		return err_set(err, ERR_CLOUD,
			       "CloudStack does not list the volume, which proves no deletion");
	destruction->in_bin = volume && streq(volume->state, "Destroy");
	return 0;
}

/* True: the same request may succeed now. Also true if the job failed and CloudStack does not list
 * the volume: the job may have destroyed it, and CloudStack's next answer tells. */
static bool is_worth_asking_again(const struct destruction *destruction)
{
	const struct cloud_change *change = &destruction->change;

	return change->lost || change->hidden || change->end == CLOUD_JOB_SUCCEEDED ||
	       cloud_change_refusal(change)->code == ERR_NOT_FOUND ||
	       (change->end == CLOUD_JOB_FAILED && destruction->unlisted);
}

void destruction_missed(struct destruction *destruction, const struct err *err)
{
	struct cloud_change *change = &destruction->change;
	struct err failure = *err;

	if (!is_worth_asking_again(destruction)) {
		if (!weaken(destruction, cloud_change_refusal(change)))
			operation_fail(change->operation, err);
	} else if (!cloud_change_repeat(change)) {
		err_reword(&failure, "%s (asked %u times)", err->text, change->repeats + 1);
		operation_fail(change->operation, &failure);
	}
}
