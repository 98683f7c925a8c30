/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the steps that talk to CloudStack: sorting outcomes into verbs, and what CloudStack's
 * lists show of the volume and its VM. */

#include "cloud/cloud.h"
#include "core/engine/operation.h"

/*
 * Each returns true if the step goes on, and false if the step has ended: then it runs again later,
 * or has failed.
 *
 * After trouble that passes (CloudStack away, outcome unknown) the step runs again later. After a
 * refusal or a success it goes on. A read that CloudStack refuses for so long that the read is
 * hopeless (cloud_refusals.h) fails the operation, and the effect of the step is unknown then.
 */
bool cloud_step_answered_or_wait(struct operation *operation, const struct cloud_result *result);
/* The same, but a refusal fails the operation. The step goes on after CLOUD_OK only. */
bool cloud_step_succeeded_or_end(struct operation *operation, const struct cloud_result *result);
/*
 * For a look at the result of a change that cannot be undone: if CloudStack refuses to show the
 * result, the result is as unknown as after silence, so the step runs again later. The step goes on
 * after CLOUD_OK only. (ERR_NOT_FOUND is an answer, and not such a refusal.)
 */
bool cloud_step_shown_or_wait(struct operation *operation, const struct cloud_result *result);

/* For the first step, before anything is done: the step goes on if CloudStack takes changes. In a
 * maintenance the step runs again when that is over, or may be over. */
bool cloud_step_open_or_wait(struct operation *operation);

/* The volume in the result that has this id, NULL if there is none. Brings the model up to date
 * with it. */
const struct cloud_volume *cloud_step_volume(struct operation *operation,
					     const struct cloud_result *result,
					     const char *volume_id);
/* The operation fails, as CloudStack's list of its volume is empty. */
void cloud_step_missing(struct operation *operation);
/* Waits for the answer to one request. */
void cloud_step_wait_call(struct operation *operation, struct cloud_call *call);
/* Waits for CloudStack's present view of the operation's volume. */
void cloud_step_list(struct operation *operation, cloud_done_fn done);
/* The VM in the result, NULL if there is none. */
const struct cloud_vm *cloud_step_vm(const struct cloud_result *result, const char *vm_id);
/* A job is under way on the VM: the step runs again when it may have ended, as below. */
void cloud_step_vm_busy(struct operation *operation, const struct cloud_vm *vm);
/* A job is under way on the volume, which is the operation's or another one of its VM, perhaps for
 * another program: the step runs again when the job may have ended. If it is the first step,
 * operations on other volumes of the VM go first. */
void cloud_step_busy(struct operation *operation, const struct cloud_volume *volume);
/* Why CloudStack is not asked for the change of an operation from the past (operation_past.h). */
void cloud_step_set_past_err(const struct operation *operation, struct err *err);
/* Replaces *slot by a new job id. It sorts by its time and names this store (uuid_set_maker()), so
 * that the job can be recognised in CloudStack. */
void cloud_step_new_job(char **slot);
/* Stores the id that CloudStack really gave; a server that ignores our id answers with its own. */
void cloud_step_note_job(char **slot, const struct cloud_result *result);
/* CloudStack is about to forget it, or has no more than its name. */
bool cloud_volume_is_destroyed(const struct cloud_volume *volume);
