/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The writer against a database that does exactly what the test says: it stands still at a gate,
 * fails, and remembers in what order and in which groups batches reached it. The clock is turned by
 * hand.
 */

#include <pthread.h>
#include <stdio.h>

#include "fixture.h"
#include "store/backend.h"
#include "store/read.h"
#include "store/writer.h"

struct fake {
	struct store store;
	struct writer *writer;
	struct loop *loop;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool gate_closed;
	bool at_gate;
	bool claims_late;  /* the gate is before the commit, not in it */
	bool uncertain;    /* nobody knows whether a commit that fails has landed */
	unsigned failures; /* how many commits are to fail from now on */
	unsigned attempts;
	unsigned probes;
	unsigned tidied;
	size_t groups[16]; /* sizes of the groups that landed */
	size_t group_count;
	struct buf log; /* entity keys in the order they landed */
};

/* ---- the database ---- */

static int fake_commit(void *session, struct store_batch *const *batches, size_t count,
		       struct err *err)
{
	struct fake *fake = session;
	struct err bad;
	bool failed;

	pthread_mutex_lock(&fake->lock);
	fake->attempts++;
	for (size_t i = 0; i < count && !fake->claims_late; i++)
		assert_true(store_batch_claim(batches[i]));
	fake->at_gate = true;
	pthread_cond_broadcast(&fake->changed);
	while (fake->gate_closed)
		pthread_cond_wait(&fake->changed, &fake->lock);
	fake->at_gate = false;
	failed = fake->failures > 0;
	for (size_t i = 0; i < count && failed; i++)
		batches[i]->uncertain = fake->uncertain;
	if (failed) {
		fake->failures--;
	} else {
		for (size_t i = 0; i < count; i++) {
			if (!store_batch_claim(batches[i]))
				continue;
			fake->probes += batches[i]->probe;
			if (streq(batches[i]->entity_key, "bad")) {
				err_set(&bad, ERR_CONFLICT, "it is bad");
				store_item_set_err(&batches[i]->item, &bad);
			} else {
				buf_printf(&fake->log, "%s ", batches[i]->entity_key);
			}
		}
		fake->groups[fake->group_count++ % ARRAY_SIZE(fake->groups)] = count;
	}
	pthread_mutex_unlock(&fake->lock);
	return failed ? err_set(err, ERR_UNAVAILABLE, "the fake is told to fail") : 0;
}

static int fake_read(void *session, struct store_read *read, struct err *err)
{
	struct fake *fake = session;

	pthread_mutex_lock(&fake->lock);
	buf_printf(&fake->log, "read-%s ", read->id);
	pthread_mutex_unlock(&fake->lock);
	return 0;
}

static void fake_tidy(void *session)
{
	struct fake *fake = session;

	pthread_mutex_lock(&fake->lock);
	fake->tidied++;
	pthread_mutex_unlock(&fake->lock);
}

static const struct writer_driver driver = { .commit = fake_commit,
					     .read = fake_read,
					     .tidy = fake_tidy };
static const struct writer_driver beating = { .commit = fake_commit,
					      .read = fake_read,
					      .beats = true };

