/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What stands on a disk. Private to disk/. */

#include "disk/usage_report.h"

/* Fills nodes with the disk and everything that stands on it; holders are added as users. */
int usage_climb(struct usage_report *report);
