/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What steps that talk to CloudStack have in common: sorting outcomes into verbs, and the pair "submit a command under
 * a job id chosen before, then see the job to its end".
 */

#include "cloud/cloud.h"
#include "core/engine/operation.h"

/*
 * Trouble that passes (away, outcome unknown) runs the step again later; true when that was said. A refusal and success
 * are the caller's business.
 */
bool cloud_step_retried(struct operation *operation, const struct cloud_result *result);
/* The same, and a refusal fails the operation. True unless the outcome is CLOUD_OK. */
bool cloud_step_failed(struct operation *operation, const struct cloud_result *result);
/*
 * For a look at what became of a change that cannot be taken back: a refusal to show it leaves that open just as silence
 * does, so the step runs again later. True unless the outcome is CLOUD_OK. (ERR_NOT_FOUND is no such refusal but an answer.)
 */
bool cloud_step_unseen(struct operation *operation, const struct cloud_result *result);

/* The volume in the result that has this id, NULL when it is not there. Brings the model up to date with it. */
const struct cloud_volume *cloud_step_volume(struct operation *operation, const struct cloud_result *result,
					     const char *volume_id);
/* Waits for the answer to one request, or for the end of a job: operation_wait(). */
void cloud_step_wait_call(struct operation *operation, struct cloud_call *call);
void cloud_step_wait_job(struct operation *operation, struct cloud_job *job);
/* Waits for CloudStack's present view of the operation's volume. */
void cloud_step_list(struct operation *operation, cloud_done_fn done);
/* A job is under way on the volume, somebody else's perhaps: run the step again when it may have ended. */
void cloud_step_busy(struct operation *operation, const struct cloud_volume *volume);
/* Replaces *slot by a new random UUID: a job id. */
void cloud_step_new_job(char **slot);
/* The id CloudStack really gave; a server that ignores ours answers with its own. */
void cloud_step_note_job(char **slot, const struct cloud_result *result);
/* CloudStack is about to forget it, or has no more than its name. */
bool cloud_volume_is_destroyed(const struct cloud_volume *volume);
/* A watched job ended because CloudStack lost or never knew it: told as drift, and the volume has to be looked at. */
bool cloud_step_job_lost(struct operation *operation, const struct cloud_result *result);
