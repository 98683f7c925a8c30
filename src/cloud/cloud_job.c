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
 *
 * With many watches, one list of CloudStack's pending jobs is a look at all of them: a sweep. What is listed still
 * runs. What is not listed has ended, or is too young for the list, or was missed because the pages shifted while they
 * were read; so it is looked at by itself, and that answer counts. Some servers do not let everybody list jobs, and then
 * every watch looks for itself as if it were one of a few.
 */

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud_error.h"
#include "cloud/cloud_internal.h"

#define TROUBLE_MAX_MS 30000
#define JITTER_SHARE 4
#define FEW 4                       /* so many looks are made one by one */
#define PAGES_MAX 20                /* an administrator's list holds everybody's jobs */
#define DENIED_MAX 2                /* 401 in a row */
#define REFUSED_MS (60 * 60 * 1000) /* then listing is tried again */

struct cloud_job {
	TAILQ_ENTRY(cloud_job) entry;
	struct cloud *cloud;
	char *id;
	int64_t wait_ms;         /* before the next look */
	struct loop_timer timer; /* armed exactly while no look is under way or due */
	struct cloud_call *look;
	bool again;    /* poked while looking: the answer may be older than the poke */
	bool due;      /* waits to be looked at together with others */
	bool poked;    /* due, and at once */
	bool swept;    /* the sweep under way may speak of it */
	bool unlisted; /* pending, but not in the list: only a look tells */
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

static int64_t trouble_max_ms(const struct cloud *cloud)
{
	return cloud->poll_max_ms > TROUBLE_MAX_MS ? cloud->poll_max_ms : TROUBLE_MAX_MS;
}

static bool may_sweep(const struct cloud *cloud)
{
	return cloud->job_count > FEW && clock_mono_ms() >= cloud->sweep.refused_until_ms;
}

static void on_look(void *arg, const struct cloud_result *result);

static void job_look(struct cloud_job *job)
{
	loop_timer_clear(job->cloud->loop, &job->timer);
	job->again = job->due = job->poked = job->swept = false;
	job->look = cloud_find_job(job->cloud, job->id, on_look, job);
}

/* It is time for a look: at once when it is one of a few. */
static void job_due(struct cloud_job *job)
{
	if (!job->due && !may_sweep(job->cloud)) {
		job_look(job);
		return;
	}
	loop_timer_clear(job->cloud->loop, &job->timer);
	job->due = true;
	loop_task_queue(job->cloud->loop, &job->cloud->sweep.begin);
}

static void on_timer(struct loop_timer *timer)
{
	job_due(container_of(timer, struct cloud_job, timer));
}

/* The next look, unless one was asked for meanwhile. max_ms bounds the wait after that. */
static void job_wait(struct cloud_job *job, int64_t max_ms)
{
	job->due = false;
	if (job->again) {
		job->again = false;
		job->poked = true;
		job->wait_ms = job->cloud->poll_min_ms;
		job_due(job);
		return;
	}
	loop_timer_set(job->cloud->loop, &job->timer, shortened(job->wait_ms));
	job->wait_ms = doubled(job->wait_ms, max_ms);
}

static void job_still_runs(struct cloud_job *job)
{
	loop_timer_clear(job->cloud->loop, &job->timer);
	if (job->wait_ms > job->cloud->poll_max_ms)
		job->wait_ms = job->cloud->poll_max_ms;
	job_wait(job, job->cloud->poll_max_ms);
}

static void job_unlink(struct cloud_job *job);

static void on_look(void *arg, const struct cloud_result *result)
{
	struct cloud_job *job = arg;
	struct cloud *cloud = job->cloud;
	job->look = NULL;
	switch (result->outcome) {
	case CLOUD_AWAY:
	case CLOUD_UNKNOWN:
		log_debug("cloud: job %s: no answer, looking again later", job->id);
		job_wait(job, trouble_max_ms(cloud));
		return;
	case CLOUD_OK:
		if (result->job_status != CLOUD_JOB_PENDING)
			break;
		job_still_runs(job);
		return;
	case CLOUD_REFUSED:
		break;
	}
	job_unlink(job);
	job->done(job->arg, result);
	job_free(job);
}

/* --- sweeps --- */

static void sweep_page(struct cloud *cloud);

static void sweep_clear(struct cloud_sweep *sweep)
{
	for (size_t i = 0; i < sweep->count; i++)
		free(sweep->ids[i]);
	free(sweep->ids);
	sweep->ids = NULL;
	sweep->count = 0;
}

static void sweep_start(struct cloud *cloud)
{
	struct cloud_job *job;

	loop_timer_clear(cloud->loop, &cloud->sweep.timer);
	cloud->sweep.next_ms = clock_mono_ms() + cloud->poll_min_ms;
	cloud->sweep.page = 1;
	TAILQ_FOREACH(job, &cloud->jobs, entry) {
		job->swept = !job->look;
		job->poked = false; /* what comes from now on may be younger than the list */
	}
	sweep_page(cloud);
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sweep_judge(struct cloud *cloud, struct cloud_job *job)
{
	struct cloud_sweep *sweep = &cloud->sweep;
	const char *id = job->id;

	if (sweep->count > 0 && bsearch(&id, sweep->ids, sweep->count, sizeof(*sweep->ids), compare_ids)) {
		job->unlisted = false;
		job_still_runs(job);
	} else if (!job->unlisted || job->due || job->again) {
		job->unlisted = true;
		job_look(job);
	}
}

/* Whatever came of it, whoever is due is looked at, or waits for the next. */
static void sweep_end(struct cloud *cloud, bool listed)
{
	struct cloud_sweep *sweep = &cloud->sweep;
	struct cloud_job *job;

	if (sweep->count > 0)
		qsort(sweep->ids, sweep->count, sizeof(*sweep->ids), compare_ids);
	TAILQ_FOREACH(job, &cloud->jobs, entry) {
		bool swept = job->swept;

		job->swept = false;
		if (!swept)
			continue;
		if (listed)
			sweep_judge(cloud, job);
		else if (job->due || job->again)
			job_wait(job, trouble_max_ms(cloud));
	}
	sweep_clear(sweep);
	loop_task_queue(cloud->loop, &sweep->begin);
}

static void sweep_refused(struct cloud *cloud, const struct err *err)
{
	struct cloud_job *job;

	log_notice("cloud: jobs can't be listed, so each is looked at by itself from now on, which takes more "
		   "requests: %s",
		   err->text);
	cloud->sweep.refused_until_ms = clock_mono_ms() + REFUSED_MS;
	sweep_clear(&cloud->sweep);
	TAILQ_FOREACH(job, &cloud->jobs, entry) {
		job->swept = false;
		if (job->due || job->again)
			job_look(job);
	}
}

static void on_page(void *arg, const struct cloud_result *result)
{
	struct cloud *cloud = arg;
	struct cloud_sweep *sweep = &cloud->sweep;

	sweep->call = NULL;
	/* A 401 can also be about our clock, which is told by it and put right with the next request. */
	sweep->denied = result->err.cloud_code == CLOUD_CODE_UNAUTHORIZED ? sweep->denied + 1 : 0;
	if (result->outcome == CLOUD_REFUSED || sweep->denied >= DENIED_MAX) {
		sweep_refused(cloud, &result->err);
		return;
	}
	if (result->outcome != CLOUD_OK) {
		sweep_end(cloud, false);
		return;
	}
	if (result->count > 0)
		sweep->ids = xrealloc(sweep->ids, (sweep->count + result->count) * sizeof(*sweep->ids));
	for (size_t i = 0; i < result->count; i++)
		sweep->ids[sweep->count++] = xstrdup(result->jobs[i]);
	if (result->count == 0 || (int64_t)sweep->count >= result->total || sweep->page == PAGES_MAX) {
		sweep_end(cloud, true);
		return;
	}
	sweep->page++;
	sweep_page(cloud);
}

static void sweep_page(struct cloud *cloud)
{
	cloud->sweep.call = cloud_list_jobs(cloud, cloud->sweep.page, on_page, cloud);
}

/* Looks have come due. A few that were poked are worth a look each, which tells how the job ended as well. */
static void on_sweep_begin(struct loop_task *task)
{
	struct cloud *cloud = container_of(task, struct cloud, sweep.begin);
	int64_t wait_ms = cloud->sweep.next_ms - clock_mono_ms();
	size_t due = 0, poked = 0;
	struct cloud_job *job;

	if (cloud->sweep.call)
		return;
	TAILQ_FOREACH(job, &cloud->jobs, entry) {
		due += job->due;
		poked += job->due && job->poked;
	}
	TAILQ_FOREACH(job, &cloud->jobs, entry) {
		if (job->due && (!may_sweep(cloud) || (job->poked && poked <= FEW))) {
			job_look(job);
			due--;
		}
	}
	if (due == 0)
		return;
	if (wait_ms <= 0 || poked > FEW)
		sweep_start(cloud);
	else
		loop_timer_set(cloud->loop, &cloud->sweep.timer, wait_ms);
}

static void on_sweep_timer(struct loop_timer *timer)
{
	struct cloud *cloud = container_of(timer, struct cloud, sweep.timer);

	loop_task_queue(cloud->loop, &cloud->sweep.begin);
}

void cloud_jobs_init(struct cloud *cloud)
{
	TAILQ_INIT(&cloud->jobs);
	cloud->sweep.begin.run = on_sweep_begin;
	cloud->sweep.timer.fire = on_sweep_timer;
}

/* A sweep for nobody is pointless. */
static void sweep_stop(struct cloud *cloud)
{
	loop_task_cancel(cloud->loop, &cloud->sweep.begin);
	loop_timer_clear(cloud->loop, &cloud->sweep.timer);
	if (cloud->sweep.call)
		cloud_call_cancel(TAKE_PTR(cloud->sweep.call));
	sweep_clear(&cloud->sweep);
}

static void job_unlink(struct cloud_job *job)
{
	struct cloud *cloud = job->cloud;

	TAILQ_REMOVE(&cloud->jobs, job, entry);
	if (--cloud->job_count == 0)
		sweep_stop(cloud);
}

void cloud_jobs_allow(struct cloud *cloud)
{
	cloud->sweep.refused_until_ms = 0;
	cloud->sweep.denied = 0;
}

void cloud_jobs_release(struct cloud *cloud)
{
	assert(TAILQ_EMPTY(&cloud->jobs));

	sweep_stop(cloud);
}

/* --- watches --- */

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
	cloud->job_count++;
	job_wait(job, cloud->poll_max_ms);
	return job;
}

void cloud_job_poke(struct cloud_job *job)
{
	assert(job);

	if (job->look || job->swept) {
		job->again = true;
		return;
	}
	job->wait_ms = job->cloud->poll_min_ms;
	job->poked = true;
	job_due(job);
}

void cloud_job_cancel(struct cloud_job *job)
{
	assert(job);

	loop_timer_clear(job->cloud->loop, &job->timer);
	if (job->look)
		cloud_call_cancel(job->look);
	job_unlink(job);
	job_free(job);
}
