/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop is ours, and waits in libevent. libevent 2.1 has no hook before the wait, which sd-bus
 * needs, and its timers follow its own clock, which tests could not turn. So each turn runs the
 * tasks and the due timers here, then the hooks, and only then one round of event_base_loop().
 *
 * Tasks: a marker is put behind the queued ones when a turn begins, and the turn ends its tasks
 * there; tasks that they queue come behind the marker and wait for the next turn. Timers: a binary
 * heap for each clock, ordered by time, then by the order of setting; libevent only ever knows the
 * first timer, and is told again only when another timer becomes the first. While a test holds the
 * clock, libevent knows none.
 *
 * The changelist flag saves evhttp three of its four epoll_ctl() calls per request; no lock is
 * needed since only one thread touches the base (worker.c comes back through an eventfd).
 */
#include "io/loop.h"

#include <assert.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"

/* libevent gives up on waits it cannot count; an hour more or less of sleep is free. */
#define SLEEP_MAX_MS INT64_C(3600000)
#define TOLD_MS 1000 /* a turn that is so late stands in the log */

TAILQ_HEAD(task_list, loop_task);
TAILQ_HEAD(hook_list, loop_hook);

/* Timers of one clock. */
struct heap {
	struct loop_timer **timers;
	size_t count, room;
};

struct loop {
	struct event_base *base;
	struct task_list tasks;
	struct loop_task marker;
	struct hook_list hooks;
	struct loop_hook *next_hook; /* the hook to call next, while hooks are being called */
	struct heap timers, deadlines;
	uint64_t timer_order;
	int64_t looked_ms;   /* clock_mono_ms() when is_late() looked */
	struct event *wake;  /* libevent's timer for the first timer */
	int64_t wake_due_ms; /* the time wake is set to, while it is pending */
	uint64_t turns;
	struct loop_lateness late;
	bool stop;
	bool in_turn;
};

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	/* Nothing to do: the wait has ended, and the next turn fires the timer. */
}

struct loop *loop_new(void)
{
	struct loop *loop = xnew(struct loop);
	struct event_config *config = event_config_new();

	TAILQ_INIT(&loop->tasks);
	TAILQ_INIT(&loop->hooks);
	if (!config || event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST |
							     EVENT_BASE_FLAG_NOLOCK) < 0)
		abort();
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!loop->base) {
		free(loop);
		return NULL;
	}
	loop->looked_ms = clock_mono_ms();
	loop->wake = evtimer_new(loop->base, on_wake, loop);
	if (!loop->wake)
		abort();
	return loop;
}

struct loop *loop_free(struct loop *loop)
{
	if (!loop)
		return NULL;
	assert(!loop->in_turn);
	assert(TAILQ_EMPTY(&loop->tasks));
	assert(TAILQ_EMPTY(&loop->hooks));
	assert(loop->timers.count == 0 && loop->deadlines.count == 0);
	event_free(loop->wake);
	event_base_free(loop->base);
	free(loop->timers.timers);
	free(loop->deadlines.timers);
	free(loop);
	return NULL;
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

uint64_t loop_turns(const struct loop *loop)
{
	return loop->turns;
}

size_t loop_timer_count(const struct loop *loop)
{
	return loop->timers.count + loop->deadlines.count;
}

struct loop_lateness loop_lateness(const struct loop *loop)
{
	return loop->late;
}

/* ---- tasks ---- */

void loop_task_queue(struct loop *loop, struct loop_task *task)
{
	assert(task->run);
	if (task->queued)
		return;
	task->queued = true;
	TAILQ_INSERT_TAIL(&loop->tasks, task, entry);
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->queued)
		return;
	task->queued = false;
	TAILQ_REMOVE(&loop->tasks, task, entry);
}

static bool run_tasks(struct loop *loop)
{
	struct loop_task *task;
	bool ran = false;

	if (TAILQ_EMPTY(&loop->tasks))
		return false;
	TAILQ_INSERT_TAIL(&loop->tasks, &loop->marker, entry);
	while ((task = TAILQ_FIRST(&loop->tasks)) != &loop->marker) {
		loop_task_cancel(loop, task);
		ran = true;
		task->run(task); /* may free it */
	}
	TAILQ_REMOVE(&loop->tasks, &loop->marker, entry);
	return ran;
}

