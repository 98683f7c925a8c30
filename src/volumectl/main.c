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
#include "volumectl/complete.h"
#include "volumectl/device_wait.h"
#include "volumectl/doctor.h"
#include "volumectl/help.h"
#include "volumectl/open.h"
#include "volumectl/store.h"
#include "volumectl/unfinished.h"
#include "volumectl/wait.h"
#include "volumectl/watch.h"

static const struct extra_command extra_commands[] = {
	{
		.name = "wait",
		.arguments = "OPERATION",
		.summary = "Wait until an operation has ended and show its outcome.",
		.run = wait_main,
		.completes = COMPLETES_OPERATIONS,
	},
	{
		.name = "wait-device",
		.arguments = "VOLUME",
		.summary =
			"Wait until a volume has its device on this machine, and print the device's path.",
		.help = "For services that start after their volume at boot; see volumectl(1).\n\n",
		.run = wait_device_main,
		.completes = COMPLETES_VOLUMES,
	},
	{
		.name = "open",
		.arguments = "VOLUME -- COMMAND...",
		.summary = "Run a command that has the disk of a volume open as file 3.",
		.help = "The disk is proven to be the volume's. The variable VOLUME_DEVICE of the command has the\n"
			"kernel's node of the disk.\n\n",
		.run = open_main,
		.completes = COMPLETES_VOLUMES,
	},
	{
		.name = "drain",
		.arguments = "[REASON]",
		.summary = "Pause changes, and wait until no operation runs.",
		.help = "The pause holds until 'volumectl resume', also if the wait ends early.\n\n",
		.run = drain_main,
	},
	{
		.name = "doctor",
		.summary = "Check all that the daemon needs, and say for each part what to do.",
		.help = "It changes nothing, starts no daemon, and works without one. The exit code is 0 if all is\n"
			"ok, 1 if something is not.\n\n",
		.run = doctor_main,
	},
	{
		.name = "watch",
		.summary = "Show volumes, running operations and events live, until interrupted.",
		.help = "On a terminal it is a view of the whole terminal; q ends it. Elsewhere, and with --plain, it is\n"
			"a log: a line with the time for each event.\n\n",
		.run = watch_main,
	},
	{
		.name = "store",
		.arguments = "backup|check|copy|prune|plan|accept [ARGUMENTS]",
		.summary =
			"Back up, check or accept the store; copy, check or prune a store while the daemon is stopped.",
		.help = "'volumectl store --help' explains each of them.\n\n",
		.run = store_main,
		.completes = COMPLETES_STORE,
	},
	{
		.name = "help",
		.arguments = "[COMMAND]",
		.summary = "Show this help, or the help of a command.",
		.run = help_main,
		.completes = COMPLETES_COMMANDS,
	},
	{ .name = "complete", .run = complete_main },
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
	if (argc > 1 && (streq(argv[1], "--help") || streq(argv[1], "-h")) &&
	    help_first_word(argv[0]))
		return EXIT_SUCCESS;
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
	ctl_disconnect(&ctl);
	if (fflush(stdout) != 0 && result == 0) {
		fprintf(stderr, "volumectl: cannot write: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return result;
}