static void set_gate(struct fake *fake, bool closed)
{
	pthread_mutex_lock(&fake->lock);
	fake->gate_closed = closed;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

static void wait_at_gate(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	while (!fake->at_gate)
		pthread_cond_wait(&fake->changed, &fake->lock);
	pthread_mutex_unlock(&fake->lock);
}

static unsigned read_count(struct fake *fake, const unsigned *count)
{
	unsigned value;

	pthread_mutex_lock(&fake->lock);
	value = *count;
	pthread_mutex_unlock(&fake->lock);
	return value;
}

static void set_failures(struct fake *fake, unsigned failures)
{
	pthread_mutex_lock(&fake->lock);
	fake->failures = failures;
	pthread_mutex_unlock(&fake->lock);
}

static void assert_log(struct fake *fake, const char *expected)
{
	pthread_mutex_lock(&fake->lock);
	assert_string_equal(str_or(fake->log.data, ""), expected);
	pthread_mutex_unlock(&fake->lock);
}

/* ---- the store around it ---- */

static void fake_close(struct store *store)
{
	struct fake *fake = container_of(store, struct fake, store);

	fake->writer = writer_free(fake->writer);
	store_answer_all(store);
	store_fini(store);
}

static void fake_submit(struct store *store, struct store_item *item)
{
	writer_submit(container_of(store, struct fake, store)->writer, item);
}

static void fake_health(const struct store *store, struct store_health *out)
{
	writer_health(((const struct fake *)store)->writer, out);
}

static const struct store_backend backend = { .close = fake_close,
					      .submit = fake_submit,
					      .health = fake_health };

static int set_up_with(void **state, const struct writer_driver *with)
{
	struct fake *fake = xnew(struct fake);

	clock_test_start(1000000, 1000000);
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->changed, NULL);
	fake->loop = loop_new();
	store_init(&fake->store, &backend, fake->loop);
	fake->writer = writer_new(&fake->store, "fake", with, fake, NULL);
	*state = fake;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, &driver);
}

static int set_up_beating(void **state)
{
	return set_up_with(state, &beating);
}

static int tear_down(void **state)
{
	struct fake *fake = *state;

	set_gate(fake, false);
	if (fake->writer)
		store_close(&fake->store);
	loop_free(fake->loop);
	pthread_cond_destroy(&fake->changed);
	pthread_mutex_destroy(&fake->lock);
	buf_clear(&fake->log);
	free(fake);
	return 0;
}

static void on_answer(void *arg, const struct err *err)
{
	struct answer *answer = arg;

	answer->calls++;
	answer->done = true;
	answer->err = *err;
}

static void submit(struct fake *fake, const char *key, bool optional, struct answer *answer)
{
	struct store_batch *batch = store_batch_new(key);

	*answer = (struct answer){ 0 };
	if (optional)
		store_batch_optional(batch);
	store_submit(&fake->store, batch, on_answer, answer);
	assert_false(answer->done);
}

static void wait_answer(struct fake *fake, const struct answer *answer)
{
	while (!answer->done)
		loop_turn(fake->loop);
	assert_int_equal(answer->calls, 1);
}

static struct store_health health_of(struct fake *fake)
{
	struct store_health health;

	store_health(&fake->store, &health);
	return health;
}

static bool is_away(struct fake *fake)
{
	return health_of(fake).away;
}

/* ---- tests ---- */

static void what_gathers_is_one_group(void **state)
{
	struct fake *fake = *state;
	struct answer answers[300];

	set_gate(fake, true);
	submit(fake, "op", false, &answers[0]);
	wait_at_gate(fake);
	for (size_t i = 1; i < ARRAY_SIZE(answers); i++)
		submit(fake, "op", false, &answers[i]);
	set_gate(fake, false);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		wait_answer(fake, &answers[i]);
		assert_int_equal(answers[i].err.code, ERR_NONE);
	}
	assert_int_equal(fake->group_count, 3);
	assert_int_equal(fake->groups[0], 1);
	assert_int_equal(fake->groups[1], 256);
	assert_int_equal(fake->groups[2], 43);
}

static void one_bad_batch_is_told_alone(void **state)
{
	struct fake *fake = *state;
	struct answer good, bad, other;

	submit(fake, "good", false, &good);
	submit(fake, "bad", false, &bad);
	submit(fake, "other", false, &other);
	wait_answer(fake, &other);
	assert_int_equal(good.err.code, ERR_NONE);
	assert_int_equal(bad.err.code, ERR_CONFLICT);
	assert_int_equal(other.err.code, ERR_NONE);
	assert_log(fake, "good other ");
}

static void on_read(void *arg, const struct store_operations *result)
{
	*(bool *)arg = true;
}

