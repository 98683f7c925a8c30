/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * "volumectl store …": the running daemon is asked for a backup and a check of its own store,
 * and to accept a store from the past. The
 * rest is a program of its own: it opens stores, and needs the libraries of all kinds of stores,
 * which the other commands do not need. In a build the program stands beside volumectl's folder,
 * otherwise at STORE_PROGRAM.
 */

#include "volumectl/store.h"

#include <errno.h>
#include <stdio.h>

#include "build_config.h"
#include "volumectl/accept.h"
#include "volumectl/store_live.h"

#define PROGRAM_BUILT "storectl/volume-store"

const char *const store_commands[] = { "backup", "check", "copy", "prune", "plan", "accept", NULL };

/* The commands of the other program. */
static const char *const elsewhere[] = { "check", "copy", "prune" };

bool store_is_elsewhere(const char *command)
{
	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
		if (str_has_prefix(command, "store ") &&
		    streq(command + strlen("store "), elsewhere[i]))
			return true;
	}
	return false;
}

static int start_program(char **argv)
{
	_cleanup_free_ char *program = ctl_program(PROGRAM_BUILT, STORE_PROGRAM);
	struct err err = { 0 };

	execv(program, argv);
	err_set(&err, ERR_INTERNAL, "%s cannot be started: %s; install volume-daemon completely",
		program, strerrordesc_np(errno));
	return ctl_fail(&err);
}

int store_main(struct ctl *ctl, int argc, char **argv)
{
	int result;

	if (argc > 1 && streq(argv[1], "backup"))
		return store_live_backup(ctl, argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "check")) {
		result = store_live_check(ctl, argc - 1, argv + 1);
		if (result >= 0)
			return result;
	}
	if (argc > 1 && streq(argv[1], "plan"))
		return store_plan_main(ctl, argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "accept"))
		return store_accept_main(ctl, argc - 1, argv + 1);
	return start_program(argv);
}

void store_show_options(void)
{
	_cleanup_free_ char *program = ctl_program(PROGRAM_BUILT, STORE_PROGRAM);
	char store[] = "store", options[] = "options";

	execv(program, (char *[]){ store, options, NULL });
}
