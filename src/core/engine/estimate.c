/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Most of the time of an operation is CloudStack's and the hypervisor's, and differs from one
 * installation to the next by a factor of a hundred, but hardly from one operation to the next. So
 * nothing is built in: the median of the last times of a step is what the step is expected to take.
 * A median, because one job that was stuck for an hour says nothing about the next.
 *
 * A step teaches when it has ended well, with its commit and its wait for the VM's turn; a step
 * that began in an earlier process does not. After a start the store's history of the youngest
 * completed operations is read, one operation at a time.
 *
 * The estimate is made when a step begins and stays until the next step, so that it costs no signal
 * of its own; a program that shows a moving bar has the begin and the expected end.
 */

#include "core/engine/estimate.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/engine/engine.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/event.h"
#include "core/model/event.h"

#define STEPS_MAX 32     /* names of steps of one type of operation */
#define SAMPLES_MAX 7    /* of a step */
#define RECALLED_MAX 100 /* operations whose history is read after a start */
#define RECALLED_ROWS_MAX 1000

struct step_times {
	const char *name; /* the kind's text; NULL behind the last */
	int64_t ms[SAMPLES_MAX];
	size_t count;
	size_t next; /* the sample that is replaced next */
};

struct recalled {
	char *id;
	enum operation_type type;
};

struct engine_estimates {
	struct step_times steps[OPERATION_TYPE_COUNT][STEPS_MAX];
	/* of the recall */
	struct recalled recalled[RECALLED_MAX];
	size_t recalled_count, recalled_next;
	struct store_read *read; /* NULL: none is under way */
};

struct engine_estimates *engine_estimates_new(void)
{
	return xnew(struct engine_estimates);
}

static void recall_end(struct engine_estimates *estimates)
{
	for (size_t i = 0; i < estimates->recalled_count; i++)
		free(estimates->recalled[i].id);
	estimates->recalled_count = 0;
}

struct engine_estimates *engine_estimates_free(struct engine_estimates *estimates)
{
	if (estimates->read)
		store_read_cancel(estimates->read);
	recall_end(estimates);
	free(estimates);
	return NULL;
}

/* ---- times of steps ---- */

static struct step_times *times_of(struct engine_estimates *estimates, enum operation_type type,
				   const char *name)
{
	struct step_times *times = estimates->steps[type];

	while (times->name && !streq(times->name, name))
		times++;
	assert(times < &estimates->steps[type][STEPS_MAX - 1]);
	times->name = name;
	return times;
}

static void learn(struct step_times *times, int64_t ms)
{
	times->ms[times->next] = ms > 0 ? ms : 1;
	times->next = (times->next + 1) % SAMPLES_MAX;
	if (times->count < SAMPLES_MAX)
		times->count++;
}

void estimate_learn(const struct operation *operation)
{
	if (operation->timed_step)
		learn(times_of(operation->engine->estimates, operation->record.type,
			       operation->timed_step),
		      clock_mono_ms() - operation->timed_since_ms);
}

