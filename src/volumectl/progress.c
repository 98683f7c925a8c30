/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How far an operation is. A terminal shows one line, which is written anew when something changes
 * and each second: the step, the time that has gone by, the time that such operations took lately,
 * and what the operation waits for. Elsewhere each new step is a line of its own, without times,
 * since nobody looks at it while it is true.
 */

#include "volumectl/progress.h"

#include <stdio.h>

#include "base/clock.h"
#include "spec/records.h"
#include "volumectl/terminal.h"

struct progress {
	bool terminal;
	bool line_open; /* the terminal shows a line without its end */
	char *shown;    /* the last line */
	char *doing;    /* "attach: await-job" */
	char *waits_for;
	char *id;
	int64_t begun_ms, expected_ms; /* wall clock; 0: not known */
};

struct progress *progress_begin(void)
{
	struct progress *progress = xnew(struct progress);

	progress->terminal = isatty(STDERR_FILENO);
	return progress;
}

static void put_line(struct progress *progress, const char *line)
{
	if (streq(line, progress->shown))
		return;
	str_set(&progress->shown, line);
	if (progress->terminal)
		fprintf(stderr, "\r\033[K%s", line);
	else
		fprintf(stderr, "%s\n", line);
	progress->line_open = progress->terminal;
	fflush(stderr);
}

/* "12 s", "3 min 5 s" */
static void add_seconds(struct buf *out, int64_t ms)
{
	int64_t seconds = ms > 0 ? ms / 1000 : 0;

	if (seconds >= 60)
		buf_printf(out, "%lld min ", (long long)seconds / 60);
	buf_printf(out, "%lld s", (long long)seconds % 60);
}

void progress_add_times(struct buf *out, int64_t begun_ms, int64_t expected_ms)
{
	if (!begun_ms)
		return;
	add_seconds(out, clock_wall_ms() - begun_ms);
	if (expected_ms <= begun_ms)
		return;
	buf_add_text(out, " of about ");
	add_seconds(out, expected_ms - begun_ms);
}

/* One line, so that the next one can take its place. */
static void show_on_terminal(struct progress *progress)
{
	_cleanup_buf_ struct buf whole = BUF_NULL, line = BUF_NULL;
	size_t columns = terminal_columns(STDERR_FILENO);

	text_add_clean(&whole, progress->doing);
	if (progress->begun_ms)
		buf_add_text(&whole, ", ");
	progress_add_times(&whole, progress->begun_ms, progress->expected_ms);
	if (*progress->waits_for) {
		buf_add_text(&whole, "; waits: ");
		text_add_clean(&whole, progress->waits_for);
	}
	buf_printf(&whole, " (%s)", progress->id);
	text_add_cut(&line, whole.data, columns ? columns - 1 : SIZE_MAX / 2);
	put_line(progress, line.data);
}

static void show_in_pipe(struct progress *progress, const char *type, const char *doing)
{
	_cleanup_free_ char *line =
		xasprintf("%s %s: %s%s%s", type, progress->id, doing,
			  *progress->waits_for ? "; waits: " : "", progress->waits_for);

	put_line(progress, line);
}

static const char *text_of(const struct volume_client_value *operation, const char *name)
{
	return volume_client_text(volume_client_get(operation, name));
}

int64_t progress_time(const struct volume_client_value *operation, const char *name)
{
	int64_t ms;

	return time_parse(text_of(operation, name), &ms) == 0 ? ms : 0;
}

char *progress_doing(const struct volume_client_value *operation, bool brief)
{
	const char *status = text_of(operation, "status"), *step = text_of(operation, "step");
	bool executing = streq(status, operation_status_names[OPERATION_EXECUTING]);

	/* It has its error from the first step of the undo on. */
	if (executing && *text_of(operation, "error"))
		status = "undoing";
	else if (executing && brief && *step)
		return xstrdup(step);
	return xasprintf("%s%s%s", status, *step ? ", " : "", step);
}

void progress_show(struct progress *progress, const struct volume_client_value *operation)
{
	const char *status = text_of(operation, "status"), *type = text_of(operation, "type");
	_cleanup_free_ char *doing =
		operation ? progress_doing(operation, progress->terminal) : NULL;

	if (!operation) {
		put_line(progress, "volume-daemon has left the bus; waiting for it to come back");
		str_set(&progress->doing, NULL);
		return;
	}
	if (!streq(status, operation_status_names[OPERATION_PENDING]) &&
	    !streq(status, operation_status_names[OPERATION_EXECUTING]))
		return;
	str_set(&progress->id, text_of(operation, "id"));
	str_set(&progress->waits_for, text_of(operation, "waits_for"));
	progress->begun_ms = progress_time(operation, "created_at");
	progress->expected_ms = progress_time(operation, "expected_end");
	free(progress->doing);
	progress->doing = xasprintf("%s: %s", type, doing);
	if (progress->terminal)
		show_on_terminal(progress);
	else
		show_in_pipe(progress, type, doing);
}

void progress_tick(struct progress *progress)
{
	if (progress->terminal && progress->doing)
		show_on_terminal(progress);
}

struct progress *progress_end(struct progress *progress)
{
	if (progress->line_open)
		fputs("\r\033[K", stderr);
	free(progress->shown);
	free(progress->doing);
	free(progress->waits_for);
	free(progress->id);
	free(progress);
	return NULL;
}
