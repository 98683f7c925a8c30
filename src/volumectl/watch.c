/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Events until interrupted: the daemon's signals, and its coming and going. On a terminal they are
 * part of a view of the whole (watch_screen.h). Elsewhere, and with --plain, they are a log: a line
 * for each, with the time at which it came. With --json each line is an object of signal, path and
 * arguments.
 */

#include "volumectl/watch.h"

#include <stdio.h>

#include "base/clock.h"
#include "volumectl/output.h"
#include "volumectl/watch_event.h"
#include "volumectl/watch_screen.h"

static void print_json(const char *member, const char *path,
		       const struct volume_client_value *arguments)
{
	_cleanup_buf_ struct buf line = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &line };

	json_begin_object(&w);
	json_put_name(&w, "signal");
	json_put_text(&w, member);
	if (path) {
		json_put_name(&w, "path");
		json_put_text(&w, path);
	}
	if (arguments) {
		json_put_name(&w, "arguments");
		output_json_value(arguments, &w);
	}
	json_end_object(&w);
	puts(line.data);
}

static void print_signal(const char *member, const char *path,
			 const struct volume_client_value *arguments)
{
	_cleanup_buf_ struct buf line = BUF_NULL;
	char now[TIME_TEXT_SIZE];

	time_format(clock_wall_ms(), now);
	watch_event_add(&line, member, path, arguments);
	printf("%s %s\n", now, line.data);
}

static int on_signal(void *arg, const char *member, const char *path,
		     const struct volume_client_value *arguments)
{
	const struct options *options = arg;

	if (options->json)
		print_json(member, path, arguments);
	else
		print_signal(member, path, arguments);
	/* A program may read the output line by line; end when it stops reading. */
	return fflush(stdout) == 0 ? 0 : 1;
}

static int log_events(struct ctl *ctl, struct err *err)
{
	struct volume_client_error error;

	if (volume_client_subscribe(ctl->client, &error) < 0)
		return ctl_client_error(&error, err);
	if (!ctl_daemon_runs(ctl) && !ctl->options.json)
		fputs("waiting for volume-daemon, which does not run\n", stderr);
	if (volume_client_watch(ctl->client, on_signal, &ctl->options, &error) < 0)
		return ctl_client_error(&error, err);
	return 0;
}

int watch_main(struct ctl *ctl, int argc, char **argv)
{
	struct err err = { 0 };
	const char *plain = NULL;
	int result = options_read_own(&ctl->options, argv[0], argc, argv, &plain);

	if (result)
		return result;
	if (optind != argc)
		return ctl_usage("watch takes no arguments");
	ctl->starts_nothing = true; /* a daemon that was stopped on purpose */
	if (ctl_connect(ctl, &err) < 0)
		return ctl_fail(&err);
	if (plain || ctl->options.json || !terminal_can_draw(STDOUT_FILENO))
		result = log_events(ctl, &err);
	else
		result = watch_screen(ctl, &err);
	return result < 0 ? ctl_fail(&err) : 0;
}
