/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The figures count from the start of the daemon. The steps of a kind of operation are known from
 * its table, so all series are there from the beginning: a counter that appears with its first
 * event has no rate.
 */

#include "core/engine/figures.h"

#include <assert.h>

#include "base/clock.h"
#include "core/engine/engine.h"
#include "core/engine/operation_table.h"

#define STEPS_MAX 32 /* names of steps of one type of operation */

static const struct histogram_scale operation_scale = {
	.bounds = { 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800 }, .count = 13
};
static const struct histogram_scale step_scale = {
	.bounds = { 0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1800 }, .count = 9
};

const char *const time_part_names[TIME_PART_COUNT] = {
	[TIME_OWN] = "own",
	[TIME_WAITING] = "waiting",
	[TIME_CLOUDSTACK] = "cloudstack",
	[TIME_KERNEL] = "kernel",
};

struct step_figures {
	const char *name; /* NULL behind the last */
	struct histogram seconds;
};

struct type_figures {
	uint64_t ended[OPERATION_STATUS_COUNT];
	uint64_t attention;
	struct histogram seconds;
	double parts[TIME_PART_COUNT];
	struct step_figures steps[STEPS_MAX];
};

struct engine_figures {
	struct type_figures types[OPERATION_TYPE_COUNT];
};

struct engine_figures *engine_figures_new(void)
{
	return xnew(struct engine_figures);
}

struct engine_figures *engine_figures_free(struct engine_figures *figures)
{
	free(figures);
	return NULL;
}

static struct type_figures *figures_of(const struct operation *operation)
{
	return &operation->engine->figures->types[operation->record.type];
}

/* ---- noting ---- */

void figures_note_time(const struct operation *operation, enum time_part part, int64_t ms)
{
	figures_of(operation)->parts[part] += (double)ms / 1000;
}

static struct step_figures *step_figures(struct type_figures *figures, const char *name)
{
	size_t i = 0;

	while (figures->steps[i].name && !streq(figures->steps[i].name, name))
		i++;
	assert(i + 1 < STEPS_MAX);
	figures->steps[i].name = name;
	return &figures->steps[i];
}

void operation_step_begins(struct operation *operation, const char *name)
{
	int64_t now = clock_mono_ms();

	if (operation->timed_step)
		histogram_observe(
			&step_figures(figures_of(operation), operation->timed_step)->seconds,
			&step_scale, (double)(now - operation->timed_since_ms) / 1000);
	operation->timed_step = name;
	operation->timed_since_ms = now;
}

/* No step of the wall clock changes it. */
static int64_t time_of(const struct operation *operation)
{
	int64_t sum = 0;

	for (int part = 0; part < TIME_PART_COUNT; part++)
		sum += operation->spent_ms[part];
	return sum;
}

void operation_has_ended(const struct operation *operation)
{
	const struct operation_record *record = &operation->record;
	struct type_figures *figures = figures_of(operation);

	figures->ended[record->status]++;
	figures->attention += record->needs_attention;
	histogram_observe(&figures->seconds, &operation_scale, (double)time_of(operation) / 1000);
}

/* ---- the text ---- */

static void put_ended(const struct engine_figures *figures, struct buf *out)
{
	metric_family(out, "volumed_operations_total", METRIC_COUNTER,
		      "Operations that have ended, by their end.");
	for (int type = 0; type < OPERATION_TYPE_COUNT; type++) {
		for (int status = OPERATION_COMPLETED; status < OPERATION_STATUS_COUNT; status++)
			metric_value(out, "volumed_operations_total",
				     METRIC_LABELS({ "type", operation_type_names[type] },
						   { "status", operation_status_names[status] }),
				     (double)figures->types[type].ended[status]);
	}
	metric_family(out, "volumed_operations_needing_attention_total", METRIC_COUNTER,
		      "Operations that ended and left something behind.");
	for (int type = 0; type < OPERATION_TYPE_COUNT; type++)
		metric_value(out, "volumed_operations_needing_attention_total",
			     METRIC_LABELS({ "type", operation_type_names[type] }),
			     (double)figures->types[type].attention);
}

