/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl doctor" */

#include "volumectl/ctl.h"

/* The exit code is 0 if every check is well, 1 if one is not. */
int doctor_main(struct ctl *ctl, int argc, char **argv);
