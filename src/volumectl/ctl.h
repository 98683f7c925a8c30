/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every command needs: the connection to the daemon, and a way to say that it failed. */

#include <volume-client.h>

#include "base/err.h"
#include "volumectl/options.h"

#define EXIT_USAGE 2

struct ctl {
	struct options options;
	struct volume_client *client;
};

/* "volumectl: <text>" on stderr. The first returns the exit code of err. */
int ctl_fail(const struct err *err);
int ctl_usage(const char *format, ...) _printf_(1, 2); /* returns EXIT_USAGE */
/* Connects if not connected yet. */
int ctl_connect(struct ctl *ctl, struct err *err);
/* What the library says as an error of ours, in words that say what to do. Returns -1. */
int ctl_client_error(const struct volume_client_error *error, struct err *err);