static void reads_come_behind_the_writes_of_their_group(void **state)
{
	struct fake *fake = *state;
	struct answer first, second;
	bool read_done = false;

	set_gate(fake, true);
	submit(fake, "first", false, &first);
	wait_at_gate(fake);
	store_find_operation(&fake->store, "x", on_read, &read_done);
	submit(fake, "second", false, &second);
	set_gate(fake, false);
	while (!read_done || !second.done)
		loop_turn(fake->loop);
	assert_log(fake, "first second read-x ");
}

static void nothing_overtakes_a_batch_that_failed(void **state)
{
	struct fake *fake = *state;
	struct answer answers[5], refused;

	/* Only the first commit fails: the second group would land if the thread let it. */
	set_gate(fake, true);
	set_failures(fake, 1);
	submit(fake, "a", false, &answers[0]);
	wait_at_gate(fake);
	submit(fake, "b", false, &answers[1]);
	submit(fake, "c", true, &answers[2]);
	set_gate(fake, false);
	wait_answer(fake, &answers[2]);
	assert_int_equal(answers[2].err.code, ERR_UNAVAILABLE);
	assert_true(is_away(fake));
	assert_string_equal(health_of(fake).reason, "the fake is told to fail");
	/* Now that it is known the clock need not move for this one. */
	submit(fake, "no", true, &refused);
	wait_answer(fake, &refused);
	assert_int_equal(refused.err.code, ERR_UNAVAILABLE);
	submit(fake, "d", false, &answers[3]);
	assert_log(fake, "");
	set_gate(fake, true);
	clock_test_advance(WRITER_RETRY_FIRST_MS);
	while (writer_is_idle(fake->writer))
		loop_turn(fake->loop);
	wait_at_gate(fake);
	submit(fake, "e", false, &answers[4]);
	set_gate(fake, false);
	wait_answer(fake, &answers[4]);
	assert_log(fake, "a b d e ");
	assert_false(is_away(fake));
}

/* Turns until the thread has tried so many times and has nothing in its hands. */
static void wait_attempts(struct fake *fake, unsigned attempts)
{
	while (read_count(fake, &fake->attempts) < attempts || !writer_is_idle(fake->writer))
		loop_turn(fake->loop);
	assert_int_equal(read_count(fake, &fake->attempts), attempts);
}

static void retries_back_off(void **state)
{
	struct fake *fake = *state;
	static const int64_t delays[] = { 100, 200, 400, 800, 1600, 2000, 2000 };
	struct answer answer;

	set_failures(fake, ARRAY_SIZE(delays));
	submit(fake, "a", false, &answer);
	for (unsigned i = 0; i < ARRAY_SIZE(delays); i++) {
		wait_attempts(fake, i + 1);
		clock_test_advance(delays[i] - 1);
		assert_false(loop_turn(fake->loop));
		assert_false(answer.done);
		clock_test_advance(1);
	}
	wait_answer(fake, &answer);
	assert_int_equal(answer.err.code, ERR_NONE);
	/* Well again, the next failure begins with the short delay. */
	set_failures(fake, 1);
	submit(fake, "b", false, &answer);
	wait_attempts(fake, ARRAY_SIZE(delays) + 2);
	clock_test_advance(100);
	wait_answer(fake, &answer);
	assert_log(fake, "a b ");
}

static void a_probe_finds_out_that_it_is_back(void **state)
{
	struct fake *fake = *state;
	struct answer answer;

	set_failures(fake, 1);
	submit(fake, "a", true, &answer);
	wait_answer(fake, &answer);
	assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
	clock_test_advance(WRITER_RETRY_FIRST_MS);
	while (is_away(fake))
		loop_turn(fake->loop);
	assert_int_equal(read_count(fake, &fake->probes), 1);
	assert_log(fake, "probe ");
}

