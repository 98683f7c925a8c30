/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread and three lists. Jobs wait in `queue`; the thread takes the waiting jobs as one batch
 * (no timer delays it: while one batch is committed the next one gathers) and puts it on `ended`
 * after run(); the loop is woken by an eventfd and calls done() for each. The mutex guards the
 * lists and is never held while run() or done() works.
 *
 * The loop and the thread share the struct. Normally the loop frees it, after joining the thread;
 * if the worker hung in the kernel and was abandoned, the thread frees it, if the thread ever comes
 * back.
 */
#include "io/worker.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "base/clock.h"

#define DELIVER_MS 5 /* of one turn of the loop */

struct worker {
	/* The loop's alone. */
	struct event *event;
	size_t pending;
	bool delivering;
	pthread_t thread;

	/* Fixed. */
	size_t max_batch;
	worker_run_fn run;
	void *context;

	/* Under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* of queue, ended, stop */
	struct worker_jobs queue, ended;
	/* submission of the oldest job in the thread's hands; INT64_MAX if none */
	int64_t running_since;
	bool stop;
	bool abandoned;
	int wake_fd;
};

static void worker_destroy(struct worker *worker)
{
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
	pthread_cond_destroy(&worker->changed);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---- the thread ---- */

/* Moves up to max_batch jobs from the queue to batch, and returns their number. Needs the lock. */
static size_t take_batch(struct worker *worker, struct worker_jobs *batch)
{
	size_t count = 0;

	STAILQ_INIT(batch);
	while (count < worker->max_batch && !STAILQ_EMPTY(&worker->queue)) {
		struct worker_job *job = STAILQ_FIRST(&worker->queue);

		STAILQ_REMOVE_HEAD(&worker->queue, entry);
		STAILQ_INSERT_TAIL(batch, job, entry);
		if (count++ == 0)
			worker->running_since = job->since_ms;
	}
	return count;
}

/* Hands jobs to the loop. Needs the lock. */
static void put_ended(struct worker *worker, struct worker_jobs *batch)
{
	uint64_t one = 1;

	STAILQ_CONCAT(&worker->ended, batch);
	pthread_cond_broadcast(&worker->changed);
	/*
	 * Cannot fail: the counter is far from its end, and EINTR does not happen with all signals
	 * blocked.
	 */
	if (write(worker->wake_fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;
	bool abandoned;

	pthread_mutex_lock(&worker->lock);
	while (!worker->abandoned) {
		struct worker_jobs batch;
		size_t count = take_batch(worker, &batch);

		if (count == 0) {
			if (worker->stop)
				break;
			pthread_cond_wait(&worker->changed, &worker->lock);
			continue;
		}
		pthread_mutex_unlock(&worker->lock);
		worker->run(worker->context, &batch, count);
		pthread_mutex_lock(&worker->lock);
		worker->running_since = INT64_MAX;
		if (!worker->abandoned)
			put_ended(worker, &batch);
	}
	abandoned = worker->abandoned;
	pthread_mutex_unlock(&worker->lock);
	if (abandoned)
		worker_destroy(worker);
	return NULL;
}

/*
 * Signals are for the loop's thread; a signal raised by a fault must stay deliverable to the thread
 * at fault.
 */
static int thread_start(struct worker *worker, const char *name, struct err *err)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP };
	char short_name[16];
	sigset_t blocked, before;
	int r;

	sigfillset(&blocked);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&blocked, faults[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	r = pthread_create(&worker->thread, NULL, worker_thread, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return err_set(err, ERR_UNAVAILABLE, "the thread %s cannot be started: %s", name,
			       strerror(r));
	/* The kernel takes 15 characters. */
	strncpy(short_name, name, sizeof(short_name) - 1);
	short_name[sizeof(short_name) - 1] = '\0';
	pthread_setname_np(worker->thread, short_name);
	return 0;
}

/* ---- the loop's side ---- */

/* Calls done() for jobs that have ended: for all of them, or as many as go into the time. The next
 * turn goes on with the others, and with those that end meanwhile: a thread that is faster than
 * done() would keep the loop for itself. */
static void deliver(struct worker *worker, int64_t max_ms)
{
	struct worker_jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	int64_t since = clock_mono_ms();

	pthread_mutex_lock(&worker->lock);
	STAILQ_CONCAT(&jobs, &worker->ended);
	pthread_mutex_unlock(&worker->lock);

	worker->delivering = true;
	while (!STAILQ_EMPTY(&jobs) && clock_mono_ms() - since <= max_ms) {
		struct worker_job *job = STAILQ_FIRST(&jobs);

		STAILQ_REMOVE_HEAD(&jobs, entry);
		worker->pending--;
		job->done(job); /* may free it */
	}
	worker->delivering = false;
	if (STAILQ_EMPTY(&jobs))
		return;

	pthread_mutex_lock(&worker->lock);
	STAILQ_CONCAT(&jobs, &worker->ended);
	put_ended(worker, &jobs);
	pthread_mutex_unlock(&worker->lock);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN);
	deliver(arg, DELIVER_MS);
}

static int open_wake(struct worker *worker, struct loop *loop, const char *name, struct err *err)
{
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake_fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "the thread %s cannot be started: %s", name,
			       strerror(errno));
	worker->event =
		event_new(loop_base(loop), worker->wake_fd, EV_READ | EV_PERSIST, on_wake, worker);
	if (!worker->event || event_add(worker->event, NULL) < 0)
		abort(); /* out of memory */
	return 0;
}

static struct worker *worker_drop(struct worker *worker)
{
	if (worker->event)
		event_free(worker->event);
	worker_destroy(worker);
	return NULL;
}

struct worker *worker_new(struct loop *loop, const char *name, size_t max_batch, worker_run_fn run,
			  void *context, struct err *err)
{
	struct worker *worker = xnew(struct worker);

	assert(max_batch > 0 && run);
	worker->max_batch = max_batch;
	worker->run = run;
	worker->context = context;
	worker->running_since = INT64_MAX;
	STAILQ_INIT(&worker->queue);
	STAILQ_INIT(&worker->ended);
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->changed, NULL);
	if (open_wake(worker, loop, name, err) < 0 || thread_start(worker, name, err) < 0)
		return worker_drop(worker);
	return worker;
}

