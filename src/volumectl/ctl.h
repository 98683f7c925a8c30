/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by all commands: the connection to the daemon, and a way to report a failure. */

#include <volume-client.h>

#include "base/err.h"
#include "spec/methods.h"
#include "volumectl/options.h"

#define EXIT_USAGE 2

struct ctl;

/* What a shell offers for the arguments of a command. */
enum completes {
	COMPLETES_NOTHING,
	COMPLETES_COMMANDS,
	COMPLETES_VOLUMES,
	COMPLETES_OPERATIONS,
	COMPLETES_STORE, /* what can be done with a store */
};

/* A command without a row in the method table, since it is not one question and one answer. */
struct extra_command {
	const char *name;
	const char *arguments; /* as help names them, or NULL */
	const char *summary;   /* NULL: a program calls it, and help does not show it */
	const char *help;      /* more lines about it, or NULL */
	/*
	 * argv[0] is the command's name. Returns the exit code, or OPTIONS_HELP: the user wants to
	 * see the help.
	 */
	int (*run)(struct ctl *ctl, int argc, char **argv);
	enum completes completes;
};

struct ctl {
	struct options options;
	struct volume_client *client;
	bool completing;                   /* for a shell: asks for no password */
	bool starts_nothing;               /* a call to a daemon that does not run is an error */
	const struct extra_command *extra; /* all of them; the last has no name */
};

/* "volumectl: <text>" on stderr. ctl_fail() returns the exit code of err. */
int ctl_fail(const struct err *err);
int ctl_usage(const char *format, ...) _printf_(1, 2); /* returns EXIT_USAGE */
/* Connects if not connected yet. */
int ctl_connect(struct ctl *ctl, struct err *err);
void ctl_disconnect(struct ctl *ctl);
/*
 * A method of the manager without arguments but an open file, if fd is not -1; connects if need be.
 * Free *out with volume_client_value_free().
 */
int ctl_call(struct ctl *ctl, enum method_id id, int fd, struct volume_client_value **out,
	     struct err *err);
/*
 * Does the daemon have its name on the bus? Does not start it, as a call would start a daemon that
 * a person has stopped. Connects if need be; false also without a bus.
 */
bool ctl_daemon_runs(struct ctl *ctl);
/*
 * The path of another program of ours, to be freed: built names it from the folder beside
 * volumectl's in a build; where there is none, it is the installed one.
 */
char *ctl_program(const char *built, const char *installed);
/* The library's error as an error of volumectl, with a remedy. Returns -1. */
int ctl_client_error(const struct volume_client_error *error, struct err *err);
