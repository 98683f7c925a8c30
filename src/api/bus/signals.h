/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Events of core, as signals. Private to api/bus/. */

#include "api/bus/connection.h"
#include "api/bus/directory.h"
#include "core/core.h"

struct bus_signals {
	struct loop *loop;
	struct core *core;
	struct bus_connection *connection;
	struct event_listener listener;
	struct directory directory;
	char *appliance_id; /* whose volumes go first */
	uint32_t told_hidden[SCOPE_COUNT];
	struct loop_task flush_task;
	struct loop_timer flush_timer;
	bool overflow_logged;
	TAILQ_HEAD(, late_completion) late; /* oldest first */
	size_t late_count;
};

/* Signals go to connection while it is ready. */
void bus_signals_init(struct bus_signals *signals, struct loop *loop, struct core *core,
		      struct bus_connection *connection);
/* The daemon has its name: completions of the time without the name are sent. */
void bus_signals_begin(struct bus_signals *signals);
/* A reply that is about to be sent has the path of this object. values may be NULL, or a struct of
 * the scope's record, in case core does not have the object any more. */
void bus_signals_name(struct bus_signals *signals, enum method_scope scope, const char *id,
		      const void *values);
/* The object is about to be read: if it has a mark, its change is told now. */
void bus_signals_settle(struct bus_signals *signals, enum method_scope scope, const char *id);
void bus_signals_fini(struct bus_signals *signals);
