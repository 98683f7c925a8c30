/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Questions before a command that contradicts what the daemon knows. */

#include "volumectl/request.h"

/* Asks on a terminal if the command needs it, unless --yes is given. False: the answer is no. */
bool confirm(struct ctl *ctl, const struct request *request);
