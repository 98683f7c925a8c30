/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Waiting for the kernel without ever waiting for ever.
 *
 * Each lane has a worker that runs one job at a time. The deadline of a job runs from the moment it is handed to the
 * worker. A thread that sits in a call the kernel does not end cannot be stopped: its worker is abandoned, whoever waits
 * is told, and the lane gets a new worker for its next job. Each such thread costs a stack, so their number is bounded.
 *
 * A job is what the loop and a thread share. Who lets go last frees it, decided by one exchange on its stage. The loop
 * takes JOB_WAITING to JOB_DROPPED to take back what the thread has not begun, and swaps JOB_DROPPED into one it gives
 * up; the thread swaps in JOB_ENDED when it is through, and frees the job if it finds it dropped.
 */

#include "io/blocking.h"

#include <assert.h>
#include <stdatomic.h>

enum job_stage { JOB_WAITING, JOB_RUNNING, JOB_ENDED, JOB_DROPPED };

/* Threads that hang, and the patient itself while it lives. Shared by all of them, freed by the last. */
struct owners {
	atomic_uint count;
};

struct job {
	struct worker_job job;
	struct patient_lane *lane; /* the loop's alone */
	struct owners *owners;     /* the thread's share, once it is dropped */
	_Atomic(enum job_stage) stage;
	void (*run)(void *work);
	void (*free_work)(void *work);
	void *work;
};

struct patient_lane {
	struct patient *patient;
	struct worker *worker;     /* NULL until needed, and after one was abandoned */
	struct job *job;           /* what the worker has, NULL when it is idle */
	struct patient_call *call; /* who waits for it; NULL when idle or cancelled */
	struct loop_timer deadline;
};

struct patient {
	struct loop *loop;
	struct patient_options options;
	struct owners *owners;
	struct patient_lane *lanes;
	TAILQ_HEAD(, patient_call) calls; /* in the order they began to wait; those that run included */
	struct loop_task next;            /* gives idle lanes their next job */
};

/* ---- shared by loop and thread ---- */

static void owners_leave(struct owners *owners)
{
	if (atomic_fetch_sub(&owners->count, 1) == 1)
		free(owners);
}

static void job_free(struct job *job)
{
	job->free_work(job->work);
	free(job);
}

/* ---- the thread ---- */

static void thread_run(void *context, struct worker_jobs *jobs, size_t count)
{
	struct job *job = container_of(STAILQ_FIRST(jobs), struct job, job);
	enum job_stage stage = JOB_WAITING;

	assert(count == 1);
	if (!atomic_compare_exchange_strong(&job->stage, &stage, JOB_RUNNING))
		return; /* taken back: nothing is touched */
	job->run(job->work);
	if (atomic_exchange(&job->stage, JOB_ENDED) != JOB_DROPPED)
		return;
	/* The worker is abandoned already, so nobody else looks at its jobs any more. */
	owners_leave(job->owners);
	job_free(job);
}

/* ---- the loop's side ---- */

static void leave(struct patient_call *call)
{
	struct patient *patient = call->patient;

	TAILQ_REMOVE(&patient->calls, call, entry);
	loop_task_cancel(patient->loop, &call->refused);
	if (call->work)
		patient->options.free_work(TAKE_PTR(call->work));
	free(TAKE_PTR(call->what));
	call->lane = NULL;
}

/* The patient may still be used, but is not freed, by done(). */
static void fail(struct patient_call *call, const struct err *err)
{
	leave(call);
	call->done(call, NULL, err);
}

static void look_for_work(struct patient *patient)
{
	if (!TAILQ_EMPTY(&patient->calls))
		loop_task_queue(patient->loop, &patient->next);
}

static void on_job_done(struct worker_job *worker_job)
{
	struct job *job = container_of(worker_job, struct job, job);
	struct patient_lane *lane = job->lane;
	struct patient_call *call = TAKE_PTR(lane->call);
	struct err none = { 0 };

	lane->job = NULL;
	loop_timer_clear(lane->patient->loop, &lane->deadline);
	if (call)
		leave(call);
	look_for_work(lane->patient);
	if (call)
		call->done(call, job->work, &none);
	job_free(job);
}

/* Gives up on the worker, and on what it does. */
static void abandon(struct patient_lane *lane)
{
	struct patient *patient = lane->patient;
	struct job *job = TAKE_PTR(lane->job);

	atomic_fetch_add(&patient->owners->count, 1);
	job->owners = patient->owners;
	lane->worker = worker_abandon(lane->worker);
	loop_timer_clear(patient->loop, &lane->deadline);
	if (atomic_exchange(&job->stage, JOB_DROPPED) == JOB_ENDED) {
		/* It came back in the last moment: the thread is free and needs its share no more. */
		owners_leave(patient->owners);
		job_free(job);
	}
}