static int compare_ms(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* 0: not known */
static int64_t median(const struct step_times *times)
{
	int64_t sorted[SAMPLES_MAX];

	if (times->count == 0)
		return 0;
	memcpy(sorted, times->ms, sizeof(sorted));
	qsort(sorted, times->count, sizeof(sorted[0]), compare_ms);
	return sorted[times->count / 2];
}

/* ---- the estimate ---- */

void estimate_show_status(struct operation_record *record)
{
	if (record->status == OPERATION_COMPLETED)
		record->progress = 1;
	else
		record->progress = record->status == OPERATION_PENDING ? 0 : -1;
	record->expected_end = 0;
}

/* False: as far as is known by now, the step is left out, or runs at once. */
static bool takes_time(const struct operation *operation, const struct step *step)
{
	return (!step->applies || step->applies(operation)) &&
	       (!step->at_once || !step->at_once(operation));
}

void estimate_show(struct operation *operation)
{
	struct operation_record *record = &operation->record;
	const struct step *step;
	int64_t done_ms = 0, left_ms = 0;

	estimate_show_status(record);
	if (record->status != OPERATION_EXECUTING || record->undoing)
		return;
	for (size_t i = 0; (step = operation_kind_step(operation->kind, i)); i++) {
		int64_t ms;

		if (!takes_time(operation, step))
			continue;
		ms = median(times_of(operation->engine->estimates, record->type, step->name));
		/* A step that may be left out, or run at once, counts from the first time on. */
		if (ms == 0 && !step->applies && !step->at_once)
			return;
		*(i < operation->step ? &done_ms : &left_ms) += ms;
	}
	record->progress = (double)done_ms / (double)(done_ms + left_ms);
	record->expected_end = clock_record_ms() + left_ms;
}

/* ---- the history ---- */

static void recall_next(struct engine *engine);

/* The kind's text of a name that the store has; NULL: there is no such step any more. */
static const char *step_name(const struct operation_kind *kind, const char *name)
{
	for (; kind; kind = kind->variant) {
		for (size_t i = 0; operation_kind_step(kind, i); i++) {
			if (streq(operation_kind_step(kind, i)->name, name))
				return operation_kind_step(kind, i)->name;
		}
	}
	return NULL;
}

static const char *step_of_row(const struct operation_kind *kind, const struct history_record *row)
{
	_cleanup_json_ struct json *details =
		row->details ? json_parse(row->details, strlen(row->details), NULL) : NULL;

	return step_name(kind, json_text(json_get(details, "step")));
}

/* A row is of the moment at which its step was entered. */
static void learn_from(struct engine *engine, enum operation_type type,
		       const struct store_history *history)
{
	for (size_t i = 0; i + 1 < history->count; i++) {
		const struct history_record *row = &history->items[i];
		const char *name = step_of_row(engine->kinds[type], row);
		struct step_times *times;

		if (!name)
			continue;
		times = times_of(engine->estimates, type, name);
		/* What this process has seen itself is younger. */
		if (times->count < SAMPLES_MAX)
			learn(times, history->items[i + 1].changed_at - row->changed_at);
	}
}

static void on_history(void *arg, const struct store_history *history)
{
	struct engine *engine = arg;
	struct engine_estimates *estimates = engine->estimates;

	estimates->read = NULL;
	if (history->err.code) {
		log_debug("operations of the past teach nothing: %s", history->err.text);
		recall_end(estimates);
		return;
	}
	learn_from(engine, estimates->recalled[estimates->recalled_next++].type, history);
	recall_next(engine);
}

/* Operations that were resumed before all this was known. */
static void show_all(struct engine *engine)
{
	struct operation *operation;

	for (operation = operation_first(engine); operation;
	     operation = operation_after(operation)) {
		if (operation->record.progress >= 0 || operation->durable)
			continue;
		estimate_show(operation);
		if (operation->record.progress >= 0)
			events_operation(engine->model, EVENT_OPERATION_CHANGED,
					 &operation->record);
	}
}

static bool is_known(const struct engine_estimates *estimates, enum operation_type type)
{
	const struct step_times *times = estimates->steps[type];

	return times->name && times->count == SAMPLES_MAX;
}

static void recall_next(struct engine *engine)
{
	struct engine_estimates *estimates = engine->estimates;

	while (estimates->recalled_next < estimates->recalled_count &&
	       is_known(estimates, estimates->recalled[estimates->recalled_next].type))
		estimates->recalled_next++;
	if (estimates->recalled_next < estimates->recalled_count) {
		const struct store_history_filter filter = {
			.operation_id = estimates->recalled[estimates->recalled_next].id,
			.limit = RECALLED_ROWS_MAX,
		};

		estimates->read =
			store_list_history(engine->env->store, &filter, on_history, engine);
		return;
	}
	recall_end(estimates);
	show_all(engine);
}

static void on_operations(void *arg, const struct store_operations *result)
{
	struct engine *engine = arg;
	struct engine_estimates *estimates = engine->estimates;

	estimates->read = NULL;
	if (result->err.code) {
		log_debug("operations of the past teach nothing: %s", result->err.text);
		return;
	}
	for (size_t i = 0; i < result->count && i < RECALLED_MAX; i++)
		estimates->recalled[estimates->recalled_count++] = (struct recalled){
			.id = xstrdup(result->items[i].id),
			.type = (enum operation_type)result->items[i].type,
		};
	recall_next(engine);
}

void engine_estimates_recall(struct engine *engine)
{
	const struct store_operation_filter filter = {
		.type = -1,
		.status = OPERATION_COMPLETED,
		.limit = RECALLED_MAX,
	};

	engine->estimates->read =
		store_list_operations(engine->env->store, &filter, on_operations, engine);
}
