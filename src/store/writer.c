/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A writer keeps three groups of batches, each older than the next: batches that came back because
 * the database was away (returned), batches with the thread (under way), and batches submitted
 * since the loop knows that the database is away (waiting).
 *
 *      submit ──► [under way] ──► landed: answer; waiting batches go under way
 *         │            ▲  └─────► away: [returned] ── retry timer ─┐
 *         │            └──────────── the first marked `resume` ◄───┘
 *         └─ away ──► [waiting]
 *
 * The order survives because of one rule on the thread: once a commit has failed the writer is
 * blocked, and every batch behind it is handed back untouched, until a batch marked `resume` comes.
 * The loop sends this batch only when nothing is under way any more. So a commit that would work
 * again by chance cannot overtake the commit that failed.
 *
 * Optional batches never stay: they are refused if the database is away, and withdrawn if they have
 * not come to their commit in time because the thread is stuck. Once the commit has begun, the
 * result of the batch is open, so such a batch waits for the answer; and if the answer is cut off,
 * the batch is written again like any other, which settles the result.
 *
 * If nothing is left to write, an empty batch is written as a probe: without a probe, a writer that
 * refuses every change would never learn that the database is back.
 */

#include "store/writer.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "store/access.h"
#include "store/backend.h"
#include "store/copy.h"
#include "store/read.h"

struct writer {
	struct store *store;
	const struct writer_driver *driver;
	void *session;
	struct worker *worker;

	/* used by the loop */
	struct store_queue returned;
	struct store_queue waiting;
	size_t under_way;
	bool away;
	char reason[ERR_TEXT_SIZE];
	int64_t landed_ms; /* clock_waking_ms() of the last batch that became durable, 0: none */
	int64_t retry_ms;
	struct loop_timer retry;
	struct loop_timer patience;
	struct loop_timer quiet;
	struct store_item tidy;
	bool tidying;

	/* used by the thread */
	bool blocked;
	struct err blocked_why;

	atomic_uint_fast64_t transactions;
};

/* ---- on the thread ---- */

/* True if the batch is to be written now. */
static bool take(struct writer *writer, struct store_batch *batch)
{
	if (batch->resume)
		writer->blocked = false;
	if (atomic_load(&batch->claim) == STORE_BATCH_WITHDRAWN)
		return false;
	if (!writer->blocked)
		return true;
	batch->kept = true;
	store_item_set_err(&batch->item, &writer->blocked_why);
	return false;
}

/* Of the machine, also if a test has turned the clocks of the loop. */
static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void commit(struct writer *writer, struct store_batch *const *group, size_t count)
{
	int64_t began_us = now_us();
	struct err why;

	err_clear(&why);
	if (writer->driver->commit(writer->session, group, count, &why) == 0) {
		atomic_fetch_add(&writer->transactions, 1);
		group[0]->commit_us = now_us() - began_us;
		group[0]->commit_batches = count;
		return;
	}
	writer->blocked = true;
	writer->blocked_why = why;
	for (size_t i = 0; i < count; i++) {
		group[i]->kept = true;
		store_item_set_err(&group[i]->item, &why);
	}
}

static void read_list(struct writer *writer, struct store_read *read)
{
	struct store_read last = { .id = (char *)(uintptr_t)read->filter.before_id, /* only read */
				   .filter = { .type = -1, .status = -1, .limit = 1 } };

	struct err err = { 0 };

	if (store_read_lacks_place(read)) {
		if (writer->driver->read(writer->session, &last, &err) == 0)
			store_read_set_place(read, last.count ? last.items : NULL, &err);
		store_read_reset(&last);
	}
	if (err.code == ERR_NONE)
		writer->driver->read(writer->session, read, &err);
	store_item_set_err(&read->item, &err);
}

