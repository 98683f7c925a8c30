/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A lane keeps three rows of batches, each older than the next: those that came back because the database was away
 * (returned), those with the thread (under way), and those submitted since the loop knows that it is away (waiting).
 *
 *      submit ──► [under way] ──► landed: answer; what is waiting goes under way
 *         │            ▲  └─────► away: [returned] ── retry timer ─┐
 *         │            └──────────── the first marked `resume` ◄───┘
 *         └─ away ──► [waiting]
 *
 * The order survives because of one rule on the thread: once a commit has failed the lane is blocked, and every batch
 * behind it is handed back untouched, until one marked `resume` comes. The loop sends that one only when nothing is
 * under way any more. So a commit that would work again by chance cannot overtake the one that failed.
 *
 * Optional batches never stay: they are refused when the database is away, and withdrawn when they have not come to
 * their commit in time because the thread is stuck. From there on nobody could say whether it lands, so such a batch
 * waits for the answer; and when the answer is cut off it is written again like any other, which settles it.
 *
 * When nothing is left to write, an empty batch is written as a probe: without it a store that only ever refuses would
 * never learn that it is well again.
 */

#include "store/writer.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"

struct lane {
	struct store *store;
	const struct lane_driver *driver;
	void *session;
	struct worker *worker;

	/* the loop's */
	struct store_queue returned;
	struct store_queue waiting;
	size_t under_way;
	bool away;
	char reason[512];
	int64_t retry_ms;
	struct loop_timer retry;
	struct loop_timer patience;
	struct loop_timer quiet;
	struct store_item tidy;
	bool tidying;

	/* the thread's */
	bool blocked;
	struct err blocked_why;

	atomic_uint_fast64_t transactions;
};

/* ---- on the thread ---- */

/* True when the batch is to be written now. */
static bool take(struct lane *lane, struct store_batch *batch)
{
	if (batch->resume)
		lane->blocked = false;
	if (atomic_load(&batch->claim) == STORE_BATCH_WITHDRAWN)
		return false;
	if (!lane->blocked)
		return true;
	batch->kept = true;
	batch->item.err = lane->blocked_why;
	return false;
}

static void commit(struct lane *lane, struct store_batch *const *group, size_t count)
{
	struct err why = { 0 };

	if (lane->driver->commit(lane->session, group, count, &why) == 0) {
		atomic_fetch_add(&lane->transactions, 1);
		return;
	}
	lane->blocked = true;
	lane->blocked_why = why;
	for (size_t i = 0; i < count; i++) {
		group[i]->kept = true;
		group[i]->item.err = why;
	}
}

static void read_list(struct lane *lane, struct store_read *read)
{
	struct store_read last = { .id = (char *)(uintptr_t)read->filter.before_id, /* only read */
				   .filter = { .type = -1, .status = -1, .limit = 1 } };

	if (store_read_lacks_place(read)) {
		lane->driver->read(lane->session, &last);
		read->item.err = last.item.err;
		if (read->item.err.code == ERR_NONE)
			store_read_set_place(read, last.count ? last.items : NULL);
		store_read_reset(&last);
	}
	if (read->item.err.code == ERR_NONE)
		lane->driver->read(lane->session, read);
}

/* Writes first: a read then sees everything that was submitted before it. */
static void run(void *context, struct worker_jobs *jobs, size_t count)
{
	struct lane *lane = context;
	struct store_batch *group[LANE_GROUP_MAX];
	struct worker_job *job;
	size_t taken = 0;

	assert(count <= LANE_GROUP_MAX);
	STAILQ_FOREACH(job, jobs, entry) {
		struct store_item *item = container_of(job, struct store_item, job);

		if (item->kind == STORE_ITEM_BATCH && take(lane, store_batch_of(item)))
			group[taken++] = store_batch_of(item);
	}
	if (taken)
		commit(lane, group, taken);
	STAILQ_FOREACH(job, jobs, entry) {
		struct store_item *item = container_of(job, struct store_item, job);

		switch (item->kind) {
		case STORE_ITEM_BATCH:
			break;
		case STORE_ITEM_READ:
			read_list(lane, store_read_of(item));
			break;
		case STORE_ITEM_ACCESS:
			lane->driver->look(lane->session, store_look_of(item));
			break;
		case STORE_ITEM_TIDY:
			lane->driver->tidy(lane->session);
			break;
		}
	}
}

/* ---- on the loop ---- */

static void on_batch(struct worker_job *job);

