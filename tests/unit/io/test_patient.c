/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What hangs is given up, bounded in number, and holds nobody up; what runs side by side does not wait for another. */
#include "unit.h"

#include <semaphore.h>

#include "base/clock.h"
#include "io/blocking.h"

#define TIMEOUT_MS 5000
#define CALLS 8

static struct loop *loop;
static struct patient *patient;
static sem_t entered; /* posted by a thread that has something to do */
static int ended, stop_at;

struct work {
	sem_t gate; /* the thread passes it once */
	sem_t freed;
};

struct asker {
	struct patient_call call;
	struct work work;
	int answers;
	enum err_code code;
};

static struct asker askers[CALLS];

static void run(void *work)
{
	sem_post(&entered);
	sem_wait(&((struct work *)work)->gate);
}

static void free_work(void *work)
{
	sem_post(&((struct work *)work)->freed);
}

static void on_done(struct patient_call *call, void *work, const struct err *err)
{
	struct asker *asker = container_of(call, struct asker, call);

	assert_int_equal(work == NULL, err->code != ERR_NONE);
	asker->answers++;
	asker->code = err->code;
	if (++ended == stop_at)
		loop_stop(loop);
}

static int setup(void **state)
{
	struct patient_options options = {
		.name = "test",
		.at_once = 2,
		.stuck_max = 2,
		.timeout_ms = TIMEOUT_MS,
		.run = run,
		.free_work = free_work,
	};

	clock_test_start(1000000, 1700000000000);
	loop = loop_new();
	patient = patient_new(loop, &options);
	sem_init(&entered, 0, 0);
	for (int i = 0; i < CALLS; i++) {
		askers[i] = (struct asker){ .call.done = on_done };
		sem_init(&askers[i].work.gate, 0, 0);
		sem_init(&askers[i].work.freed, 0, 0);
	}
	ended = 0;
	return 0;
}

static int teardown(void **state)
{
	patient = patient_free(patient);
	loop = loop_free(loop);
	return 0;
}

static void start(int number)
{
	patient_start(patient, &askers[number].call, xstrdup("the test"), &askers[number].work);
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
		assert_int_equal(askers[i].code, ERR_NONE);
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
	assert_int_equal(askers[0].code, ERR_TIMEOUT);
	assert_int_equal(askers[1].code, ERR_TIMEOUT);
	/* As many as may be hang now, so the next one is refused. */
	run_until(3);
	assert_int_equal(askers[2].code, ERR_UNAVAILABLE);
	sem_wait(&askers[2].work.freed);
	let_out(0);
	let_out(1);
	sem_wait(&askers[0].work.freed); /* by its thread */
	sem_wait(&askers[1].work.freed);
	start(3);
	let_out(3);
	run_until(4);
	assert_int_equal(askers[3].code, ERR_NONE);
}

static void cancelled_ones_are_silent(void **state)
{
	start(0);
	loop_turn(loop);
	sem_wait(&entered);
	start(1);
	patient_cancel(&askers[1].call);
	sem_wait(&askers[1].work.freed);
	patient_cancel(&askers[0].call);
	assert_null(patient_first(patient));
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
	patient_cancel(&askers[0].call);
	patient = patient_free(patient);
	let_out(0);
	sem_wait(&askers[0].work.freed);
}

int main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(two_run_side_by_side),
		TEST(what_hangs_is_given_up),
		TEST(cancelled_ones_are_silent),
		TEST(an_end_waits_for_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
