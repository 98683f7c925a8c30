/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Waiting for jobs to end.
 *
 * CloudStack tells nobody when a job is done; one has to look. A watch looks soon at first, since most jobs take
 * seconds, and then less and less often. What really makes the daemon quick is the poke: the kernel shows the new disk
 * a moment before the job is marked as done, so whoever sees it asks to look now, and the waits start over from the
 * short end, as the job is about to finish.
 *
 * Only an answer ends a watch. CloudStack being away, slow or in trouble says nothing about the job, so the watch goes
 * on with longer waits; how long to hope is decided by whoever started it. The waits are shortened by up to a quarter
 * at random, so that jobs begun together are not looked at together for ever.
 */

#include <assert.h>

#include "base/log.h"
#include "cloud/cloud_internal.h"

#define TROUBLE_MAX_MS 30000
#define JITTER_SHARE 4

struct cloud_job {
	TAILQ_ENTRY(cloud_job) entry;
	struct cloud *cloud;
	char *id;
	int64_t wait_ms;         /* before the next look */
	struct loop_timer timer; /* armed exactly while no look is under way */
	struct cloud_call *look;
	bool again; /* poked while looking: the answer may be older than the poke */
	cloud_done_fn done;
	void *arg;
};

static void job_free(struct cloud_job *job)
{
	free(job->id);
	free(job);
}

static int64_t shortened(int64_t wait_ms)
{
	uint32_t share = (uint32_t)(wait_ms / JITTER_SHARE);

	return wait_ms - (int64_t)arc4random_uniform(share + 1);
}

static int64_t doubled(int64_t wait_ms, int64_t max_ms)
{
	return wait_ms >= max_ms / 2 ? max_ms : wait_ms * 2;
}

static void on_look(void *arg, const struct cloud_result *result);

static void job_look(struct cloud_job *job)
{
	job->again = false;
	job->look = cloud_find_job(job->cloud, job->id, on_look, job);
}

static void on_timer(struct loop_timer *timer)
{
	job_look(container_of(timer, struct cloud_job, timer));
}

/* The next look, unless one was asked for meanwhile. max_ms bounds the wait after that. */
static void job_wait(struct cloud_job *job, int64_t max_ms)
{
	if (job->again) {
		job->wait_ms = job->cloud->poll_min_ms;
		job_look(job);
		return;
	}
	loop_timer_set(job->cloud->loop, &job->timer, shortened(job->wait_ms));
	job->wait_ms = doubled(job->wait_ms, max_ms);
}

static void on_look(void *arg, const struct cloud_result *result)
{
	struct cloud_job *job = arg;
	struct cloud *cloud = job->cloud;
	int64_t trouble_max = cloud->poll_max_ms > TROUBLE_MAX_MS ? cloud->poll_max_ms : TROUBLE_MAX_MS;

	job->look = NULL;
	switch (result->outcome) {
	case CLOUD_AWAY:
	case CLOUD_UNKNOWN:
		log_debug("cloud: job %s: no answer, looking again later", job->id);
		job_wait(job, trouble_max);
		return;
	case CLOUD_OK:
		if (result->job_status != CLOUD_JOB_PENDING)
			break;
		if (job->wait_ms > cloud->poll_max_ms)
			job->wait_ms = cloud->poll_max_ms;
		job_wait(job, cloud->poll_max_ms);
		return;
	case CLOUD_REFUSED:
		break;
	}
	TAILQ_REMOVE(&cloud->jobs, job, entry);
	job->done(job->arg, result);
	job_free(job);
}

struct cloud_job *cloud_job_watch(struct cloud *cloud, const char *job_id, cloud_done_fn done, void *arg)
{
	struct cloud_job *job = xnew(struct cloud_job);

	assert(cloud && !str_empty(job_id) && done);

	job->cloud = cloud;
	job->id = xstrdup(job_id);
	job->wait_ms = cloud->poll_min_ms;
	job->timer.fire = on_timer;
	job->done = done;
	job->arg = arg;
	TAILQ_INSERT_TAIL(&cloud->jobs, job, entry);
	job_wait(job, cloud->poll_max_ms);
	return job;
}

void cloud_job_poke(struct cloud_job *job)
{
	assert(job);

	if (job->look) {
		job->again = true;
		return;
	}
	loop_timer_clear(job->cloud->loop, &job->timer);
	job->wait_ms = job->cloud->poll_min_ms;
	job_look(job);
}

void cloud_job_cancel(struct cloud_job *job)
{
	assert(job);

	loop_timer_clear(job->cloud->loop, &job->timer);
	if (job->look)
		cloud_call_cancel(job->look);
	TAILQ_REMOVE(&job->cloud->jobs, job, entry);
	job_free(job);
}
