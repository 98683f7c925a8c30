/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl store" */

#include "volumectl/ctl.h"

/*
 * argv[0] is "store". Asks the running daemon, or becomes the program that works on stores while
 * the daemon is stopped. Returns the exit code.
 */
int store_main(struct ctl *ctl, int argc, char **argv);

/* What can be done with a store, ended by NULL. */
extern const char *const store_commands[];
/* Does the other program know the options of this command, "store copy"? */
bool store_is_elsewhere(const char *command);
/* Becomes that program, which prints its options for a shell. Returns if it cannot be started. */
void store_show_options(void);
