/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * volumectl: the command line of volume-daemon, over D-Bus.
 *
 * Commands are the rows of the method table that have a command name; their arguments, options and
 * help come from the table as well. Only four commands have no row, because they are not one
 * question to the daemon and one answer: wait, watch, store and help.
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

static int run_command(struct ctl *ctl, int argc, char **argv)
{
	const struct method *method = options_find_method(argv[0]);

	/* getopt_long() starts anew; 0 makes glibc forget the first round altogether. */
	optind = 0;
	if (method)
		return command_run(ctl, method, argc, argv);
	method = argc > 1 ? options_find_pair(argv[0], argv[1]) : NULL;
	if (method)
		return command_run(ctl, method, argc - 1, argv + 1);
	if (streq(argv[0], "wait"))
		return wait_main(ctl, argc, argv);
	if (streq(argv[0], "watch"))
		return watch_main(ctl, argc, argv);
	if (streq(argv[0], "store"))
		return store_main(ctl, argc, argv);
	if (streq(argv[0], "help"))
		return help_main(argc, argv);
	return help_unknown(argv[0]);
}

static const struct option global_options[] = {
	COMMON_OPTIONS,
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

int main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	int code, result;

	opterr = 0;
	while ((code = getopt_long(argc, argv, "+:hV", global_options, NULL)) >= 0) {
		if (code == 'h') {
			help_all();
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
		help_all();
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