/* Writes first: a read then sees everything that was submitted before it. */
static void run(void *context, struct worker_jobs *jobs, size_t count)
{
	struct writer *writer = context;
	struct store_batch *group[WRITER_GROUP_MAX];
	struct worker_job *job;
	size_t taken = 0;

	assert(count <= WRITER_GROUP_MAX);
	STAILQ_FOREACH(job, jobs, entry) {
		struct store_item *item = container_of(job, struct store_item, job);

		if (item->type->kind == STORE_ITEM_BATCH && take(writer, store_batch_of(item)))
			group[taken++] = store_batch_of(item);
	}
	if (taken)
		commit(writer, group, taken);
	STAILQ_FOREACH(job, jobs, entry) {
		struct store_item *item = container_of(job, struct store_item, job);

		switch (item->type->kind) {
		case STORE_ITEM_BATCH:
			break;
		case STORE_ITEM_READ:
			read_list(writer, store_read_of(item));
			break;
		case STORE_ITEM_ACCESS:
			writer->driver->look(writer->session, store_look_of(item));
			break;
		case STORE_ITEM_COPY:
			writer->driver->copy(writer->session, store_copy_of(item));
			break;
		case STORE_ITEM_TIDY:
			writer->driver->tidy(writer->session);
			break;
		}
	}
}

/* ---- on the loop ---- */

static void on_batch(struct worker_job *job);

static void send_batch(struct writer *writer, struct store_batch *batch)
{
	assert(!batch->item.under_way);
	atomic_store(&batch->claim, STORE_BATCH_FREE);
	batch->item.under_way = true;
	batch->kept = false;
	batch->commit_batches = 0;
	store_item_set_err(&batch->item, NULL);
	batch->item.writer = writer;
	batch->item.job.done = on_batch;
	writer->under_way++;
	worker_submit(writer->worker, &batch->item.job);
}

static void send_queue(struct writer *writer, struct store_queue *queue)
{
	struct store_item *item;

	while ((item = TAILQ_FIRST(queue))) {
		TAILQ_REMOVE(queue, item, queue);
		send_batch(writer, store_batch_of(item));
	}
}

static void send_probe(struct writer *writer, bool resume)
{
	struct store_batch *probe = store_batch_new("probe");

	probe->item.store = writer->store;
	probe->probe = true;
	probe->resume = resume;
	send_batch(writer, probe);
}

/*
 * Tries the returned batches again, or sends a probe if there are none. Waiting batches follow when
 * a batch or the probe has landed.
 */
static void resume(struct writer *writer)
{
	struct store_item *first;

	assert(writer->away && writer->under_way == 0);
	first = TAILQ_FIRST(&writer->returned);
	if (first) {
		store_batch_of(first)->resume = true;
		send_queue(writer, &writer->returned);
		return;
	}
	send_probe(writer, true);
}

static void on_retry(struct loop_timer *timer)
{
	struct writer *writer = container_of(timer, struct writer, retry);

	writer->retry_ms = writer->retry_ms * 2 < WRITER_RETRY_LAST_MS ? writer->retry_ms * 2
								       : WRITER_RETRY_LAST_MS;
	resume(writer);
}

static void note_away(struct writer *writer, const struct err *why)
{
	writer->away = true;
	memcpy(writer->reason, why->text, sizeof(writer->reason));
}

static void note_back(struct writer *writer)
{
	if (!writer->away)
		return;
	writer->away = false;
	writer->retry_ms = WRITER_RETRY_FIRST_MS;
	assert(TAILQ_EMPTY(&writer->returned));
	send_queue(writer, &writer->waiting);
}

/* Finds the next place of a batch that the thread has given back. */
static void settle(struct writer *writer, struct store_batch *batch)
{
	bool kept = batch->kept;

	if (atomic_load(&batch->claim) == STORE_BATCH_WITHDRAWN) {
		/* An item that is still open has its answer queued, and the answer frees it. */
		if (!batch->item.is_open)
			store_drop(&batch->item);
		return;
	}
	if (kept)
		note_away(writer, batch->item.err);
	else
		note_back(writer);
	if (!kept)
		writer->landed_ms = clock_waking_ms();
	if (batch->probe)
		store_drop(&batch->item);
	else if (!kept)
		store_answer(&batch->item);
	else if (batch->optional && !batch->uncertain)
		store_refuse(&batch->item, writer->reason);
	else
		TAILQ_INSERT_TAIL(&writer->returned, &batch->item, queue);
}

