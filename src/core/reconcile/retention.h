/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Old operations leave the store. */

struct core;

void retention_begin(struct core *core);
void retention_end(struct core *core);
