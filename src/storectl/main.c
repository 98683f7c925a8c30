/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * "volumectl store": moving a store, checking a store, and removing old operations from a store,
 * all while the daemon is stopped. volumectl itself asks a running daemon for a backup or a check.
 * The store's own lock keeps these programs and a running daemon apart.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "base/log.h"
#include "build_config.h"
#include "config/config.h"
#include "store/check.h"
#include "storectl/copy.h"
#include "storectl/place.h"
#include "storectl/prune.h"

#define EXIT_USAGE 2
#define SUBCOMMANDS "there are backup, check, copy, prune, plan and accept"

static const char help[] =
	"Usage: volumectl store backup FILE [--force]\n"
	"       volumectl store check [URL] [OPTION]…\n"
	"       volumectl store copy FROM TO [OPTION]…\n"
	"       volumectl store prune --older-than TIME [URL] [OPTION]…\n"
	"       volumectl store plan [--json]\n"
	"       volumectl store accept [--yes]\n"
	"Back up, check or accept the store of the running daemon; or work on a store while the daemon is stopped.\n"
	"\n"
	"  backup  Write a checked backup of the running daemon's store into FILE.\n"
	"  check   Look for rows that break a rule, and for damage, and name them. Without a URL the\n"
	"          running daemon checks its own store.\n"
	"  copy    Copy everything into an empty store, and compare the two row by row.\n"
	"  prune   Remove operations that ended longer ago than TIME (90d) and need no attention.\n"
	"  plan    Show whether the store is one from the past, and what becomes of its operations.\n"
	"  accept  Show the plan, ask (unless --yes), and let the daemon go on with that store.\n"
	"\n"
	"A url is sqlite:///PATH or mariadb://USER@HOST/DATABASE; without one it is the daemon's, from its\n"
	"configuration.\n"
	"\n";

static const char exit_codes[] =
	"\n"
	"Exit codes: 0 success, 1 failure or faults found by check, 2 wrong usage.\n";

enum choice {
	CHOICE_CONFIG,
	CHOICE_PASSWORD,
	CHOICE_FROM_PASSWORD,
	CHOICE_OLDER_THAN,
	CHOICE_DRY_RUN,
	CHOICE_HELP,
	CHOICE_COUNT
};

static const struct {
	const char *name;
	const char *value; /* the word for it in help; NULL: it has none */
	const char *doc;
} choices[CHOICE_COUNT] = {
	[CHOICE_CONFIG] = { "config", "FILE",
			    "The daemon's configuration instead of " CONFIG_FILE "." },
	[CHOICE_PASSWORD] = { "password-file", "FILE", "The password for URL, or for TO." },
	[CHOICE_FROM_PASSWORD] = { "from-password-file", "FILE", "The password for FROM." },
	[CHOICE_OLDER_THAN] = { "older-than", "TIME",
				"How long ago an operation must have ended (at least 1d)." },
	[CHOICE_DRY_RUN] = { "dry-run", NULL, "Of prune: only say how many there are." },
	[CHOICE_HELP] = { "help", NULL, "Show this help." },
};

/* volumectl asks for the options with this word, when a shell completes one. */
#define WORD_OPTIONS "options"

struct arguments {
	const char *options[CHOICE_COUNT]; /* the value, "" if it has none; NULL: not given */
	char **words;
	int count;
};

static int usage(const char *text)
{
	fprintf(stderr, "volumectl store: %s; see 'volumectl store --help'\n", text);
	return EXIT_USAGE;
}

static int failed(const struct err *err)
{
	fprintf(stderr, "volumectl store: %s\n", err->text);
	return EXIT_FAILURE;
}

/* ---- commands ---- */

static int run_copy(const struct arguments *arguments, const struct config *config)
{
	struct place from = { 0 }, to = { 0 };
	struct err err = { 0 };
	int r;

	if (arguments->count != 2)
		return usage("copy needs FROM and TO");
	if (streq(arguments->words[0], arguments->words[1]))
		return usage("FROM and TO are the same");
	r = place_open(&from, arguments->words[0], arguments->options[CHOICE_FROM_PASSWORD], true,
		       &err);
	if (r == 0)
		r = place_open(&to, arguments->words[1], arguments->options[CHOICE_PASSWORD], false,
			       &err);
	if (r == 0)
		r = copy_stores(&from, &to, &err);
	place_close(&to);
	place_close(&from);
	return r < 0 ? failed(&err) : EXIT_SUCCESS;
}

static int open_one(const struct arguments *arguments, const struct config *config,
		    struct place *place, struct err *err)
{
	bool given = arguments->count == 1;
	const char *password_file = arguments->options[CHOICE_PASSWORD];

