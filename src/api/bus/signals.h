/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Events of core, as signals. Private to api/bus/. */

#include "api/bus/connection.h"
#include "api/bus/objects.h"
#include "api/bus/told.h"
#include "core/core.h"

struct bus_signals {
	struct loop *loop;
	struct core *core;
	struct bus_objects *objects;
	const struct bus_connection *connection;
	struct event_listener listener;
	struct told told;
	struct loop_task flush_task;
	struct loop_timer flush_timer;
	bool overflow_logged;
	TAILQ_HEAD(, late_completion) late; /* oldest first */
	size_t late_count;
};

/* Signals go to connection while it is ready; objects are shown as `objects` has them. */
void bus_signals_init(struct bus_signals *signals, struct loop *loop, struct core *core,
		      struct bus_objects *objects, const struct bus_connection *connection);
/* The daemon has its name: completions of the time without the name are sent. */
void bus_signals_begin(struct bus_signals *signals);
/* Forgets what was told: after a new connection clients read everything anew. */
void bus_signals_reset(struct bus_signals *signals);
void bus_signals_fini(struct bus_signals *signals);
