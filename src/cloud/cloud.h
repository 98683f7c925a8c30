/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * CloudStack's API: one asynchronous function for each command.
 *
 * Every answer is sorted into one of four outcomes, because the caller's next step depends on
 * nothing else: the command worked, was refused (final, with CloudStack's code and text), certainly
 * never happened, or has an unknown effect. The caller chooses job ids (customjobid) and must have
 * stored them durably before the call.
 */

#include "base/err.h"
#include "base/secret.h"
#include "io/loop.h"

struct cloud;
struct cloud_call;
struct cloud_job;

struct cloud_options {
	const char *url;              /* "http://10.1.1.1:8080/client/api" */
	const struct secret *api_key; /* both are copied */
	const struct secret *secret_key;
	const char *ca_file; /* NULL: the system's */
	int64_t timeout_ms;  /* of one request */
	/* first wait between two queries of a job, doubled up to poll_max_ms */
	int64_t poll_min_ms;
	int64_t poll_max_ms;
	size_t max_parallel;
};

struct cloud *cloud_new(struct loop *loop, const struct cloud_options *options, struct err *err);
/*
 * Sets another address and other keys, which are copied. Requests on the wire keep the old ones,
 * waiting calls are sent with the new ones. Lost answers and a refused list of jobs under the old
 * ones no longer count. -1: the new ones cannot be right, and the old ones stay.
 */
int cloud_set_access(struct cloud *cloud, const char *url, const struct secret *api_key,
		     const struct secret *secret_key, struct err *err);
/* Asserts that no call or job is left; not from inside a done. Returns NULL, takes NULL. */
struct cloud *cloud_free(struct cloud *cloud);

enum cloud_outcome {
	CLOUD_OK,
	/* CloudStack refused the command: ERR_CLOUD, or ERR_NOT_FOUND if its text proves that */
	CLOUD_REFUSED,
	/* the command did not happen (no connection, 503, 429, 401 …); it may work later */
	CLOUD_AWAY,
	/* may have happened: the answer was lost or makes no sense; never a list or find */
	CLOUD_UNKNOWN
};

enum cloud_job_status { CLOUD_JOB_PENDING, CLOUD_JOB_SUCCEEDED, CLOUD_JOB_FAILED };

struct cloud_volume {
	char *id;
	char *name;
	char *zone_id;
	char *type;        /* ROOT or DATADISK */
	char *state;       /* Allocated, Ready, … */
	char *vm_id;       /* NULL if detached */
	char *job_id;      /* a job under way on the volume, else NULL */
	char *hypervisor;  /* only administrators see it */
	uint64_t size;     /* bytes */
	int64_t device_id; /* -1 if detached */
	char *raw;         /* the whole object as JSON; "{}" beyond 64 KiB */
};

struct cloud_result {
	enum cloud_outcome outcome;
	/* also set for CLOUD_OK with CLOUD_JOB_FAILED: why the job failed */
	struct err err;
	/* of a submitted command: the id CloudStack really gave the job; else NULL */
	const char *job_id;
	/* create: the new volume's id; finished job: its instance; else NULL */
	const char *entity_id;
	enum cloud_job_status job_status; /* cloud_find_job() and cloud_job_watch() */
	/* list; finished create, attach, detach, resize jobs: the volume */
	const struct cloud_volume *volumes;
	size_t count;
	int64_t total; /* list: matches in all */
	/* ids of a page of jobs, count of them; only cloud/ itself lists jobs */
	const char *const *jobs;
};
/* Everything the result points to is valid during the callback only. */
typedef void (*cloud_done_fn)(void *arg, const struct cloud_result *result);

#define CLOUD_GIB (UINT64_C(1) << 30)
/* CloudStack counts in whole GiB; a size is rounded up. */
static inline uint64_t cloud_gib(uint64_t bytes)
{
	return bytes / CLOUD_GIB + (bytes % CLOUD_GIB ? 1 : 0);
}

/*
 * done of every call runs once, on a later turn, unless the call is cancelled. Cancelling does not
 * undo a command that was sent.
 */

/* size_gib is 0 for an offering of a fixed size, which refuses a size. */
struct cloud_call *cloud_create_volume(struct cloud *cloud, const char *name, const char *zone_id,
				       const char *offering_id, uint64_t size_gib,
				       const char *job_id, cloud_done_fn done, void *arg);
struct cloud_call *cloud_attach_volume(struct cloud *cloud, const char *volume_id,
				       const char *vm_id, const char *job_id, cloud_done_fn done,
				       void *arg);
struct cloud_call *cloud_detach_volume(struct cloud *cloud, const char *volume_id,
				       const char *job_id, cloud_done_fn done, void *arg);
/*
 * size_gib is the new size. shrink_ok allows a smaller one, which cuts off the data behind it;
 * otherwise CloudStack refuses to shrink a volume.
 */
struct cloud_call *cloud_resize_volume(struct cloud *cloud, const char *volume_id,
				       uint64_t size_gib, bool shrink_ok, const char *job_id,
				       cloud_done_fn done, void *arg);
/* destroyVolume with expunge: all data is gone. */
struct cloud_call *cloud_destroy_volume(struct cloud *cloud, const char *volume_id,
					const char *job_id, cloud_done_fn done, void *arg);
struct cloud_call *cloud_rename_volume(struct cloud *cloud, const char *volume_id, const char *name,
				       const char *job_id, cloud_done_fn done, void *arg);

struct cloud_volume_filter {
	const char *id;   /* NULL any */
	const char *name; /* exact: answers are checked again here */
	const char *vm_id;
	int64_t page; /* from 1; pages of CLOUD_PAGE_SIZE; 0 = no paging (for id and name) */
};
#define CLOUD_PAGE_SIZE 500
/*
 * An id CloudStack never knew is CLOUD_OK with count 0, like a deleted one. Lists of one id that
 * have to wait for their turn are sent together in one request, which a caller does not notice.
 */
struct cloud_call *cloud_list_volumes(struct cloud *cloud, const struct cloud_volume_filter *filter,
				      cloud_done_fn done, void *arg);
/* One query of a job. An id CloudStack does not know is CLOUD_REFUSED with ERR_NOT_FOUND. */
struct cloud_call *cloud_find_job(struct cloud *cloud, const char *job_id, cloud_done_fn done,
				  void *arg);
void cloud_call_cancel(struct cloud_call *call); /* not from inside done */

/*
 * Queries a job until it has ended, with back-off; trouble on the way (CLOUD_AWAY, CLOUD_UNKNOWN)
 * only delays the next query, by at most 30 s or poll_max_ms if that is longer. The first query
 * comes after poll_min_ms. If many jobs are watched, one list shows which of them still run, and
 * only the others are queried. done runs once: with CLOUD_OK and job_status succeeded or failed
 * (err says why), or with CLOUD_REFUSED. Then err is ERR_NOT_FOUND if CloudStack does not know the
 * job, and another error if CloudStack does not allow the query.
 */
struct cloud_job *cloud_job_watch(struct cloud *cloud, const char *job_id, cloud_done_fn done,
				  void *arg);
/*
 * For a caller that has a sign of the job's end: queries at once, and often again. Cheap to repeat;
 * not from inside the job's own done.
 */
void cloud_job_poke(struct cloud_job *job);
/* stop watching; the job itself goes on; not from inside done */
void cloud_job_cancel(struct cloud_job *job);

/*
 * The meaning of an error, for cases where CloudStack's codes are too broad (431 covers half of all
 * refusals) and only the text tells it. All are false for errors that don't come from CloudStack.
 * They hold for refused commands and failed jobs alike.
 */
/* the volume is attached to nothing: a detach has happened */
bool cloud_err_is_not_attached(const struct err *err);
/* the volume is attached already, to this VM or another */
bool cloud_err_is_attached(const struct err *err);
/* the job id is known: the command was accepted before */
bool cloud_err_is_duplicate_job(const struct err *err);
/*
 * The job ended because CloudStack lost it. Its effects are not undone, so the caller must look at
 * the volume.
 */
bool cloud_err_is_lost_job(const struct err *err);

struct cloud_health {
	/* CloudStack answers and knows our keys; a single lost answer does not count */
	bool usable;
	char reason[256];        /* "" if well; never holds a key or a URL with a key */
	int64_t usable_since_ms; /* clock_mono_ms() when this last became true, 0 never */
	int64_t last_answer_ms;  /* wall clock, 0 never */
	int64_t skew_ms;         /* server's Date minus our clock, at the last answer */
	/* clock_mono_ms() from which CloudStack may be asked again after a 429; 0 now */
	int64_t throttled_until_ms;
	uint64_t throttled; /* answers that were 429 */
	uint64_t calls;     /* requests sent, queries of jobs included */
	size_t in_flight;   /* on the wire and waiting */
};
void cloud_health(const struct cloud *cloud, struct cloud_health *out);
