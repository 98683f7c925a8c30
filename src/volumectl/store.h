/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl store" */

#include "volumectl/ctl.h"

/*
 * argv[0] is "store". Asks the running daemon, or becomes the program that works on stores while
 * the daemon is stopped. Returns the exit code.
 */
int store_main(struct ctl *ctl, int argc, char **argv);
