/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Worker threads for work that may hang in the kernel without end: a disk that does not answer a
 * read, a flush, device mapper.
 *
 * At most at_once calls run side by side; the others wait in line. A call that does not end within
 * timeout_ms after it was begun is given up (ERR_TIMEOUT). Its thread cannot be stopped, so the
 * thread is left behind and the next call gets a new one; while hung_max threads hang, or if this
 * process may have no more threads, calls are refused (ERR_UNAVAILABLE). Nothing ever waits for a
 * thread that hangs.
 */

#include "base/err.h"
#include "io/worker.h"

struct blocking_pool;
struct blocking_slot;

struct blocking_options {
	const char *name; /* of the threads */
	size_t at_once;
	size_t hung_max;
	int64_t timeout_ms;
	const char *setting; /* the key that sets timeout_ms, for errors; NULL: none does */
	/*
	 * While a thread hangs with an object, other calls on the same object are refused
	 * (ERR_UNAVAILABLE).
	 */
	bool one_hangs_per_object;
	void (*run)(void *work); /* on a thread */
	/*
	 * On a thread, when run() has ended and done() has returned, if there was one to run: gives
	 * back what may block (a descriptor of a disk), also of a call that was cancelled or given
	 * up. NULL: there is nothing of the kind. free_work runs without it if the pool is freed.
	 */
	void (*discard)(void *work);
	/* on the loop; on its thread if the pool was freed before the thread came back */
	void (*free_work)(void *work);
};

/* Embedded in the owner's struct for the call. */
struct blocking_call {
	/*
	 * On the loop, never inside blocking_start(): the call is over, and its owner may free it.
	 * work is the result of run(), valid until done returns; NULL if err says why there is no
	 * result.
	 */
	void (*done)(struct blocking_call *call, void *work, const struct err *err);
	/* blocking.c's own */
	const char *doing;
	char *object, *what;
	TAILQ_ENTRY(blocking_call) entry;
	struct blocking_pool *pool;
	struct blocking_slot *slot; /* runs the call, NULL while the call waits */
	void *work;                 /* NULL once a slot has the work */
	/* refused because this work hangs with the object; NULL: because too many threads hang */
	const char *hung_doing;
	struct loop_task refused;
};

struct blocking_pool *blocking_pool_new(struct loop *loop, const struct blocking_options *options);
/*
 * All calls must have been cancelled. Threads that still run are left behind. Returns NULL, takes
 * NULL.
 */
struct blocking_pool *blocking_pool_free(struct blocking_pool *pool);
/* For calls that begin from now on. */
void blocking_pool_set_timeout(struct blocking_pool *pool, int64_t timeout_ms);
/* True if a thread still works, also for a call that was given up or cancelled. */
bool blocking_pool_is_busy(struct blocking_pool *pool);
/*
 * doing ("reading", a literal) and object ("/dev/vdb", copied; NULL: none) begin the text of
 * errors. Takes the work over; until done() the work belongs to the thread alone.
 */
void blocking_start(struct blocking_pool *pool, struct blocking_call *call, const char *doing,
		    const char *object, void *work);
/* done will not run; work under way goes on to its end or its deadline. Not from inside done. */
void blocking_cancel(struct blocking_call *call);
/* A call that has not ended, NULL if there is none. */
struct blocking_call *blocking_first(const struct blocking_pool *pool);
