/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A shutdown of the machine waits a few seconds (logind's InhibitDelayMaxSec) for operations that
 * are under way. Private to api/bus/.
 */

#include <systemd/sd-bus.h>

#include "api/bus/connection.h"
#include "core/core.h"

struct bus_inhibitor {
	struct core *core;
	const struct bus_connection *connection;
	struct event_listener listener;
	sd_bus_slot *question; /* NULL: logind is not being asked */
	int fd;                /* logind's lock; -1: none */
	int64_t not_before_ms; /* clock_mono_ms() until which a refusal counts */
};

void bus_inhibitor_init(struct bus_inhibitor *inhibitor, struct core *core,
			const struct bus_connection *connection);
/* Takes or gives back the lock, as operations are unfinished or not. */
void bus_inhibitor_look(struct bus_inhibitor *inhibitor);
/* The connection goes; the lock stays, which needs none. */
void bus_inhibitor_reset(struct bus_inhibitor *inhibitor);
void bus_inhibitor_fini(struct bus_inhibitor *inhibitor);
