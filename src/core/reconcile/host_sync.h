/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names and exports are what they should be. */

#include "base/util.h"

struct core;

void tidy_begin(struct core *core);
void tidy_soon(struct core *core);
void tidy_free(struct core *core);
/* One of ours whose volume is provably not attached here. */
bool export_is_orphan(struct core *core, const char *name);
