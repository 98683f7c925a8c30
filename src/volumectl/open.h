/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl open" */

#include "volumectl/ctl.h"

/* argv[0] is "open". Becomes the command; returns the exit code if it cannot. */
int open_main(struct ctl *ctl, int argc, char **argv);
