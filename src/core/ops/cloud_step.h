/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What steps that talk to CloudStack have in common: sorting outcomes into verbs, and the pair
 * "submit a command under a job id chosen before, then see the job to its end".
 */

#include "cloud/cloud.h"
#include "core/engine/operation.h"

/*
 * Each is true when the step goes on, and false when the step has ended: it runs again later, or
 * has failed.
 *
 * Trouble that passes (away, outcome unknown) runs the step again later. A refusal and success go
 * on.
 */
bool cloud_step_answered_or_wait(struct operation *operation, const struct cloud_result *result);
/* The same, and a refusal fails the operation. Only CLOUD_OK goes on. */
bool cloud_step_succeeded_or_end(struct operation *operation, const struct cloud_result *result);
/*
 * For a look at what became of a change that cannot be undone: a refusal to show it leaves that
 * open just as silence does, so the step runs again later. Only CLOUD_OK goes on. (ERR_NOT_FOUND is
 * no such refusal but an answer.)
 */
bool cloud_step_shown_or_wait(struct operation *operation, const struct cloud_result *result);

/* The volume in the result that has this id, NULL when it is not there. Brings the model up to date
 * with it. */
const struct cloud_volume *cloud_step_volume(struct operation *operation,
					     const struct cloud_result *result,
					     const char *volume_id);
/* Waits for the answer to one request. */
void cloud_step_wait_call(struct operation *operation, struct cloud_call *call);
/* Waits for CloudStack's present view of the operation's volume. */
void cloud_step_list(struct operation *operation, cloud_done_fn done);
/* A job is under way on the volume, somebody else's perhaps: run the step again when it may have
 * ended. */
void cloud_step_busy(struct operation *operation, const struct cloud_volume *volume);
/* Replaces *slot by a new random UUID: a job id. */
void cloud_step_new_job(char **slot);
/* The id CloudStack really gave; a server that ignores ours answers with its own. */
void cloud_step_note_job(char **slot, const struct cloud_result *result);
/* CloudStack is about to forget it, or has no more than its name. */
bool cloud_volume_is_destroyed(const struct cloud_volume *volume);
/* A watched job ended because CloudStack lost or never knew it: told as drift, and the volume has
 * to be looked at. */
bool cloud_step_job_lost(struct operation *operation, const struct cloud_result *result);

/* ---- changes in CloudStack ---- */

/* What a refusal of the request, or the failure of its job, means. */
enum cloud_refusal {
	REFUSAL_FAILS, /* the operation fails with it */
	/* what was asked for has been done, or may have been: go on, and let the volume decide */
	REFUSAL_PASSES,
	REFUSAL_WAITS, /* the hook has ended the step itself: it waits for another answer */
};

/*
 * A change that CloudStack makes as a job: asked for under a job id that was committed before,
 * awaited, and then settled by the volume itself if the job does not say enough. Repeating the
 * request is safe, as CloudStack refuses a job id it knows.
 */
struct cloud_change_kind {
	struct cloud_call *(*submit)(struct operation *operation, const char *job_id,
				     cloud_done_fn done, void *arg);
	/* The request was refused, and not because CloudStack knows the job. */
	enum cloud_refusal (*refused)(struct operation *operation, const struct err *err);
	/*
	 * The job has failed, or CloudStack does not show it. NULL: a failure fails the operation,
	 * and of a job that is not shown the volume decides. Never REFUSAL_WAITS.
	 */
	enum cloud_refusal (*failed)(struct operation *operation,
				     const struct cloud_result *result);
	/* The job has succeeded, and its answer holds the volume. True: that is enough, and was
	 * noted. NULL: it never is. */
	bool (*told)(struct operation *operation, const struct cloud_volume *volume);
	/* Ends in a verb. What the volume is now decides; NULL: CloudStack does not have it. */
	void (*verify)(struct operation *operation, const struct cloud_volume *volume);
	/* How the job is awaited; NULL: when a device of the volume comes or goes CloudStack is
	 * asked at once. */
	const struct wait_kind *job_wait;
	/* A refusal to show the volume fails the operation, which then undoes the change; otherwise
	 * it looks again later. */
	bool can_undo;
	/* Asked for and awaited in one step, without a look at the volume; verify gets NULL. */
	bool in_one_step;
};

/* What an operation keeps of a change while it is under way; part of its context and not stored. */
struct cloud_change {
	const struct cloud_change_kind *kind;
	struct operation *operation;
	char **job_id; /* in the context, and stored there */
	/* a request was sent whose answer got lost: it may have arrived, or still arrive */
	bool in_doubt;
	/* clock_mono_ms() of the first look that found nothing done, 0 none */
	int64_t looking_since;
};

/* Two steps: the request; and the end of its job, and what has become of the volume. */
void cloud_change_ask(struct cloud_change *change, const struct cloud_change_kind *kind,
		      struct operation *operation, char **job_id);
void cloud_change_settle(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id);
/* A step that only looks at the volume, without a request. */
void cloud_change_verify(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id);
/*
 * For verify, when nothing is done: a request whose answer got lost can arrive until its time-out,
 * and only then is it certain that nothing comes of it.
 */
bool cloud_change_may_arrive(struct cloud_change *change);
