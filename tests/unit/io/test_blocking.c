/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What hangs is given up, bounded in number, and holds nobody up; what runs side by side does not
 * wait for another. */
#include "unit.h"

#include <sched.h>
#include <semaphore.h>

#include "base/clock.h"
#include "io/blocking.h"
#include "lack.h"

#define TIMEOUT_MS 5000
#define CALLS 8

static struct loop *loop;
static struct blocking_pool *pool;
static sem_t entered; /* posted by a thread that has something to do */
static int ended, stop_at;
static bool discards;              /* the pool that is made next */
static const char *objects[CALLS]; /* of the askers */

struct work {
	sem_t gate; /* the thread passes it once */
	sem_t freed;
};

struct asker {
	struct blocking_call call;
	struct work work;
	int answers;
	struct err err;
};

static struct asker askers[CALLS];

static void run(void *work)
{
	sem_post(&entered);
	sem_wait(&((struct work *)work)->gate);
}

static pthread_t discarded_by;

/* Blocks like run(). */
static void discard(void *work)
{
	discarded_by = pthread_self();
	run(work);
}

static void free_work(void *work)
{
	sem_post(&((struct work *)work)->freed);
}

static void on_done(struct blocking_call *call, void *work, const struct err *err)
{
	struct asker *asker = container_of(call, struct asker, call);

	assert_int_equal(work == NULL, err->code != ERR_NONE);
	asker->answers++;
	asker->err = *err;
	if (++ended == stop_at)
		loop_stop(loop);
}

static void make_pool(size_t at_once, bool one_hangs_per_object)
{
	struct blocking_options options = {
		.name = "test",
		.at_once = at_once,
		.hung_max = 2,
		.timeout_ms = TIMEOUT_MS,
		.one_hangs_per_object = one_hangs_per_object,
		.run = run,
		.free_work = free_work,
	};

	if (discards)
		options.discard = discard;
	pool = blocking_pool_new(loop, &options);
}

static int setup(void **state)
{
	clock_test_start(1000000, 1700000000000);
	loop = loop_new();
	make_pool(2, false);
	sem_init(&entered, 0, 0);
	for (int i = 0; i < CALLS; i++) {
		askers[i] = (struct asker){ .call.done = on_done };
		objects[i] = NULL;
		sem_init(&askers[i].work.gate, 0, 0);
		sem_init(&askers[i].work.freed, 0, 0);
	}
	ended = 0;
	return 0;
}

static int teardown(void **state)
{
	pool = blocking_pool_free(pool);
	loop = loop_free(loop);
	return 0;
}

static void start(int number)
{
	blocking_start(pool, &askers[number].call, "testing", objects[number],
		       &askers[number].work);
}

static void let_out(int number)
{
	sem_post(&askers[number].work.gate);
}

static void run_until(int count)
{
	stop_at = count;
	if (ended < count)
		loop_run(loop);
	assert_int_equal(ended, count);
}

static void advance(int64_t ms)
{
	clock_test_advance(ms);
	loop_turn(loop);
}

/* Until the threads that were given up are known to be back. */
static void wait_until_idle(void)
{
	while (blocking_pool_is_busy(pool))
		sched_yield();
}

