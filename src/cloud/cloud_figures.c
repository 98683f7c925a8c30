/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A request counts when its answer has come, or when its time is over. */

#include "cloud/cloud_figures.h"
#include "base/util.h"

static const struct histogram_scale scale = {
	.bounds = { 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30 }, .count = 11
};

static const char *const outcome_names[] = {
	[CLOUD_OK] = "ok",
	[CLOUD_REFUSED] = "refused",
	[CLOUD_AWAY] = "away",
	[CLOUD_UNKNOWN] = "unknown",
};

/* Two questions may use one command of CloudStack, which has one series. */
static enum cloud_command_id first_of_its_name(enum cloud_command_id id)
{
	enum cloud_command_id first = 0;

	while (!streq(cloud_command_at(first)->name, cloud_command_at(id)->name))
		first++;
	return first;
}

/* A refusal that is about one object says nothing about the command. */
static bool is_failure(const struct cloud_result *result)
{
	if (result->outcome == CLOUD_REFUSED)
		return result->err.code != ERR_NOT_FOUND && cloud_err_is_refusal(&result->err);
	return result->outcome != CLOUD_OK;
}

void cloud_figures_note(struct cloud_figures *figures, enum cloud_command_id command,
			const struct cloud_result *result, int64_t ms)
{
	enum cloud_command_id row = first_of_its_name(command);

	figures->commands[row].results[result->outcome]++;
	figures->commands[row].was_asked = true;
	str_set(&figures->commands[row].failure, is_failure(result) ? result->err.text : NULL);
	histogram_observe(&figures->commands[row].seconds, &scale, (double)ms / 1000);
}

void cloud_figures_clear(struct cloud_figures *figures)
{
	for (enum cloud_command_id id = 0; id < CLOUD_COMMAND_COUNT; id++)
		str_set(&figures->commands[id].failure, NULL);
}

void cloud_figures_each_read(const struct cloud_figures *figures, cloud_read_health_fn fn,
			     void *arg)
{
	for (enum cloud_command_id id = 0; id < CLOUD_COMMAND_COUNT; id++) {
		if (!cloud_command_at(id)->change && first_of_its_name(id) == id)
			fn(arg, cloud_command_at(id)->name, figures->commands[id].was_asked,
			   figures->commands[id].failure);
	}
}

static void put_failing(const struct cloud_figures *figures, struct buf *out)
{
	metric_family(
		out, "volumed_cloudstack_failing", METRIC_GAUGE,
		"1 if CloudStack did not answer the last request of this command, or refuses the "
		"command.");
	for (enum cloud_command_id id = 0; id < CLOUD_COMMAND_COUNT; id++) {
		if (first_of_its_name(id) == id)
			metric_value(out, "volumed_cloudstack_failing",
				     METRIC_LABELS({ "command", cloud_command_at(id)->name }),
				     figures->commands[id].failure != NULL);
	}
}

void cloud_figures_put(const struct cloud_figures *figures, struct buf *out)
{
	metric_family(
		out, "volumed_cloudstack_requests_total", METRIC_COUNTER,
		"Requests to CloudStack: answered, refused, certainly not done, or of unknown effect.");
	for (enum cloud_command_id id = 0; id < CLOUD_COMMAND_COUNT; id++) {
		if (first_of_its_name(id) != id)
			continue;
		for (size_t outcome = 0; outcome < ARRAY_SIZE(outcome_names); outcome++)
			metric_value(out, "volumed_cloudstack_requests_total",
				     METRIC_LABELS({ "command", cloud_command_at(id)->name },
						   { "result", outcome_names[outcome] }),
				     (double)figures->commands[id].results[outcome]);
	}
	put_failing(figures, out);
	metric_family(out, "volumed_cloudstack_request_duration_seconds", METRIC_HISTOGRAM,
		      "Time from a request to CloudStack to its answer.");
	for (enum cloud_command_id id = 0; id < CLOUD_COMMAND_COUNT; id++) {
		if (first_of_its_name(id) != id)
			continue;
		metric_histogram(out, "volumed_cloudstack_request_duration_seconds",
				 METRIC_LABELS({ "command", cloud_command_at(id)->name }),
				 &figures->commands[id].seconds, &scale);
	}
}
