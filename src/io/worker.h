/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A thread for work that can block. Jobs go in through one list, and results come back to the loop
 * through another; an eventfd wakes the loop. The thread takes all waiting jobs (at most max_batch)
 * as one batch, which makes group commit natural: jobs that arrive during one commit are the next
 * batch. Results that take the loop long are spread over several of its turns.
 */

#include "base/err.h"
#include "io/loop.h"

struct worker;

struct worker_job {
	STAILQ_ENTRY(worker_job) entry;
	int64_t since_ms;                     /* set by worker_submit() */
	void (*done)(struct worker_job *job); /* on the loop, in the order the jobs ended */
};
STAILQ_HEAD(worker_jobs, worker_job);

/*
 * Runs on the thread with 1 to max_batch jobs in the order of submission; it must leave all of them
 * in the list (order may change), ready for done().
 */
typedef void (*worker_run_fn)(void *context, struct worker_jobs *jobs, size_t count);

/*
 * NULL and ERR_UNAVAILABLE if this process may have no more threads or descriptors. Work that must
 * not fail for such a reason has its worker made when the daemon starts.
 */
struct worker *worker_new(struct loop *loop, const char *name, size_t max_batch, worker_run_fn run,
			  void *context, struct err *err);
/*
 * Waits for the job under way, runs the queued jobs, calls every done(), and returns NULL. A worker
 * that may hang without end is abandoned instead, see worker_abandon().
 */
struct worker *worker_free(struct worker *worker);
/*
 * For a thread stuck in the kernel: detaches it, drops its jobs without done(). Its context and the
 * jobs that it may hold (the oldest, at most max_batch) must outlive the thread. Returns NULL.
 */
struct worker *worker_abandon(struct worker *worker);
void worker_submit(struct worker *worker, struct worker_job *job);
size_t worker_pending(const struct worker *worker); /* submitted, done() not yet called */
/*
 * The time that the oldest job has waited for the thread, 0 if none: a job that has ended waits for
 * the loop, which may be late, and is no sign of a thread that hangs.
 */
int64_t worker_oldest_ms(const struct worker *worker);