static void two_run_side_by_side(void **state)
{
	for (int i = 0; i < 3; i++)
		start(i);
	loop_turn(loop);
	sem_wait(&entered);
	sem_wait(&entered);
	let_out(1);
	run_until(1);
	assert_int_equal(askers[1].answers, 1);
	loop_turn(loop);
	sem_wait(&entered); /* the third, though the first is still there */
	let_out(2);
	let_out(0);
	run_until(3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(askers[i].err.code, ERR_NONE);
}

static void what_hangs_is_given_up(void **state)
{
	start(0);
	start(1);
	start(2);
	loop_turn(loop);
	sem_wait(&entered);
	sem_wait(&entered);
	advance(TIMEOUT_MS - 1);
	assert_int_equal(ended, 0);
	advance(1);
	assert_int_equal(ended, 2);
	assert_int_equal(askers[0].err.code, ERR_TIMEOUT);
	assert_int_equal(askers[1].err.code, ERR_TIMEOUT);
	/* As many as may be hang now, so the next one is refused. */
	run_until(3);
	assert_int_equal(askers[2].err.code, ERR_UNAVAILABLE);
	sem_wait(&askers[2].work.freed);
	let_out(0);
	let_out(1);
	wait_until_idle();
	sem_wait(&askers[0].work.freed);
	sem_wait(&askers[1].work.freed);
	start(3);
	let_out(3);
	run_until(4);
	assert_int_equal(askers[3].err.code, ERR_NONE);
}

static void one_object_hangs_once(void **state)
{
	blocking_pool_free(pool);
	make_pool(1, true);
	objects[0] = objects[1] = "a";
	objects[2] = "b";
	for (int i = 0; i < 4; i++)
		start(i);
	loop_turn(loop);
	sem_wait(&entered);
	advance(TIMEOUT_MS);
	assert_string_equal(askers[0].err.text, "testing a did not end within 5000 ms");
	let_out(2);
	let_out(3);
	run_until(4);
	assert_int_equal(askers[1].err.code, ERR_UNAVAILABLE);
	assert_string_equal(askers[1].err.text,
			    "testing a has to wait: an earlier attempt at testing it still hangs");
	assert_int_equal(askers[2].err.code, ERR_NONE); /* another object */
	assert_int_equal(askers[3].err.code, ERR_NONE); /* none */
	let_out(0);
	wait_until_idle();
	objects[4] = "a";
	start(4);
	let_out(4);
	run_until(5);
	assert_int_equal(askers[4].err.code, ERR_NONE);
}

/* Workers exist before there is work; only the place of one that hangs can stay empty. */
static void without_threads_the_other_slots_go_on(void **state)
{
	struct lack lack;

	lack_of_threads(&lack);
	start(0);
	start(1);
	loop_turn(loop);
	sem_wait(&entered);
	sem_wait(&entered);
	let_out(1);
	run_until(1);
	advance(TIMEOUT_MS);
	assert_int_equal(askers[0].err.code, ERR_TIMEOUT);
	for (int i = 2; i < 5; i++) {
		start(i);
		let_out(i);
	}
	run_until(5);
	for (int i = 2; i < 5; i++)
		assert_int_equal(askers[i].err.code, ERR_NONE);
	lack_end(&lack);
	let_out(0);
	wait_until_idle();
}

static void a_lack_of_threads_is_an_answer(void **state)
{
	struct lack lack;

	blocking_pool_free(pool);
	make_pool(1, false);
	start(0);
	loop_turn(loop);
	sem_wait(&entered);
	advance(TIMEOUT_MS);
	lack_of_threads(&lack);
	start(1);
	run_until(2);
	assert_int_equal(askers[1].err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(askers[1].err.text, "thread test cannot be started"));
	lack_end(&lack);
	start(2);
	let_out(2);
	run_until(3);
	assert_int_equal(askers[2].err.code, ERR_NONE);
	let_out(0);
	wait_until_idle();
}

static void a_pool_that_began_without_threads(void **state)
{
	struct lack lack;

	blocking_pool_free(pool);
	lack_of_threads(&lack);
	make_pool(1, false);
	lack_end(&lack);
	start(0);
	let_out(0);
	run_until(1);
	assert_int_equal(askers[0].err.code, ERR_NONE);
}

static void cancelled_ones_are_silent(void **state)
{
	start(0);
	loop_turn(loop);
	sem_wait(&entered);
	start(1);
	blocking_cancel(&askers[1].call);
	sem_wait(&askers[1].work.freed);
	blocking_cancel(&askers[0].call);
	assert_null(blocking_first(pool));
	let_out(0);
	start(2);
	let_out(2);
	run_until(1);
	assert_int_equal(askers[2].answers, 1);
	assert_int_equal(askers[0].answers + askers[1].answers, 0);
}

static void an_end_waits_for_nobody(void **state)
{
	start(0);
	loop_turn(loop);
	sem_wait(&entered);
	blocking_cancel(&askers[0].call);
	pool = blocking_pool_free(pool);
	let_out(0);
	sem_wait(&askers[0].work.freed);
}

static int setup_discarding(void **state)
{
	int r;

	discards = true;
	r = setup(state);
	discards = false;
	return r;
}

static bool is_freed(int number)
{
	return sem_trywait(&askers[number].work.freed) == 0;
}

static void await_thread(void)
{
	sem_wait(&entered);
}

/* Turns the loop until the work is freed. */
static void await_freed(int number)
{
	while (!is_freed(number)) {
		loop_turn(loop);
		sched_yield();
	}
	assert_false(pthread_equal(discarded_by, pthread_self()));
}

static void it_is_discarded_after_its_answer(void **state)
{
	start(0);
	loop_turn(loop);
	await_thread();
	let_out(0);
	run_until(1);
	await_thread(); /* in discard() */
	assert_false(is_freed(0));
	let_out(0);
	await_freed(0);
}

/* The answer of a cancelled call is on its way, or the call still runs. */
static void a_cancelled_one_is_discarded(void **state)
{
	start(0);
	start(1);
	loop_turn(loop);
	await_thread();
	await_thread();
	let_out(0);
	blocking_cancel(&askers[0].call);
	blocking_cancel(&askers[1].call);
	let_out(1);
	while (sem_trywait(&entered) < 0)
		loop_turn(loop);
	while (sem_trywait(&entered) < 0)
		loop_turn(loop);
	let_out(0);
	let_out(1);
	await_freed(0);
	await_freed(1);
}

/* Its thread does that when it comes back, and the loop looks when there is work again. */
static void one_that_was_given_up_is_discarded(void **state)
{
	start(0);
	loop_turn(loop);
	await_thread();
	advance(TIMEOUT_MS);
	assert_int_equal(askers[0].err.code, ERR_TIMEOUT);
	let_out(0);
	await_thread(); /* in discard() */
	assert_true(blocking_pool_is_busy(pool));
	let_out(0);
	while (blocking_pool_is_busy(pool))
		sched_yield();
	assert_true(is_freed(0));
	assert_false(pthread_equal(discarded_by, pthread_self()));
}

/* A hang in discard() is one as any other. */
static void a_discard_that_hangs(void **state)
{
	start(0);
	loop_turn(loop);
	await_thread();
	let_out(0);
	run_until(1);
	await_thread(); /* in discard() */
	advance(TIMEOUT_MS);
	start(1);
	start(2);
	loop_turn(loop);
	await_thread();
	await_thread();
	let_out(1);
	let_out(2);
	run_until(3);
	for (int i = 0; i < 3; i++)
		let_out(i);
	for (int i = 1; i < 3; i++)
		await_freed(i);
	while (blocking_pool_is_busy(pool))
		sched_yield();
	assert_true(is_freed(0));
}

int main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
#define DISCARDING(NAME) cmocka_unit_test_setup_teardown(NAME, setup_discarding, teardown)
	const struct CMUnitTest tests[] = {
		DISCARDING(it_is_discarded_after_its_answer),
		DISCARDING(a_cancelled_one_is_discarded),
		DISCARDING(one_that_was_given_up_is_discarded),
		DISCARDING(a_discard_that_hangs),
		TEST(two_run_side_by_side),
		TEST(what_hangs_is_given_up),
		TEST(one_object_hangs_once),
		TEST(cancelled_ones_are_silent),
		TEST(an_end_waits_for_nobody),
		TEST(without_threads_the_other_slots_go_on),
		TEST(a_lack_of_threads_is_an_answer),
		TEST(a_pool_that_began_without_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
