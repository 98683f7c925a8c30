/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one loop. All code of the daemon outside its worker threads runs inside loop_run(), on one
 * thread.
 *
 * A turn is: run the tasks queued since the last turn, fire due timers, call the prepare hooks
 * (sd-bus re-arms there), then wait in libevent for one round of events. Timers follow
 * clock_mono_ms(), so a test that has called clock_test_start() owns time: loop_turn() runs due
 * work and never waits.
 *
 * The loop can be kept from running: its process is stopped, its machine paused, or a callback
 * blocks. Then the answers that have come meanwhile must be looked at before a deadline is judged
 * to have passed. So a turn that comes late (LOOP_LATE_MS behind the first timer) only takes the
 * events that are there, and the time for which it was late does not count for deadlines.
 *
 * Rule that the whole program relies on: a completion never runs inside the call that started it.
 * Code that has a result at once queues a task.
 */

#include "base/queue.h"
#include "base/util.h"

struct event_base;
struct loop;

#define LOOP_LATE_MS 250

struct loop *loop_new(void); /* NULL and errno if the kernel gives no descriptors for it */
/* asserts that no timer is armed and no task queued; returns NULL */
struct loop *loop_free(struct loop *loop);
struct event_base *loop_base(struct loop *loop);

void loop_run(struct loop *loop);  /* until loop_stop() */
void loop_stop(struct loop *loop); /* before loop_run(): loop_run() returns at once */
/* One turn that does not wait for events. True if a task or timer ran. For tests and draining. */
bool loop_turn(struct loop *loop);
/* The number of turns so far: of this turn, or of idle wake-ups. */
uint64_t loop_turns(const struct loop *loop);
/* How long there is nothing to do but for events: 0 if a task is queued, INT64_MAX without timers.
 * For tests, which own time. */
int64_t loop_idle_ms(const struct loop *loop);
/* The timers and deadlines that are set. */
size_t loop_timer_count(const struct loop *loop);

/* The turns that came late so far, since the loop was kept from running. */
struct loop_lateness {
	uint64_t count;
	int64_t last_ms; /* by how much the last one was late */
	int64_t at_ms;   /* clock_mono_ms() of the last one */
};
struct loop_lateness loop_lateness(const struct loop *loop);

/* A task: runs once, in the next turn, in the order of queueing. Embedded in its owner. */
struct loop_task {
	TAILQ_ENTRY(loop_task) entry;
	void (*run)(struct loop_task *task);
	bool queued;
};
void loop_task_queue(struct loop *loop, struct loop_task *task);  /* queued already: no change */
void loop_task_cancel(struct loop *loop, struct loop_task *task); /* not queued: no change */

/* A one-shot timer. Embedded in its owner; setting an armed timer moves it. */
struct loop_timer {
	void (*fire)(struct loop_timer *timer);
	bool is_deadline;
	int64_t due_ms; /* clock_mono_ms(); of a deadline clock_waking_ms() */
	uint64_t order; /* of setting: timers due at the same time fire in this order */
	size_t index;   /* place in the heap + 1; 0 = not armed */
};
/* Fires when it is time to do something. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms);
/* Fires when an awaited event is too late. The delay counts in waking time (base/clock.h). */
void loop_deadline_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms);
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);
static inline bool loop_timer_is_set(const struct loop_timer *timer)
{
	return timer->index != 0;
}

/* Called once a turn, right before the wait. Embedded in its owner. */
struct loop_hook {
	TAILQ_ENTRY(loop_hook) entry;
	void (*prepare)(struct loop_hook *hook);
};
void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_remove(struct loop *loop, struct loop_hook *hook);
