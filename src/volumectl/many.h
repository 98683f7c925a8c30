/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One command for several volumes. */

#include "volumectl/request.h"

/* Does the request name several volumes? */
bool many_is_wanted(const struct request *request);
/* Begins all, waits for all, shows each outcome; the exit code of the worst. */
int many_run(struct ctl *ctl, struct request *request);
