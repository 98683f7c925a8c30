/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Suspended names: their volume is away and shall come back, and their users wait. No user waits
 * indefinitely: device.hold_seconds after the volume was detached the name gives errors only, and
 * reconcile/host_sync removes it when it is not used any more. A daemon that was killed goes on
 * with the rest of the time; a daemon that stops ends all waits, since perhaps no daemon will start
 * that could end them. Only while the store may be one from the past no wait ends.
 */

#include "base/util.h"

struct host;

/* The name is about to be suspended; a repeated call changes nothing. */
void suspended_add(struct host *host, const char *volume_id);
/* The name was found suspended: its users wait for the rest of the time. */
void suspended_found(struct host *host, const char *volume_id);
/* The volume is back, or gone; without a suspended name the call changes nothing. */
void suspended_remove(struct host *host, const char *volume_id);
/* Ends all waits, as this process ends. True when no suspended name is left: call again until
 * then. */
bool suspended_give_up_all(struct host *host);
bool suspended_has(struct host *host, const char *volume_id);
void suspended_init(struct host *host);
void suspended_fini(struct host *host);
