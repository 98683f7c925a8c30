/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of cloud/ share. Private to cloud/. */

#include "cloud/cloud.h"
#include "cloud/cloud_reply.h"
#include "cloud/cloud_sign.h"
#include "io/http_client.h"

TAILQ_HEAD(cloud_call_list, cloud_call);
TAILQ_HEAD(cloud_job_list, cloud_job);

struct cloud {
	struct loop *loop;
	struct http_client *http;
	char *url;
	struct secret *api_key;
	struct secret *secret_key;
	int64_t timeout_ms;
	int64_t poll_min_ms;
	int64_t poll_max_ms;
	size_t max_parallel;

	struct cloud_call_list waiting; /* in the order of asking; signed only when their turn comes */
	struct cloud_call_list running; /* on the wire */
	size_t running_count;
	size_t waiting_count;
	struct cloud_throttle {
		int64_t not_before_ms; /* monotonic; CloudStack wants to hear nothing until then */
		size_t window;         /* how many may be on the wire: 1 after a 429, then one more each good answer */
		unsigned streak;       /* holds in a row */
	} throttle;
	struct loop_timer resume; /* armed while calls wait for not_before_ms */

	struct cloud_job_list jobs; /* all watches */
	size_t job_count;
	struct cloud_sweep {
		struct loop_task begin; /* looks that came due in one turn are made together */
		struct loop_timer timer;
		struct cloud_call *call; /* the page under way */
		int64_t page;
		char **ids; /* that CloudStack has listed so far */
		size_t count;
		int64_t next_ms;          /* monotonic; no sweep without need before that */
		int64_t refused_until_ms; /* monotonic; CloudStack does not let us list jobs */
		unsigned denied;          /* 401 in a row */
	} sweep;

	struct cloud_health health;
	unsigned lost; /* answers missing in a row */
};

/* --- calls: cloud.c --- */

enum cloud_command_id {
	CLOUD_COMMAND_CREATE_VOLUME,
	CLOUD_COMMAND_ATTACH_VOLUME,
	CLOUD_COMMAND_DETACH_VOLUME,
	CLOUD_COMMAND_RESIZE_VOLUME,
	CLOUD_COMMAND_DESTROY_VOLUME,
	CLOUD_COMMAND_UPDATE_VOLUME,
	CLOUD_COMMAND_LIST_VOLUMES,
	CLOUD_COMMAND_QUERY_JOB,
	CLOUD_COMMAND_LIST_JOBS,
	CLOUD_COMMAND_COUNT
};

struct cloud_command {
	const char *name; /* exactly so: CloudStack knows no listvolumes */
	const char *what; /* see struct cloud_question */
	enum cloud_reply_kind reply;
	bool change;
	bool optional; /* a role may lack it: being refused it says nothing about our keys */
};

#define CLOUD_PARAMS_MAX 8 /* of one command */

struct cloud_call {
	TAILQ_ENTRY(cloud_call) entry; /* in one of waiting, running or carrier->members; in none while done runs */
	struct cloud *cloud;
	const struct cloud_command *command;
	struct cloud_param params[CLOUD_PARAMS_MAX]; /* names are literals, values ours */
	size_t param_count;
	char *name;             /* see struct cloud_question */
	struct http_call *http; /* while on the wire */
	int64_t sent_ms;        /* monotonic */
	int64_t correction_ms;  /* what was added to our clock for `expires` */
	cloud_done_fn done;
	void *arg;

	const char *lookup;             /* a list of this one id, which can travel with others; borrowed from params */
	bool alone;                     /* but not again */
	struct cloud_call *carrier;     /* travels in it */
	struct cloud_call_list members; /* travel in this */
	size_t member_count;
};

/* done is NULL for one that carries others: they hear the answer. */
struct cloud_call *cloud_call_new(struct cloud *cloud, enum cloud_command_id id, cloud_done_fn done, void *arg);
void cloud_call_free(struct cloud_call *call);
/* name is a literal; NULL values are left out. */
void cloud_call_add(struct cloud_call *call, const char *name, const char *value);
void cloud_call_add_int(struct cloud_call *call, const char *name, int64_t value);
struct cloud_call *cloud_call_queue(struct cloud_call *call);
void cloud_call_unlink(struct cloud_call *call);
void cloud_call_requeue_first(struct cloud_call *call); /* was in no list; before all others */

/* --- lists of one volume that travel together: cloud_merge.c --- */

/* The call that has its turn and stands in no list, or one that carries it and all that can travel with it. */
struct cloud_call *cloud_merge(struct cloud_call *call);
/* Gives each member what concerns it, or puts it back to be asked alone. Runs their done. */
void cloud_merge_answer(struct cloud_call *carrier, const struct cloud_reply *reply, int http_status);

/* --- how much may be asked: cloud_throttle.c --- */

/* An answer has come; limited when it was a 429. */
void cloud_throttle_note(struct cloud *cloud, const struct cloud_call *call, const struct cloud_reply *reply);
int64_t cloud_throttle_wait_ms(const struct cloud *cloud); /* 0 when we may ask */
void cloud_throttle_health(const struct cloud *cloud, struct cloud_health *out);

/* --- jobs: cloud_job.c --- */

/* Our account's pending jobs, a page. result->jobs are their ids. */
struct cloud_call *cloud_list_jobs(struct cloud *cloud, int64_t page, cloud_done_fn done, void *arg);
void cloud_jobs_init(struct cloud *cloud);
void cloud_jobs_release(struct cloud *cloud);
/* What these keys may not do, others may. */
void cloud_jobs_allow(struct cloud *cloud);
