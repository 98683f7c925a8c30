/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Waiting for an operation: its progress on stderr, its outcome on stdout. The outcome is the input
 * of a script's next command: the device after an attach, the volume's id after a create. Remarks
 * for a person - the device is not empty, or has no name yet - go to stderr. If volumectl is
 * interrupted, the operation goes on.
 */

#include "volumectl/wait.h"

#include <stdio.h>

#include "volumectl/output.h"
#include "volumectl/progress.h"

static const char *member_text(const struct volume_client_value *dict, const char *name)
{
	return volume_client_text(volume_client_get(dict, name));
}

static int on_changed(void *arg, const struct volume_client_value *operation)
{
	progress_show(arg, operation);
	return 0;
}

static void on_tick(void *arg)
{
	progress_tick(arg);
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

static bool has_status(const struct volume_client_value *operation, enum operation_status status)
{
	return streq(member_text(operation, "status"), operation_status_names[status]);
}

int wait_outcome(const struct volume_client_value *operation, struct err *err)
{
	const char *error = member_text(operation, "error");
	_cleanup_free_ char *name =
		xasprintf("%s%s", ERR_BUS_PREFIX, member_text(operation, "error_code"));

	if (has_status(operation, OPERATION_COMPLETED))
		return 0;
	return err_set(err, err_from_bus_name(name), "%s", *error ? error : "the operation failed");
}

static int report_failure(const struct volume_client_value *operation, const struct err *err)
{
	const struct volume_client_value *attention =
		volume_client_get(operation, "needs_attention");

	ctl_fail(err);
	if (attention && attention->kind == VOLUME_CLIENT_BOOL && attention->boolean)
		fprintf(stderr,
			"volumectl: some steps could not be undone; see 'volumectl operation %s'\n",
			member_text(operation, "id"));
	return err_view(err->code)->exit_code;
}

int wait_end(struct ctl *ctl, const char *operation_id, int64_t timeout_ms,
	     struct volume_client_value **operation, struct err *err)
{
	struct progress *progress = progress_begin();
	struct volume_client_wait wait = { .timeout_ms = timeout_ms,
					   .changed = on_changed,
					   .tick = on_tick,
					   .tick_ms = PROGRESS_TICK_MS,
					   .arg = progress };
	struct volume_client_error error;
	int r = ctl_connect(ctl, err);

	if (r == 0 && volume_client_wait(ctl->client, operation_id, &wait, operation, &error) < 0)
		r = ctl_client_error(&error, err);
	progress_end(progress);
	if (r == 0)
		output_drop_unset(&operation_record, *operation);
	return r;
}

int wait_operation(struct ctl *ctl, const char *operation_id)
{
	struct volume_client_value *operation = NULL;
	struct err err = { 0 };
	int result = EXIT_SUCCESS;

	if (wait_end(ctl, operation_id, ctl->options.timeout_ms, &operation, &err) < 0)
		return ctl_fail(&err);
	if (ctl->options.json)
		output_json(operation);
	else if (has_status(operation, OPERATION_COMPLETED))
		print_outcome(operation);
	if (wait_outcome(operation, &err) < 0)
		result = report_failure(operation, &err);
	volume_client_value_free(operation);
	return result;
}

int wait_cancelled(struct ctl *ctl, const char *operation_id)
{
	struct volume_client_value *operation = NULL;
	struct err err = { 0 };
	int result = EXIT_SUCCESS;

	if (wait_end(ctl, operation_id, ctl->options.timeout_ms, &operation, &err) < 0)
		return ctl_fail(&err);
	if (ctl->options.json)
		output_json(operation);
	if (has_status(operation, OPERATION_CANCELLED))
		fputs("Operation cancelled\n", stderr);
	else if (wait_outcome(operation, &err) == 0)
		err_set(&err, ERR_CONFLICT, "the operation completed before it could be cancelled");
	if (err.code)
		result = report_failure(operation, &err);
	volume_client_value_free(operation);
	return result;
}

/* ---- the disk of an attachment ---- */

struct disk_wait {
	const char *operation_id;
	bool json;
	char *volume_id; /* of the operation; NULL: not known yet */
	bool is_here;
};

static bool is_text(const struct volume_client_value *arguments, size_t index, const char *text)
{
	return text && arguments && index < arguments->count &&
	       streq(volume_client_text(&arguments->items[index]), text);
}

/* Any other value than 0 ends the watch: the disk is here, or a look at the operation must tell. */
static int on_signal(void *arg, const char *member, const char *path,
		     const struct volume_client_value *arguments)
{
	struct disk_wait *wait = arg;

	if (streq(member, "DaemonArrived"))
		return 1;
	if (streq(member, "OperationCompleted"))
		return is_text(arguments, 1, wait->operation_id);
	if (streq(member, "OperationStarted") && is_text(arguments, 1, wait->operation_id) &&
	    arguments->count > 3)
		str_set(&wait->volume_id, volume_client_text(&arguments->items[3]));
	if (!streq(member, "DeviceReady") || !is_text(arguments, 0, wait->volume_id) ||
	    arguments->count < 3)
		return 0;
	wait->is_here = true;
	if (wait->json)
		output_json(&arguments->items[2]);
	else
		puts(volume_client_text(&arguments->items[1]));
	return 1;
}

int wait_disk(struct ctl *ctl, const char *operation_id)
{
	struct disk_wait wait = { .operation_id = operation_id, .json = ctl->options.json };
	struct volume_client_error error;
	struct err err = { 0 };
	int r = volume_client_watch_for(ctl->client, ctl->options.timeout_ms, on_signal, &wait,
					&error);

	free(wait.volume_id);
	if (r < 0) {
		ctl_client_error(&error, &err);
		if (err.code == ERR_TIMEOUT)
			err_reword(&err, "the disk has not come within %g s; operation %s goes on",
				   (double)ctl->options.timeout_ms / 1000, operation_id);
		return ctl_fail(&err);
	}
	return wait.is_here ? 0 : wait_operation(ctl, operation_id);
}

int wait_main(struct ctl *ctl, int argc, char **argv)
{
	int result = options_read_own(&ctl->options, argv[0], argc, argv, NULL);

	if (result)
		return result;
	if (optind + 1 != argc)
		return ctl_usage("wait needs one operation; see 'volumectl help wait'");
	return wait_operation(ctl, argv[optind]);
}
