/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Completions. The shells know nothing of volumectl's commands: their scripts (data/completions)
 * ask the program with the words of the line, of which the last is being typed and may be empty.
 * Each line of the answer is a candidate, a tab, and what it is; ":files" asks the shell for the
 * names of files. The shell drops the candidates that do not begin with the word.
 *
 * Names and ids come from the daemon, which is asked briefly and never started: Tab must neither
 * hang nor change anything. Whatever goes wrong, there are just fewer candidates.
 */

#include "volumectl/complete.h"

#include <stdio.h>

#include "volumectl/listing.h"
#include "volumectl/store.h"
#include "volumectl/terminal.h"

#define ANSWER_MS 300

/* The words of the line. */
struct words {
	char **words;
	size_t count;
	const char *current; /* the last one */
};

/* The text before each candidate, such as "--vm=" or "name,". */
struct offer {
	struct ctl *ctl;
	const char *before;
	size_t before_length;
	const char *typed; /* of the current word, behind that text */
};

/* --- candidates --- */

static void add(const struct offer *offer, const char *candidate, const char *what)
{
	_cleanup_buf_ struct buf clean = BUF_NULL, note = BUF_NULL;

	text_add_clean(&clean, candidate);
	/* What is no plain text cannot be typed either. */
	if (!clean.length || !streq(clean.data, candidate))
		return;
	text_add_clean(&note, what);
	printf("%.*s%s\t%s\n", (int)offer->before_length, offer->before, candidate,
	       str_or(note.data, ""));
}

static const char *member(const struct volume_client_value *item, const char *name)
{
	return volume_client_text(volume_client_get(item, name));
}

/* A list of the daemon, and the members of its items that are offered and say what they are. */
struct source {
	const struct record *kind;
	enum method_id lists;
	const char *id, *name, *what;
};

static const struct source sources[] = {
	{ &volume_record, METHOD_VOLUME_LIST, "volume_id", "name", "state" },
	{ &vm_record, METHOD_VM_LIST, "id", "name", "state" },
	{ &offering_record, METHOD_OFFERING_LIST, "id", "name", "storage_type" },
	{ &zone_record, METHOD_ZONE_LIST, "id", "name", "network_type" },
	{ &operation_record, METHOD_OPERATION_LIST, "id", NULL, "type" },
	{ &device_record, METHOD_DEVICE_LIST, "device_path", NULL, "volume_id" },
	{ &token_record, METHOD_TOKEN_LIST, "name", NULL, "scope" },
};

struct found {
	const struct offer *offer;
	const struct source *source;
};

/* A name is easier to know than a UUID, which is offered once its beginning has been typed. */
static void on_page(void *arg, const struct volume_client_value *page)
{
	const struct found *found = arg;
	const struct source *source = found->source;

	for (size_t i = 0; i < page->count; i++) {
		const struct volume_client_value *item = &page->items[i];
		const char *id = member(item, source->id);
		const char *name = source->name ? member(item, source->name) : "";

		if (*name)
			add(found->offer, name, id);
		if (!*name || (*found->offer->typed && str_has_prefix(id, found->offer->typed)))
			add(found->offer, id, *name ? name : member(item, source->what));
	}
}

static void offer_objects(const struct offer *offer, const struct record *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		struct found found = { offer, &sources[i] };
		struct request request;
		struct err err = { 0 };

		if (sources[i].kind != kind)
			continue;
		request_init(&request, &methods[sources[i].lists]);
		/* One page is more than a person reads. */
		if (request_field(&request, "limit") != SIZE_MAX)
			request_set(&request, request_field(&request, "limit"), "limit", "1000");
		listing_read(offer->ctl, &request, on_page, &found, &err);
		request_clear(&request);
		return;
	}
}

static void offer_words(const struct offer *offer, const char *const *list)
{
	for (; *list; list++)
		add(offer, *list, "");
}

static void offer_text(const struct offer *offer, const struct record *args,
		       const struct field *field)
{
	if (streq(field->name, "operation_id"))
		offer_objects(offer, &operation_record);
	if (args == &device_args)
		offer_objects(offer, &device_record);
	if (args == &token_args)
		offer_objects(offer, &token_record);
}

static void offer_value(const struct offer *offer, const struct record *args,
			const struct field *field)
{
	const char *const *words = options_words(args, field);

	if (field->refers_to)
		offer_objects(offer, field->refers_to);
	else if (words)
		offer_words(offer, words);
	else if (field->type == FIELD_BOOL)
		offer_words(offer, (const char *const[]){ "yes", "no", NULL });
	else
		offer_text(offer, args, field);
}

