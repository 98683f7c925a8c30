/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * volumectl: the command line of volume-daemon, over D-Bus.
 *
 * Commands are the rows of the method table that have a command name; their arguments, options and
 * help come from the table as well. The commands of extra_commands[] have no row, because they are
 * not one question to the daemon and one answer.
 *
 * Results go to stdout, everything else to stderr. The exit code is 0, 1 (volumectl itself failed),
 * 2 (wrong usage), or the code that the error table gives to the error.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "build_config.h"
#include "volumectl/command.h"
#include "volumectl/help.h"
#include "volumectl/store.h"
#include "volumectl/wait.h"
#include "volumectl/watch.h"

static const struct extra_command extra_commands[] = {
	{ "wait", "wait OPERATION", "Wait until an operation has ended and show its outcome.", NULL,
	  wait_main },
	{ "watch", "watch", "Print events until interrupted.", NULL, watch_main },
	{ "store", "store backup|check|copy|prune|plan|accept",
	  "Back up, check or accept the store; copy, check or prune a store while the daemon is stopped.",
	  NULL, store_main },
	{ "help", "help [COMMAND]", "Show this help, or the help of a command.", NULL, help_main },
	{ 0 },
};

static int run_extra(struct ctl *ctl, const struct extra_command *command, int argc, char **argv)
{
	int result = command->run(ctl, argc, argv);

	if (result != OPTIONS_HELP)
		return result;
	help_extra(command);
	return EXIT_SUCCESS;
}

static int run_command(struct ctl *ctl, int argc, char **argv)
{
	const struct method *method = options_find_method(argv[0]);

	if (method)
		return command_run(ctl, method, argc, argv);
	method = argc > 1 ? options_find_pair(argv[0], argv[1]) : NULL;
	if (method)
		return command_run(ctl, method, argc - 1, argv + 1);
	for (const struct extra_command *extra = ctl->extra; extra->name; extra++) {
		if (streq(argv[0], extra->name))
			return run_extra(ctl, extra, argc, argv);
	}
	return help_unknown(ctl, argv[0]);
}

static const struct option global_options[] = {
	COMMON_OPTIONS,
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

int main(int argc, char **argv)
{
	struct ctl ctl = { .extra = extra_commands };
	int code, result;

	opterr = 0;
	while ((code = getopt_long(argc, argv, "+:hV", global_options, NULL)) >= 0) {
		if (code == 'h') {
			help_all(&ctl);
			return 0;
		}
		if (code == 'V') {
			puts("volumectl " VERSION);
			return 0;
		}
		result = options_take_common(&ctl.options, code, optarg);
		if (result < 0)
			return EXIT_USAGE;
		if (result == 0)
			return ctl_usage("%s '%s'; see 'volumectl --help'",
					 code == ':' ? "a value is missing after"
						     : "there is no option",
					 argv[optind - 1]);
	}
	if (optind >= argc) {
		help_all(&ctl);
		return EXIT_USAGE;
	}
	result = run_command(&ctl, argc - optind, argv + optind);
	volume_client_close(ctl.client);
	if (fflush(stdout) != 0 && result == 0) {
		fprintf(stderr, "volumectl: cannot write: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return result;
}
