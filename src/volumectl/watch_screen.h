/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The live view of "volumectl watch", on a terminal that can be drawn on. */

#include "volumectl/ctl.h"

/* Shows it until the user ends it: 0, or the program ends by the signal that asked for the end. */
int watch_screen(struct ctl *ctl, struct err *err);
