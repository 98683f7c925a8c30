/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A row of the method table as a command: words of the command line become the row's argument
 * struct, the struct becomes a D-Bus call, the answer becomes lines.
 *
 * Values are read by the field tables, so "5GiB" means the same here as everywhere. The set of
 * given optional values is kept apart from the values, because only the daemon knows its defaults.
 */

#include "volumectl/command.h"

#include <assert.h>
#include <stdio.h>

#include "io/bus_codec.h"
#include "volumectl/help.h"
#include "volumectl/output.h"
#include "volumectl/wait.h"

#define FIELDS_MAX 64  /* of one argument struct */
#define FIELD_CODE 256 /* getopt code of the first field */

/* A command line that has been read. */
struct request {
	const struct method *method;
	void *args;
	uint64_t given; /* bit i: field i has a value */
};

/* --- the command line --- */

/* 0 or EXIT_USAGE, like all functions here that read the command line. */
static int set_field(struct request *request, size_t index, const char *label, const char *text)
{
	const struct field *field = &request->method->args->fields[index];
	struct err err = { 0 };

	if (field_from_text(field, request->args, text, &err) < 0)
		return ctl_usage("%s: %s", label, err.text);
	request->given |= UINT64_C(1) << index;
	return 0;
}

/*
 * The getopt table of a method: an entry for each option, then the common options. names hold the
 * texts.
 */
static void make_options(const struct method *method, struct option out[FIELDS_MAX + 8],
			 char names[FIELDS_MAX][64])
{
	static const struct option common[] = { COMMON_OPTIONS, { 0 } };
	size_t count = 0;

	assert(method->args->count <= FIELDS_MAX);
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if (!options_is_option(method, field))
			continue;
		options_name_field(field, names[i]);
		out[count++] = (struct option){
			.name = names[i],
			.has_arg =
				field->type == FIELD_BOOL ? optional_argument : required_argument,
			.val = FIELD_CODE + (int)i,
		};
	}
	memcpy(&out[count], common, sizeof(common));
}

/* 0, EXIT_USAGE, or -1 if help was asked for and given. */
static int read_options(struct ctl *ctl, struct request *request, int argc, char **argv)
{
	struct option options[FIELDS_MAX + 8];
	char names[FIELDS_MAX][64];
	int code, result;

	make_options(request->method, options, names);
	while ((code = getopt_long(argc, argv, ":h", options, NULL)) >= 0) {
		if (code >= FIELD_CODE) {
			if (set_field(request, (size_t)(code - FIELD_CODE),
				      names[code - FIELD_CODE], optarg ? optarg : "yes"))
				return EXIT_USAGE;
			continue;
		}
		if (code == 'h') {
			help_command(request->method);
			return -1;
		}
		result = options_take_common(&ctl->options, code, optarg);
		if (result < 0)
			return EXIT_USAGE;
		if (result == 0)
			return ctl_usage("%s '%s'; see 'volumectl help %s'",
					 code == ':' ? "a value is missing after"
						     : "there is no option",
					 argv[optind - 1], request->method->command);
	}
	return 0;
}

static int read_positionals(struct request *request, int argc, char **argv)
{
	const struct method *method = request->method;

	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];
		char name[64];

		if (!options_is_positional(method, field))
			continue;
		options_name_field(field, name);
		if (optind >= argc) {
			options_name_positional(field, name);
			return ctl_usage("%s needs %s; see 'volumectl help %s'", method->command,
					 name, method->command);
		}
		if (set_field(request, i, name, argv[optind++]))
			return EXIT_USAGE;
	}
	if (optind < argc)
		return ctl_usage("the argument '%s' is one too many; see 'volumectl help %s'",
				 argv[optind], method->command);
	return 0;
}