	if (!password_file && !given)
		password_file = config->store_password_file;
	return place_open(place, given ? arguments->words[0] : config->store_url, password_file,
			  true, err);
}

static void print_fault(void *arg, const char *text)
{
	puts(text);
}

static int run_check(const struct arguments *arguments, const struct config *config)
{
	struct place place = { .unchecked = true };
	struct store_checked checked = { 0 };
	struct err err = { 0 };
	bool bad;
	int r;

	if (arguments->count > 1)
		return usage("check takes one URL");
	r = open_one(arguments, config, &place, &err);
	if (r == 0)
		r = store_check(place.store, print_fault, NULL, &checked, &err);
	place_close(&place);
	if (r < 0)
		return failed(&err);
	printf("%zu rows, %zu faults\n", checked.rows, checked.faults);
	bad = checked.faults > 0;
	store_checked_clear(&checked);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_prune(const struct arguments *arguments, const struct config *config)
{
	const char *older_than = arguments->options[CHOICE_OLDER_THAN];
	struct place place = { 0 };
	struct err err = { 0 };
	int64_t age_ms;
	int r;

	if (arguments->count > 1)
		return usage("prune takes one URL");
	if (!older_than)
		return usage("prune needs --older-than, such as 90d");
	if (parse_duration(older_than, &age_ms) < 0 || age_ms < INT64_C(86400000))
		return usage("--older-than must be a time of at least 1d, such as 90d");
	r = open_one(arguments, config, &place, &err);
	if (r == 0)
		r = prune_store(&place, age_ms, arguments->options[CHOICE_DRY_RUN] != NULL, &err);
	place_close(&place);
	return r < 0 ? failed(&err) : EXIT_SUCCESS;
}

static const struct {
	const char *name;
	int (*run)(const struct arguments *arguments, const struct config *config);
} commands[] = { { "copy", run_copy }, { "check", run_check }, { "prune", run_prune } };

/* ---- the command line ---- */

static int run(const struct arguments *arguments)
{
	struct config config = { 0 };
	struct err err = { 0 };
	struct arguments rest = *arguments;
	const char *config_file = arguments->options[CHOICE_CONFIG];

	if (rest.count == 0)
		return usage(SUBCOMMANDS);
	rest.words++;
	rest.count--;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		int code;

		if (!streq(commands[i].name, arguments->words[0]))
			continue;
		if (config_read(&config, str_or(config_file, CONFIG_FILE), config_file != NULL,
				NULL, &err) < 0)
			return failed(&err);
		code = commands[i].run(&rest, &config);
		config_clear(&config);
		return code;
	}
	return usage(SUBCOMMANDS);
}

static int show_help(void)
{
	fputs(help, stdout);
	for (size_t i = 0; i < CHOICE_COUNT; i++) {
		_cleanup_free_ char *label =
			xasprintf("--%s%s%s", choices[i].name, choices[i].value ? " " : "",
				  str_or(choices[i].value, ""));

		printf("  %-25s  %s\n", label, choices[i].doc);
	}
	fputs(exit_codes, stdout);
	return EXIT_SUCCESS;
}

static int show_options(void)
{
	for (size_t i = 0; i < CHOICE_COUNT; i++)
		printf("--%s\t%s\n", choices[i].name, choices[i].doc);
	return EXIT_SUCCESS;
}

/* Into arguments; EXIT_USAGE if it is wrong, and reported already. */
static int read_options(struct arguments *arguments, int argc, char **argv)
{
	struct option options[CHOICE_COUNT + 1] = { 0 };
	int code;

	for (int i = 0; i < CHOICE_COUNT; i++)
		options[i] = (struct option){
			.name = choices[i].name,
			.has_arg = choices[i].value ? required_argument : no_argument,
			.val = i,
		};
	opterr = 0;
	while ((code = getopt_long(argc, argv, ":c:h", options, NULL)) >= 0) {
		if (code == ':')
			return usage("an option lacks its value");
		if (code == '?')
			return usage("there is an unknown option");
		if (code == 'c')
			code = CHOICE_CONFIG;
		if (code == 'h')
			code = CHOICE_HELP;
		arguments->options[code] = str_or(optarg, "");
	}
	arguments->words = argv + optind;
	arguments->count = argc - optind;
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	int code;

	log_set_level(LOG_LEVEL_NOTICE);
	code = read_options(&arguments, argc, argv);
	if (code == 0) {
		if (arguments.options[CHOICE_HELP])
			code = show_help();
		else if (arguments.count == 1 && streq(arguments.words[0], WORD_OPTIONS))
			code = show_options();
		else
			code = run(&arguments);
	}
	if (fflush(stdout) != 0 && code == 0) {
		fprintf(stderr, "volumectl store: cannot write: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return code;
}
