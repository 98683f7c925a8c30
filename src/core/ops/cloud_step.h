/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the steps that talk to CloudStack: sorting outcomes into verbs, and the pair "submit a
 * command under a job id chosen before, then see the job to its end". */

#include "cloud/cloud.h"
#include "core/engine/operation.h"

/*
 * Each returns true if the step goes on, and false if the step has ended: then it runs again later,
 * or has failed.
 *
 * After trouble that passes (CloudStack away, outcome unknown) the step runs again later. After a
 * refusal or a success it goes on.
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

/* The volume in the result that has this id, NULL if there is none. Brings the model up to date
 * with it. */
const struct cloud_volume *cloud_step_volume(struct operation *operation,
					     const struct cloud_result *result,
					     const char *volume_id);
/* Waits for the answer to one request. */
void cloud_step_wait_call(struct operation *operation, struct cloud_call *call);
/* Waits for CloudStack's present view of the operation's volume. */
void cloud_step_list(struct operation *operation, cloud_done_fn done);
/* A job is under way on the volume, perhaps of another program: the step runs again when the job
 * may have ended. */
void cloud_step_busy(struct operation *operation, const struct cloud_volume *volume);
/* Replaces *slot by a new random UUID: a job id. */
void cloud_step_new_job(char **slot);
/* Stores the id that CloudStack really gave; a server that ignores our id answers with its own. */
void cloud_step_note_job(char **slot, const struct cloud_result *result);
/* CloudStack is about to forget it, or has no more than its name. */
bool cloud_volume_is_destroyed(const struct cloud_volume *volume);
/* True: a watched job ended because CloudStack lost or never knew it. That was reported as drift,
 * and the caller has to look at the volume. */
bool cloud_step_job_lost(struct operation *operation, const struct cloud_result *result);

/* ---- changes in CloudStack ---- */

/* How the operation takes a refusal of the request, or a failure of its job. */
enum cloud_refusal {
	REFUSAL_FAILS, /* the operation fails with it */
	/* the change has been made, or may have been made: go on, and let the volume decide */
	REFUSAL_PASSES,
	REFUSAL_WAITS, /* the hook has ended the step itself, and waits for another answer */
};

/*
 * A change that CloudStack makes as a job. The change is requested under a job id that was
 * committed before; then its job is awaited; then the volume itself decides, if the job does not
 * say enough. Repeating the request is safe, as CloudStack refuses a job id it knows.
 */
struct cloud_change_kind {
	struct cloud_call *(*submit)(struct operation *operation, const char *job_id,
				     cloud_done_fn done, void *arg);
	/* The request was refused, but not because CloudStack knows the job. */
	enum cloud_refusal (*refused)(struct operation *operation, const struct err *err);
	/* The job has failed, or CloudStack does not show it. NULL: a failure fails the operation,
	 * and if the job is not shown the volume decides. Never returns REFUSAL_WAITS. */
	enum cloud_refusal (*failed)(struct operation *operation,
				     const struct cloud_result *result);
	/* The job has succeeded, and its answer holds the volume. True: the answer is enough, and
	 * was noted. NULL: the answer is never enough. */
	bool (*told)(struct operation *operation, const struct cloud_volume *volume);
	/* Decides by the present state of the volume, and ends in a verb. NULL: CloudStack does not
	 * have the volume. */
	void (*verify)(struct operation *operation, const struct cloud_volume *volume);
	/* How the job is awaited; NULL: if a device of the volume comes or goes, CloudStack is
	 * asked at once. */
	const struct wait_kind *job_wait;
	/* If CloudStack refuses to show the volume, the operation fails and undoes the change;
	 * otherwise the step runs again later. */
	bool can_undo;
	/* Requested and awaited in one step, without a look at the volume; verify gets NULL. */
	bool in_one_step;
};

/* The state of a change while it is under way; part of the operation's context, and not stored. */
struct cloud_change {
	const struct cloud_change_kind *kind;
	struct operation *operation;
	char **job_id; /* in the context, and stored there */
	/* the answer to a request got lost: the request may have arrived, or may still arrive */
	bool in_doubt;
	/* clock_mono_ms() of the first look that found nothing done, 0 none */
	int64_t looking_since;
};

/* Two steps: the first sends the request, the second awaits its job and finds out the result. */
void cloud_change_ask(struct cloud_change *change, const struct cloud_change_kind *kind,
		      struct operation *operation, char **job_id);
void cloud_change_settle(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id);
/* A step that only looks at the volume, without a request. */
void cloud_change_verify(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id);
/* For verify, if the change was not made: a request whose answer got lost can arrive until its
 * time-out. False: the request is certain not to arrive any more. */
bool cloud_change_may_arrive(struct cloud_change *change);
