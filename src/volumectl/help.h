/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Help texts. */

#include "spec/methods.h"

void help_all(void);
void help_command(const struct method *method);
int help_unknown(const char *name); /* with the nearest command; returns EXIT_USAGE */
int help_main(int argc, char **argv);