static void offer_columns(const struct offer *offer, const struct method *method)
{
	const char *comma = strrchr(offer->typed, ',');
	struct offer rest = *offer;

	if (!method || method->answer != ANSWER_MANY)
		return;
	/* The columns before the last comma stay. */
	if (comma) {
		rest.before = offer->typed - offer->before_length;
		rest.before_length = (size_t)(comma + 1 - rest.before);
	}
	for (size_t i = 0; i < method->result->count; i++) {
		if (!(method->result->fields[i].flags & FIELD_PRIVATE))
			add(&rest, method->result->fields[i].name, method->result->fields[i].doc);
	}
}

/* --- commands and options --- */

static void offer_commands(const struct offer *offer)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].command)
			add(offer, methods[i].command, methods[i].summary);
	}
	for (const struct extra_command *extra = offer->ctl->extra; extra->name; extra++) {
		if (extra->summary)
			add(offer, extra->name, extra->summary);
	}
}

static const struct option common_options[] = { COMMON_OPTIONS, { 0 } };

static void add_option(const struct offer *offer, const char *name, const char *what)
{
	_cleanup_free_ char *option = xasprintf("--%s", name);

	add(offer, option, what);
}

/* The command of the line: a row of the method table or an extra one; or none, before it. */
struct command {
	const char *name; /* as own_options[] calls it, "" if there is none */
	const struct method *method;
	const struct extra_command *extra;
};

/* Those of "store copy" are known to another program, which volumectl becomes. */
static void offer_options(const struct offer *offer, const struct command *command)
{
	const struct method *method = command->method;

	if (store_is_elsewhere(command->name)) {
		fflush(stdout);
		store_show_options();
		return;
	}
	for (size_t i = 0; method && i < method->args->count; i++) {
		char name[64];

		if (!options_is_option(method, &method->args->fields[i]))
			continue;
		options_name_field(&method->args->fields[i], name);
		add_option(offer, name, method->args->fields[i].doc);
	}
	for (size_t i = 0; (i = options_next_own(command->name, i)) < OWN_OPTION_COUNT; i++)
		add_option(offer, own_options[i].name, own_options[i].doc);
	for (size_t i = 0; common_options[i].name; i++)
		add_option(offer, common_options[i].name, "");
}

/* The field behind the option of length bytes, NULL: none. */
static const struct field *find_option(const struct method *method, const char *name, size_t length)
{
	for (size_t i = 0; method && i < method->args->count; i++) {
		char known[64];

		if (!options_is_option(method, &method->args->fields[i]))
			continue;
		options_name_field(&method->args->fields[i], known);
		if (strlen(known) == length && strncmp(known, name, length) == 0)
			return &method->args->fields[i];
	}
	return NULL;
}

static bool is_called(const char *option, const char *name, size_t length)
{
	return strlen(option) == length && strncmp(option, name, length) == 0;
}

static void offer_own_value(const struct offer *offer, const struct command *command,
			    const char *name, size_t length)
{
	for (size_t i = 0; (i = options_next_own(command->name, i)) < OWN_OPTION_COUNT; i++) {
		if (!is_called(own_options[i].name, name, length))
			continue;
		if (streq(own_options[i].value, "VM"))
			offer_objects(offer, &vm_record);
		if (streq(own_options[i].value, "FILE"))
			puts(":files");
	}
}

static void offer_option_value(const struct offer *offer, const struct command *command,
			       const char *name, size_t length)
{
	const struct field *field = find_option(command->method, name, length);

	if (is_called("columns", name, length))
		offer_columns(offer, command->method);
	else if (field)
		offer_value(offer, command->method->args, field);
	else
		offer_own_value(offer, command, name, length);
}

/* Does this word want the next one as its value? */
static bool wants_value(const struct command *command, const char *word)
{
	const struct field *field;

	if (!str_has_prefix(word, "--") || strchr(word, '='))
		return false;
	field = find_option(command->method, word + 2, strlen(word + 2));
	if (field)
		return field->type != FIELD_BOOL;
	for (size_t i = 0; common_options[i].name; i++) {
		if (streq(common_options[i].name, word + 2))
			return common_options[i].has_arg == required_argument;
	}
	for (size_t i = 0; (i = options_next_own(command->name, i)) < OWN_OPTION_COUNT; i++) {
		if (streq(own_options[i].name, word + 2))
			return own_options[i].value != NULL;
	}
	return false;
}

/* --- the line --- */

/* The words before the current one that are neither options nor their values. */
static size_t positionals_before(const struct command *command, const struct words *words)
{
	size_t count = 0;

	for (size_t i = 0; i + 1 < words->count; i++) {
		if (wants_value(command, words->words[i]))
			i++;
		else if (words->words[i][0] != '-')
			count++;
	}
	return count;
}

