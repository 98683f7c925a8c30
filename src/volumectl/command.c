/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A row of the method table as a command: the command line becomes a call, and the answer becomes
 * lines.
 */

#include "volumectl/command.h"

#include <stdio.h>

#include "volumectl/help.h"
#include "volumectl/output.h"
#include "volumectl/request.h"
#include "volumectl/wait.h"

static int show_object(struct ctl *ctl, const struct method *method, const char *path)
{
	const struct scope *scope = &scopes[method->bus_object];
	struct volume_client_value *properties = NULL;
	struct volume_client_error error;
	struct err err = { 0 };

	if (volume_client_properties(ctl->client, path, scope->interface, &properties, &error) <
	    0) {
		ctl_client_error(&error, &err);
		return ctl_fail(&err);
	}
	output_properties_to_fields(scope->record, properties);
	output_record(scope->record, properties, ctl->options.json);
	volume_client_value_free(properties);
	return 0;
}

static int show_path(struct ctl *ctl, const struct method *method, sd_bus_message *reply)
{
	_cleanup_free_ char *id = NULL;
	struct err err = { 0 };
	const char *path = NULL;

	if (sd_bus_message_read(reply, "o", &path) >= 0)
		id = volume_client_path_id(path);
	if (!id) {
		err_set(&err, ERR_INTERNAL, "the daemon's answer cannot be read");
		return ctl_fail(&err);
	}
	if (method->answer != ANSWER_OPERATION)
		return show_object(ctl, method, path);
	if (!ctl->options.no_wait)
		return wait_operation(ctl, id);
	if (ctl->options.json)
		printf("{\"id\":\"%s\"}\n", id);
	else
		puts(id);
	return 0;
}

static int show_reply(struct ctl *ctl, const struct method *method, sd_bus_message *reply)
{
	struct volume_client_value *value = NULL;
	struct volume_client_error error;
	struct err err = { 0 };
	int result = 0;

	if (streq(method_bus_result(method), "o"))
		return show_path(ctl, method, reply);
	if (volume_client_read(reply, &value, &error) < 0) {
		ctl_client_error(&error, &err);
		return ctl_fail(&err);
	}
	if (method->answer == ANSWER_MANY)
		output_records(method->result, value, ctl->options.json);
	else
		output_record(method->result, value, ctl->options.json);
	/* Bad health is an answer, but a failure for a script. */
	if (method == &methods[METHOD_HEALTH_GET] &&
	    streq(volume_client_text(volume_client_get(value, "status")), "unhealthy"))
		result = err_view(ERR_UNAVAILABLE)->exit_code;
	volume_client_value_free(value);
	return result;
}

/* The subscription comes before the call, so that no step of the operation is missed. */
static int subscribe(struct ctl *ctl, const struct method *method, struct err *err)
{
	struct volume_client_error error;

	if (method->answer != ANSWER_OPERATION || ctl->options.no_wait)
		return 0;
	if (ctl_connect(ctl, err) < 0)
		return -1;
	return volume_client_subscribe(ctl->client, &error) < 0 ? ctl_client_error(&error, err) : 0;
}

static int run(struct ctl *ctl, struct request *request, int argc, char **argv)
{
	sd_bus_message *reply = NULL;
	struct err err = { 0 };
	int result = request_read(ctl, request, argc, argv);

	if (result == OPTIONS_HELP) {
		help_command(request->method);
		return EXIT_SUCCESS;
	}
	if (result)
		return result;
	if (subscribe(ctl, request->method, &err) < 0 ||
	    request_call(ctl, request, &reply, &err) < 0)
		return ctl_fail(&err);
	result = show_reply(ctl, request->method, reply);
	sd_bus_message_unref(reply);
	return result;
}

int command_run(struct ctl *ctl, const struct method *method, int argc, char **argv)
{
	struct request request;
	int result;

	request_init(&request, method);
	result = run(ctl, &request, argc, argv);
	request_clear(&request);
	return result;
}
