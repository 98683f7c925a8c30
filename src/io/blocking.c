/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Waiting for the kernel, but never without end.
 *
 * Each slot has a worker that runs one job at a time. The workers are made with the pool, when the
 * process still may have threads and descriptors. The deadline of a job runs from the moment when
 * the worker gets the job. A thread that sits in a call the kernel does not end cannot be stopped:
 * its worker is abandoned, the caller is told, and the slot gets a new worker for its next job; if
 * there can be none, calls wait for the other slots, and are refused if no slot works. Each such
 * thread costs a stack, so their number is bounded; their jobs stay in a list, which tells how many
 * threads hang, and with which work.
 *
 * The loop and a thread share a job. While the pool exists, only the loop frees the job: the thread
 * only notes that run() has returned. blocking_pool_free() swaps JOB_DROPPED into jobs that still
 * run, and the thread, which swaps in JOB_ENDED, frees the job if it finds JOB_DROPPED there.
 *
 * What a job has to give back is given back on a thread as well: the slot's worker gets the job a
 * second time, or, if the job was given up, its thread goes on with that at once.
 */

#include "io/blocking.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/log.h"

enum job_stage { JOB_WAITING, JOB_RUNNING, JOB_GIVEN_UP, JOB_ENDED, JOB_DROPPED };

struct job {
	struct worker_job job;
	TAILQ_ENTRY(job) entry; /* of the hung jobs; for the loop alone, like the slot */
	struct blocking_slot *slot;
	_Atomic(enum job_stage) stage;
	void (*run)(void *work);
	void (*discard)(void *work); /* NULL when there is nothing left for it */
	void (*free_work)(void *work);
	void *work;
	const char *doing;
	char *object;
};

struct blocking_slot {
	struct blocking_pool *pool;
	struct worker *worker;      /* NULL after a worker was abandoned or could not be made */
	struct job *job;            /* the worker's job, NULL if it is idle */
	struct blocking_call *call; /* waits for the job; NULL if idle or cancelled */
	struct loop_timer deadline;
};

struct blocking_pool {
	struct loop *loop;
	struct blocking_options options;
	struct blocking_slot *slots;
	/* in the order they began to wait, running calls included */
	TAILQ_HEAD(, blocking_call) calls;
	TAILQ_HEAD(, job) hung;
	struct err no_worker;  /* why the last worker could not be made */
	struct loop_task next; /* gives idle slots their next job */
};

static void job_free(struct job *job)
{
	job->free_work(job->work);
	free(job->object);
	free(job);
}

/* ---- the thread ---- */

static void thread_run(void *context, struct worker_jobs *jobs, size_t count)
{
	struct job *job = container_of(STAILQ_FIRST(jobs), struct job, job);
	enum job_stage stage = JOB_WAITING;

	assert(count == 1);
	if (!atomic_compare_exchange_strong(&job->stage, &stage, JOB_RUNNING))
		return; /* withdrawn: nothing is touched */
	job->run(job->work);
	stage = JOB_RUNNING;
	if (atomic_compare_exchange_strong(&job->stage, &stage, JOB_ENDED))
		return;
	if (job->discard)
		job->discard(job->work);
	/* The worker of a dropped job is abandoned, so no other thread reads the job any more. */
	if (atomic_exchange(&job->stage, JOB_ENDED) == JOB_DROPPED)
		job_free(job);
}

/* ---- threads that hang ---- */

/* Forgets the jobs whose thread has come back. Returns the number of the others. */
static size_t reap_hung(struct blocking_pool *pool)
{
	struct job *job, *following;
	size_t count = 0;

	for (job = TAILQ_FIRST(&pool->hung); job; job = following) {
		following = TAILQ_NEXT(job, entry);
		if (atomic_load(&job->stage) == JOB_ENDED) {
			TAILQ_REMOVE(&pool->hung, job, entry);
			job_free(job);
		} else {
			count++;
		}
	}
	return count;
}

/* The work on the call's object that a thread hangs with; NULL if no such work forbids the call. */
static const char *hung_with(const struct blocking_pool *pool, const struct blocking_call *call)
{
	const struct job *job;

	if (!pool->options.one_hangs_per_object || !call->object)
		return NULL;
	TAILQ_FOREACH(job, &pool->hung, entry) {
		if (job->object && streq(job->object, call->object))
			return job->doing;
	}
	return NULL;
}

bool blocking_pool_is_busy(struct blocking_pool *pool)
{
	for (size_t i = 0; i < pool->options.at_once; i++) {
		if (pool->slots[i].job)
			return true;
	}
	return reap_hung(pool) > 0;
}

/* ---- the end of a call ---- */

static void look_for_work(struct blocking_pool *pool)
{
	if (!TAILQ_EMPTY(&pool->calls))
		loop_task_queue(pool->loop, &pool->next);
}

