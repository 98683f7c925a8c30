/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The connection to the bus and our name on it.
 *
 *   absent ──connect──► connecting ──name is ours──► ready
 *     ▲                     │                          │
 *     └──── back-off ◄──────┴────── lost ◄─────────────┘
 *
 * The bus is a convenience, not a condition: the daemon runs without one. A connection that ends cannot be used again,
 * so everything is made anew: sd_bus, vtables, matches, name. Between two connections nothing is emitted, and clients
 * notice by NameOwnerChanged. Nothing here blocks: the name is requested asynchronously, and closing does not flush.
 *
 * A name that belongs to somebody else is different from a bus that is away: another instance runs, and two daemons
 * on the same volumes must not. That is told to the owner, who ends the program.
 */

#include <assert.h>
#include <errno.h>

#include "api/bus_internal.h"
#include "base/log.h"

#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000

static void connect_later(struct bus *bus)
{
	loop_timer_set(bus->loop, &bus->retry_timer, bus->backoff_ms);
	bus->backoff_ms = bus->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : bus->backoff_ms * 2;
}

void bus_drop(struct bus *bus)
{
	bus->ready = false;
	bus_calls_cancel(bus);
	bus_signals_reset(bus);
	bus->auth = auth_bus_free(bus->auth);
	bus->bus_loop = bus_loop_detach(bus->bus_loop);
	bus->sd_bus = sd_bus_close_unref(bus->sd_bus);
}

/* Logged once an absence, not once a try. */
static void log_absence(struct bus *bus, const char *why)
{
	if (!bus->absence_logged)
		log_notice("bus: %s; going on without D-Bus and trying again", why);
	bus->absence_logged = true;
}

static void on_lost(void *arg)
{
	struct bus *bus = arg;

	log_absence(bus, "the connection was lost");
	bus_drop(bus);
	connect_later(bus);
}

static void on_name_lost_task(struct loop_task *task)
{
	struct bus *bus = container_of(task, struct bus, name_lost_task);

	if (bus->options.name_lost)
		bus->options.name_lost(bus->options.arg, bus->name_lost_reason);
}

/* Told on a turn of its own: the owner may close the bus, which must not happen inside one of its callbacks. */
static void name_lost(struct bus *bus, const char *reason)
{
	bus->ready = false;
	str_set(&bus->name_lost_reason, reason);
	loop_task_queue(bus->loop, &bus->name_lost_task);
}

static int on_name_lost(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus *bus = userdata;
	const char *name = NULL;

	if (bus->ready && sd_bus_message_read(m, "s", &name) >= 0 && streq(name, BUS_NAME))
		name_lost(bus, "the name " BUS_NAME " was taken by another program");
	return 0;
}

static int on_match_installed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return 0;
}

static int on_name_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus *bus = userdata;
	const sd_bus_error *refused = sd_bus_message_get_error(m);
	_cleanup_free_ char *why = NULL;
	uint32_t answer = 0;

	if (refused) {
		/* Most likely the bus policy is not installed (yet). */
		why = xasprintf("the bus does not give us the name %s: %s", BUS_NAME,
				str_or(refused->message, refused->name));
		log_absence(bus, why);
		loop_task_queue(bus->loop, &bus->drop_task);
		return 0;
	}
	if (sd_bus_message_read(m, "u", &answer) < 0 || answer == 2 || answer == 3) {
		name_lost(bus, "the name " BUS_NAME " belongs to another program: is another volume-daemon running?");
		return 0;
	}
	bus->ready = true;
	bus->backoff_ms = BACKOFF_MIN_MS;
	if (bus->absence_logged)
		log_notice("bus: connected again");
	else
		log_info("bus: connected, the name is %s", BUS_NAME);
	bus->absence_logged = false;
	bus_signals_begin(bus);
	return 0;
}

/* A connection that is of no use is given up outside of sd-bus's own callbacks. */
static void on_drop_task(struct loop_task *task)
{
	struct bus *bus = container_of(task, struct bus, drop_task);

	bus_drop(bus);
	connect_later(bus);
}

static int open_address(const char *address, sd_bus **out)
{
	sd_bus *opened = NULL;
	int r;

	if (!address)
		return sd_bus_open_system_with_description(out, "volume-daemon");
	r = sd_bus_new(&opened);
	if (r >= 0)
		r = sd_bus_set_address(opened, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(opened, true);
	if (r >= 0)
		r = sd_bus_start(opened);
	if (r < 0)
		sd_bus_unref(opened);
	else
		*out = opened;
	return r;
}

/* All of this is queued by sd-bus until the connection stands, and replies come through callbacks. */
static int set_up(struct bus *bus)
{
	int r = bus_objects_register(bus);

	if (r >= 0)
		r = sd_bus_match_signal_async(bus->sd_bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
					      "org.freedesktop.DBus", "NameLost", on_name_lost, on_match_installed,
					      bus);
	if (r >= 0)
		r = sd_bus_request_name_async(bus->sd_bus, NULL, BUS_NAME, 0, on_name_answer, bus);
	return r;
}

static void bus_connect(struct bus *bus)
{
	_cleanup_free_ char *why = NULL;
	int r;

	assert(!bus->sd_bus);
	r = open_address(bus->address, &bus->sd_bus);
	if (r >= 0) {
		bus->bus_loop = bus_loop_attach(bus->loop, bus->sd_bus, on_lost, bus);
		bus->auth = auth_bus_new(bus->loop, bus->sd_bus);
		r = set_up(bus);
	}
	if (r >= 0)
		return;
	why = xasprintf("no connection to the bus: %s", strerror(-r));
	log_absence(bus, why);
	bus_drop(bus);
	connect_later(bus);
}

static void on_retry(struct loop_timer *timer)
{
	bus_connect(container_of(timer, struct bus, retry_timer));
}

struct bus *bus_open(struct loop *loop, struct core *core, const struct bus_options *options)
{
	struct bus *bus = xnew(struct bus);

	bus->loop = loop;
	bus->core = core;
	bus->options = *options;
	bus->address = xstrdup(options->address);
	bus->options.address = bus->address;
	bus->backoff_ms = BACKOFF_MIN_MS;
	bus->retry_timer.fire = on_retry;
	bus->name_lost_task.run = on_name_lost_task;
	bus->drop_task.run = on_drop_task;
	TAILQ_INIT(&bus->calls);
	record_init(&volume_record, &bus->volume);
	record_init(&export_record, &bus->export);
	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++) {
		bus->view[scope].bus = bus;
		bus->interfaces[scope] = bus_interface_new(scope);
	}
	bus_signals_init(bus);
	bus_connect(bus);
	return bus;
}

bool bus_is_ready(const struct bus *bus)
{
	return bus->ready;
}

size_t bus_queued(const struct bus *bus)
{
	uint64_t queued = 0;

	if (!bus->sd_bus || sd_bus_get_n_queued_write(bus->sd_bus, &queued) < 0)
		return 0;
	return (size_t)queued;
}

struct bus *bus_close(struct bus *bus)
{
	if (!bus)
		return NULL;
	bus_drop(bus);
	bus_signals_fini(bus);
	loop_timer_clear(bus->loop, &bus->retry_timer);
	loop_task_cancel(bus->loop, &bus->name_lost_task);
	loop_task_cancel(bus->loop, &bus->drop_task);
	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++)
		bus_interface_free(bus->interfaces[scope]);
	record_clear(&volume_record, &bus->volume);
	record_clear(&export_record, &bus->export);
	free(bus->name_lost_reason);
	free(bus->address);
	free(bus);
	return NULL;
}
