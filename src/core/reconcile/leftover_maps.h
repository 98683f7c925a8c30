/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where names are turned off: those there were go, but for what is in use. */

struct core;

void old_names_take_away(struct core *core);
void old_names_free(struct core *core);
