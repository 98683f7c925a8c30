/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Help texts, all from the method table, and the command that a mistyped word most likely means. */

#include "volumectl/help.h"

#include <stdio.h>

static const char common_help[] =
	"Options of every command:\n"
	"  --json             Print compact JSON instead of tables and lines.\n"
	"  --columns NAMES    Show these columns of a list (name,size); the names are those of --json.\n"
	"  --wait             Wait until a change has ended (the default).\n"
	"  --wait=device      Of attach: wait until the disk is here, and print its device.\n"
	"  --no-wait          Print the operation's id at once; the operation goes on.\n"
	"  --timeout TIME     Stop waiting after this time (30s, 5min); the operation goes on.\n"
	"  --address ADDRESS  Use this bus instead of the system's.\n"
	"  --help             Show help.\n";

static const char first_steps[] =
	"First steps:\n"
	"  volumectl offerings; volumectl zones     What a volume can be made of.\n"
	"  volumectl create --name data --size 5GiB --offering Small --zone zone1\n"
	"  volumectl attach data                    To this machine; prints the device.\n"
	"  volumectl users data                     Who uses its disk.\n"
	"  volumectl detach data --dry-run          What would happen, and what would refuse it.\n"
	"  volumectl detach data                    Refused while the disk is in use.\n"
	"  volumectl doctor                         What is not well, and what to do.\n"
	"The daemon's status page shows in a browser what runs and what has happened: http://127.0.0.1:8090/\n"
	"unless http.listen in the configuration names another address.\n"
	"\n"
	"A volume, virtual machine, offering or zone is named by its name, its UUID, or the beginning of\n"
	"its UUID (4 digits or more). If more than one fits, all are shown and nothing is done.\n"
	"\n";

/* The kinds of objects that an option can name. */
static const struct {
	const struct record *kind;
	const char *word;
} kinds[] = {
	{ &volume_record, "VOLUME" },
	{ &vm_record, "VM" },
	{ &offering_record, "OFFERING" },
	{ &zone_record, "ZONE" },
};

static const char *uuid_word(const struct field *field)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (field->refers_to == kinds[i].kind)
			return kinds[i].word;
	}
	return "UUID";
}

static const char *value_word(const struct field *field)
{
	switch (field->type) {
	case FIELD_UUID:
		return uuid_word(field);
	case FIELD_BOOL:
		return NULL;
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_RATIO:
		return "NUMBER";
	case FIELD_SIZE:
		return "SIZE";
	case FIELD_TIME:
	case FIELD_DURATION:
		return "TIME";
	case FIELD_OBJECT:
		return "JSON";
	case FIELD_TEXT:
	case FIELD_ENUM:
	case FIELD_ITEMS:
	case FIELD_DESCRIPTOR:
	case FIELD_TYPE_COUNT:
		break;
	}
	return "TEXT";
}

static void add_option(const struct field *field, struct buf *out)
{
	char name[64];

	options_name_field(field, name);
	buf_printf(out, "--%s", name);
	/* A user names an option that is on by default only to turn it off. */
	if (field->type == FIELD_BOOL && streq(field->fallback, "yes"))
		buf_add_text(out, "=yes|no");
	if (value_word(field))
		buf_printf(out, " %s", value_word(field));
}

static void add_own_option(const struct own_option *own, struct buf *out)
{
	buf_printf(out, "--%s%s%s", own->name, own->value ? " " : "", str_or(own->value, ""));
}

static void add_own_usage(const char *command, struct buf *out)
{
	for (size_t i = 0; (i = options_next_own(command, i)) < OWN_OPTION_COUNT; i++) {
		buf_add_text(out, " [");
		add_own_option(&own_options[i], out);
		buf_add_char(out, ']');
	}
}

/* "attach VOLUME... [--vm VM]" */
static char *usage_of(const struct method *method)
{
	struct buf out = BUF_NULL;
	char name[64];

	buf_add_text(&out, method->command);
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if (!options_is_positional(method, field))
			continue;
		options_name_positional(field, name);
		buf_printf(&out, " %s%s", name, field->flags & FIELD_MANY ? "..." : "");
	}
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];
		bool must = field_must_be_given(field) && !(field->flags & FIELD_APPLIANCE);

		if (!options_is_option(method, field))
			continue;
		buf_add_text(&out, must ? " " : " [");
		add_option(field, &out);
		buf_add_text(&out, must ? "" : "]");
	}
	add_own_usage(method->command, &out);
	return buf_take(&out);
}

