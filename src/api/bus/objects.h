/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The object tree: the Manager, and the volumes, operations and exports of the directory. Private
 * to api/bus/.
 */

#include "api/bus/calls.h"
#include "api/bus/directory.h"
#include "api/bus/enumeration.h"
#include "api/bus/vtable.h"

/* The thing behind an object while sd-bus handles one message. */
struct bus_view {
	struct bus_objects *objects;
	const void *values; /* as told, a struct of the scope's record */
};

struct bus_objects {
	struct bus_signals *signals;
	struct directory *directory; /* of the signals */
	struct bus_enumeration *enumeration;
	struct bus_calls *calls;
	struct bus_interface *interfaces[SCOPE_COUNT];
	struct bus_view view[SCOPE_COUNT];
};

/* Shows what the signals tell, all at once by the enumeration; method calls go to `calls`. */
void bus_objects_init(struct bus_objects *objects, struct bus_signals *signals,
		      struct bus_enumeration *enumeration, struct bus_calls *calls);
void bus_objects_fini(struct bus_objects *objects);
/* On a new connection. A negative errno if the connection does not take the objects. */
int bus_objects_register(struct bus_objects *objects, sd_bus *sd_bus);
