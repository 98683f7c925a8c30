/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Names on hold: their volume is away and shall come back, and whoever uses them waits. Nobody waits for ever: after
 * device.hold_seconds the name becomes all errors, and core/tidy takes away what nobody uses any more. The time is
 * counted in this process; after a restart it begins anew with what is found suspended.
 */

#include "base/util.h"

struct core;

void hold_begin(struct core *core, const char *volume_id); /* once more is no change */
void hold_end(struct core *core, const char *volume_id);   /* it is back, or gone; none is no change */
bool hold_is_on(struct core *core, const char *volume_id);
void holds_free(struct core *core);
