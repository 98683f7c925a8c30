/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl complete": what a shell offers when a person presses Tab. */

#include "volumectl/ctl.h"

int complete_main(struct ctl *ctl, int argc, char **argv);
