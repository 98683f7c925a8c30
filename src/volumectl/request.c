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

#include "base/uuid.h"
#include "io/bus_codec.h"
#include "volumectl/output.h"

#define OPTION_CODE_VOLUMECTL (OPTION_CODE_OWN + REQUEST_FIELDS_MAX) /* of own_options[0] */

/* A page of a list has a limit; volumectl asks for one page after the other. */
static bool is_list_limit(const struct request *request, const struct field *field)
{
	return streq(field->name, "limit") && record_find(request->method->args, "cursor");
}

/* 0 or EXIT_USAGE, like all functions here that read the command line. */
int request_set(struct request *request, size_t index, const char *label, const char *text)
{
	const struct field *field = &request->method->args->fields[index];
	struct field unlimited = *field;
	struct err err = { 0 };

	if (is_list_limit(request, field)) {
		unlimited.max = INT64_MAX;
		field = &unlimited;
	}
	request->given |= UINT64_C(1) << index;
	request->names[index] = NULL;
	if (field->refers_to && *text && !uuid_is_valid(text)) {
		request->names[index] = text;
		return 0;
	}
	if (field_from_text(field, request->args, text, &err) < 0)
		return ctl_usage("%s: %s", label, err.text);
	return 0;
}

size_t request_field(const struct request *request, const char *name)
{
	const struct record *args = request->method->args;
	const struct field *field = record_find(args, name);

	return field ? (size_t)(field - args->fields) : SIZE_MAX;
}

const char *request_own(const struct request *request, const char *name)
{
	const char *command = request->method->command;

	for (size_t i = 0; (i = options_next_own(command, i)) < OWN_OPTION_COUNT; i++) {
		if (streq(own_options[i].name, name))
			return request->own[i];
	}
	return NULL;
}

/*
 * The getopt table of a method: an entry for each option, then the common options. names hold the
 * texts.
 */
static void make_options(const struct method *method, struct option out[REQUEST_FIELDS_MAX + 16],
			 char names[REQUEST_FIELDS_MAX][64])
{
	static const struct option common[] = { COMMON_OPTIONS, { 0 } };
	size_t count = 0;

	assert(method->args->count <= REQUEST_FIELDS_MAX);
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
	for (size_t i = 0; (i = options_next_own(method->command, i)) < OWN_OPTION_COUNT; i++) {
		const struct own_option *own = &own_options[i];

		out[count++] = (struct option){
			.name = own->name,
			.has_arg = own->value ? required_argument : no_argument,
			.val = OPTION_CODE_VOLUMECTL + (int)i,
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

	if (code >= OPTION_CODE_VOLUMECTL) {
		reader->request->own[code - OPTION_CODE_VOLUMECTL] = str_or(value, "");
		return 0;
	}

	return request_set(reader->request, index, reader->names[index], value ? value : "yes");
}

static int read_options(struct ctl *ctl, struct request *request, int argc, char **argv)
{
	struct option options[REQUEST_FIELDS_MAX + 16];
	char names[REQUEST_FIELDS_MAX][64];
	struct reader reader = { request, names };

	make_options(request->method, options, names);
	return options_read(&ctl->options, request->method->command, options, argc, argv,
			    take_option, &reader);
}

/* The next word for field index; all words, if the field takes many. */
static int read_positional(struct request *request, size_t index, int argc, char **argv)
{
	const struct method *method = request->method;
	const struct field *field = &method->args->fields[index];
	char name[64];

	if (optind >= argc) {
		options_name_positional(field, name);
		return ctl_usage("%s needs %s; see 'volumectl help %s'", method->command, name,
				 method->command);
	}
	if (field->flags & FIELD_MANY && optind + 1 < argc) {
		request->many = argv + optind;
		request->many_count = (size_t)(argc - optind);
		request->many_field = index;
		optind = argc;
		return 0;
	}
	options_name_field(field, name);
	return request_set(request, index, name, argv[optind++]);
}

static int read_positionals(struct request *request, int argc, char **argv)
{
	const struct method *method = request->method;
	int result = 0;

	for (size_t i = 0; i < method->args->count && result == 0; i++) {
		if (options_is_positional(method, &method->args->fields[i]))
			result = read_positional(request, i, argc, argv);
	}
	if (result == 0 && optind < argc)
		return ctl_usage("the argument '%s' is one too many; see 'volumectl help %s'",
				 argv[optind], method->command);
	return result;
}

/* The volumes of "detach --vm VM --all" have no words of their own; many.c finds them. */
static int check_all(const struct request *request, int argc)
{
	if (optind < argc)
		return ctl_usage("--all means all volumes of --vm; name no volume with it");
	if (!request_own(request, "vm"))
		return ctl_usage("--all needs --vm: all volumes of which virtual machine?");
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
		result = request_set(request, index, option, id);
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

		if (!field_must_be_given(field) || (request->given & UINT64_C(1) << i) ||
		    options_is_positional(request->method, field))
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

	if (result)
		return result;
	if (request_own(request, "all"))
		result = check_all(request, argc);
	else if (request->method == &methods[METHOD_VOLUME_DETACH] && request_own(request, "vm"))
		result = ctl_usage("detach: --vm is for --all");
	else
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
	if (r >= 0 && ctl->starts_nothing)
		r = sd_bus_message_set_auto_start(m, 0);
	if (r < 0) {
		sd_bus_message_unref(m);
		return err_set(err, ERR_INVALID, "the arguments cannot be sent: %s", strerror(-r));
	}
	r = volume_client_call_send(ctl->client, m, reply, &error);
	sd_bus_message_unref(m);
	return r < 0 ? ctl_client_error(&error, err) : 0;
}

int request_object(struct ctl *ctl, enum method_scope scope, const char *path,
		   struct volume_client_value **fields, struct err *err)
{
	struct volume_client_error error;

	if (volume_client_properties(ctl->client, path, scopes[scope].interface, fields, &error) <
	    0)
		return ctl_client_error(&error, err);
	output_properties_to_fields(scopes[scope].record, *fields);
	return 0;
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