static void put_durations(const struct engine_figures *figures, struct buf *out)
{
	metric_family(
		out, "volumed_operation_duration_seconds", METRIC_HISTOGRAM,
		"Time from the acceptance of an operation to its end, without the time in which "
		"no daemon ran.");
	for (int type = 0; type < OPERATION_TYPE_COUNT; type++)
		metric_histogram(out, "volumed_operation_duration_seconds",
				 METRIC_LABELS({ "type", operation_type_names[type] }),
				 &figures->types[type].seconds, &operation_scale);
	metric_family(
		out, "volumed_operation_time_seconds_total", METRIC_COUNTER,
		"Where the time of operations went: own work and store, waiting for other "
		"operations, CloudStack with its queue and jobs, and from there to the kernel.");
	for (int type = 0; type < OPERATION_TYPE_COUNT; type++) {
		for (int part = 0; part < TIME_PART_COUNT; part++)
			metric_value(out, "volumed_operation_time_seconds_total",
				     METRIC_LABELS({ "type", operation_type_names[type] },
						   { "part", time_part_names[part] }),
				     figures->types[type].parts[part]);
	}
}

static void put_steps_of(const struct engine *engine, int type, struct buf *out)
{
	struct type_figures *figures = &engine->figures->types[type];

	for (const struct operation_kind *kind = engine->kinds[type]; kind; kind = kind->variant) {
		for (size_t i = 0; operation_kind_step(kind, i); i++)
			step_figures(figures, operation_kind_step(kind, i)->name);
	}
	for (const struct step_figures *step = figures->steps; step->name; step++)
		metric_histogram(out, "volumed_step_duration_seconds",
				 METRIC_LABELS({ "type", operation_type_names[type] },
					       { "step", step->name }),
				 &step->seconds, &step_scale);
}

static void put_steps(const struct engine *engine, struct buf *out)
{
	metric_family(out, "volumed_step_duration_seconds", METRIC_HISTOGRAM,
		      "Time of a step of an operation, also when it undoes itself.");
	for (int type = 0; type < OPERATION_TYPE_COUNT; type++)
		put_steps_of(engine, type, out);
}

static void put_unfinished(const struct engine *engine, struct buf *out)
{
	size_t counts[OPERATION_TYPE_COUNT][2] = { 0 };
	const struct operation *oldest = operation_first(engine), *operation;
	int64_t age_ms = oldest ? clock_record_ms() - oldest->record.created_at : 0;

	for (operation = oldest; operation; operation = operation_after(operation))
		counts[operation->record.type][operation->record.status != OPERATION_PENDING]++;
	metric_family(out, "volumed_operations_running", METRIC_GAUGE,
		      "Operations that have begun and not ended.");
	for (int type = 0; type < OPERATION_TYPE_COUNT; type++)
		metric_value(out, "volumed_operations_running",
			     METRIC_LABELS({ "type", operation_type_names[type] }),
			     (double)counts[type][1]);
	metric_family(out, "volumed_operations_pending", METRIC_GAUGE,
		      "Operations that wait for their turn.");
	for (int type = 0; type < OPERATION_TYPE_COUNT; type++)
		metric_value(out, "volumed_operations_pending",
			     METRIC_LABELS({ "type", operation_type_names[type] }),
			     (double)counts[type][0]);
	metric_family(out, "volumed_oldest_operation_age_seconds", METRIC_GAUGE,
		      "Time since the acceptance of the oldest operation that has not ended.");
	metric_value(out, "volumed_oldest_operation_age_seconds", NULL,
		     (double)(age_ms > 0 ? age_ms : 0) / 1000);
}

void engine_put_metrics(const struct engine *engine, struct buf *out)
{
	put_ended(engine->figures, out);
	put_durations(engine->figures, out);
	put_steps(engine, out);
	put_unfinished(engine, out);
}
