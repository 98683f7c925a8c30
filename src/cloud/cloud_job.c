/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Waiting for jobs to end.
 *
 * CloudStack does not report the end of a job, so it has to be asked. While nothing is known of a
 * kind of jobs, a watch queries soon at first, since most jobs take seconds, and then less and less
 * often. Each job that ends teaches how long its kind takes (cloud_pace.h), and from then on the
 * queries are placed around the expected end. A job that fails does so early; so even a job that is
 * expected to take long is queried after the longest ordinary wait, and again when it has taken
 * three times as long, but at least twice a minute. The poke makes the daemon quick: the kernel
 * shows the new disk a moment before CloudStack marks the job as done, so a caller that sees the
 * disk wants a query now, and the waits start over from the shortest, as the job is about to
 * finish.
 *
 * Only an answer ends a watch, or a query that is refused again and again (cloud_refusals.h). A
 * CloudStack that is away, slow or in trouble says nothing about the job, so the watch goes on with
 * longer waits. Waits for no expected moment are shortened by up to a quarter at random, so that
 * jobs begun together are not queried together again and again.
 *
 * With many watches, one list of CloudStack's pending jobs replaces the query of each: a scan. A
 * job that is listed still runs. A job that is not listed has ended, or is too young for the list,
 * or was missed because the pages shifted while they were read; so the job is queried by itself,
 * and that answer counts. If the object of the job shows the change, even that query is not needed:
 * the caller asks for the objects of many jobs in one request (cloud_merge.h). Some servers do not
 * let every account list jobs. Then every job is queried by itself, as with few watches.
 */

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud_command.h"
#include "cloud/cloud_error.h"
#include "cloud/cloud_job.h"
#include "cloud/cloud_pace.h"
#include "cloud/cloud_refusals.h"

#define TROUBLE_MAX_MS 30000
#define JITTER_SHARE 4
#define FEW 4                                /* up to so many jobs are queried one by one */
#define DENIED_MAX 2                         /* 401 in a row */
#define REFUSED_MS (INT64_C(60) * 60 * 1000) /* until listing is tried again */

/* One list of CloudStack's pending jobs, a page after the other. */
struct scan {
	struct loop_task begin; /* queries that came due in one turn are made together */
	struct loop_timer timer;
	struct cloud_walk *walk; /* under way, or NULL */
	char **ids;              /* the jobs that CloudStack has listed so far */
	size_t count;
	int64_t next_ms;          /* monotonic; no scan without need before that */
	int64_t refused_until_ms; /* monotonic; CloudStack does not let us list jobs */
	unsigned denied;          /* 401 in a row */
};

#define KINDS_MAX 32

struct job_kind {
	const char *name; /* NULL behind the last */
	struct cloud_pace pace;
};

TAILQ_HEAD(job_list, cloud_job);

struct cloud_jobs {
	struct loop *loop;
	struct cloud *cloud;
	int64_t poll_min_ms;
	int64_t poll_max_ms;
	struct job_list watched;
	struct job_list missed; /* of these, a list has just not shown them */
	size_t count;           /* of both */
	struct scan scan;
	struct job_kind kinds[KINDS_MAX + 1];
};

struct cloud_job {
	TAILQ_ENTRY(cloud_job) entry;
	struct job_list *in;
	struct cloud_jobs *jobs;
	char *id;
	struct job_kind *kind; /* NULL: the length of the job is not known, nor will it be */
	int64_t begun_ms;      /* monotonic */
	int64_t ran_ms;        /* how old it was when CloudStack was asked and said that it runs */
	int64_t asked_ms;      /* how old it was when it was queried last */
	int64_t due_ms;        /* how old it was, or shall be, when a query is due */
	int64_t gap_ms;        /* before the next query, once it could have ended; 0 not yet */
	bool inexact;          /* its end was not looked for as its kind asks */
	bool was_poked;
	int64_t wait_ms;         /* before the next query, if nothing is expected */
	struct loop_timer timer; /* armed exactly while no query is under way or due */
	struct cloud_call *query;
	bool again;    /* poked during a query: the answer may be older than the poke */
	bool due;      /* waits to be queried together with others */
	bool poked;    /* due, and urgent */
	bool in_scan;  /* the scan under way may list this job */
	bool unlisted; /* pending, but not in the list: only a query shows its state */
	bool list_is_enough;
	struct cloud_refusals refusals;
	int64_t running_ms; /* clock_waking_ms() when CloudStack last said that it runs; 0 never */
	char *trouble;      /* the error that came instead since then; NULL none */
	cloud_done_fn done;
	void *arg;
};

