/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A command line as the arguments of a method: words become the row's argument struct, and the
 * struct becomes a D-Bus message.
 *
 * Values are read by the field tables, so "5GiB" means the same here as everywhere. The set of
 * given optional values is kept apart from the values, because only the daemon knows its defaults.
 */

#include "volumectl/request.h"

#include <assert.h>

#include "io/bus_codec.h"

#define FIELDS_MAX 64 /* of one argument struct */

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
			.val = OPTION_CODE_OWN + (int)i,
		};
	}
	memcpy(&out[count], common, sizeof(common));
}

/* The options of the command line, for option_fn. */
struct reader {
	struct request *request;
	char (*names)[64];
};

static int take_option(void *arg, int code, const char *value)
{
	struct reader *reader = arg;
	size_t index = (size_t)(code - OPTION_CODE_OWN);

	return set_field(reader->request, index, reader->names[index], value ? value : "yes");
}

static int read_options(struct ctl *ctl, struct request *request, int argc, char **argv)
{
	struct option options[FIELDS_MAX + 8];
	char names[FIELDS_MAX][64];
	struct reader reader = { request, names };

	make_options(request->method, options, names);
	return options_read(&ctl->options, request->method->command, options, argc, argv,
			    take_option, &reader);
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

int request_read(struct ctl *ctl, struct request *request, int argc, char **argv)
{
	int result = read_options(ctl, request, argc, argv);

	if (result == 0)
		result = read_positionals(request, argc, argv);
	return result ? result : check_required(ctl, request);
}

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

int request_call(struct ctl *ctl, const struct request *request, sd_bus_message **reply,
		 struct err *err)
{
	struct volume_client_error error;
	sd_bus_message *m = NULL;
	int r;

	if (ctl_connect(ctl, err) < 0)
		return -1;
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

void request_init(struct request *request, const struct method *method)
{
	*request = (struct request){ .method = method, .args = xcalloc(1, method->args->size) };
	record_init(method->args, request->args);
}

void request_clear(struct request *request)
{
	record_clear(request->method->args, request->args);
	free(request->args);
}
