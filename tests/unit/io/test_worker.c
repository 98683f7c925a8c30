/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches form by themselves while the thread is busy, every job comes back once, on the loop, in
 * order. */
#include "unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "io/worker.h"
#include "lack.h"

struct job {
	struct worker_job job;
	int number;
};

static struct loop *loop;
static pthread_t loop_thread;
static sem_t gate;    /* run() passes it once for each batch */
static sem_t entered; /* posted by run() when it has a batch */
static size_t batches[64];
static atomic_size_t batch_count;
static int ended[256];
static size_t ended_count, stop_at;

static int setup(void **state)
{
	loop = loop_new();
	loop_thread = pthread_self();
	sem_init(&gate, 0, 0);
	sem_init(&entered, 0, 0);
	batch_count = ended_count = stop_at = 0;
	return 0;
}

static int teardown(void **state)
{
	loop = loop_free(loop);
	sem_destroy(&gate);
	sem_destroy(&entered);
	return 0;
}

static void run_batch(void *context, struct worker_jobs *jobs, size_t count)
{
	struct worker_job *job;
	size_t seen = 0;

	assert_false(pthread_equal(pthread_self(), loop_thread));
	STAILQ_FOREACH(job, jobs, entry)
		seen++;
	assert_int_equal(seen, count);
	batches[batch_count++] = count;
	sem_post(&entered);
	sem_wait(&gate);
}

static void on_done(struct worker_job *job)
{
	assert_true(pthread_equal(pthread_self(), loop_thread));
	ended[ended_count++] = container_of(job, struct job, job)->number;
	if (ended_count == stop_at)
		loop_stop(loop);
}

static void submit(struct worker *worker, struct job *jobs, int from, int to)
{
	for (int i = from; i < to; i++) {
		jobs[i] = (struct job){ .job.done = on_done, .number = i };
		worker_submit(worker, &jobs[i].job);
	}
}

static void open_gate(int times)
{
	for (int i = 0; i < times; i++)
		sem_post(&gate);
}

static void run_until(size_t count)
{
	stop_at = count;
	if (ended_count < count)
		loop_run(loop);
	assert_int_equal(ended_count, count);
}

static void assert_in_order(size_t count)
{
	assert_int_equal(ended_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(ended[i], i);
}

static void what_waits_becomes_one_batch(void **state)
{
	struct worker *worker = worker_new(loop, "test", 256, run_batch, NULL, NULL);
	struct job jobs[101];

	submit(worker, jobs, 0, 1);
	sem_wait(&entered);           /* the thread is busy with the first... */
	submit(worker, jobs, 1, 101); /* ...while these gather */
	assert_int_equal(worker_pending(worker), 101);
	assert_int_equal(ended_count, 0);
	open_gate(2);
	run_until(101);
	assert_in_order(101);
	assert_int_equal(batch_count, 2);
	assert_int_equal(batches[0], 1);
	assert_int_equal(batches[1], 100);
	assert_int_equal(worker_pending(worker), 0);
	assert_null(worker_free(worker));
}

static void a_batch_has_its_largest_size(void **state)
{
	struct worker *worker = worker_new(loop, "test", 10, run_batch, NULL, NULL);
	struct job jobs[26];

	submit(worker, jobs, 0, 1);
	sem_wait(&entered);
	submit(worker, jobs, 1, 26);
	open_gate(4);
	run_until(26);
	assert_in_order(26);
	assert_int_equal(batch_count, 4);
	assert_int_equal(batches[1], 10);
	assert_int_equal(batches[2], 10);
	assert_int_equal(batches[3], 5);
	worker_free(worker);
}

static void never_inside_submit(void **state)
{
	struct worker *worker = worker_new(loop, "test", 1, run_batch, NULL, NULL);
	struct job jobs[2];

	open_gate(2);
	submit(worker, jobs, 0, 2);
	sem_wait(&entered);
	sem_wait(&entered); /* the first one has ended by now */
	assert_int_equal(ended_count, 0);
	run_until(2);
	worker_free(worker);
}

static void free_runs_what_is_queued(void **state)
{
	struct worker *worker = worker_new(loop, "test", 4, run_batch, NULL, NULL);
	struct job jobs[10];

	open_gate(10);
	submit(worker, jobs, 0, 10);
	worker_free(worker);
	assert_in_order(10);
}

static struct worker *chained;
static struct job second;

static void submit_second(struct worker_job *job)
{
	on_done(job);
	second = (struct job){ .job.done = on_done, .number = 1 };
	worker_submit(chained, &second.job);
}

static void free_runs_what_done_submits(void **state)
{
	struct job first = { .job.done = submit_second };

	chained = worker_new(loop, "test", 4, run_batch, NULL, NULL);
	open_gate(2);
	worker_submit(chained, &first.job);
	worker_free(chained);
	assert_in_order(2);
	assert_null(worker_free(NULL));
}

static void reverse_batch(void *context, struct worker_jobs *jobs, size_t count)
{
	struct worker_jobs turned = STAILQ_HEAD_INITIALIZER(turned);
	struct worker_job *job;

	run_batch(context, jobs, count);
	while ((job = STAILQ_FIRST(jobs))) {
		STAILQ_REMOVE_HEAD(jobs, entry);
		STAILQ_INSERT_HEAD(&turned, job, entry);
	}
	STAILQ_CONCAT(jobs, &turned);
}

static void run_may_reorder(void **state)
{
	struct worker *worker = worker_new(loop, "test", 256, reverse_batch, NULL, NULL);
	struct job jobs[4];

	submit(worker, jobs, 0, 1);
	sem_wait(&entered);
	submit(worker, jobs, 1, 4);
	open_gate(2);
	run_until(4);
	assert_memory_equal(ended, ((int[]){ 0, 3, 2, 1 }), 4 * sizeof(int));
	worker_free(worker);
}

static sigset_t thread_mask;

static void note_signals(void *context, struct worker_jobs *jobs, size_t count)
{
	pthread_sigmask(SIG_SETMASK, NULL, &thread_mask);
	assert_ptr_equal(context, &thread_mask);
}

static void signals_stay_with_the_loop(void **state)
{
	struct worker *worker = worker_new(loop, "a name longer than the kernel takes", 1,
					   note_signals, &thread_mask, NULL);
	static const int wanted[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGALRM, SIGPIPE };
	struct job job;
	sigset_t ours;

	submit(worker, &job, 0, 1);
	worker_free(worker);
	pthread_sigmask(SIG_SETMASK, NULL, &ours);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		assert_true(sigismember(&thread_mask, wanted[i]));
		assert_false(sigismember(&ours, wanted[i]));
	}
	assert_false(sigismember(&thread_mask, SIGSEGV));
}

