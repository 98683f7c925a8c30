/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How a row of the method table looks on the command line: required arguments that stand in the
 * row's path, or are marked so, are positional (resize VOLUME SIZE), every other argument is an
 * --option, required or not.
 */

#include "volumectl/options.h"

#include <ctype.h>
#include <stdio.h>

#include "build_config.h"
#include "volumectl/ctl.h"

const struct method *options_find_method(const char *name)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].surfaces != SURFACES_BUS && streq(methods[i].command, name))
			return &methods[i];
	}
	return NULL;
}

const struct method *options_find_pair(const char *first, const char *second)
{
	_cleanup_free_ char *name = xasprintf("%s-%s", first, second);

	return options_find_method(name);
}

void options_name_field(const struct field *field, char out[64])
{
	snprintf(out, 64, "%s", field->option ? field->option : field->name);
	for (char *p = out; *p; p++) {
		if (*p == '_')
			*p = '-';
	}
}

void options_name_positional(const struct field *field, char out[64])
{
	options_name_field(field, out);
	for (char *p = out; *p; p++)
		*p = (char)toupper((unsigned char)*p);
}

bool options_is_positional(const struct method *method, const struct field *field)
{
	return (field->flags & FIELD_REQUIRED) &&
	       ((field->flags & FIELD_POSITIONAL) || method_path_has(method, field->name));
}

bool options_is_option(const struct method *method, const struct field *field)
{
	bool is_known =
		!(field->flags & (FIELD_REST_ONLY | FIELD_PRIVATE)) || (field->flags & FIELD_PLAN);

	return is_known && !options_is_positional(method, field);
}

/* Texts of which the daemon takes a few alone, although their type does not say so. */
static const struct {
	const struct record *args;
	const char *field;
	const char *const *words;
} texts[] = {
	{ &operation_list_args, "type", operation_type_names },
	{ &operation_list_args, "status", operation_status_names },
	{ &export_list_args, "status", export_status_names },
	{ &operation_resolve_args, "as", (const char *const[]){ "done", "undone", NULL } },
};

const char *const *options_words(const struct record *args, const struct field *field)
{
	if (field->type == FIELD_ENUM)
		return field->names;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (args == texts[i].args && streq(field->name, texts[i].field))
			return texts[i].words;
	}
	return NULL;
}

const struct own_option own_options[OWN_OPTION_COUNT] = {
	{ "detach", "all", NULL, "Detach all data volumes of the virtual machine --vm." },
	{ "detach", "vm", "VM", "The virtual machine for --all." },
	{ "forget", "yes", NULL, "Do not ask on a terminal." },
	{ "resolve", "yes", NULL, "Do not ask on a terminal." },
	{ "open", "read-only", NULL, "Open the disk for reading alone." },
	{ "doctor", "config", "FILE", "Check this configuration instead of " CONFIG_FILE "." },
	{ "watch", "plain", NULL, "Print a line for each event, also on a terminal." },
	{ "store backup", "force", NULL, "Replace the file if it exists." },
	{ "store accept", "yes", NULL, "Accept without a question." },
};

size_t options_next_own(const char *command, size_t index)
{
	while (index < OWN_OPTION_COUNT && !streq(own_options[index].command, command))
		index++;
	return index;
}

int options_take_common(struct options *options, int code, const char *value)
{
	switch (code) {
	case 'j':
		options->json = true;
		return 1;
	case 'c':
		options->columns = value;
		return 1;
	case 'w':
		options->no_wait = false;
		options->until_device = streq(value, "device");
		if (!value || options->until_device)
			return 1;
		ctl_usage("--wait takes no other value than device, got '%s'", value);
		return -1;
	case 'n':
		options->no_wait = true;
		return 1;
	case 'a':
		options->address = value;
		return 1;
	case 't':
		if (parse_duration(value, &options->timeout_ms) == 0)
			return 1;
		ctl_usage("--timeout must be a duration such as 30s or 5min, got '%s'", value);
		return -1;
	default:
		return 0;
	}
}

int options_read(struct options *options, const char *name, const struct option *table, int argc,
		 char **argv, option_fn take, void *arg)
{
	int code, result;

	/* getopt_long() starts anew; 0 makes glibc forget an earlier round altogether. */
	optind = 0;
	while ((code = getopt_long(argc, argv, ":h", table, NULL)) >= 0) {
		if (code == 'h')
			return OPTIONS_HELP;
		if (code >= OPTION_CODE_OWN) {
			if (take(arg, code, optarg))
				return EXIT_USAGE;
			continue;
		}
		result = options_take_common(options, code, optarg);
		if (result < 0)
			return EXIT_USAGE;
		if (result == 0)
			return ctl_usage("%s '%s'; see 'volumectl help %s'",
					 code == ':' ? "a value is missing after"
						     : "there is no option",
					 argv[optind - 1], name);
	}
	return 0;
}

static int take_own(void *arg, int code, const char *value)
{
	*(const char **)arg = str_or(value, "");
	return 0;
}

int options_read_own(struct options *options, const char *command, int argc, char **argv,
		     const char **own)
{
	struct option table[] = { COMMON_OPTIONS, { 0 }, { 0 } };
	size_t index = options_next_own(command, 0);

	if (index < OWN_OPTION_COUNT)
		table[ARRAY_SIZE(table) - 2] = (struct option){
			.name = own_options[index].name,
			.has_arg = own_options[index].value ? required_argument : no_argument,
			.val = OPTION_CODE_OWN,
		};
	return options_read(options, command, table, argc, argv, take_own, own);
}
