/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The list of volumes, fetched from CloudStack. */

#include "base/util.h"

struct core;

void volumes_refresh_begin(struct core *core);
void volumes_refresh_start(struct core *core);
void volumes_refresh_end(struct core *core);
/* CloudStack did not answer somebody: find out soon, but not for each of many, whether it is back. */
void volumes_refresh_soon(struct core *core);
/* The comparison that followed the last list has ended: the next list is due later, or now if somebody asked. */
void volumes_refresh_next(struct core *core, bool now);
