/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Changes in CloudStack, for the steps that make them: "submit a command under a job id chosen
 * before, then see the job to its end". */

#include "cloud/cloud.h"
#include "core/engine/operation.h"

/* How the operation takes a refusal of the request. */
enum cloud_refusal {
	REFUSAL_FAILS, /* the change is not made */
	/* the change has been made, or may have been made: go on, and let the volume decide */
	REFUSAL_PASSES,
	REFUSAL_WAITS, /* the hook has ended the step itself, and waits for another answer */
};

/* For struct wait_kind, if a job is awaited. */
char *cloud_change_job_seen(const void *awaited);

/*
 * A change that CloudStack makes as a job. The change is requested under a job id that was
 * committed before, and then its job is awaited. However the job ends, the volume decides, since a
 * job that failed may have made the change, and a job that succeeded may not. The volume in the
 * answer of a job that succeeded is enough if it shows the change; in all other cases CloudStack is
 * asked for the volume. Among many jobs, the volume can be enough without the job (volume_tells).
 * Repeating the request is safe, as CloudStack refuses a job id it knows.
 */
struct cloud_change_kind {
	const char *done; /* the change as a participle: "attached" */
	/* The object that is changed; NULL: the operation's own volume. */
	const char *(*subject)(const struct operation *operation);
	/* The object is a VM; in place of `check`. vm: NULL if CloudStack does not list it. */
	int (*check_vm)(struct operation *operation, const struct cloud_vm *vm, struct err *err);
	/* The object is a snapshot; likewise. */
	int (*check_snapshot)(struct operation *operation, const struct cloud_snapshot *snapshot,
			      struct err *err);
	struct cloud_call *(*submit)(struct operation *operation, const char *job_id,
				     cloud_done_fn done, void *arg);
	/*
	 * The volume is looked at right before each request, unless looked_ms is younger than a few
	 * seconds. 0: the request is made. -1: err says why it would do harm now, and the change is
	 * not made. volume: NULL if CloudStack does not list it. The hook may be NULL: there is no
	 * such look.
	 */
	int (*may_ask)(struct operation *operation, const struct cloud_volume *volume,
		       struct err *err);
	/* The request was refused, but not because CloudStack knows the job. NULL: REFUSAL_FAILS */
	enum cloud_refusal (*refused)(struct operation *operation, const struct err *err);
	/*
	 * 0: the volume is as the change makes it, and the operation has noted what the volume
	 * shows. -1: err says how the volume is instead, as half a sentence; ERR_NOT_FOUND if
	 * CloudStack no longer lists it (volume is NULL) and its data may be left.
	 */
	int (*check)(struct operation *operation, const struct cloud_volume *volume,
		     struct err *err);
	/* The job has failed, and the change is made all the same: keeps CloudStack's words for the
	 * client. NULL: they are only logged. */
	void (*keep_words)(struct operation *operation, const char *words);
	/* The change is not made, and err says why: ends the step in a verb. NULL: the operation
	 * fails with err (reason.h). */
	void (*missed)(struct operation *operation, const struct err *err);
	/* Adds to the words of a refusal or a failure (refusal.h), before the operation fails with
	 * it. NULL: there is nothing to add. */
	void (*explain)(const struct operation *operation, struct err *err);
	/* How the job is awaited; NULL: if a device of the volume comes or goes, CloudStack is
	 * asked at once. */
	const struct wait_kind *job_wait;
	/* There is a sign that the job has ended: CloudStack is asked for it at once. NULL: there
	 * is none. */
	bool (*has_sign)(const struct operation *operation);
	/* If CloudStack refuses to show the volume, the operation fails and undoes the change;
	 * otherwise the step runs again later. */
	bool can_undo;
	/* A volume that shows the change, and no job, proves the change: the word of the job is not
	 * needed. */
	bool volume_tells;
	bool in_one_step; /* requested and awaited in one step */
};

