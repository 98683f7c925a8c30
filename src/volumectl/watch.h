/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command "watch". */

#include "volumectl/ctl.h"

int watch_main(struct ctl *ctl, int argc, char **argv);
