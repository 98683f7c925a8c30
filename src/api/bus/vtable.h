/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One D-Bus interface: the vtable built from methods[] and the texts it points to. Private to
 * api/bus/.
 */

#include <systemd/sd-bus.h>

#include "spec/methods.h"

struct bus_handlers {
	sd_bus_message_handler_t method;
	sd_bus_property_get_t property; /* of an object */
	sd_bus_property_get_t manager_property;
	sd_bus_property_get_t hidden_count;
	sd_bus_property_get_t interface_version;
};

/* The Manager's properties that say how many objects of a kind there would be without the bound;
 * NULL for the Manager's own kind. */
extern const char *const bus_hidden_names[SCOPE_COUNT];

struct bus_interface {
	const char *name; /* the table's */
	const struct bus_handlers *handlers;
	sd_bus_vtable *rows;
	size_t count; /* without the end mark */
	char **texts;
	size_t text_count;
};

/* Whether the field of an object's record is a property, one that lists of objects and signals
 * carry, and one whose changes are told. */
bool bus_property_is_shown(const struct field *field);
bool bus_property_is_told(const struct field *field);
bool bus_property_changes(const struct field *field);

/* handlers outlive it. */
struct bus_interface *bus_interface_new(enum method_scope scope,
					const struct bus_handlers *handlers);
/* returns NULL, takes NULL */
struct bus_interface *bus_interface_free(struct bus_interface *interface);
