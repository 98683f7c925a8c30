/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Help texts. */

#include "volumectl/ctl.h"

void help_all(const struct ctl *ctl);
void help_command(const struct method *method);
void help_extra(const struct extra_command *command);
/* The commands that begin with this word ("token"); false: there are none, nothing was printed. */
bool help_first_word(const char *first);
/* Names the nearest command; returns EXIT_USAGE. */
int help_unknown(const struct ctl *ctl, const char *name);
/* "volumectl help" */
int help_main(struct ctl *ctl, int argc, char **argv);