static void help_exit_codes(void)
{
	fputs("Exit codes: 0 success, 1 another failure, 2 wrong usage", stdout);
	for (unsigned code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++)
		printf(",%s%d %s", code % 4 == 1 ? "\n  " : " ",
		       err_view((enum err_code)code)->exit_code,
		       err_view((enum err_code)code)->bus_name);
	puts(".");
}

static int command_width(const struct ctl *ctl)
{
	size_t width = 0;

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].surfaces != SURFACES_BUS && strlen(methods[i].command) > width)
			width = strlen(methods[i].command);
	}
	for (const struct extra_command *extra = ctl->extra; extra->name; extra++) {
		if (strlen(extra->name) > width)
			width = strlen(extra->name);
	}
	return (int)width;
}

void help_all(const struct ctl *ctl)
{
	int width = command_width(ctl);

	puts("Usage: volumectl [OPTIONS] COMMAND [ARGUMENTS]\n\n"
	     "Ask volume-daemon to create, attach, detach, resize and delete CloudStack volumes.\n");
	fputs(first_steps, stdout);
	puts("Commands:");
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].surfaces != SURFACES_BUS)
			printf("  %-*s  %s\n", width, methods[i].command, methods[i].summary);
	}
	for (const struct extra_command *extra = ctl->extra; extra->name; extra++) {
		if (extra->summary)
			printf("  %-*s  %s\n", width, extra->name, extra->summary);
	}
	printf("\n%s  --version          Show the version.\n\n"
	       "'volumectl help COMMAND' shows a command's arguments.\n\n",
	       common_help);
	help_exit_codes();
}

static const char limit_doc[] = "Stop after this many; without it, the list goes to its end.";

/* volumectl turns the pages of lists itself. */
static const char *doc_of(const struct method *method, const struct field *field)
{
	bool in_pages = streq(field->name, "limit") && record_find(method->args, "cursor");

	return in_pages ? limit_doc : field->doc;
}

/* "The volume's UUID." becomes "The volume's name, its UUID, or the beginning of its UUID." */
static void print_doc(const struct method *method, const struct field *field)
{
	static const char names[] = "name, its UUID, or the beginning of its UUID.",
			  end[] = "UUID.";
	const char *doc = doc_of(method, field);
	size_t length = strlen(doc);

	if (!field->refers_to)
		fputs(doc, stdout);
	else if (length >= strlen(end) && streq(doc + length - strlen(end), end))
		printf("%.*s%s", (int)(length - strlen(end)), doc, names);
	else
		printf("%s Its %s", doc, names);
}

static void print_words(const struct method *method, const struct field *field)
{
	const char *const *words = options_words(method->args, field);

	if (!words || strstr(field->doc, words[0]))
		return;
	fputs(" One of", stdout);
	for (; *words; words++)
		printf(" %s%s", *words, words[1] ? "," : ".");
}

static void help_field(const struct method *method, const struct field *field)
{
	_cleanup_buf_ struct buf label = BUF_NULL;
	char name[64];

	if (options_is_positional(method, field)) {
		options_name_positional(field, name);
		buf_add_text(&label, name);
	} else {
		add_option(field, &label);
	}
	printf("  %-22s ", label.data);
	print_doc(method, field);
	if (field->type == FIELD_SIZE)
		fputs(" A unit may follow the number: 5GiB.", stdout);
	if (field->type == FIELD_TIME)
		fputs(" In the form 2026-03-01T12:00:00Z.", stdout);
	print_words(method, field);
	if (field->flags & FIELD_MANY)
		fputs(" Several are changed together.", stdout);
	if (field->flags & FIELD_APPLIANCE)
		fputs(" Without it, this machine.", stdout);
	else if (!str_empty(field->fallback) && doc_of(method, field) == field->doc)
		printf(" Without it, %s.", field->fallback);
	putchar('\n');
}

static void help_own_options(const char *command)
{
	for (size_t i = 0; (i = options_next_own(command, i)) < OWN_OPTION_COUNT; i++) {
		_cleanup_buf_ struct buf label = BUF_NULL;

		add_own_option(&own_options[i], &label);
		printf("  %-22s %s\n", label.data, own_options[i].doc);
	}
}