static void send_batch(struct lane *lane, struct store_batch *batch)
{
	assert(!batch->under_way);
	atomic_store(&batch->claim, STORE_BATCH_FREE);
	batch->under_way = true;
	batch->kept = false;
	err_clear(&batch->item.err);
	batch->item.lane = lane;
	batch->item.job.done = on_batch;
	lane->under_way++;
	worker_submit(lane->worker, &batch->item.job);
}

static void send_queue(struct lane *lane, struct store_queue *queue)
{
	struct store_item *item;

	while ((item = TAILQ_FIRST(queue))) {
		TAILQ_REMOVE(queue, item, queue);
		send_batch(lane, store_batch_of(item));
	}
}

static void send_probe(struct lane *lane, bool resume)
{
	struct store_batch *probe = store_batch_new("probe");

	probe->item.store = lane->store;
	probe->probe = true;
	probe->resume = resume;
	send_batch(lane, probe);
}

/* Tries again what came back, or asks with a probe when nothing did. What waits follows when that has landed. */
static void resume(struct lane *lane)
{
	struct store_item *first;

	assert(lane->away && lane->under_way == 0);
	first = TAILQ_FIRST(&lane->returned);
	if (first) {
		store_batch_of(first)->resume = true;
		send_queue(lane, &lane->returned);
		return;
	}
	send_probe(lane, true);
}

static void on_retry(struct loop_timer *timer)
{
	struct lane *lane = container_of(timer, struct lane, retry);

	lane->retry_ms = lane->retry_ms * 2 < LANE_RETRY_LAST_MS ? lane->retry_ms * 2 : LANE_RETRY_LAST_MS;
	resume(lane);
}

static void note_away(struct lane *lane, const struct err *why)
{
	lane->away = true;
	snprintf(lane->reason, sizeof(lane->reason), "%.511s", why->text);
}

static void note_back(struct lane *lane)
{
	if (!lane->away)
		return;
	lane->away = false;
	lane->retry_ms = LANE_RETRY_FIRST_MS;
	assert(TAILQ_EMPTY(&lane->returned));
	send_queue(lane, &lane->waiting);
}

/* Where a batch goes that the thread has given back. */
static void settle(struct lane *lane, struct store_batch *batch)
{
	bool kept = batch->kept;

	if (atomic_load(&batch->claim) == STORE_BATCH_WITHDRAWN) {
		/* Still open: its answer is queued and will free it. */
		if (!batch->item.is_open)
			store_drop(&batch->item);
		return;
	}
	if (kept)
		note_away(lane, &batch->item.err);
	else
		note_back(lane);
	if (batch->probe)
		store_drop(&batch->item);
	else if (!kept)
		store_answer(&batch->item);
	else if (batch->optional && !batch->uncertain)
		store_refuse(&batch->item, lane->reason);
	else
		TAILQ_INSERT_TAIL(&lane->returned, &batch->item, queue);
}

static void await_quiet(struct lane *lane)
{
	if (lane->driver->tidy || lane->driver->beats)
		loop_timer_set(lane->store->loop, &lane->quiet, LANE_QUIET_MS);
}

static void on_batch(struct worker_job *job)
{
	struct store_item *item = container_of(job, struct store_item, job);
	struct store_batch *batch = store_batch_of(item);
	struct lane *lane = item->lane;

	batch->under_way = false;
	lane->under_way--;
	settle(lane, batch);
	if (lane->store->closing || lane->under_way)
		return;
	if (lane->away)
		loop_timer_set(lane->store->loop, &lane->retry, lane->retry_ms);
	else
		await_quiet(lane);
}

static void on_read(struct worker_job *job)
{
	store_answer(container_of(job, struct store_item, job));
}

static void on_tidy(struct worker_job *job)
{
	container_of(job, struct store_item, job)->lane->tidying = false;
}

static void on_quiet(struct loop_timer *timer)
{
	struct lane *lane = container_of(timer, struct lane, quiet);

	if (lane->under_way || lane->tidying || lane->away)
		return;
	if (lane->driver->beats) {
		send_probe(lane, false);
		return;
	}
	lane->tidying = true;
	worker_submit(lane->worker, &lane->tidy.job);
}

static bool is_stuck(const struct lane *lane)
{
	return worker_oldest_ms(lane->worker) >= LANE_PATIENCE_MS;
}

static void refuse_slow(struct store_item *item, int64_t ms)
{
	char reason[64];

	snprintf(reason, sizeof(reason), "it has not answered for %lld ms", (long long)ms);
	store_refuse(item, reason);
}

