/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Waiting for an operation. */

#include "volumectl/ctl.h"

/* Until the operation has ended; prints its outcome and returns its exit code. */
int wait_operation(struct ctl *ctl, const char *operation_id);
int wait_main(struct ctl *ctl, int argc, char **argv);