static void offer_positional(const struct offer *offer, const struct method *method, size_t index)
{
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if (!options_is_positional(method, field))
			continue;
		if (index == 0 || field->flags & FIELD_MANY) {
			offer_value(offer, method->args, field);
			return;
		}
		index--;
	}
}

static void offer_extra_argument(const struct offer *offer, const struct command *command,
				 size_t index)
{
	enum completes completes = command->extra->completes;

	if (completes == COMPLETES_COMMANDS)
		offer_commands(offer);
	else if (completes == COMPLETES_VOLUMES && index == 0)
		offer_objects(offer, &volume_record);
	else if (completes == COMPLETES_OPERATIONS && index == 0)
		offer_objects(offer, &operation_record);
	else if (completes == COMPLETES_STORE && streq(command->name, command->extra->name))
		offer_words(offer, store_commands);
	else if (completes == COMPLETES_STORE)
		puts(":files");
}

/* words are those behind the command. */
static void offer_argument(struct ctl *ctl, const struct command *command,
			   const struct words *words)
{
	const char *current = words->current, *equals = strchr(current, '=');
	const char *previous = words->count > 1 ? words->words[words->count - 2] : NULL;
	struct offer offer = { .ctl = ctl, .before = "", .typed = current };

	if (previous && wants_value(command, previous)) {
		offer_option_value(&offer, command, previous + 2, strlen(previous + 2));
	} else if (str_has_prefix(current, "--") && equals) {
		offer.before = current;
		offer.before_length = (size_t)(equals + 1 - current);
		offer.typed = equals + 1;
		offer_option_value(&offer, command, current + 2, (size_t)(equals - current - 2));
	} else if (*current == '-') {
		offer_options(&offer, command);
	} else if (command->method) {
		offer_positional(&offer, command->method, positionals_before(command, words));
	} else if (command->extra) {
		offer_extra_argument(&offer, command, positionals_before(command, words));
	}
}

/* "create", "list" behind "token". */
static void offer_second_words(const struct offer *offer, const char *first)
{
	size_t length = strlen(first);

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		const char *command = methods[i].command;

		if (str_has_prefix(str_or(command, ""), first) && command[length] == '-')
			add(offer, command + length + 1, methods[i].summary);
	}
}

/*
 * The command that the words begin with: *name is to be freed, and the words that it takes are
 * returned. 0: there is none.
 */
static size_t find_command(const struct ctl *ctl, const struct words *words,
			   struct command *command, char **name)
{
	const struct extra_command *extra = ctl->extra;
	const char *first = words->words[0], *second = words->count > 2 ? words->words[1] : NULL;

	command->method = options_find_method(first);
	if (command->method) {
		*name = xstrdup(command->method->command);
		return 1;
	}
	command->method = second ? options_find_pair(first, second) : NULL;
	if (command->method) {
		*name = xstrdup(command->method->command);
		return 2;
	}
	while (extra->name && !streq(extra->name, first))
		extra++;
	if (!extra->name)
		return 0;
	command->extra = extra;
	if (extra->completes != COMPLETES_STORE || !second || *second == '-') {
		*name = xstrdup(first);
		return 1;
	}
	*name = xasprintf("%s %s", first, second);
	return 2;
}

static void complete(struct ctl *ctl, struct words *words)
{
	struct offer offer = { .ctl = ctl, .before = "", .typed = words->current };
	struct command command = { .name = "" };
	_cleanup_free_ char *name = NULL;
	size_t taken;

	/* Options before the command. */
	while (words->count > 1 && words->words[0][0] == '-') {
		size_t step = wants_value(&command, words->words[0]) && words->count > 2 ? 2 : 1;

		words->words += step;
		words->count -= step;
	}
	if (words->count == 1) {
		if (*words->current == '-')
			offer_options(&offer, &command);
		else
			offer_commands(&offer);
		return;
	}
	taken = find_command(ctl, words, &command, &name);
	if (taken == 0) {
		offer_second_words(&offer, words->words[0]);
		return;
	}
	command.name = name;
	words->words += taken;
	words->count -= taken;
	offer_argument(ctl, &command, words);
}

int complete_main(struct ctl *ctl, int argc, char **argv)
{
	struct words words;
	struct err err = { 0 };
	size_t first = argc > 1 && streq(argv[1], "--") ? 2 : 1;

	if ((size_t)argc <= first)
		return ctl_usage("complete needs the words of a command line; a shell gives them");
	words = (struct words){ argv + first, (size_t)argc - first, argv[argc - 1] };
	ctl->completing = true;
	ctl->starts_nothing = true;
	if (ctl_connect(ctl, &err) == 0)
		volume_client_set_call_timeout(ctl->client, ANSWER_MS);
	complete(ctl, &words);
	return EXIT_SUCCESS;
}