static void await_quiet(struct writer *writer)
{
	if (writer->driver->tidy || writer->driver->beats)
		loop_timer_set(writer->store->loop, &writer->quiet, WRITER_QUIET_MS);
}

static void on_batch(struct worker_job *job)
{
	struct store_item *item = container_of(job, struct store_item, job);
	struct store_batch *batch = store_batch_of(item);
	struct writer *writer = item->writer;

	batch->item.under_way = false;
	writer->under_way--;
	if (batch->commit_batches)
		store_note_commit(writer->store, batch->commit_us, batch->commit_batches);
	settle(writer, batch);
	if (writer->store->closing || writer->under_way)
		return;
	if (writer->away)
		loop_timer_set(writer->store->loop, &writer->retry, writer->retry_ms);
	else
		await_quiet(writer);
}

static void on_read(struct worker_job *job)
{
	store_answer(container_of(job, struct store_item, job));
}

static void on_tidy(struct worker_job *job)
{
	container_of(job, struct store_item, job)->writer->tidying = false;
}

static void on_quiet(struct loop_timer *timer)
{
	struct writer *writer = container_of(timer, struct writer, quiet);

	if (writer->under_way || writer->tidying || writer->away)
		return;
	if (writer->driver->beats) {
		send_probe(writer, false);
		return;
	}
	writer->tidying = true;
	worker_submit(writer->worker, &writer->tidy.job);
}

static bool is_stuck(const struct writer *writer)
{
	return worker_oldest_ms(writer->worker) >= WRITER_PATIENCE_MS;
}

static void explain_slow(const struct writer *writer, int64_t ms, char *out, size_t size)
{
	char seen[64] = "no commit";

	if (writer->landed_ms)
		snprintf(seen, sizeof(seen), "a commit %lld ms ago",
			 (long long)(clock_waking_ms() - writer->landed_ms));
	snprintf(out, size,
		 "it has not answered for %lld ms, and a change waits at most %d ms; last seen: %s",
		 (long long)ms, WRITER_PATIENCE_MS, seen);
}

static void refuse_slow(struct writer *writer, struct store_item *item, int64_t ms)
{
	char reason[ERR_TEXT_SIZE];

	explain_slow(writer, ms, reason, sizeof(reason));
	store_refuse(item, reason);
}

static void on_patience(struct loop_timer *timer)
{
	struct writer *writer = container_of(timer, struct writer, patience);
	struct store_item *item;

	TAILQ_FOREACH(item, &writer->store->open, open) {
		int64_t age = clock_waking_ms() - item->since_ms;
		int claim = STORE_BATCH_FREE;
		struct store_batch *batch;

		if (item->type->kind != STORE_ITEM_BATCH || item->writer != writer)
			continue;
		batch = store_batch_of(item);
		if (!batch->optional || batch->uncertain || !batch->item.under_way ||
		    atomic_load(&batch->claim) != STORE_BATCH_FREE)
			continue;
		if (age < WRITER_PATIENCE_MS) {
			loop_deadline_set(writer->store->loop, timer, WRITER_PATIENCE_MS - age);
			return;
		}
		if (atomic_compare_exchange_strong(&batch->claim, &claim, STORE_BATCH_WITHDRAWN))
			refuse_slow(writer, item, age);
	}
}

static void submit_batch(struct writer *writer, struct store_batch *batch)
{
	if (writer->away && batch->optional) {
		store_refuse(&batch->item, writer->reason);
	} else if (writer->away) {
		TAILQ_INSERT_TAIL(&writer->waiting, &batch->item, queue);
	} else if (batch->optional && is_stuck(writer)) {
		refuse_slow(writer, &batch->item, worker_oldest_ms(writer->worker));
	} else {
		if (batch->optional && !loop_timer_is_set(&writer->patience))
			loop_deadline_set(writer->store->loop, &writer->patience,
					  WRITER_PATIENCE_MS);
		send_batch(writer, batch);
	}
}