static void leave(struct blocking_call *call)
{
	struct blocking_pool *pool = call->pool;

	TAILQ_REMOVE(&pool->calls, call, entry);
	loop_task_cancel(pool->loop, &call->refused);
	if (call->work)
		pool->options.free_work(TAKE_PTR(call->work));
	free(TAKE_PTR(call->what));
	free(TAKE_PTR(call->object));
	call->slot = NULL;
	look_for_work(pool);
}

/* done() may still use the pool, but must not free it. */
static void fail(struct blocking_call *call, const struct err *err)
{
	leave(call);
	call->done(call, NULL, err);
}

/* The work of the slot, from now on. */
static void submit(struct blocking_slot *slot, struct job *job)
{
	atomic_store(&job->stage, JOB_WAITING);
	slot->job = job;
	loop_deadline_set(slot->pool->loop, &slot->deadline, slot->pool->options.timeout_ms);
	worker_submit(slot->worker, &job->job);
}

/* A job that was withdrawn has not run, and the slot ends. */
static void discard_or_free(struct blocking_slot *slot, struct job *job)
{
	if (!job->discard || atomic_load(&job->stage) != JOB_ENDED) {
		job_free(job);
		return;
	}
	job->run = TAKE_PTR(job->discard);
	submit(slot, job);
}

static void on_job_done(struct worker_job *worker_job)
{
	struct job *job = container_of(worker_job, struct job, job);
	struct blocking_slot *slot = job->slot;
	struct blocking_call *call = TAKE_PTR(slot->call);
	struct err none = { 0 };

	slot->job = NULL;
	loop_timer_clear(slot->pool->loop, &slot->deadline);
	if (call)
		leave(call);
	look_for_work(slot->pool);
	if (call)
		call->done(call, job->work, &none);
	discard_or_free(slot, job);
}

/* Gives up the worker. Its thread keeps working on the job. */
static struct job *abandon(struct blocking_slot *slot)
{
	slot->worker = worker_abandon(slot->worker);
	loop_timer_clear(slot->pool->loop, &slot->deadline);
	return TAKE_PTR(slot->job);
}

static void on_deadline(struct loop_timer *timer)
{
	struct blocking_slot *slot = container_of(timer, struct blocking_slot, deadline);
	struct blocking_pool *pool = slot->pool;
	struct blocking_call *call = slot->call;
	struct job *job = slot->job;
	enum job_stage stage = JOB_RUNNING;
	struct err err = { 0 };
	const char *setting = pool->options.setting;

	atomic_compare_exchange_strong(&job->stage, &stage, JOB_GIVEN_UP);
	switch (stage) {
	case JOB_WAITING:
		/* A thread that has not begun does not hang: this machine is slow. */
		loop_deadline_set(pool->loop, timer, pool->options.timeout_ms);
		return;
	case JOB_ENDED:
		return; /* the result is on its way */
	case JOB_RUNNING:
		break;
	case JOB_GIVEN_UP:
	case JOB_DROPPED:
		abort();
	}
	slot->call = NULL;
	abandon(slot);
	TAILQ_INSERT_TAIL(&pool->hung, job, entry);
	look_for_work(pool);
	if (!call)
		return;
	err_set(&err, ERR_TIMEOUT, "%s did not end within %lld ms%s%s%s", call->what,
		(long long)pool->options.timeout_ms, setting ? " (" : "", str_or(setting, ""),
		setting ? ")" : "");
	fail(call, &err);
}

static void on_refused(struct loop_task *task)
{
	struct blocking_call *call = container_of(task, struct blocking_call, refused);
	struct err err = { 0 };

	if (call->hung_doing)
		err_set(&err, ERR_UNAVAILABLE,
			"%s has to wait: an earlier attempt at %s it still hangs", call->what,
			call->hung_doing);
	else if (call->pool->no_worker.code)
		err_set(&err, ERR_UNAVAILABLE, "%s is not begun: %s", call->what,
			call->pool->no_worker.text);
	else
		err_set(&err, ERR_UNAVAILABLE, "%s is not begun: %zu other calls still hang",
			call->what, call->pool->options.hung_max);
	fail(call, &err);
}

/* The call fails in a task of its own, since its done() may cancel any other call. */
static void refuse(struct blocking_call *call, const char *hung_doing)
{
	call->hung_doing = hung_doing;
	loop_task_queue(call->pool->loop, &call->refused);
}

/* ---- the beginning of a call ---- */

static struct blocking_call *first_waiting(const struct blocking_pool *pool)
{
	struct blocking_call *call;

	TAILQ_FOREACH(call, &pool->calls, entry) {
		if (!call->slot && !call->refused.queued)
			return call;
	}
	return NULL;
}

static void refuse_waiting(struct blocking_pool *pool)
{
	struct blocking_call *call;

	while ((call = first_waiting(pool)))
		refuse(call, NULL);
}