static sem_t left;

static void hang_batch(void *context, struct worker_jobs *jobs, size_t count)
{
	run_batch(context, jobs, count);
	sem_post(&left);
}

static void abandoned_jobs_never_come_back(void **state)
{
	struct worker *worker = worker_new(loop, "test", 1, hang_batch, NULL, NULL);
	static struct job jobs[3];

	sem_init(&left, 0, 0);
	submit(worker, jobs, 0, 3);
	sem_wait(&entered);
	assert_null(worker_abandon(worker)); /* returns although the thread hangs */
	open_gate(3);
	sem_wait(&left); /* the thread comes back after all... */
	for (int i = 0; i < 10; i++)
		loop_turn(loop);
	assert_int_equal(ended_count, 0);
	assert_int_equal(batch_count, 1); /* ...and takes no more */
	assert_null(worker_abandon(NULL));
}

static void abandoned_while_idle(void **state)
{
	assert_null(worker_abandon(worker_new(loop, "test", 1, run_batch, NULL, NULL)));
}

static void a_lack_of_threads_or_descriptors_is_told(void **state)
{
	struct lack lack;
	struct err err = { 0 };

	lack_of_threads(&lack);
	assert_null(worker_new(loop, "test", 1, run_batch, NULL, &err));
	lack_end(&lack);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "thread test cannot be started"));

	err_clear(&err);
	lack_of_descriptors(&lack, 0);
	assert_null(worker_new(loop, "test", 1, run_batch, NULL, &err));
	lack_end(&lack);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "Too many open files"));
}

/* Last, as the clock is in our hands from here on. */
static void age_of_the_oldest(void **state)
{
	struct worker *worker;
	struct job jobs[3];

	clock_test_start(1000, 0);
	worker = worker_new(loop, "test", 1, run_batch, NULL, NULL);
	assert_int_equal(worker_oldest_ms(worker), 0);
	submit(worker, jobs, 0, 1);
	sem_wait(&entered);
	clock_test_advance(5);
	submit(worker, jobs, 1, 2);
	clock_test_advance(5);
	submit(worker, jobs, 2, 3);
	assert_int_equal(worker_oldest_ms(worker), 10); /* in the thread's hands */
	open_gate(1);
	sem_wait(&entered);
	/* The first has ended, and the loop is late; the thread has the second. */
	assert_int_equal(worker_oldest_ms(worker), 5);
	run_until(1);
	assert_int_equal(worker_oldest_ms(worker), 5);
	open_gate(1);
	sem_wait(&entered);
	run_until(2);
	clock_test_advance(7);
	assert_int_equal(worker_oldest_ms(worker), 7);
	open_gate(1);
	run_until(3);
	assert_int_equal(worker_oldest_ms(worker), 0);
	worker_free(worker);
}

#define TURN 1000 /* in ended[]: another part of the loop had its turn */

static struct worker *slow; /* whose results take the loop long */

static void on_turn(struct loop_task *task)
{
	ended[ended_count++] = TURN;
	if (worker_pending(slow) == 0)
		loop_stop(loop);
}

static void on_done_slowly(struct worker_job *job)
{
	static struct loop_task turn = { .run = on_turn };

	clock_test_advance(20);
	loop_task_queue(loop, &turn);
	on_done(job);
}

/* The clock stands still from here on. */
static void the_loop_goes_on_between_results_that_take_long(void **state)
{
	static const int story[] = { 0, TURN, 1, TURN, 2, TURN, 3, TURN };
	struct job jobs[4];

	slow = worker_new(loop, "test", 8, run_batch, NULL, NULL);
	clock_test_start(1000, 0);
	for (int i = 0; i < 4; i++) {
		jobs[i] = (struct job){ .job.done = on_done_slowly, .number = i };
		worker_submit(slow, &jobs[i].job);
		if (i == 0)
			sem_wait(&entered); /* the others are one batch */
	}
	open_gate(2);
	loop_run(loop);
	assert_int_equal(ended_count, ARRAY_SIZE(story));
	assert_memory_equal(ended, story, sizeof(story));
	worker_free(slow);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
RUN_TESTS(T(what_waits_becomes_one_batch), T(a_batch_has_its_largest_size), T(never_inside_submit),
	  T(free_runs_what_is_queued), T(free_runs_what_done_submits), T(run_may_reorder),
	  T(signals_stay_with_the_loop), T(abandoned_jobs_never_come_back), T(abandoned_while_idle),
	  T(a_lack_of_threads_or_descriptors_is_told), T(age_of_the_oldest),
	  T(the_loop_goes_on_between_results_that_take_long))
