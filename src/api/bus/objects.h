/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The object tree: the Manager, and an object for each volume, operation and export. Private to
 * api/bus/.
 */

#include "api/bus/calls.h"
#include "api/bus/vtable.h"

/* The thing behind an object while sd-bus handles one message. */
struct bus_view {
	struct bus_objects *objects;
	const void *object; /* a struct of the scope's record */
};

struct bus_objects {
	struct core *core;
	struct bus_calls *calls;
	struct bus_interface *interfaces[SCOPE_COUNT];
	struct volume_record volume; /* shown by view[SCOPE_VOLUME] */
	struct export_record export; /* shown by view[SCOPE_EXPORT] */
	struct bus_view view[SCOPE_COUNT];
};

/* Method calls go to `calls`. */
void bus_objects_init(struct bus_objects *objects, struct core *core, struct bus_calls *calls);
void bus_objects_fini(struct bus_objects *objects);
/* A struct of the scope's record, NULL if there is no such object. Valid until the next call. */
const void *bus_objects_get(struct bus_objects *objects, enum method_scope scope, const char *id);
/* The objects of a kind that ObjectManager lists. */
void bus_objects_each(struct bus_objects *objects, enum method_scope scope,
		      void (*fn)(void *arg, const char *id), void *arg);
/* On a new connection. A negative errno if the connection does not take the objects. */
int bus_objects_register(struct bus_objects *objects, sd_bus *sd_bus);
