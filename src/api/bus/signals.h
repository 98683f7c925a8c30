/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What core tells, as signals. Private to api/bus/. */

#include "api/bus/connection.h"
#include "core/core.h"

struct bus_signals {
	struct loop *loop;
	struct core *core;
	const struct bus_connection *connection;
	struct event_listener listener;
	TAILQ_HEAD(, dirty_object) dirty;
	void *dirty_tree; /* of tsearch(): the same objects by path */
	struct loop_task flush_task;
	struct loop_timer flush_timer;
	bool overflow_logged;
	TAILQ_HEAD(, missed_completion) missed; /* oldest first */
	size_t missed_count;
};

/* connection is where they go while it is ready. */
void bus_signals_init(struct bus_signals *signals, struct loop *loop, struct core *core,
		      const struct bus_connection *connection);
/* The name is ours: completions of the time without it are told. */
void bus_signals_begin(struct bus_signals *signals);
/* Forgets what is marked: after a new connection clients read everything anew. */
void bus_signals_reset(struct bus_signals *signals);
void bus_signals_fini(struct bus_signals *signals);
