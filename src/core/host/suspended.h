/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Names on hold: their volume is away and shall come back, and whoever uses them waits. Nobody
 * waits for ever: device.hold_seconds after the volume was detached the name becomes all errors,
 * and reconcile/host_sync takes away what nobody uses any more. A daemon that was killed goes on
 * with what is left of the time; one that stops waits for nobody, since nobody may come to end it.
 */

#include "base/util.h"

struct host;

/* About to be suspended; once more is no change. */
void suspended_add(struct host *host, const char *volume_id);
/* It is found suspended: for what is left of the time. */
void suspended_found(struct host *host, const char *volume_id);
/* It is back, or gone; none is no change. */
void suspended_remove(struct host *host, const char *volume_id);
/* None will, as this process ends. True when there is none any more: ask until then. */
bool suspended_give_up_all(struct host *host);
bool suspended_has(struct host *host, const char *volume_id);
void suspended_init(struct host *host);
void suspended_fini(struct host *host);