void worker_submit(struct worker *worker, struct worker_job *job)
{
	assert(job->done);
	job->since_ms = clock_waking_ms();
	worker->pending++;
	pthread_mutex_lock(&worker->lock);
	assert(!worker->stop && !worker->abandoned);
	STAILQ_INSERT_TAIL(&worker->queue, job, entry);
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->lock);
}

/* Blocks until a job has ended. */
static void wait_for_ended(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	while (STAILQ_EMPTY(&worker->ended))
		pthread_cond_wait(&worker->changed, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

struct worker *worker_free(struct worker *worker)
{
	if (!worker)
		return NULL;
	assert(!worker->delivering);
	/* done() may submit more jobs, which run, too. */
	while (worker->pending > 0) {
		wait_for_ended(worker);
		deliver(worker, INT64_MAX);
	}
	pthread_mutex_lock(&worker->lock);
	worker->stop = true;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	return worker_drop(worker);
}

struct worker *worker_abandon(struct worker *worker)
{
	if (!worker)
		return NULL;
	assert(!worker->delivering);
	event_free(worker->event);
	worker->event = NULL;
	pthread_detach(worker->thread);
	pthread_mutex_lock(&worker->lock);
	worker->abandoned = true;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->lock); /* from here on the thread owns the worker */
	return NULL;
}

size_t worker_pending(const struct worker *worker)
{
	return worker->pending;
}

int64_t worker_oldest_ms(const struct worker *worker)
{
	/* The caller's const does not apply to the lock. */
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&worker->lock;
	int64_t oldest;
	const struct worker_job *first;

	pthread_mutex_lock(lock);
	oldest = worker->running_since;
	first = STAILQ_FIRST(&worker->queue);
	if (first)
		oldest = earlier(oldest, first->since_ms);
	pthread_mutex_unlock(lock);
	return oldest == INT64_MAX ? 0 : clock_waking_ms() - oldest;
}
