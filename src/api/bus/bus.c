/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The D-Bus surface, put together: a connection that comes and goes, the objects on it, the calls
 * under way and the signals. The parts that belong to one connection (the registration, the checks
 * at polkit, calls to answer) go with it; events of core reach the surface all the time.
 */

#include "api/bus/bus.h"

#include "api/bus/calls.h"
#include "api/bus/connection.h"
#include "api/bus/enumeration.h"
#include "api/bus/inhibitor.h"
#include "api/bus/log_control.h"
#include "api/bus/objects.h"
#include "api/bus/signals.h"

struct bus {
	struct loop *loop;
	struct bus_options options; /* its address is the connection's */
	struct bus_connection connection;
	struct bus_calls calls;
	struct bus_objects objects;
	struct bus_signals signals;
	struct bus_enumeration enumeration;
	struct bus_log_control log_control;
	struct bus_inhibitor inhibitor;
};

static int on_opened(void *arg, sd_bus *sd_bus)
{
	struct bus *bus = arg;
	int r;

	bus->calls.auth = auth_bus_new(bus->loop, sd_bus);
	r = bus_log_control_register(&bus->log_control, sd_bus, bus->calls.auth);
	return r < 0 ? r : bus_objects_register(&bus->objects, sd_bus);
}

static void on_ready(void *arg)
{
	struct bus *bus = arg;

	bus_signals_begin(&bus->signals);
	bus_inhibitor_look(&bus->inhibitor);
}

static void on_closing(void *arg)
{
	struct bus *bus = arg;

	bus_inhibitor_reset(&bus->inhibitor);
	bus_enumeration_cancel(&bus->enumeration);
	bus_calls_cancel(&bus->calls);
	bus_log_control_cancel(&bus->log_control);
	bus->calls.auth = auth_bus_free(bus->calls.auth);
}

static void on_name_lost(void *arg, const char *reason)
{
	const struct bus *bus = arg;

	if (bus->options.name_lost)
		bus->options.name_lost(bus->options.arg, reason);
}

struct bus *bus_open(struct loop *loop, struct core *core, const struct bus_options *options)
{
	static const struct bus_connection_events events = {
		.opened = on_opened,
		.ready = on_ready,
		.closing = on_closing,
		.name_lost = on_name_lost,
	};
	struct bus *bus = xnew(struct bus);

	bus->loop = loop;
	bus->options = *options;
	bus_signals_init(&bus->signals, loop, core, &bus->connection);
	bus_calls_init(&bus->calls, core, &bus->signals);
	bus_enumeration_init(&bus->enumeration, loop, &bus->signals.directory, &bus->connection);
	bus_objects_init(&bus->objects, &bus->signals, &bus->enumeration, &bus->calls);
	bus_log_control_init(&bus->log_control);
	bus_inhibitor_init(&bus->inhibitor, core, &bus->connection);
	bus_connection_open(&bus->connection, loop, options->address, &events, bus);
	return bus;
}

bool bus_is_ready(const struct bus *bus)
{
	return bus->connection.ready;
}

size_t bus_queued(const struct bus *bus)
{
	return bus_connection_queued(&bus->connection);
}

struct bus *bus_close(struct bus *bus)
{
	if (!bus)
		return NULL;
	bus_connection_close(&bus->connection);
	bus_inhibitor_fini(&bus->inhibitor);
	bus_signals_fini(&bus->signals);
	bus_objects_fini(&bus->objects);
	free(bus);
	return NULL;
}
