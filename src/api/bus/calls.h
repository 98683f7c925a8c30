/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Method calls from the bus that are under way. Private to api/bus/. */

#include "api/bus/auth.h"
#include "api/bus/signals.h"
#include "base/log.h"
#include "core/core.h"

struct bus_calls {
	struct core *core;
	struct bus_signals *signals; /* for the objects that replies name */
	struct auth_bus *auth;       /* of the present connection, which owns it */
	TAILQ_HEAD(, bus_call) list;
	size_t count;
	struct log_limit refused_limit, unsent_limit;
};

void bus_calls_init(struct bus_calls *calls, struct core *core, struct bus_signals *signals);
/* Cancels all calls without an answer. To be called before auth is freed. */
void bus_calls_cancel(struct bus_calls *calls);
/*
 * A handler of sd-bus, called when the method is known. self is the argument that an object stands
 * for, NULL on the Manager; id is the value of self.
 */
int bus_calls_begin(struct bus_calls *calls, sd_bus_message *m, const struct method *method,
		    const struct field *self, const char *id);