void writer_submit(struct writer *writer, struct store_item *item)
{
	switch (item->type->kind) {
	case STORE_ITEM_BATCH:
		submit_batch(writer, store_batch_of(item));
		return;
	case STORE_ITEM_READ:
	case STORE_ITEM_ACCESS:
	case STORE_ITEM_COPY:
		item->writer = writer;
		item->job.done = on_read;
		worker_submit(writer->worker, &item->job);
		return;
	case STORE_ITEM_TIDY:
		break;
	}
	assert(!"an item of this kind is never submitted");
}

/* The probe has no caller, so it is never answered, and it is a part of its writer. */
static const struct store_item_type tidy_type = { .kind = STORE_ITEM_TIDY };

struct writer *writer_new(struct store *store, const char *name, const struct writer_driver *driver,
			  void *session, struct err *err)
{
	struct writer *writer = xnew(struct writer);

	writer->store = store;
	writer->driver = driver;
	writer->session = session;
	writer->retry_ms = WRITER_RETRY_FIRST_MS;
	writer->retry.fire = on_retry;
	writer->patience.fire = on_patience;
	writer->quiet.fire = on_quiet;
	writer->tidy = (struct store_item){
		.type = &tidy_type, .store = store, .writer = writer, .job.done = on_tidy
	};
	TAILQ_INIT(&writer->returned);
	TAILQ_INIT(&writer->waiting);
	writer->worker = worker_new(store->loop, name, WRITER_GROUP_MAX, run, writer, err);
	if (!writer->worker) {
		free(writer);
		return NULL;
	}
	if (driver->beats)
		await_quiet(writer);
	return writer;
}

static void refuse_queue(struct writer *writer, struct store_queue *queue)
{
	struct store_item *item;
	struct err err;

	while ((item = TAILQ_FIRST(queue))) {
		TAILQ_REMOVE(queue, item, queue);
		if (store_batch_of(item)->uncertain) {
			err_set(&err, ERR_UNAVAILABLE,
				"the store went away during this write, so the result is unknown: look at the result before asking again: "
				"%s",
				writer->reason);
			store_item_set_err(item, &err);
			store_answer_later(item);
		} else {
			store_refuse(item, writer->reason);
		}
	}
}

struct writer *writer_free(struct writer *writer)
{
	if (!writer)
		return NULL;
	assert(writer->store->closing);
	loop_timer_clear(writer->store->loop, &writer->retry);
	loop_timer_clear(writer->store->loop, &writer->patience);
	loop_timer_clear(writer->store->loop, &writer->quiet);
	/*
	 * A last attempt, and only one: stopping must not wait for a disk that a person has to
	 * empty first.
	 */
	if (writer->away && writer->under_way == 0)
		resume(writer);
	worker_free(writer->worker);
	assert(writer->under_way == 0);
	refuse_queue(writer, &writer->returned);
	refuse_queue(writer, &writer->waiting);
	free(writer);
	return NULL;
}

bool writer_is_idle(const struct writer *writer)
{
	return worker_pending(writer->worker) == 0;
}

void writer_health(const struct writer *writer, struct store_health *out)
{
	int64_t at_work_ms = worker_oldest_ms(writer->worker);

	out->transactions += atomic_load(&writer->transactions);
	if (at_work_ms > out->stuck_ms)
		out->stuck_ms = at_work_ms;
	if (writer->away) {
		out->away = true;
		snprintf(out->reason, sizeof(out->reason), "%s", writer->reason);
	} else if (is_stuck(writer)) {
		out->away = true;
		explain_slow(writer, worker_oldest_ms(writer->worker), out->reason,
			     sizeof(out->reason));
	}
}