static void hand_over(struct blocking_slot *slot, struct blocking_call *call)
{
	const struct blocking_options *options = &slot->pool->options;
	struct job *job = xnew(struct job);

	job->job.done = on_job_done;
	job->slot = slot;
	job->run = options->run;
	job->discard = options->discard;
	job->free_work = options->free_work;
	job->work = TAKE_PTR(call->work);
	job->doing = call->doing;
	job->object = xstrdup(call->object);
	slot->call = call;
	call->slot = slot;
	submit(slot, job);
}

static bool has_worker(struct blocking_slot *slot, size_t hung)
{
	struct blocking_pool *pool = slot->pool;

	err_clear(&pool->no_worker);
	if (hung >= pool->options.hung_max)
		return false;
	if (!slot->worker)
		slot->worker = worker_new(pool->loop, pool->options.name, 1, thread_run, NULL,
					  &pool->no_worker);
	return slot->worker;
}

static void on_next(struct loop_task *task)
{
	struct blocking_pool *pool = container_of(task, struct blocking_pool, next);
	size_t hung = reap_hung(pool);
	bool works = false; /* a slot works */

	for (size_t i = 0; i < pool->options.at_once; i++) {
		struct blocking_slot *slot = &pool->slots[i];
		struct blocking_call *call = slot->job ? NULL : first_waiting(pool);
		const char *doing = call ? hung_with(pool, call) : NULL;

		if (doing) {
			refuse(call, doing); /* the calls behind this one begin after its answer */
			return;
		}
		if (call && has_worker(slot, hung))
			hand_over(slot, call);
		works = works || slot->job;
	}
	if (!works)
		refuse_waiting(pool);
}

void blocking_start(struct blocking_pool *pool, struct blocking_call *call, const char *doing,
		    const char *object, void *work)
{
	assert(call->done && doing && work);
	call->pool = pool;
	call->doing = doing;
	call->object = xstrdup(object);
	call->what = object ? xasprintf("%s %s", doing, object) : xstrdup(doing);
	call->work = work;
	call->refused.run = on_refused;
	TAILQ_INSERT_TAIL(&pool->calls, call, entry);
	loop_task_queue(pool->loop, &pool->next);
}

void blocking_cancel(struct blocking_call *call)
{
	if (call->slot)
		call->slot->call = NULL;
	leave(call);
}

struct blocking_call *blocking_first(const struct blocking_pool *pool)
{
	return TAILQ_FIRST(&pool->calls);
}

/* ---- life ---- */

struct blocking_pool *blocking_pool_new(struct loop *loop, const struct blocking_options *options)
{
	struct blocking_pool *pool = xnew(struct blocking_pool);

	assert(options->at_once > 0 && options->timeout_ms > 0 && options->run &&
	       options->free_work);
	pool->loop = loop;
	pool->options = *options;
	pool->next.run = on_next;
	TAILQ_INIT(&pool->calls);
	TAILQ_INIT(&pool->hung);
	pool->slots = xcalloc(options->at_once, sizeof(*pool->slots));
	for (size_t i = 0; i < options->at_once; i++) {
		pool->slots[i].pool = pool;
		pool->slots[i].deadline.fire = on_deadline;
		if (!has_worker(&pool->slots[i], 0))
			log_warning("%s; it is tried again when there is work for it",
				    pool->no_worker.text);
	}
	return pool;
}

/* From here on the thread owns its job, unless the thread has ended it. */
static void drop(struct job *job)
{
	if (atomic_exchange(&job->stage, JOB_DROPPED) == JOB_ENDED)
		job_free(job);
}

/* Does not wait for the kernel: a running job is abandoned, a job not yet begun is withdrawn. */
static void end_slot(struct blocking_slot *slot)
{
	enum job_stage stage = JOB_WAITING;

	if (slot->job && !atomic_compare_exchange_strong(&slot->job->stage, &stage, JOB_DROPPED))
		drop(abandon(slot));
	slot->worker = worker_free(slot->worker);
	loop_timer_clear(slot->pool->loop, &slot->deadline);
	assert(!slot->job);
}

void blocking_pool_set_timeout(struct blocking_pool *pool, int64_t timeout_ms)
{
	assert(timeout_ms > 0);
	pool->options.timeout_ms = timeout_ms;
}

struct blocking_pool *blocking_pool_free(struct blocking_pool *pool)
{
	struct job *job;

	if (!pool)
		return NULL;
	assert(TAILQ_EMPTY(&pool->calls));
	for (size_t i = 0; i < pool->options.at_once; i++)
		end_slot(&pool->slots[i]);
	while ((job = TAILQ_FIRST(&pool->hung))) {
		TAILQ_REMOVE(&pool->hung, job, entry);
		drop(job);
	}
	loop_task_cancel(pool->loop, &pool->next);
	free(pool->slots);
	free(pool);
	return NULL;
}