static void a_stuck_thread_does_not_hold_optional_batches(void **state)
{
	struct fake *fake = *state;
	struct answer first, second, third, later;

	submit(fake, "begin", true, &first);
	wait_answer(fake, &first);
	set_gate(fake, true);
	submit(fake, "first", false, &first);
	wait_at_gate(fake);
	submit(fake, "second", true, &second);
	clock_test_advance(WRITER_PATIENCE_MS - 100);
	submit(fake, "third", true, &third);
	assert_false(loop_turn(fake->loop) || second.done);
	clock_test_advance(100);
	wait_answer(fake, &second);
	assert_int_equal(second.err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(second.err.text,
			       "has not answered for 900 ms, and a change waits at most 900 ms; "
			       "last seen: a commit 900 ms ago"));
	assert_true(is_away(fake));
	/* From now on at once. */
	submit(fake, "later", true, &later);
	wait_answer(fake, &later);
	assert_int_equal(later.err.code, ERR_UNAVAILABLE);
	assert_false(third.done);
	clock_test_advance(WRITER_PATIENCE_MS - 100);
	wait_answer(fake, &third);
	assert_false(first.done);
	set_gate(fake, false);
	wait_answer(fake, &first);
	submit(fake, "end", true, &later);
	wait_answer(fake, &later);
	assert_log(fake, "begin first end ");
	assert_int_equal(second.calls, 1);
	assert_int_equal(third.calls, 1);
}

static void what_hangs_before_its_commit_is_withdrawn(void **state)
{
	struct fake *fake = *state;
	struct answer first, second;

	fake->claims_late = true;
	set_gate(fake, true);
	submit(fake, "first", true, &first);
	wait_at_gate(fake);
	clock_test_advance(WRITER_PATIENCE_MS);
	wait_answer(fake, &first);
	assert_int_equal(first.err.code, ERR_UNAVAILABLE);
	set_gate(fake, false);
	submit(fake, "second", false, &second);
	wait_answer(fake, &second);
	assert_log(fake, "second ");
	assert_int_equal(first.calls, 1);
}

static void what_may_have_landed_is_not_refused(void **state)
{
	struct fake *fake = *state;
	struct answer first, second;

	fake->uncertain = true;
	set_failures(fake, 2);
	submit(fake, "first", true, &first);
	while (!is_away(fake))
		loop_turn(fake->loop);
	submit(fake, "second", true, &second);
	wait_answer(fake, &second);
	assert_int_equal(second.err.code, ERR_UNAVAILABLE);
	clock_test_advance(WRITER_RETRY_FIRST_MS);
	while (read_count(fake, &fake->attempts) < 2 || !writer_is_idle(fake->writer))
		loop_turn(fake->loop);
	clock_test_advance(2 * WRITER_PATIENCE_MS);
	wait_answer(fake, &first);
	assert_int_equal(first.err.code, ERR_NONE);
	assert_log(fake, "first ");
}

static void closing_does_not_deny_what_may_have_landed(void **state)
{
	struct fake *fake = *state;
	struct answer answer;

	fake->uncertain = true;
	set_failures(fake, 2);
	submit(fake, "a", true, &answer);
	while (!is_away(fake))
		loop_turn(fake->loop);
	store_close(&fake->store);
	assert_int_equal(answer.calls, 1);
	assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
	assert_null(strstr(answer.err.text, "nothing was changed"));
}

static void what_the_thread_has_taken_is_not_withdrawn(void **state)
{
	struct fake *fake = *state;
	struct answer answer;

	set_gate(fake, true);
	submit(fake, "a", true, &answer);
	wait_at_gate(fake);
	clock_test_advance(2 * WRITER_PATIENCE_MS);
	for (int i = 0; i < 3; i++)
		loop_turn(fake->loop);
	assert_false(answer.done);
	set_gate(fake, false);
	wait_answer(fake, &answer);
	assert_int_equal(answer.err.code, ERR_NONE);
}

static void closing_answers_what_was_withdrawn_once(void **state)
{
	struct fake *fake = *state;
	struct answer first, second;

	set_gate(fake, true);
	submit(fake, "first", false, &first);
	wait_at_gate(fake);
	submit(fake, "second", true, &second);
	clock_test_advance(WRITER_PATIENCE_MS);
	/* The timer has decided, the answer is still queued. */
	loop_turn(fake->loop);
	assert_false(second.done);
	set_gate(fake, false);
	store_close(&fake->store);
	assert_int_equal(first.calls, 1);
	assert_int_equal(second.calls, 1);
	assert_int_equal(second.err.code, ERR_UNAVAILABLE);
	assert_log(fake, "first ");
}