void help_command(const struct method *method)
{
	_cleanup_free_ char *usage = usage_of(method);
	bool heading = false;

	printf("Usage: volumectl %s\n\n%s\n", usage, method->summary);
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if (!options_is_positional(method, field) && !options_is_option(method, field))
			continue;
		if (!heading)
			puts("\nArguments:");
		heading = true;
		help_field(method, field);
	}
	help_own_options(method->command);
	printf("\n%s", common_help);
}

void help_extra(const struct extra_command *command)
{
	_cleanup_buf_ struct buf options = BUF_NULL;

	add_own_usage(command->name, &options);
	printf("Usage: volumectl %s%s%s%s\n\n%s\n\n%s", command->name, str_or(options.data, ""),
	       command->arguments ? " " : "", str_or(command->arguments, ""), command->summary,
	       str_or(command->help, ""));
	if (options.length) {
		puts("Arguments:");
		help_own_options(command->name);
		putchar('\n');
	}
	fputs(common_help, stdout);
}

/* --- commands of two words --- */

/* "create", of "token-create", if the first word is "token"; NULL: not one of its commands. */
static const char *second_word(const struct method *method, const char *first)
{
	size_t length = strlen(first);
	const char *command = method->command;

	return command && strncmp(command, first, length) == 0 && command[length] == '-'
		       ? command + length + 1
		       : NULL;
}

/* "create, list, revoke", of "token" */
static void add_second_words(const char *first, const char *separator, struct buf *out)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		const char *second = second_word(&methods[i], first);

		if (second)
			buf_printf(out, "%s%s", out->length ? separator : "", second);
	}
}

bool help_first_word(const char *first)
{
	_cleanup_buf_ struct buf words = BUF_NULL;

	add_second_words(first, "|", &words);
	if (!words.length)
		return false;
	printf("Usage: volumectl %s %s [ARGUMENTS]\n\n", first, words.data);
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		const char *second = second_word(&methods[i], first);

		if (second)
			printf("  %-8s  %s\n", second, methods[i].summary);
	}
	printf("\n'volumectl help %s COMMAND' shows the arguments of one of them.\n", first);
	return true;
}

int help_main(struct ctl *ctl, int argc, char **argv)
{
	const struct method *method;

	if (argc < 2) {
		help_all(ctl);
		return 0;
	}
	method = options_find_method(argv[1]);
	if (!method && argc > 2)
		method = options_find_pair(argv[1], argv[2]);
	if (method) {
		help_command(method);
		return 0;
	}
	for (const struct extra_command *extra = ctl->extra; extra->name; extra++) {
		if (extra->summary && streq(extra->name, argv[1])) {
			help_extra(extra);
			return 0;
		}
	}
	return help_first_word(argv[1]) ? 0 : help_unknown(ctl, argv[1]);
}

/* --- the nearest command --- */

#define WORD_MAX 32

/*
 * The number of letters that must be added, dropped or replaced to turn one word into the other;
 * two swapped letters count as two.
 */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], length = strlen(b);

	if (length > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < length; j++) {
			size_t replace = diagonal + (a[i] != b[j]);
			size_t change = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;

			diagonal = row[j + 1];
			row[j + 1] = replace < change ? replace : change;
		}
	}
	return row[length];
}

static void consider(const char *name, const char *candidate, const char **best,
		     size_t *best_distance)
{
	size_t d;

	if (!candidate)
		return;
	d = distance(name, candidate);
	if (d < *best_distance) {
		*best = candidate;
		*best_distance = d;
	}
}

int help_unknown(const struct ctl *ctl, const char *name)
{
	const char *best = NULL;
	size_t best_distance = 4; /* at this distance a word is no typing error */
	_cleanup_buf_ struct buf second = BUF_NULL;

	add_second_words(name, ", ", &second);
	if (second.length)
		return ctl_usage("'%s' needs a second word: %s", name, second.data);
	for (size_t i = 0; i < METHOD_COUNT; i++)
		consider(name, methods[i].command, &best, &best_distance);
	for (const struct extra_command *extra = ctl->extra; extra->name; extra++) {
		if (extra->summary)
			consider(name, extra->name, &best, &best_distance);
	}
	/* If more than half of the word is wrong, the user means another word. */
	if (best && best_distance * 2 <= strlen(name))
		return ctl_usage("there is no command '%s'; did you mean '%s'?", name, best);
	return ctl_usage("there is no command '%s'; see 'volumectl --help'", name);
}