static void on_patience(struct loop_timer *timer)
{
	struct lane *lane = container_of(timer, struct lane, patience);
	struct store_item *item;

	TAILQ_FOREACH(item, &lane->store->open, open) {
		int64_t age = clock_mono_ms() - item->since_ms;
		int claim = STORE_BATCH_FREE;
		struct store_batch *batch;

		if (item->kind != STORE_ITEM_BATCH || item->lane != lane)
			continue;
		batch = store_batch_of(item);
		if (!batch->optional || batch->uncertain || !batch->under_way ||
		    atomic_load(&batch->claim) != STORE_BATCH_FREE)
			continue;
		if (age < LANE_PATIENCE_MS) {
			loop_timer_set(lane->store->loop, timer, LANE_PATIENCE_MS - age);
			return;
		}
		if (atomic_compare_exchange_strong(&batch->claim, &claim, STORE_BATCH_WITHDRAWN))
			refuse_slow(item, age);
	}
}

static void submit_batch(struct lane *lane, struct store_batch *batch)
{
	if (lane->away && batch->optional) {
		store_refuse(&batch->item, lane->reason);
	} else if (lane->away) {
		TAILQ_INSERT_TAIL(&lane->waiting, &batch->item, queue);
	} else if (batch->optional && is_stuck(lane)) {
		refuse_slow(&batch->item, worker_oldest_ms(lane->worker));
	} else {
		if (batch->optional && !loop_timer_is_set(&lane->patience))
			loop_timer_set(lane->store->loop, &lane->patience, LANE_PATIENCE_MS);
		send_batch(lane, batch);
	}
}

void lane_submit(struct lane *lane, struct store_item *item)
{
	switch (item->kind) {
	case STORE_ITEM_BATCH:
		submit_batch(lane, store_batch_of(item));
		return;
	case STORE_ITEM_READ:
	case STORE_ITEM_ACCESS:
		item->lane = lane;
		item->job.done = on_read;
		worker_submit(lane->worker, &item->job);
		return;
	case STORE_ITEM_TIDY:
		break;
	}
	assert(!"nobody submits this");
}

struct lane *lane_new(struct store *store, const char *name, const struct lane_driver *driver, void *session)
{
	struct lane *lane = xnew(struct lane);

	lane->store = store;
	lane->driver = driver;
	lane->session = session;
	lane->retry_ms = LANE_RETRY_FIRST_MS;
	lane->retry.fire = on_retry;
	lane->patience.fire = on_patience;
	lane->quiet.fire = on_quiet;
	lane->tidy = (struct store_item){ .kind = STORE_ITEM_TIDY, .store = store, .lane = lane, .job.done = on_tidy };
	TAILQ_INIT(&lane->returned);
	TAILQ_INIT(&lane->waiting);
	lane->worker = worker_new(store->loop, name, LANE_GROUP_MAX, run, lane);
	if (driver->beats)
		await_quiet(lane);
	return lane;
}

static void refuse_queue(struct lane *lane, struct store_queue *queue)
{
	struct store_item *item;

	while ((item = TAILQ_FIRST(queue))) {
		TAILQ_REMOVE(queue, item, queue);
		if (store_batch_of(item)->uncertain) {
			err_set(&item->err, ERR_UNAVAILABLE,
				"the store went away while this was written, ask whether it was before asking again: "
				"%s",
				lane->reason);
			store_answer_later(item);
		} else {
			store_refuse(item, lane->reason);
		}
	}
}

struct lane *lane_free(struct lane *lane)
{
	assert(lane->store->closing);
	loop_timer_clear(lane->store->loop, &lane->retry);
	loop_timer_clear(lane->store->loop, &lane->patience);
	loop_timer_clear(lane->store->loop, &lane->quiet);
	/* A last attempt, and only one: stopping must not wait for a disk that somebody has to empty first. */
	if (lane->away && lane->under_way == 0)
		resume(lane);
	worker_free(lane->worker);
	assert(lane->under_way == 0);
	refuse_queue(lane, &lane->returned);
	refuse_queue(lane, &lane->waiting);
	free(lane);
	return NULL;
}

bool lane_is_idle(const struct lane *lane)
{
	return worker_pending(lane->worker) == 0;
}

void lane_health(const struct lane *lane, struct store_health *out)
{
	out->transactions += atomic_load(&lane->transactions);
	if (lane->away) {
		out->away = true;
		snprintf(out->reason, sizeof(out->reason), "%s", lane->reason);
	} else if (is_stuck(lane)) {
		out->away = true;
		snprintf(out->reason, sizeof(out->reason), "it has not answered for %lld ms",
			 (long long)worker_oldest_ms(lane->worker));
	}
}