static void on_deadline(struct loop_timer *timer)
{
	struct patient_lane *lane = container_of(timer, struct patient_lane, deadline);
	struct patient *patient = lane->patient;
	struct patient_call *call = lane->call;
	struct err err = { 0 };

	/* A thread that has not begun is not stuck; this machine is slow. */
	if (atomic_load(&lane->job->stage) == JOB_WAITING) {
		loop_timer_set(patient->loop, timer, patient->options.timeout_ms);
		return;
	}
	lane->call = NULL;
	abandon(lane);
	look_for_work(patient);
	if (!call)
		return;
	err_set(&err, ERR_TIMEOUT, "%s did not end within %lld ms", call->what, (long long)patient->options.timeout_ms);
	fail(call, &err);
}

static void refuse(struct loop_task *task)
{
	struct patient_call *call = container_of(task, struct patient_call, refused);
	struct err err = { 0 };

	err_set(&err, ERR_UNAVAILABLE, "%s is not begun: %zu others still hang", call->what,
		call->patient->options.stuck_max);
	fail(call, &err);
}

static bool is_waiting(const struct patient_call *call)
{
	return !call->lane && !call->refused.queued;
}

/* Refuses all that wait; each by a task of its own, since an answer may cancel any of the others. */
static void refuse_waiting(struct patient *patient)
{
	struct patient_call *call;

	TAILQ_FOREACH(call, &patient->calls, entry) {
		if (is_waiting(call))
			loop_task_queue(patient->loop, &call->refused);
	}
}

static struct patient_call *first_waiting(const struct patient *patient)
{
	struct patient_call *call;

	TAILQ_FOREACH(call, &patient->calls, entry) {
		if (is_waiting(call))
			return call;
	}
	return NULL;
}

static void hand_over(struct patient_lane *lane, struct patient_call *call)
{
	struct patient *patient = lane->patient;
	struct job *job = xnew(struct job);

	job->job.done = on_job_done;
	job->lane = lane;
	job->run = patient->options.run;
	job->free_work = patient->options.free_work;
	job->work = TAKE_PTR(call->work);
	lane->job = job;
	lane->call = call;
	call->lane = lane;
	loop_timer_set(patient->loop, &lane->deadline, patient->options.timeout_ms);
	worker_submit(lane->worker, &job->job);
}

static bool has_worker(struct patient_lane *lane)
{
	struct patient *patient = lane->patient;

	if (!lane->worker && atomic_load(&patient->owners->count) - 1 < patient->options.stuck_max)
		lane->worker = worker_new(patient->loop, patient->options.name, 1, thread_run, NULL);
	return lane->worker;
}

static void on_next(struct loop_task *task)
{
	struct patient *patient = container_of(task, struct patient, next);
	struct patient_call *call = first_waiting(patient);
	bool works = false; /* some lane does */

	for (size_t i = 0; i < patient->options.at_once && call; i++) {
		struct patient_lane *lane = &patient->lanes[i];

		if (!lane->job && has_worker(lane)) {
			hand_over(lane, call);
			call = first_waiting(patient);
		}
		works = works || lane->job;
	}
	if (call && !works)
		refuse_waiting(patient);
}

struct patient *patient_new(struct loop *loop, const struct patient_options *options)
{
	struct patient *patient = xnew(struct patient);

	assert(options->at_once > 0 && options->timeout_ms > 0 && options->run && options->free_work);
	patient->loop = loop;
	patient->options = *options;
	patient->owners = xnew(struct owners);
	atomic_init(&patient->owners->count, 1);
	patient->next.run = on_next;
	TAILQ_INIT(&patient->calls);
	patient->lanes = xcalloc(options->at_once, sizeof(*patient->lanes));
	for (size_t i = 0; i < options->at_once; i++) {
		patient->lanes[i].patient = patient;
		patient->lanes[i].deadline.fire = on_deadline;
	}
	return patient;
}

/* Without waiting for the kernel: what runs is abandoned, what has not begun is taken back. */
static void end_lane(struct patient_lane *lane)
{
	enum job_stage stage = JOB_WAITING;

	if (lane->job && !atomic_compare_exchange_strong(&lane->job->stage, &stage, JOB_DROPPED))
		abandon(lane);
	lane->worker = worker_free(lane->worker);
	loop_timer_clear(lane->patient->loop, &lane->deadline);
	assert(!lane->job);
}

struct patient *patient_free(struct patient *patient)
{
	if (!patient)
		return NULL;
	assert(TAILQ_EMPTY(&patient->calls));
	for (size_t i = 0; i < patient->options.at_once; i++)
		end_lane(&patient->lanes[i]);
	loop_task_cancel(patient->loop, &patient->next);
	owners_leave(patient->owners);
	free(patient->lanes);
	free(patient);
	return NULL;
}

void patient_start(struct patient *patient, struct patient_call *call, char *what, void *work)
{
	assert(call->done && what && work);
	call->patient = patient;
	call->what = what;
	call->work = work;
	call->refused.run = refuse;
	TAILQ_INSERT_TAIL(&patient->calls, call, entry);
	loop_task_queue(patient->loop, &patient->next);
}

void patient_cancel(struct patient_call *call)
{
	if (call->lane)
		call->lane->call = NULL;
	leave(call);
}

struct patient_call *patient_first(const struct patient *patient)
{
	return TAILQ_FIRST(&patient->calls);
}
