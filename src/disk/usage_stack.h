/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The devices on top of a disk. Private to disk/. */

#include "disk/usage_report.h"

/* Fills nodes with the disk and every device on top of it; holders are added as users. */
int usage_climb(struct usage_report *report);
