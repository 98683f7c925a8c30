/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * CloudStack, one asynchronous function a command.
 *
 * Every answer is sorted into one of four outcomes, because what to do next depends on nothing
 * else: it worked, it was refused (final, with CloudStack's code and text), it certainly never
 * happened, or nobody can know. Job ids are chosen by the caller (customjobid) and must be durable
 * before the call.
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
 * Another address, other keys; copied. What is on the wire keeps those it was sent with, what waits
 * for its turn goes out with these. What was known about the old ones is forgotten. -1: they cannot
 * be right, and the old ones stay.
 */
int cloud_set_access(struct cloud *cloud, const char *url, const struct secret *api_key,
		     const struct secret *secret_key, struct err *err);
/* Asserts that no call or job is left; not from inside a done. Returns NULL, takes NULL. */
struct cloud *cloud_free(struct cloud *cloud);

enum cloud_outcome {
	CLOUD_OK,
	/* CloudStack said no; err is ERR_CLOUD (or ERR_NOT_FOUND where the text proves it) */
	CLOUD_REFUSED,
	/* it did not happen: no connection, 503, 429, 401 …; asking again later may work */
	CLOUD_AWAY,
	CLOUD_UNKNOWN /* sent, but the answer was lost or makes no sense; it may have happened.
			 Never a list or find */
};

enum cloud_job_status { CLOUD_JOB_PENDING, CLOUD_JOB_SUCCEEDED, CLOUD_JOB_FAILED };

struct cloud_volume {
	char *id;
	char *name;
	char *zone_id;
	char *type;        /* ROOT or DATADISK */
	char *state;       /* Allocated, Ready, … */
	char *vm_id;       /* NULL when detached */
	char *job_id;      /* a job under way on it, NULL when none */
	char *hypervisor;  /* only admins see it */
	uint64_t size;     /* bytes */
	int64_t device_id; /* -1 when detached */
	char *raw;         /* the whole object as JSON; "{}" beyond 64 KiB */
};

struct cloud_result {
	enum cloud_outcome outcome;
	/* also set for CLOUD_OK with CLOUD_JOB_FAILED: why the job failed */
	struct err err;
	/* of a submitted command: the id CloudStack really gave it; else NULL */
	const char *job_id;
	/* create: the new volume's id; finished job: its instance; else NULL */
	const char *entity_id;
	enum cloud_job_status job_status; /* find_job and watch_job */
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
/* CloudStack counts volumes in whole GiB; a part of one is one. */
static inline uint64_t cloud_gib(uint64_t bytes)
{
	return bytes / CLOUD_GIB + (bytes % CLOUD_GIB ? 1 : 0);
}

/* All: done runs once, on a later turn, unless cancelled. Cancelling does not undo what was
 * sent. */
/* size_gib is 0 for an offering of a fixed size, which refuses to be told one. */
struct cloud_call *cloud_create_volume(struct cloud *cloud, const char *name, const char *zone_id,
				       const char *offering_id, uint64_t size_gib,
				       const char *job_id, cloud_done_fn done, void *arg);
struct cloud_call *cloud_attach_volume(struct cloud *cloud, const char *volume_id,
				       const char *vm_id, const char *job_id, cloud_done_fn done,
				       void *arg);
struct cloud_call *cloud_detach_volume(struct cloud *cloud, const char *volume_id,
				       const char *job_id, cloud_done_fn done, void *arg);
/* To so many GiB in all. shrink_ok: also to fewer, which cuts off what lies behind; CloudStack
 * refuses it otherwise. */
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
	const char *name; /* exact, checked again on our side */
	const char *vm_id;
	int64_t page; /* from 1; pages of CLOUD_PAGE_SIZE; 0 = no paging (for id and name) */
};
#define CLOUD_PAGE_SIZE 500
/*
 * An id CloudStack never knew is CLOUD_OK with count 0, like a deleted one. Lists of one id that
 * have to wait for their turn go out together, in one request; that is not seen from here.
 */
struct cloud_call *cloud_list_volumes(struct cloud *cloud, const struct cloud_volume_filter *filter,
				      cloud_done_fn done, void *arg);
/* One query of a job. An id CloudStack does not know is CLOUD_REFUSED with ERR_NOT_FOUND. */
struct cloud_call *cloud_find_job(struct cloud *cloud, const char *job_id, cloud_done_fn done,
				  void *arg);
void cloud_call_cancel(struct cloud_call *call); /* not from inside done */

/*
 * Queries a job until it has ended, with back-off; trouble on the way (CLOUD_AWAY, CLOUD_UNKNOWN)
 * only delays, at most 30 s. The first query comes after poll_min_ms. When many jobs are watched,
 * one list tells which are still running, and only the others are queried. done runs once: CLOUD_OK
 * with job_status succeeded or failed (err says why), or CLOUD_REFUSED with ERR_NOT_FOUND when
 * CloudStack does not know the job, with another error when it does not let us ask.
 */
struct cloud_job *cloud_job_watch(struct cloud *cloud, const char *job_id, cloud_done_fn done,
				  void *arg);
/* Something suggests that it has ended: queries at once, and often again. Cheap to repeat; not from
 * inside its own done. */
void cloud_job_poke(struct cloud_job *job);
/* stop watching; the job itself goes on; not from inside done */
void cloud_job_cancel(struct cloud_job *job);

/*
 * What CloudStack meant, where its codes are too broad (431 covers half of all refusals) and only
 * the text tells. All are false for errors that don't come from CloudStack. They hold for refused
 * commands and failed jobs alike.
 */
/* the volume is attached to nothing: a detach has happened */
bool cloud_err_is_not_attached(const struct err *err);
/* the volume is attached already, to whichever VM */
bool cloud_err_is_attached(const struct err *err);
/* the job id is known: the command was accepted before */
bool cloud_err_is_duplicate_job(const struct err *err);
/* The job ended because CloudStack lost it; what it did is not undone, so the volume has to be
 * looked at. */
bool cloud_err_is_lost_job(const struct err *err);

struct cloud_health {
	/* CloudStack answers and knows our keys; a single lost answer does not count */
	bool usable;
	char reason[256];        /* "" when well; never holds a key or a URL with one */
	int64_t usable_since_ms; /* clock_mono_ms() of when it last became so, 0 never */
	int64_t last_answer_ms;  /* wall clock, 0 never */
	int64_t skew_ms;         /* server's Date minus our clock, at the last answer */
	/* clock_mono_ms() of when CloudStack may be asked again after a 429; 0 now */
	int64_t throttled_until_ms;
	uint64_t throttled; /* answers that were 429 */
	uint64_t calls;     /* requests sent, queries of jobs included */
	size_t in_flight;   /* on the wire and waiting */
};
void cloud_health(const struct cloud *cloud, struct cloud_health *out);