/* The state of a change while it is under way; part of the operation's context, and not stored. */
struct cloud_change {
	const struct cloud_change_kind *kind;
	struct operation *operation;
	char **job_id; /* in the context, and stored there */
	/* the answer to a request got lost: the request may have arrived, or may still arrive */
	bool in_doubt;
	bool sent;        /* a request was made under this job id */
	bool sent_before; /* before the last request there was another one, or a restart */
	/* CloudStack has no request under the job id: it refused it, or none was made; not known
	 * after a restart */
	bool unasked;
	/* clock_mono_ms(): CloudStack showed the volume as the change needs it; 0 unknown */
	int64_t looked_ms;
	/* clock_mono_ms(): the step was about to make the request then, and committed once more to
	 * give it its whole time; 0: the request that followed was made, or it was never so */
	int64_t recommitted_ms;
	/* clock_mono_ms(): the last request that may arrive was asked for then, or before; 0
	 * unknown */
	int64_t asked_ms;
	int64_t asked_before_ms; /* the same without the request under way */
	/* how the last request has ended by CloudStack's word; CLOUD_JOB_PENDING: not known */
	enum cloud_job_status end;
	bool watched; /* its job was awaited before, so it has been running for an unknown time */
	bool lost;    /* CloudStack has lost its job, or never knew it */
	bool hidden;  /* CloudStack refuses to show its job */
	/* NULL or why it was refused, or why its job failed or is not shown; see
	 * cloud_change_refusal(). The operation owns it. */
	struct err *refusal;
	bool settling;         /* the second of the two steps runs */
	unsigned repeats;      /* requests that came to nothing and were made anew */
	int64_t not_before_ms; /* clock_mono_ms(): the next request has to wait until then */
	/* clock_waking_ms() of the first refusal because of another job, 0: the last request came
	 * to nothing for another reason, or there was none */
	int64_t busy_since_ms;
	int64_t busy_pause_ms; /* after the next such refusal */
};

/* Two steps: the first sends the request, the second awaits its job and finds out the result. */
void cloud_change_ask(struct cloud_change *change, const struct cloud_change_kind *kind,
		      struct operation *operation, char **job_id);
void cloud_change_settle(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id);
/* The last run of the step has looked at all that decides whether the request may be made, and this
 * run makes it: a step that looks at something before cloud_change_ask() need not look again. */
bool cloud_change_is_ready(const struct cloud_change *change);
/* A step that only looks at the volume, without a request; if the change is not made, the operation
 * fails with the error of check(). */
void cloud_change_verify(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id);
/*
 * The request came to nothing: CloudStack is asked anew, in the step that asks, under a job id that
 * is committed before. Only for hooks, which run when the last request can no longer arrive. If the
 * change is made twice, the second time must change nothing.
 */
void cloud_change_again(struct cloud_change *change);
/* The same after a pause that grows each time, for a request that may come to something the next
 * time. False: it has come to nothing too often, and the caller ends the step. */
bool cloud_change_repeat(struct cloud_change *change);
/*
 * A request can reach CloudStack until its signature expires. If nothing is done by then, nothing
 * comes of it. True: no request for the change can arrive any more. False: the step has ended, and
 * looks again until that is so; words say what it waits for.
 */
bool cloud_change_is_late_or_wait(struct cloud_change *change, struct operation *operation,
				  const char *words);
/* Why the last request was refused, or why its job failed or is not shown; ERR_NONE: it was not. */
const struct err *cloud_change_refusal(const struct cloud_change *change);
/* err is copied. */
void cloud_change_note_refusal(struct cloud_change *change, struct operation *operation,
			       const struct err *err);
/* Right before each request. True: the step asks. False: the step has ended, and asks when it is
 * stored that this life is going to ask (silence.h). */
bool cloud_change_may_ask_or_wait(struct operation *operation);
/* Right before the request is sent, and when it is answered: keep asked_ms, unasked and in_doubt. A
 * request that CloudStack did not carry out can no longer arrive, so the earlier one counts again.
 */
void cloud_change_asks(struct cloud_change *change, const struct operation *operation);
void cloud_change_answered(struct cloud_change *change, const struct cloud_result *result);
/* Ends the sentence that tells the client of the change: CloudStack's words about a failure of the
 * job, if there were any (NULL or empty: none). To be freed. */
char *cloud_change_note(const char *words);
