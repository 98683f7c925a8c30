/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by all commands: the connection to the daemon, and a way to report a failure. */

#include <volume-client.h>

#include "base/err.h"
#include "spec/methods.h"
#include "volumectl/options.h"

#define EXIT_USAGE 2

struct ctl {
	struct options options;
	struct volume_client *client;
};

/* "volumectl: <text>" on stderr. ctl_fail() returns the exit code of err. */
int ctl_fail(const struct err *err);
int ctl_usage(const char *format, ...) _printf_(1, 2); /* returns EXIT_USAGE */
/* Connects if not connected yet. */
int ctl_connect(struct ctl *ctl, struct err *err);
/*
 * A method of the manager without arguments but an open file, if fd is not -1; connects if need be.
 * Free *out with volume_client_value_free().
 */
int ctl_call(struct ctl *ctl, enum method_id id, int fd, struct volume_client_value **out,
	     struct err *err);
/* The library's error as an error of volumectl, with a remedy. Returns -1. */
int ctl_client_error(const struct volume_client_error *error, struct err *err);
