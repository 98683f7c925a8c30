/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Method calls from the bus that are under way. Private to api/bus/. */

#include "api/bus/auth.h"
#include "core/core.h"

struct bus_calls {
	struct core *core;
	struct auth_bus *auth; /* of the present connection; its owner's */
	TAILQ_HEAD(, bus_call) list;
	size_t count;
};

void bus_calls_init(struct bus_calls *calls, struct core *core);
/* None of them is answered. To be called before auth is freed. */
void bus_calls_cancel(struct bus_calls *calls);
/*
 * A handler of sd-bus, when the method is known. self is the argument an object stands for, NULL on
 * the Manager; id its value.
 */
int bus_calls_begin(struct bus_calls *calls, sd_bus_message *m, const struct method *method,
		    const struct field *self, const char *id);
