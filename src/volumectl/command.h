/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A command that is a row of the method table. */

#include "volumectl/ctl.h"

/* argv[0] is the command's name. Returns the exit code. */
int command_run(struct ctl *ctl, const struct method *method, int argc, char **argv);