static void closing_tries_once_more(void **state)
{
	struct fake *fake = *state;
	struct answer first, second;

	set_failures(fake, 1);
	submit(fake, "first", false, &first);
	while (!is_away(fake))
		loop_turn(fake->loop);
	submit(fake, "second", false, &second);
	store_close(&fake->store);
	assert_int_equal(first.err.code, ERR_NONE);
	assert_int_equal(second.err.code, ERR_NONE);
	assert_log(fake, "first second ");
}

static void closing_gives_up_on_what_stays_away(void **state)
{
	struct fake *fake = *state;
	struct answer first, second;

	set_failures(fake, 1000);
	submit(fake, "first", false, &first);
	while (!is_away(fake))
		loop_turn(fake->loop);
	submit(fake, "second", false, &second);
	store_close(&fake->store);
	assert_int_equal(first.calls, 1);
	assert_int_equal(first.err.code, ERR_UNAVAILABLE);
	assert_int_equal(second.err.code, ERR_UNAVAILABLE);
	assert_int_equal(fake->attempts, 2);
}

static void it_tidies_when_quiet(void **state)
{
	struct fake *fake = *state;
	struct answer answer;

	submit(fake, "a", false, &answer);
	wait_answer(fake, &answer);
	clock_test_advance(WRITER_QUIET_MS - 1);
	submit(fake, "b", false, &answer);
	wait_answer(fake, &answer);
	clock_test_advance(WRITER_QUIET_MS - 1);
	assert_false(loop_turn(fake->loop));
	assert_int_equal(read_count(fake, &fake->tidied), 0);
	clock_test_advance(1);
	while (!read_count(fake, &fake->tidied) || !writer_is_idle(fake->writer))
		loop_turn(fake->loop);
	/* Once: a daemon nobody uses sleeps. */
	clock_test_advance(10 * WRITER_QUIET_MS);
	assert_false(loop_turn(fake->loop));
	assert_int_equal(read_count(fake, &fake->tidied), 1);
}

/* Nobody writes, and yet it is known to be away, and to be back. */
static void it_beats_when_quiet(void **state)
{
	struct fake *fake = *state;

	for (unsigned beats = 1; beats <= 2; beats++) {
		clock_test_advance(WRITER_QUIET_MS);
		while (read_count(fake, &fake->probes) < beats || !writer_is_idle(fake->writer))
			loop_turn(fake->loop);
		assert_false(is_away(fake));
	}
	set_failures(fake, 1);
	clock_test_advance(WRITER_QUIET_MS);
	while (!is_away(fake))
		loop_turn(fake->loop);
	clock_test_advance(WRITER_RETRY_FIRST_MS);
	while (is_away(fake))
		loop_turn(fake->loop);
	assert_int_equal(read_count(fake, &fake->probes), 3);
}

#define T(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_gathers_is_one_group),
		T(one_bad_batch_is_told_alone),
		T(reads_come_behind_the_writes_of_their_group),
		T(nothing_overtakes_a_batch_that_failed),
		T(retries_back_off),
		T(a_probe_finds_out_that_it_is_back),
		T(a_stuck_thread_does_not_hold_optional_batches),
		T(what_hangs_before_its_commit_is_withdrawn),
		T(what_may_have_landed_is_not_refused),
		T(closing_does_not_deny_what_may_have_landed),
		T(what_the_thread_has_taken_is_not_withdrawn),
		T(closing_answers_what_was_withdrawn_once),
		T(closing_tries_once_more),
		T(closing_gives_up_on_what_stays_away),
		T(it_tidies_when_quiet),
		cmocka_unit_test_setup_teardown(it_beats_when_quiet, set_up_beating, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
