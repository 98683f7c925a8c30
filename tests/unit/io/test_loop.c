/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Order of tasks and timers within and across turns, with the clock turned by hand; and runs in
 * real time, among them turns that come late. */
#include "unit.h"

#include <event2/event.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/loop.h"

static struct loop *loop;
static char story[4096]; /* one letter for each thing that happened */

static void tell(char letter)
{
	size_t length = strlen(story);

	assert_true(length + 1 < sizeof(story));
	story[length] = letter;
	story[length + 1] = '\0';
}

static void assert_story(const char *expected)
{
	assert_string_equal(story, expected);
	story[0] = '\0';
}

static int setup(void **state)
{
	clock_test_start(1000, 0);
	loop = loop_new();
	story[0] = '\0';
	return 0;
}

static int setup_real_time(void **state)
{
	assert_false(clock_is_test());
	loop = loop_new();
	story[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	loop = loop_free(loop);
	return 0;
}

/* ---- tasks ---- */

struct letter_task {
	struct loop_task task;
	char letter;
	struct letter_task *queue, *cancel;
};

static void run_letter(struct loop_task *task)
{
	struct letter_task *self = container_of(task, struct letter_task, task);

	tell(self->letter);
	if (self->queue)
		loop_task_queue(loop, &self->queue->task);
	if (self->cancel)
		loop_task_cancel(loop, &self->cancel->task);
}

#define LETTER_TASK(c)                                                                             \
	{                                                                                          \
		.task.run = run_letter, .letter = c                                                \
	}

static void tasks_run_once_in_order(void **state)
{
	struct letter_task a = LETTER_TASK('a'), b = LETTER_TASK('b');

	assert_false(loop_turn(loop));
	loop_task_queue(loop, &b.task);
	loop_task_queue(loop, &a.task);
	loop_task_queue(loop, &b.task); /* is queued already */
	assert_true(b.task.queued);
	assert_story(""); /* never inside queue() */
	assert_true(loop_turn(loop));
	assert_story("ba");
	assert_false(b.task.queued);
	assert_false(loop_turn(loop));
	assert_story("");
}

static void what_a_task_queues_waits_for_the_next_turn(void **state)
{
	struct letter_task a = LETTER_TASK('a'), b = LETTER_TASK('b');

	a.queue = &a;
	b.queue = &a;
	loop_task_queue(loop, &a.task);
	loop_task_queue(loop, &b.task);
	loop_turn(loop);
	assert_story("ab");
	loop_turn(loop);
	assert_story("a");
	loop_task_cancel(loop, &a.task);
	assert_false(loop_turn(loop));
	assert_story("");
}

static void tasks_cancel_each_other(void **state)
{
	struct letter_task a = LETTER_TASK('a'), b = LETTER_TASK('b'), c = LETTER_TASK('c');

	/* The last one: the turn must not look for its own end there. */
	a.cancel = &c;
	c.cancel = &a;
	loop_task_queue(loop, &a.task);
	loop_task_queue(loop, &b.task);
	loop_task_queue(loop, &c.task);
	loop_turn(loop);
	assert_story("ab");
	a.cancel = &b;
	loop_task_queue(loop, &a.task);
	loop_task_queue(loop, &b.task);
	loop_turn(loop);
	assert_story("a");
	assert_false(loop_turn(loop));
	loop_task_cancel(loop, &a.task);
}

/* ---- timers ---- */

struct letter_timer {
	struct loop_timer timer;
	char letter;
	int64_t again; /* -1: no */
	struct letter_timer *clear;
};

static void fire_letter(struct loop_timer *timer)
{
	struct letter_timer *self = container_of(timer, struct letter_timer, timer);

	assert_false(loop_timer_is_set(timer));
	tell(self->letter);
	if (self->again >= 0)
		loop_timer_set(loop, timer, self->again);
	if (self->clear)
		loop_timer_clear(loop, &self->clear->timer);
}

#define LETTER_TIMER(c)                                                                            \
	{                                                                                          \
		.timer.fire = fire_letter, .letter = c, .again = -1                                \
	}

static void timers_follow_the_clock(void **state)
{
	struct letter_timer a = LETTER_TIMER('a'), b = LETTER_TIMER('b');

	loop_timer_set(loop, &a.timer, 100);
	loop_timer_set(loop, &b.timer, 50);
	assert_false(loop_turn(loop));
	clock_test_advance(49);
	assert_false(loop_turn(loop));
	clock_test_advance(1);
	assert_true(loop_turn(loop));
	assert_story("b");
	assert_true(loop_timer_is_set(&a.timer));
	clock_test_advance(1000);
	loop_turn(loop);
	assert_story("a");
	assert_false(loop_turn(loop));
}

static void idle_until_the_first_timer_or_task(void **state)
{
	struct letter_task task = LETTER_TASK('t');
	struct letter_timer a = LETTER_TIMER('a'), b = LETTER_TIMER('b');

	assert_true(loop_idle_ms(loop) == INT64_MAX);
	loop_deadline_set(loop, &a.timer, 100);
	loop_timer_set(loop, &b.timer, 150);
	assert_int_equal(loop_idle_ms(loop), 100);
	clock_test_advance(99);
	assert_int_equal(loop_idle_ms(loop), 1);
	clock_test_advance(50);
	assert_int_equal(loop_idle_ms(loop), 0);
	loop_turn(loop);
	assert_story("a");
	assert_int_equal(loop_idle_ms(loop), 1);
	loop_task_queue(loop, &task.task);
	assert_int_equal(loop_idle_ms(loop), 0);
	loop_task_cancel(loop, &task.task);
	loop_timer_clear(loop, &b.timer);
	assert_true(loop_idle_ms(loop) == INT64_MAX);
}

static void due_together_fire_as_they_were_set(void **state)
{
	struct letter_timer timers[20];

	for (int i = 0; i < 20; i++) {
		timers[i] = (struct letter_timer)LETTER_TIMER((char)('a' + i));
		loop_timer_set(loop, &timers[i].timer, 10);
	}
	loop_timer_set(loop, &timers[3].timer, 10); /* set again: now the last */
	clock_test_advance(10);
	loop_turn(loop);
	assert_story("abcefghijklmnopqrstd");
}

static void timers_move_and_clear(void **state)
{
	struct letter_timer a = LETTER_TIMER('a'), b = LETTER_TIMER('b'), c = LETTER_TIMER('c');

	loop_timer_set(loop, &a.timer, 10);
	loop_timer_set(loop, &b.timer, 10);
	loop_timer_set(loop, &c.timer, 10);
	loop_timer_set(loop, &a.timer, 20);
	assert_int_equal(loop_timer_count(loop), 3);
	b.clear = &c;
	clock_test_advance(10);
	loop_turn(loop);
	assert_story("b");
	loop_timer_clear(loop, &a.timer);
	loop_timer_clear(loop, &a.timer);
	assert_int_equal(loop_timer_count(loop), 0);
	clock_test_advance(100);
	assert_false(loop_turn(loop));
	assert_story("");
}

static void a_timer_set_to_now_again_waits_a_turn(void **state)
{
	struct letter_timer a = LETTER_TIMER('a'), b = LETTER_TIMER('b');

	a.again = 0;
	loop_timer_set(loop, &a.timer, 0);
	loop_timer_set(loop, &b.timer, 0);
	assert_story("");
	loop_turn(loop);
	assert_story("ab");
	loop_turn(loop);
	assert_story("a");
	loop_timer_set(loop, &b.timer, -5); /* the past is now */
	loop_turn(loop);
	assert_story("ab");
	loop_timer_clear(loop, &a.timer);
	loop_timer_set(loop, &a.timer, INT64_MAX);
	assert_false(loop_turn(loop));
	loop_timer_clear(loop, &a.timer);
}

#define MANY 500
static struct loop_timer many[MANY];
static int64_t last_due;
static int fired;

static void fire_in_order(struct loop_timer *timer)
{
	assert_true(timer->due_ms >= last_due);
	assert_true(timer->due_ms <= clock_mono_ms());
	last_due = timer->due_ms;
	fired++;
}

/* Random sets, moves and clears; a plain array says how many must be left. */
static void many_timers_fire_in_order(void **state)
{
	unsigned random = 12345;
	int expected = 0;

	last_due = 0;
	fired = 0;
	for (int i = 0; i < 20000; i++) {
		struct loop_timer *timer;

		random = random * 1103515245 + 12345;
		timer = &many[(random >> 16) % MANY];
		timer->fire = fire_in_order;
		random = random * 1103515245 + 12345;
		if ((random >> 16) % 3 == 0)
			loop_timer_clear(loop, timer);
		else
			loop_timer_set(loop, timer, (random >> 16) % 1000);
	}
	for (int i = 0; i < MANY; i++)
		expected += loop_timer_is_set(&many[i]);
	assert_in_range(expected, MANY / 4, MANY);
	for (int step = 0; step < 100; step++) {
		clock_test_advance(10);
		loop_turn(loop);
	}
	assert_int_equal(fired, expected);
}

/* ---- hooks ---- */

struct letter_hook {
	struct loop_hook hook;
	char letter;
	struct letter_hook *remove;
	struct letter_task *queue;
};

static void prepare_letter(struct loop_hook *hook)
{
	struct letter_hook *self = container_of(hook, struct letter_hook, hook);

	tell(self->letter);
	if (self->remove)
		loop_hook_remove(loop, &self->remove->hook);
	self->remove = NULL;
	if (self->queue)
		loop_task_queue(loop, &self->queue->task);
	self->queue = NULL;
}

static void hooks_come_once_a_turn_after_tasks_and_timers(void **state)
{
	struct letter_hook h = { .hook.prepare = prepare_letter, .letter = 'h' };
	struct letter_task a = LETTER_TASK('a');
	struct letter_timer t = LETTER_TIMER('t');

	loop_hook_add(loop, &h.hook);
	loop_timer_set(loop, &t.timer, 0);
	loop_task_queue(loop, &a.task);
	loop_turn(loop);
	assert_story("ath");
	loop_turn(loop);
	assert_story("h");
	h.remove = &h;
	loop_turn(loop);
	assert_story("h");
	loop_turn(loop);
	assert_story("");
}

static void a_hook_may_remove_the_next_one(void **state)
{
	struct letter_hook g = { .hook.prepare = prepare_letter, .letter = 'g' };
	struct letter_hook h = { .hook.prepare = prepare_letter, .letter = 'h' };
	struct letter_hook i = { .hook.prepare = prepare_letter, .letter = 'i' };

	loop_hook_add(loop, &g.hook);
	loop_hook_add(loop, &h.hook);
	loop_hook_add(loop, &i.hook);
	g.remove = &h;
	loop_turn(loop);
	assert_story("gi");
	loop_hook_remove(loop, &g.hook);
	loop_hook_remove(loop, &i.hook);
}

/* ---- running ---- */

static void stop_it(struct loop_task *task)
{
	tell('s');
	loop_stop(loop);
}

static void run_ends_without_waiting(void **state)
{
	struct loop_task stop = { .run = stop_it };
	uint64_t before = loop_turns(loop);

	/* Nothing will ever wake this loop: if it waited it would hang. */
	loop_task_queue(loop, &stop);
	loop_run(loop);
	assert_story("s");
	assert_int_equal(loop_turns(loop) - before, 1);
	loop_stop(loop);
	loop_run(loop);
	loop_task_queue(loop, &stop);
	loop_run(loop); /* can be run again */
	assert_story("s");
}

static void a_task_queued_by_a_hook_is_not_slept_over(void **state)
{
	struct letter_task a = LETTER_TASK('a');
	struct letter_hook h = { .hook.prepare = prepare_letter, .letter = 'h', .queue = &a };
	struct letter_task stop = { .task.run = stop_it };

	loop_hook_add(loop, &h.hook);
	a.queue = &stop;
	loop_run(loop);
	assert_story("hahsh");
	loop_hook_remove(loop, &h.hook);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	char c;

	assert_int_equal(read(fd, &c, 1), 1);
	tell('r');
	loop_stop(loop);
}

struct writer {
	struct loop_timer timer;
	int fd;
};

static void write_byte(struct loop_timer *timer)
{
	tell('t');
	assert_int_equal(write(container_of(timer, struct writer, timer)->fd, "x", 1), 1);
}

/* In real time: the timer wakes the wait, the event ends it, and there are no turns for nothing. */
static void waits_for_timers_and_events(void **state)
{
	struct writer writer = { .timer.fire = write_byte };
	struct loop_timer far = { .fire = write_byte };
	struct event *event;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	writer.fd = ends[1];
	event = event_new(loop_base(loop), ends[0], EV_READ, on_readable, NULL);
	event_add(event, NULL);
	loop_timer_set(loop, &far, INT64_MAX / 2);
	loop_timer_set(loop, &writer.timer, 30);
	loop_run(loop);
	assert_story("tr");
	/* First wait, timer and event; libevent's clock may make it look once or twice too
	 * early. */
	assert_in_range(loop_turns(loop), 2, 6);
	loop_timer_clear(loop, &far);
	event_free(event);
	close(ends[0]);
	close(ends[1]);
}

/* ---- late turns, in real time ---- */

#define BLOCKED_MS 600
#define DEADLINE_MS 200
#define TIMER_MS 50

static void block(struct loop_task *task)
{
	const struct timespec pause = { .tv_nsec = BLOCKED_MS * INT64_C(1000000) };

	tell('b');
	nanosleep(&pause, NULL);
}

static struct letter_timer *met_by_event;

static void on_met(evutil_socket_t fd, short what, void *arg)
{
	tell('e');
	if (met_by_event)
		loop_timer_clear(loop, &met_by_event->timer);
}

static void stop(struct loop_timer *timer)
{
	tell('.');
	loop_stop(loop);
}

/* The loop is kept from running until after the deadline; the awaited byte has come meanwhile. */
static void run_blocked(struct letter_timer *deadline, bool is_met)
{
	struct letter_timer timer = LETTER_TIMER('t');
	struct loop_task blocker = { .run = block };
	struct loop_timer end = { .fire = stop };
	struct event *event;
	int ends[2];

	met_by_event = is_met ? deadline : NULL;
	assert_int_equal(pipe(ends), 0);
	event = event_new(loop_base(loop), ends[0], EV_READ, on_met, NULL);
	event_add(event, NULL);
	loop_deadline_set(loop, &deadline->timer, DEADLINE_MS);
	loop_timer_set(loop, &timer.timer, TIMER_MS);
	/* Another late turn puts off both deadlines, so their order stays. */
	loop_deadline_set(loop, &end, 2 * DEADLINE_MS);
	loop_task_queue(loop, &blocker);
	assert_int_equal(write(ends[1], "x", 1), 1);
	loop_run(loop);
	loop_timer_clear(loop, &deadline->timer);
	event_free(event);
	close(ends[0]);
	close(ends[1]);
}

static void a_late_turn_takes_the_events_first(void **state)
{
	struct letter_timer deadline = LETTER_TIMER('d');

	run_blocked(&deadline, true);
	assert_story("bet.");
}

static void a_deadline_has_the_time_that_was_left(void **state)
{
	struct letter_timer deadline = LETTER_TIMER('d');
	int64_t missed_ms = clock_missed_ms();

	assert_int_equal(loop_lateness(loop).count, 0);
	run_blocked(&deadline, false);
	assert_story("betd.");
	assert_true(loop_lateness(loop).count > 0);
	/* Late from the first timer on. */
	assert_true(clock_missed_ms() - missed_ms >= BLOCKED_MS - TIMER_MS - 5);
}

static void on_always_writable(evutil_socket_t fd, short what, void *arg)
{
	tell('w');
}

/* An event that is always there gets one round a turn, and tasks theirs. */
static void endless_events_leave_room_for_tasks(void **state)
{
	struct letter_task a = LETTER_TASK('a');
	struct event *event;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	event = event_new(loop_base(loop), ends[1], EV_WRITE | EV_PERSIST, on_always_writable,
			  NULL);
	event_add(event, NULL);
	loop_turn(loop);
	loop_task_queue(loop, &a.task);
	loop_turn(loop);
	loop_turn(loop);
	assert_story("waww");
	event_free(event);
	close(ends[0]);
	close(ends[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
RUN_TESTS(cmocka_unit_test_setup_teardown(waits_for_timers_and_events, setup_real_time, teardown),
	  cmocka_unit_test_setup_teardown(a_late_turn_takes_the_events_first, setup_real_time,
					  teardown),
	  cmocka_unit_test_setup_teardown(a_deadline_has_the_time_that_was_left, setup_real_time,
					  teardown),
	  T(tasks_run_once_in_order), T(what_a_task_queues_waits_for_the_next_turn),
	  T(tasks_cancel_each_other), T(timers_follow_the_clock),
	  T(idle_until_the_first_timer_or_task), T(due_together_fire_as_they_were_set),
	  T(timers_move_and_clear), T(a_timer_set_to_now_again_waits_a_turn),
	  T(many_timers_fire_in_order), T(hooks_come_once_a_turn_after_tasks_and_timers),
	  T(a_hook_may_remove_the_next_one), T(run_ends_without_waiting),
	  T(a_task_queued_by_a_hook_is_not_slept_over), T(endless_events_leave_room_for_tasks))