static void job_free(struct cloud_job *job)
{
	cloud_refusals_clear(&job->refusals);
	free(job->id);
	free(job->trouble);
	free(job);
}

char *cloud_job_seen(const struct cloud_job *job)
{
	_cleanup_free_ char *state = NULL;

	if (job->running_ms)
		state = xasprintf("job %s in progress, %lld s ago", job->id,
				  (long long)(clock_waking_ms() - job->running_ms) / 1000);
	else
		state = xasprintf("CloudStack has not told yet whether job %s runs", job->id);
	return xasprintf("%s%s%s", state, job->trouble ? "; since then: " : "",
			 str_or(job->trouble, ""));
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

static int64_t trouble_max_ms(const struct cloud_jobs *jobs)
{
	return jobs->poll_max_ms > TROUBLE_MAX_MS ? jobs->poll_max_ms : TROUBLE_MAX_MS;
}

/* How long it has been running for. */
static int64_t age_ms(const struct cloud_job *job)
{
	return clock_mono_ms() - job->begun_ms;
}

static bool is_expected(const struct cloud_job *job)
{
	return job->kind && cloud_pace_is_known(&job->kind->pace);
}

static bool may_scan(const struct cloud_jobs *jobs)
{
	return jobs->count > FEW && clock_mono_ms() >= jobs->scan.refused_until_ms;
}

static void on_query(void *arg, const struct cloud_result *result);

static void job_query(struct cloud_job *job)
{
	loop_timer_clear(job->jobs->loop, &job->timer);
	job->again = job->due = job->poked = job->in_scan = false;
	job->asked_ms = age_ms(job);
	job->query = cloud_find_job(job->jobs->cloud, job->id, on_query, job);
}

/* A query of the job is due: at once if few jobs are watched. */
static void job_due(struct cloud_job *job)
{
	if (!job->due && !may_scan(job->jobs)) {
		job_query(job);
		return;
	}
	loop_timer_clear(job->jobs->loop, &job->timer);
	job->due = true;
	loop_task_queue(job->jobs->loop, &job->jobs->scan.begin);
}

static void on_timer(struct loop_timer *timer)
{
	job_due(container_of(timer, struct cloud_job, timer));
}

static int64_t wait_unexpected(struct cloud_job *job, int64_t max_ms)
{
	int64_t wait_ms = shortened(job->wait_ms);

	job->wait_ms = doubled(job->wait_ms, max_ms);
	return wait_ms;
}

/* Waits for the expected end, or in small steps behind the time from which it could have come. */
static int64_t wait_expected(struct cloud_job *job)
{
	const struct cloud_pace *pace = &job->kind->pace;
	int64_t max_ms = job->jobs->poll_max_ms, age = age_ms(job), wait_ms;
	int64_t left_ms = cloud_pace_first_ms(pace) - age;

	if (job->gap_ms == 0 && left_ms > 0) {
		if (2 * age > max_ms)
			max_ms = 2 * age < trouble_max_ms(job->jobs) ? 2 * age
								     : trouble_max_ms(job->jobs);
		wait_ms = left_ms < max_ms ? left_ms : max_ms;
		if (!job->was_poked)
			return wait_ms;
		max_ms = wait_unexpected(job, job->jobs->poll_max_ms);
		return wait_ms < max_ms ? wait_ms : max_ms;
	}
	job->gap_ms = job->gap_ms ? cloud_pace_wider_ms(job->gap_ms) : cloud_pace_gap_ms(pace);
	if (job->gap_ms > max_ms)
		job->gap_ms = max_ms;
	return job->gap_ms;
}

/* Looks again at once. */
static void job_again(struct cloud_job *job)
{
	job->again = false;
	job->poked = job->was_poked = true;
	job->due_ms = age_ms(job);
	job->wait_ms = job->jobs->poll_min_ms;
	job->gap_ms = 0;
	job_due(job);
}

/* Waits for the next query, unless the job was poked meanwhile. */
static void job_wait(struct cloud_job *job)
{
	int64_t wait_ms;

	job->due = false;
	if (job->again) {
		job_again(job);
		return;
	}
	wait_ms = is_expected(job) ? wait_expected(job)
				   : wait_unexpected(job, job->jobs->poll_max_ms);
	job->due_ms = age_ms(job) + wait_ms;
	loop_timer_set(job->jobs->loop, &job->timer, wait_ms);
}

/* CloudStack gave no answer, and gets more and more time. */
static void job_wait_out(struct cloud_job *job, int64_t max_ms)
{
	job->due = false;
	job->inexact = true;
	if (job->again)
		job_again(job);
	else
		loop_timer_set(job->jobs->loop, &job->timer, wait_unexpected(job, max_ms));
}

/* CloudStack was asked for it when it was so old. */
static void job_still_runs(struct cloud_job *job, int64_t ran_ms)
{
	job->running_ms = clock_waking_ms();
	job->ran_ms = ran_ms;
	str_set(&job->trouble, NULL);
	loop_timer_clear(job->jobs->loop, &job->timer);
	if (job->wait_ms > job->jobs->poll_max_ms)
		job->wait_ms = job->jobs->poll_max_ms;
	job_wait(job);
}

static void job_unlink(struct cloud_job *job);

/* A daemon that was stopped for hours, or a machine that was paused, looks that much too late, and
 * so does a query that had to wait for its turn: such a look tells nothing of when the job ended.
 */
static bool is_exact(const struct cloud_job *job)
{
	return !job->inexact && age_ms(job) - job->due_ms <= job->jobs->poll_max_ms;
}

static void job_end(struct cloud_job *job, const struct cloud_result *result)
{
	/* A job that failed has ended before its time. */
	if (job->kind && is_exact(job) && result->outcome == CLOUD_OK &&
	    result->job_status == CLOUD_JOB_SUCCEEDED)
		cloud_pace_learn(&job->kind->pace, job->ran_ms, age_ms(job));
	job_unlink(job);
	job->done(job->arg, result);
	job_free(job);
}

static void on_no_answer(struct cloud_job *job, const struct cloud_result *result)
{
	struct cloud_result refused = *result;

	str_set(&job->trouble, result->err.text);
	if (!cloud_err_is_refusal(&result->err)) {
		cloud_refusals_clear(&job->refusals);
	} else if (cloud_refusals_note(&job->refusals, &result->err)) {
		refused.outcome = CLOUD_REFUSED;
		job_end(job, &refused);
		return;
	}
	log_debug("cloud: job %s: no answer, looking again later", job->id);
	/* The throttle keeps the queries from a CloudStack that limits them. */
	job_wait_out(job, result->err.code == ERR_TOO_MANY ? job->jobs->poll_max_ms
							   : trouble_max_ms(job->jobs));
}

static void on_query(void *arg, const struct cloud_result *result)
{
	struct cloud_job *job = arg;

	job->query = NULL;
	switch (result->outcome) {
	case CLOUD_AWAY:
	case CLOUD_UNKNOWN:
		on_no_answer(job, result);
		return;
	case CLOUD_OK:
		if (result->job_status != CLOUD_JOB_PENDING)
			break;
		cloud_refusals_clear(&job->refusals);
		job_still_runs(job, job->asked_ms);
		return;
	case CLOUD_REFUSED:
		break;
	}
	job_end(job, result);
}

/* --- scans --- */

static void scan_walk(struct cloud_jobs *jobs);

static void scan_clear(struct scan *scan)
{
	for (size_t i = 0; i < scan->count; i++)
		free(scan->ids[i]);
	free(scan->ids);
	scan->ids = NULL;
	scan->count = 0;
}

static void scan_start(struct cloud_jobs *jobs)
{
	struct cloud_job *job;

	loop_timer_clear(jobs->loop, &jobs->scan.timer);
	jobs->scan.next_ms = clock_mono_ms() + jobs->poll_min_ms;
	TAILQ_FOREACH(job, &jobs->watched, entry) {
		job->in_scan = !job->query;
		job->inexact = true; /* with many jobs, CloudStack lets some of them wait */
		job->poked = false;  /* a poke from now on may be younger than the list */
	}
	scan_walk(jobs);
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void move_to(struct cloud_job *job, struct job_list *list)
{
	if (job->in)
		TAILQ_REMOVE(job->in, job, entry);
	TAILQ_INSERT_TAIL(list, job, entry);
	job->in = list;
}

static void scan_judge(struct cloud_jobs *jobs, struct cloud_job *job, bool whole)
{
	struct scan *scan = &jobs->scan;
	const char *id = job->id;

	if (scan->count > 0 &&
	    bsearch(&id, scan->ids, scan->count, sizeof(*scan->ids), compare_ids)) {
		job->unlisted = false;
		job_still_runs(job, age_ms(job));
	} else if (whole && job->list_is_enough) {
		move_to(job, &jobs->missed);
	} else if (!job->unlisted || job->due || job->again) {
		job->unlisted = true;
		job_query(job);
	}
}

/* Each round begins with the first job, since done may cancel any other job. */
static void tell_missed(struct cloud_jobs *jobs)
{
	const struct cloud_result result = { .outcome = CLOUD_OK, .job_status = CLOUD_JOB_PENDING };
	struct cloud_job *job;

	while ((job = TAILQ_FIRST(&jobs->missed))) {
		loop_timer_clear(jobs->loop, &job->timer);
		job_end(job, &result);
	}
}

/* With or without a list, a job that is due is queried or waits for the next scan. */
static void scan_end(struct cloud_jobs *jobs, bool listed, bool whole)
{
	struct scan *scan = &jobs->scan;
	struct cloud_job *job, *next;

	if (scan->count > 0)
		qsort(scan->ids, scan->count, sizeof(*scan->ids), compare_ids);
	for (job = TAILQ_FIRST(&jobs->watched); job; job = next) {
		bool in_scan = job->in_scan;

		next = TAILQ_NEXT(job, entry);
		job->in_scan = false;
		if (!in_scan)
			continue;
		if (listed)
			scan_judge(jobs, job, whole);
		else if (job->due || job->again)
			job_wait_out(job, trouble_max_ms(jobs));
	}
	scan_clear(scan);
	loop_task_queue(jobs->loop, &scan->begin);
	tell_missed(jobs);
}

static void scan_refused(struct cloud_jobs *jobs, const struct err *err)
{
	struct cloud_job *job;

	log_notice(
		"cloud: jobs can't be listed, so each job is queried by itself from now on, which "
		"takes more requests: %s",
		err->text);
	jobs->scan.refused_until_ms = clock_mono_ms() + REFUSED_MS;
	scan_clear(&jobs->scan);
	TAILQ_FOREACH(job, &jobs->watched, entry) {
		job->in_scan = false;
		if (!job->query && (job->due || job->again))
			job_query(job);
	}
}

static void on_page(void *arg, const struct cloud_result *result)
{
	struct cloud_jobs *jobs = arg;
	struct scan *scan = &jobs->scan;

	if (result->count > 0)
		scan->ids = xrealloc(scan->ids, (scan->count + result->count) * sizeof(*scan->ids));
	for (size_t i = 0; i < result->count; i++)
		scan->ids[scan->count++] = xstrdup(result->jobs[i]);
}

static void on_walked(void *arg, const struct cloud_result *result)
{
	struct cloud_jobs *jobs = arg;
	struct scan *scan = &jobs->scan;

	scan->walk = NULL;
	/* A single 401 may mean only that the request was late. */
	scan->denied = result->err.cloud_code == CLOUD_CODE_UNAUTHORIZED ? scan->denied + 1 : 0;
	if (result->outcome == CLOUD_REFUSED || scan->denied >= DENIED_MAX)
		scan_refused(jobs, &result->err);
	else
		scan_end(jobs, result->outcome == CLOUD_OK || result->endless,
			 result->outcome == CLOUD_OK);
}

static void scan_walk(struct cloud_jobs *jobs)
{
	const struct cloud_list list = {
		.cloud = jobs->cloud,
		.what = "jobs",
		.ask = cloud_list_job_page,
		.size = &jobs->cloud->job_pages,
		.pages_max = CLOUD_JOB_PAGES_MAX,
	};

	jobs->scan.walk = cloud_walk_new(&list, on_page, on_walked, jobs);
}

/* Queries are due. A few poked jobs are worth a query each, which also tells how the job ended. */
static void on_scan_begin(struct loop_task *task)
{
	struct cloud_jobs *jobs = container_of(task, struct cloud_jobs, scan.begin);
	int64_t wait_ms = jobs->scan.next_ms - clock_mono_ms();
	size_t due = 0, poked = 0;
	struct cloud_job *job;

	if (jobs->scan.walk)
		return;
	TAILQ_FOREACH(job, &jobs->watched, entry) {
		due += job->due;
		poked += job->due && job->poked;
	}
	TAILQ_FOREACH(job, &jobs->watched, entry) {
		if (job->due && (!may_scan(jobs) || (job->poked && poked <= FEW))) {
			job_query(job);
			due--;
		}
	}
	if (due == 0)
		return;
	if (wait_ms <= 0 || poked > FEW)
		scan_start(jobs);
	else
		loop_timer_set(jobs->loop, &jobs->scan.timer, wait_ms);
}

static void on_scan_timer(struct loop_timer *timer)
{
	struct cloud_jobs *jobs = container_of(timer, struct cloud_jobs, scan.timer);

	loop_task_queue(jobs->loop, &jobs->scan.begin);
}

/* No job waits for a scan any more. */
static void scan_stop(struct cloud_jobs *jobs)
{
	loop_task_cancel(jobs->loop, &jobs->scan.begin);
	loop_timer_clear(jobs->loop, &jobs->scan.timer);
	if (jobs->scan.walk)
		cloud_walk_cancel(TAKE_PTR(jobs->scan.walk));
	scan_clear(&jobs->scan);
}

static void job_unlink(struct cloud_job *job)
{
	struct cloud_jobs *jobs = job->jobs;

	TAILQ_REMOVE(job->in, job, entry);
	if (--jobs->count == 0)
		scan_stop(jobs);
}

void cloud_jobs_allow(struct cloud_jobs *jobs)
{
	jobs->scan.refused_until_ms = 0;
	jobs->scan.denied = 0;
}

void cloud_jobs_set_pace(struct cloud_jobs *jobs, const struct cloud_options *options)
{
	jobs->poll_min_ms = options->poll_min_ms;
	jobs->poll_max_ms = options->poll_max_ms;
}

struct cloud_jobs *cloud_jobs_new(struct loop *loop, struct cloud *cloud,
				  const struct cloud_options *options)
{
	struct cloud_jobs *jobs = xnew(struct cloud_jobs);

	jobs->loop = loop;
	jobs->cloud = cloud;
	cloud_jobs_set_pace(jobs, options);
	TAILQ_INIT(&jobs->watched);
	TAILQ_INIT(&jobs->missed);
	jobs->scan.begin.run = on_scan_begin;
	jobs->scan.timer.fire = on_scan_timer;
	return jobs;
}

struct cloud_jobs *cloud_jobs_free(struct cloud_jobs *jobs)
{
	if (!jobs)
		return NULL;
	assert(TAILQ_EMPTY(&jobs->watched));

	scan_stop(jobs);
	free(jobs);
	return NULL;
}

/* --- watches --- */

static struct job_kind *find_kind(struct cloud_jobs *jobs, const char *name)
{
	struct job_kind *kind = jobs->kinds;

	while (kind->name && !streq(kind->name, name))
		kind++;
	assert(kind < &jobs->kinds[KINDS_MAX]);
	kind->name = name;
	return kind;
}

struct cloud_job *cloud_job_watch(struct cloud *cloud, const struct cloud_watch *watch,
				  cloud_done_fn done, void *arg)
{
	struct cloud_job *job = xnew(struct cloud_job);
	struct cloud_jobs *jobs = cloud->jobs;

	assert(!str_empty(watch->job_id) && done && !(watch->kind && watch->at_once));

	job->jobs = jobs;
	job->id = xstrdup(watch->job_id);
	job->kind = watch->kind ? find_kind(jobs, watch->kind) : NULL;
	job->list_is_enough = watch->list_is_enough;
	job->begun_ms = clock_mono_ms();
	job->wait_ms = jobs->poll_min_ms;
	job->timer.fire = on_timer;
	job->done = done;
	job->arg = arg;
	move_to(job, &jobs->watched);
	jobs->count++;
	if (watch->at_once)
		job_again(job);
	else
		job_wait(job);
	return job;
}

void cloud_job_poke(struct cloud_job *job)
{
	assert(job);

	if (job->query || job->in_scan) {
		job->again = true;
		return;
	}
	job_again(job);
}

void cloud_job_cancel(struct cloud_job *job)
{
	assert(job);

	loop_timer_clear(job->jobs->loop, &job->timer);
	if (job->query)
		cloud_call_cancel(job->query);
	job_unlink(job);
	job_free(job);
}
