/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl store plan" and "volumectl store accept": a store from the past. */

#include "volumectl/ctl.h"

/* argv[0] is "plan" or "accept". Returns the exit code. */
int store_plan_main(struct ctl *ctl, int argc, char **argv);
int store_accept_main(struct ctl *ctl, int argc, char **argv);
