/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Signs of life for systemd, if its unit wants any. They stop if the loop stands still, or if a
 * thread of the store has been at one piece of work for so long that it will not come back; systemd
 * then starts the daemon anew. A store that is merely away is no reason: it is told in the log, and
 * so is its return.
 */

#include "io/loop.h"

struct store;
struct watchdog;

struct watchdog *watchdog_new(struct loop *loop, const struct store *store);
struct watchdog *watchdog_free(struct watchdog *watchdog); /* returns NULL, takes NULL */
