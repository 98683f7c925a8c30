/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A row of the method table as a command: the command line becomes a call, and the answer becomes
 * lines.
 */

#include "volumectl/command.h"

#include <stdio.h>

#include "volumectl/confirm.h"
#include "volumectl/help.h"
#include "volumectl/listing.h"
#include "volumectl/many.h"
#include "volumectl/names.h"
#include "volumectl/output.h"
#include "volumectl/output_list.h"
#include "volumectl/plan.h"
#include "volumectl/unfinished.h"
#include "volumectl/wait.h"

static int show_object(struct ctl *ctl, const struct method *method, const char *path)
{
	struct volume_client_value *object = NULL;
	struct err err = { 0 };

	if (request_object(ctl, method->bus_object, path, &object, &err) < 0)
		return ctl_fail(&err);
	output_record(scopes[method->bus_object].record, object, ctl->options.json);
	volume_client_value_free(object);
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
	if (ctl->options.until_device)
		return wait_disk(ctl, id);
	if (!ctl->options.no_wait)
		return wait_operation(ctl, id);
	if (ctl->options.json)
		printf("{\"id\":\"%s\"}\n", id);
	else
		puts(id);
	return 0;
}

/* Health that is not good is an answer, but a failure for a script. */
static int health_code(const char *status)
{
	if (streq(status, "unhealthy"))
		return err_view(ERR_UNAVAILABLE)->exit_code;
	return streq(status, "degraded") ? EXIT_FAILURE : EXIT_SUCCESS;
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
	if (method == &methods[METHOD_OPERATION_CANCEL] && !ctl->options.no_wait)
		result = wait_cancelled(ctl, volume_client_text(volume_client_get(value, "id")));
	else
		output_record(method->result, value, ctl->options.json);
	if (method == &methods[METHOD_HEALTH_GET])
		result = health_code(volume_client_text(volume_client_get(value, "status")));
	volume_client_value_free(value);
	return result;
}

struct shown_list {
	const struct request *request;
	const struct options *options;
	struct output_list *output; /* NULL: nothing has come yet */
};

static void on_page(void *arg, const struct volume_client_value *page)
{
	struct shown_list *list = arg;

	if (!list->output)
		list->output = output_list_begin(list->request->method->result, list->options);
	output_list_page(list->output, page);
}

static int show_list(struct ctl *ctl, struct request *request)
{
	struct shown_list list = { request, &ctl->options, NULL };
	struct err err = { 0 };
	int r = listing_read(ctl, request, on_page, &list, &err);

	if (list.output)
		output_list_end(list.output);
	return r < 0 ? ctl_fail(&err) : EXIT_SUCCESS;
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

/* Before the call, so that a wrong name is told without waiting for CloudStack. */
static int check_columns(struct ctl *ctl, const struct method *method)
{
	if (method->answer != ANSWER_MANY)
		return ctl_usage("--columns is for lists, and %s shows no list", method->command);
	return output_list_check(method->result, &ctl->options);
}

static int show_plan(struct ctl *ctl, const struct request *request)
{
	struct err err = { 0 };

	return ctl_connect(ctl, &err) < 0 ? ctl_fail(&err) : plan_show(ctl, request);
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
	if (result == 0 && ctl->options.columns)
		result = check_columns(ctl, request->method);
	if (result == 0 && ctl->options.until_device &&
	    (request->method != &methods[METHOD_VOLUME_ATTACH] || many_is_wanted(request)))
		result = ctl_usage("--wait=device is for attach with one volume");
	if (result)
		return result;
	if (names_resolve(ctl, request, &err) < 0)
		return ctl_fail(&err);
	if (many_is_wanted(request))
		return many_run(ctl, request);
	if (method_asks_plan(request->method, request->args))
		return show_plan(ctl, request);
	if (!confirm(ctl, request)) {
		fputs("Nothing was changed.\n", stderr);
		return EXIT_FAILURE;
	}
	if (request->method->answer == ANSWER_MANY)
		return show_list(ctl, request);
	if (subscribe(ctl, request->method, &err) < 0 ||
	    request_call(ctl, request, &reply, &err) < 0)
		return ctl_fail(&err);
	result = show_reply(ctl, request->method, reply);
	sd_bus_message_unref(reply);
	if (request->method == &methods[METHOD_CHANGES_PAUSE] && !ctl->options.json &&
	    isatty(STDOUT_FILENO))
		unfinished_show(ctl);
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
