/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Finds the users of a disk. Private to disk/. */

#include "disk/usage_report.h"

/* Blocks, and may hang. To be called once for a report. */
void usage_scan(struct usage_report *report);