/* ---- timers ---- */

static struct heap *heap_of(struct loop *loop, const struct loop_timer *timer)
{
	return timer->is_deadline ? &loop->deadlines : &loop->timers;
}

static int64_t due_mono_ms(const struct loop_timer *timer)
{
	return timer->is_deadline && timer->due_ms < INT64_MAX - clock_missed_ms()
		       ? timer->due_ms + clock_missed_ms()
		       : timer->due_ms;
}

static bool fires_before(const struct loop_timer *a, const struct loop_timer *b)
{
	int64_t a_ms = due_mono_ms(a), b_ms = due_mono_ms(b);

	return a_ms != b_ms ? a_ms < b_ms : a->order < b->order;
}

static void heap_put(struct heap *heap, size_t place, struct loop_timer *timer)
{
	heap->timers[place] = timer;
	timer->index = place + 1;
}

/* Finds the place for a timer, starting from a free place: up towards the root, or down. */
static void heap_settle(struct heap *heap, size_t place, struct loop_timer *timer)
{
	while (place > 0 && fires_before(timer, heap->timers[(place - 1) / 2])) {
		heap_put(heap, place, heap->timers[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * place + 1;

		if (child + 1 < heap->count &&
		    fires_before(heap->timers[child + 1], heap->timers[child]))
			child++;
		if (child >= heap->count || !fires_before(heap->timers[child], timer))
			break;
		heap_put(heap, place, heap->timers[child]);
		place = child;
	}
	heap_put(heap, place, timer);
}

static void set(struct loop *loop, struct loop_timer *timer, bool is_deadline, int64_t delay_ms)
{
	struct heap *heap;

	assert(timer->fire);
	loop_timer_clear(loop, timer);
	timer->is_deadline = is_deadline;
	if (__builtin_add_overflow(is_deadline ? clock_waking_ms() : clock_mono_ms(),
				   delay_ms < 0 ? 0 : delay_ms, &timer->due_ms))
		timer->due_ms = INT64_MAX;
	timer->order = loop->timer_order++;
	heap = heap_of(loop, timer);
	if (heap->count == heap->room) {
		heap->room = heap->room ? heap->room * 2 : 16;
		heap->timers = xrealloc(heap->timers, heap->room * sizeof(struct loop_timer *));
	}
	heap_settle(heap, heap->count++, timer);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms)
{
	set(loop, timer, false, delay_ms);
}

void loop_deadline_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms)
{
	set(loop, timer, true, delay_ms);
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	struct heap *heap = heap_of(loop, timer);
	struct loop_timer *last;
	size_t place;

	if (timer->index == 0)
		return;
	place = timer->index - 1;
	assert(place < heap->count && heap->timers[place] == timer);
	timer->index = 0;
	last = heap->timers[--heap->count];
	if (last != timer)
		heap_settle(heap, place, last);
}

static struct loop_timer *first_timer(const struct loop *loop)
{
	struct loop_timer *timer = loop->timers.count ? loop->timers.timers[0] : NULL;
	struct loop_timer *deadline = loop->deadlines.count ? loop->deadlines.timers[0] : NULL;

	if (!timer || !deadline)
		return timer ? timer : deadline;
	return fires_before(deadline, timer) ? deadline : timer;
}

/* Until it is due. NULL: there is no timer, INT64_MAX. */
static int64_t left_ms(const struct loop_timer *timer)
{
	return timer ? due_mono_ms(timer) - clock_mono_ms() : INT64_MAX;
}

int64_t loop_idle_ms(const struct loop *loop)
{
	int64_t left = left_ms(first_timer(loop));

	return TAILQ_EMPTY(&loop->tasks) && left > 0 ? left : 0;
}

static bool fire_timers(struct loop *loop)
{
	/*
	 * A timer that sets itself to now again belongs to the next turn, or the events would
	 * starve.
	 */
	uint64_t from_now_on = loop->timer_order;
	int64_t now = clock_mono_ms();
	struct loop_timer *timer;
	bool ran = false;

	while ((timer = first_timer(loop))) {
		if (due_mono_ms(timer) > now || timer->order >= from_now_on)
			break;
		loop_timer_clear(loop, timer);
		ran = true;
		timer->fire(timer); /* may free it */
	}
	return ran;
}

static void note_late(struct loop *loop, int64_t ms)
{
	loop->late.count++;
	loop->late.last_ms = ms;
	loop->late.at_ms = clock_mono_ms();
	if (ms >= TOLD_MS)
		log_warning(
			"the daemon could not run for %lld ms: its process was stopped, its machine "
			"paused or without free CPU time, or a call blocked; no deadline passed meanwhile",
			(long long)ms);
}

/*
 * True if the loop comes here late: long after the first timer was due and after it was here last.
 * A clock that a test turns makes nothing late.
 */
static bool is_late(struct loop *loop)
{
	const struct loop_timer *first = first_timer(loop);
	int64_t now = clock_mono_ms(), due = loop->looked_ms;

	loop->looked_ms = now;
	if (!first || clock_is_test())
		return false;
	if (due_mono_ms(first) > due)
		due = due_mono_ms(first);
	if (now - due < LOOP_LATE_MS)
		return false;
	clock_add_missed(now - due);
	note_late(loop, now - due);
	return true;
}

/* Tells libevent when the first timer is due. False if that is now. */
static bool arm_wake(struct loop *loop)
{
	const struct loop_timer *first = first_timer(loop);
	int64_t due, left = left_ms(first);
	struct timeval delay;

	if (!first || clock_is_test()) {
		if (evtimer_pending(loop->wake, NULL))
			event_del(loop->wake);
		return left > 0;
	}
	if (left <= 0)
		return false;
	due = due_mono_ms(first);
	if (evtimer_pending(loop->wake, NULL) && loop->wake_due_ms == due)
		return true;
	if (left > SLEEP_MAX_MS)
		left = SLEEP_MAX_MS;
	delay.tv_sec = (time_t)(left / 1000);
	delay.tv_usec = (suseconds_t)(left % 1000 * 1000);
	event_add(loop->wake, &delay);
	loop->wake_due_ms = due;
	return true;
}

/* ---- hooks ---- */

void loop_hook_add(struct loop *loop, struct loop_hook *hook)
{
	assert(hook->prepare);
	TAILQ_INSERT_TAIL(&loop->hooks, hook, entry);
}

void loop_hook_remove(struct loop *loop, struct loop_hook *hook)
{
	if (loop->next_hook == hook)
		loop->next_hook = TAILQ_NEXT(hook, entry);
	TAILQ_REMOVE(&loop->hooks, hook, entry);
}

static void call_hooks(struct loop *loop)
{
	struct loop_hook *hook = TAILQ_FIRST(&loop->hooks);

	for (; hook; hook = loop->next_hook) {
		loop->next_hook = TAILQ_NEXT(hook, entry);
		hook->prepare(hook);
	}
}

/* ---- turns ---- */

static bool turn(struct loop *loop, bool may_wait)
{
	/* NONBLOCK needs ONCE, too: alone it goes on for as long as there are events. */
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
	bool ran, late = is_late(loop);

	assert(!loop->in_turn);
	loop->in_turn = true;
	loop->turns++;
	ran = run_tasks(loop);
	late = is_late(loop) || late; /* a task may have blocked */
	if (!late)
		ran = fire_timers(loop) || ran;
	call_hooks(loop);
	if (!arm_wake(loop) || !may_wait || late || loop->stop || !TAILQ_EMPTY(&loop->tasks))
		flags |= EVLOOP_NONBLOCK;
	event_base_loop(loop->base, flags);
	loop->in_turn = false;
	return ran;
}

bool loop_turn(struct loop *loop)
{
	return turn(loop, false);
}

void loop_run(struct loop *loop)
{
	while (!loop->stop)
		turn(loop, true);
	loop->stop = false;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}
