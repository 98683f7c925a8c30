/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* GetManagedObjects: all objects in one answer. Private to api/bus/. */

#include "api/bus/connection.h"
#include "api/bus/directory.h"

/* The calls that wait for their answers. */
struct bus_enumeration {
	struct loop *loop;
	struct directory *directory;
	struct bus_connection *connection;
	struct loop_task task;
	TAILQ_HEAD(, enumeration_call) calls; /* the first is being answered */
	size_t count;
	sd_bus_message *reply; /* to the first; NULL: there is none */
	int result;            /* of what was appended to it so far: a negative errno, or >= 0 */
	struct directory_walk walk;
};

void bus_enumeration_init(struct bus_enumeration *enumeration, struct loop *loop,
			  struct directory *directory, struct bus_connection *connection);
/* Answers m, now or later. A negative errno: sd-bus answers with the error. */
int bus_enumeration_ask(struct bus_enumeration *enumeration, sd_bus_message *m);
/* The connection ends, or the daemon: no call is answered. */
void bus_enumeration_cancel(struct bus_enumeration *enumeration);