/* This machine's own id, if the method needs a virtual machine and the user named none. */
static int fill_appliance(struct ctl *ctl, struct request *request, size_t index)
{
	struct volume_client_value *properties = NULL;
	struct volume_client_error error;
	struct err err = { 0 };
	char option[64];
	const char *id;
	int result;

	options_name_field(&request->method->args->fields[index], option);
	if (ctl_connect(ctl, &err) < 0)
		return ctl_fail(&err);
	if (volume_client_properties(ctl->client, VOLUME_CLIENT_ROOT, NULL, &properties, &error) <
	    0) {
		ctl_client_error(&error, &err);
		return ctl_fail(&err);
	}
	id = volume_client_text(volume_client_get(properties, "ApplianceId"));
	if (str_empty(id))
		result = ctl_usage(
			"volume-daemon does not know the id of this machine; give one with --%s",
			option);
	else
		result = set_field(request, index, option, id);
	volume_client_value_free(properties);
	return result;
}

static int check_required(struct ctl *ctl, struct request *request)
{
	const struct record *args = request->method->args;
	char name[64];
	int result;

	for (size_t i = 0; i < args->count; i++) {
		const struct field *field = &args->fields[i];

		if (!field_must_be_given(field) || (request->given & UINT64_C(1) << i))
			continue;
		if (field->flags & FIELD_APPLIANCE) {
			result = fill_appliance(ctl, request, i);
			if (result)
				return result;
			continue;
		}
		options_name_field(field, name);
		return ctl_usage("%s needs --%s; see 'volumectl help %s'", request->method->command,
				 name, request->method->command);
	}
	return 0;
}

/* --- the call --- */

static int append_options(sd_bus_message *m, const struct request *request)
{
	const struct record *args = request->method->args;
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (size_t i = 0; i < args->count && r >= 0; i++) {
		const struct field *field = &args->fields[i];

		if ((field->flags & FIELD_REQUIRED) || !(request->given & UINT64_C(1) << i))
			continue;
		r = bus_append_entry(m, field, request->args);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_args(sd_bus_message *m, const struct request *request)
{
	const struct record *args = request->method->args;
	int r = 0;

	for (size_t i = 0; i < args->count && r >= 0; i++) {
		if (args->fields[i].flags & FIELD_REQUIRED)
			r = bus_append_field(m, &args->fields[i], request->args);
	}
	if (r >= 0 && method_bus_has_options(request->method))
		r = append_options(m, request);
	return r;
}

static int call(struct ctl *ctl, const struct request *request, sd_bus_message **reply,
		struct err *err)
{
	struct volume_client_error error;
	sd_bus_message *m = NULL;
	int r;

	if (volume_client_call_new(ctl->client, NULL, NULL, request->method->member, &m, &error) <
	    0)
		return ctl_client_error(&error, err);
	r = append_args(m, request);
	if (r < 0) {
		sd_bus_message_unref(m);
		return err_set(err, ERR_INVALID, "the arguments cannot be sent: %s", strerror(-r));
	}
	r = volume_client_call_send(ctl->client, m, reply, &error);
	sd_bus_message_unref(m);
	return r < 0 ? ctl_client_error(&error, err) : 0;
}

/* --- the answer --- */

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

static int request_run(struct ctl *ctl, struct request *request, int argc, char **argv)
{
	struct volume_client_error error;
	sd_bus_message *reply = NULL;
	struct err err = { 0 };
	int result = read_options(ctl, request, argc, argv);

	if (result)
		return result < 0 ? 0 : result;
	result = read_positionals(request, argc, argv);
	if (result == 0)
		result = check_required(ctl, request);
	if (result)
		return result;
	if (ctl_connect(ctl, &err) < 0)
		return ctl_fail(&err);
	/* The subscription comes before the call, so that no step of the operation is missed. */
	if (request->method->answer == ANSWER_OPERATION && !ctl->options.no_wait &&
	    volume_client_subscribe(ctl->client, &error) < 0) {
		ctl_client_error(&error, &err);
		return ctl_fail(&err);
	}
	if (call(ctl, request, &reply, &err) < 0)
		return ctl_fail(&err);
	result = show_reply(ctl, request->method, reply);
	sd_bus_message_unref(reply);
	return result;
}

int command_run(struct ctl *ctl, const struct method *method, int argc, char **argv)
{
	struct request request = { .method = method, .args = xcalloc(1, method->args->size) };
	int result;

	record_init(method->args, request.args);
	result = request_run(ctl, &request, argc, argv);
	record_clear(method->args, request.args);
	free(request.args);
	return result;
}
