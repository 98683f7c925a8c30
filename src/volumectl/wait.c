/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Waiting for an operation: its steps on stderr while it runs (one line that is rewritten on a
 * terminal, a line for each step elsewhere), its outcome on stdout. The outcome is the input of a
 * script's next command: the device after an attach, the volume's id after a create. Remarks for a
 * person - the device is not empty, or has no name yet - go to stderr. If volumectl is interrupted,
 * the operation goes on.
 */

#include "volumectl/wait.h"

#include <stdio.h>

#include "volumectl/output.h"

struct progress {
	bool terminal;
	bool line_open; /* the terminal shows a line without its end */
	char *shown;    /* the last line */
};

static const char *member_text(const struct volume_client_value *dict, const char *name)
{
	return volume_client_text(volume_client_get(dict, name));
}

static void progress_end_line(struct progress *progress)
{
	if (progress->line_open)
		fputs("\r\033[K", stderr);
	progress->line_open = false;
}

static void progress_show(struct progress *progress, const char *line)
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

static int on_changed(void *arg, const struct volume_client_value *operation)
{
	struct progress *progress = arg;
	_cleanup_free_ char *line = NULL;
	const char *status, *step, *waits_for;

	if (!operation) {
		progress_show(progress,
			      "volume-daemon has left the bus; waiting for it to come back");
		return 0;
	}
	status = member_text(operation, "status");
	step = member_text(operation, "step");
	waits_for = member_text(operation, "waits_for");
	if (streq(status, operation_status_names[OPERATION_PENDING]) ||
	    streq(status, operation_status_names[OPERATION_EXECUTING])) {
		line = xasprintf("%s %s: %s%s%s%s%s", member_text(operation, "type"),
				 member_text(operation, "id"), status, *step ? ", " : "", step,
				 *step || !*waits_for ? "" : "; waits: ", *step ? "" : waits_for);
		progress_show(progress, line);
	}
	return 0;
}

/* Prints the part of a completed operation that the user needs. */
static void print_outcome(const struct volume_client_value *operation)
{
	const struct volume_client_value *response = volume_client_get(operation, "response");
	const char *type = member_text(operation, "type");
	const char *device = member_text(response, "device_path");
	const char *message = member_text(response, "message");

	if (streq(type, operation_type_names[OPERATION_ATTACH]) && *device)
		puts(device);
	if (streq(type, operation_type_names[OPERATION_CREATE]))
		puts(member_text(operation, "volume_id"));
	else if (*message)
		fprintf(stderr, "%s\n", message);
}

static int operation_result(const struct volume_client_value *operation)
{
	const struct volume_client_value *attention =
		volume_client_get(operation, "needs_attention");
	const char *status = member_text(operation, "status");
	const char *error = member_text(operation, "error");
	struct err err = { 0 };

	if (streq(status, operation_status_names[OPERATION_COMPLETED]))
		return 0;
	if (streq(status, operation_status_names[OPERATION_CANCELLED]))
		err_set(&err, ERR_CANCELLED, "%s", *error ? error : "the operation was cancelled");
	else
		err_set(&err, err_from_word(member_text(operation, "error_code")), "%s",
			*error ? error : "the operation failed");
	ctl_fail(&err);
	if (attention && attention->kind == VOLUME_CLIENT_BOOL && attention->boolean)
		fprintf(stderr,
			"volumectl: some steps could not be undone; see 'volumectl operation %s'\n",
			member_text(operation, "id"));
	return err_view(err.code)->exit_code;
}

int wait_operation(struct ctl *ctl, const char *operation_id)
{
	struct progress progress = { .terminal = isatty(STDERR_FILENO) };
	struct volume_client_wait wait = { .timeout_ms = ctl->options.timeout_ms,
					   .changed = on_changed,
					   .arg = &progress };
	struct volume_client_value *operation = NULL;
	struct volume_client_error error;
	struct err err = { 0 };
	int r;

	if (ctl_connect(ctl, &err) < 0)
		return ctl_fail(&err);
	r = volume_client_wait(ctl->client, operation_id, &wait, &operation, &error);
	progress_end_line(&progress);
	free(progress.shown);
	if (r < 0) {
		ctl_client_error(&error, &err);
		return ctl_fail(&err);
	}
	if (ctl->options.json)
		output_json(operation);
	else if (streq(member_text(operation, "status"),
		       operation_status_names[OPERATION_COMPLETED]))
		print_outcome(operation);
	r = operation_result(operation);
	volume_client_value_free(operation);
	return r;
}

int wait_main(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	int result = options_read(&ctl->options, argv[0], options, argc, argv, NULL, NULL);

	if (result)
		return result;
	if (optind + 1 != argc)
		return ctl_usage("wait needs one operation; see 'volumectl help wait'");
	return wait_operation(ctl, argv[optind]);
}
