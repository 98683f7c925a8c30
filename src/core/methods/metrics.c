/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Metrics. The operations are counted in the store, so the numbers outlive a restart and follow
 * what the retention removes. A count looks at every operation, so one count serves all callers
 * that come while it runs, and callers that come soon after: the longer a count takes, the longer
 * it serves, within bounds.
 */

#include "core/methods/metrics.h"

#include "base/clock.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/calls.h"
#include "core/methods/health.h"
#include "core/model/mapping.h"
#include "store/store.h"

#define SERVES_MIN_MS 2000
#define SERVES_MAX_MS 60000
/* Between these bounds the store counts for one part in so many of the time at most. */
#define COST_SHARE 50
#define RECENT_MS (INT64_C(24) * 3600 * 1000)

/* A call that waits for a count. */
struct waiting {
	TAILQ_ENTRY(waiting) entry;
	struct metrics *metrics;
	struct call *call;
};

struct metrics {
	struct calls *calls;
	struct store_read *read; /* the count under way, or NULL */
	int64_t begun_ms;        /* clock_waking_ms(): a paused machine makes no count expensive */
	TAILQ_HEAD(, waiting) waiting;
	struct store_counts counts; /* the last */
	int64_t counted_at;         /* wall clock; 0 never */
	int64_t serves_until_ms;    /* monotonic */
};

static char *counts_json(const uint64_t *counts, const char *const *words)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	for (size_t i = 0; words[i]; i++) {
		json_put_name(&writer, words[i]);
		json_put_uint(&writer, counts[i]);
	}
	json_end_object(&writer);
	return buf_take(&out);
}

static char *details_json(struct calls *calls)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	health_put_figures(calls, &writer);
	json_end_object(&writer);
	return buf_take(&out);
}

static void answer(const struct metrics *metrics, struct call *call)
{
	const struct store_counts *counts = &metrics->counts;
	struct metrics_record record = {
		.timestamp = metrics->counted_at,
		.total_operations = (int64_t)counts->operations,
		.pending_operations = (int64_t)counts->by_status[OPERATION_PENDING],
		.active_mappings = (int64_t)mapping_count(metrics->calls->model),
		.operations_by_type = counts_json(counts->by_type, operation_type_names),
		.operations_by_status = counts_json(counts->by_status, operation_status_names),
		.average_response_time_ms = counts->mean_ms,
		.details = details_json(metrics->calls),
	};

	if (counts->ended)
		record.error_rate_percent =
			(int64_t)((counts->failed * 100 + counts->ended - 1) / counts->ended);
	call_answer(call, &record);
	record_clear(&metrics_record, &record);
}

static int64_t serves_ms(int64_t cost_ms)
{
	int64_t ms = cost_ms * COST_SHARE;

	if (ms < SERVES_MIN_MS)
		return SERVES_MIN_MS;
	return ms < SERVES_MAX_MS ? ms : SERVES_MAX_MS;
}

static void on_counted(void *arg, const struct store_counts *counts)
{
	struct metrics *metrics = arg;
	struct waiting *waiting;

	metrics->read = NULL;
	if (!counts->err.code) {
		metrics->counts = *counts;
		metrics->counted_at = clock_wall_ms();
		metrics->serves_until_ms =
			clock_mono_ms() + serves_ms(clock_waking_ms() - metrics->begun_ms);
	}
	while ((waiting = TAILQ_FIRST(&metrics->waiting))) {
		struct call *call = waiting->call;

		TAILQ_REMOVE(&metrics->waiting, waiting, entry);
		free(waiting);
		call_waited(call);
		if (counts->err.code)
			call_fail(call, &counts->err);
		else
			answer(metrics, call);
	}
}

static void cancel_waiting(void *awaited)
{
	struct waiting *waiting = awaited;

	TAILQ_REMOVE(&waiting->metrics->waiting, waiting, entry);
	free(waiting);
}

void metrics_get(struct call *call)
{
	struct metrics *metrics = call->calls->metrics;
	struct waiting *waiting;

	if (metrics->counted_at && clock_mono_ms() < metrics->serves_until_ms) {
		answer(metrics, call);
		return;
	}
	waiting = xnew(struct waiting);
	*waiting = (struct waiting){ .metrics = metrics, .call = call };
	TAILQ_INSERT_TAIL(&metrics->waiting, waiting, entry);
	call_wait(call, waiting, cancel_waiting);
	if (metrics->read)
		return;
	metrics->begun_ms = clock_waking_ms();
	metrics->read = store_count_operations(call->calls->env->store, clock_wall_ms() - RECENT_MS,
					       on_counted, metrics);
}

struct metrics *metrics_new(struct calls *calls)
{
	struct metrics *metrics = xnew(struct metrics);

	metrics->calls = calls;
	TAILQ_INIT(&metrics->waiting);
	return metrics;
}

struct metrics *metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return NULL;
	if (metrics->read)
		store_read_cancel(metrics->read);
	free(metrics);
	return NULL;
}
