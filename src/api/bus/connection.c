/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The connection to the bus, and the daemon's name on it.
 *
 *   absent ──connect──► connecting ──name is ours──► ready
 *     ▲                     │                          │
 *     └──── back-off ◄──────┴────── lost ◄─────────────┘
 *
 * The bus is a convenience, not a condition: the daemon runs without a bus. A connection that ends
 * cannot be used again, so everything is made anew: sd_bus, vtables, matches, name. Between two
 * connections nothing is emitted, and clients notice by NameOwnerChanged. Nothing here blocks: the
 * name is requested asynchronously, and closing does not flush.
 *
 * A name that belongs to another program is different from a bus that is away: another instance
 * runs, and two daemons must not run on the same volumes. The connection tells its owner, and the
 * owner ends the program.
 */

#include "api/bus/connection.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "spec/methods.h"

#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000

struct bus_held {
	TAILQ_ENTRY(bus_held) entry;
	sd_bus_message *m;
};

static void held_free(struct bus_connection *connection, struct bus_held *held)
{
	TAILQ_REMOVE(&connection->held, held, entry);
	connection->held_count--;
	sd_bus_message_unref(held->m);
	free(held);
}

static void connect_later(struct bus_connection *connection)
{
	loop_timer_set(connection->loop, &connection->retry_timer, connection->backoff_ms);
	connection->backoff_ms = connection->backoff_ms * 2 > BACKOFF_MAX_MS
					 ? BACKOFF_MAX_MS
					 : connection->backoff_ms * 2;
}

static void drop(struct bus_connection *connection)
{
	connection->ready = false;
	connection->events->closing(connection->arg);
	connection->hurry = NULL;
	while (!TAILQ_EMPTY(&connection->held))
		held_free(connection, TAILQ_FIRST(&connection->held));
	connection->bus_loop = bus_loop_detach(connection->bus_loop);
	connection->sd_bus = sd_bus_close_unref(connection->sd_bus);
}

/* Logged once for each absence, not for each try. */
static void log_absence(struct bus_connection *connection, const char *why)
{
	if (!connection->absence_logged)
		log_notice("bus: %s; going on without D-Bus and trying again", why);
	connection->absence_logged = true;
}

static void on_lost(void *arg)
{
	struct bus_connection *connection = arg;

	log_absence(connection, "the connection was lost");
	drop(connection);
	connect_later(connection);
}

static void on_name_lost_task(struct loop_task *task)
{
	struct bus_connection *connection =
		container_of(task, struct bus_connection, name_lost_task);

	connection->events->name_lost(connection->arg, connection->name_lost_reason);
}

/*
 * Told on a turn of its own: the owner may close the connection, which must not happen inside a
 * callback of the connection.
 */
static void name_lost(struct bus_connection *connection, const char *reason)
{
	connection->ready = false;
	str_set(&connection->name_lost_reason, reason);
	loop_task_queue(connection->loop, &connection->name_lost_task);
}

static int on_name_lost(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_connection *connection = userdata;
	const char *name = NULL;

	if (connection->ready && sd_bus_message_read(m, "s", &name) >= 0 && streq(name, BUS_NAME))
		name_lost(connection, "the name " BUS_NAME " was taken by another program");
	return 0;
}

static int on_match_installed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return 0;
}

static int on_name_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_connection *connection = userdata;
	const sd_bus_error *refused = sd_bus_message_get_error(m);
	_cleanup_free_ char *why = NULL;
	uint32_t answer = 0;

	if (refused) {
		/* Most likely the bus policy is not installed (yet). */
		why = xasprintf("the bus does not give the daemon the name %s: %s", BUS_NAME,
				str_or(refused->message, refused->name));
		log_absence(connection, why);
		loop_task_queue(connection->loop, &connection->drop_task);
		return 0;
	}
	if (sd_bus_message_read(m, "u", &answer) < 0 || answer == 2 || answer == 3) {
		name_lost(connection,
			  "the name " BUS_NAME
			  " belongs to another program: is another volume-daemon running?");
		return 0;
	}
	connection->ready = true;
	connection->backoff_ms = BACKOFF_MIN_MS;
	if (connection->absence_logged)
		log_notice("bus: connected again");
	else
		log_info("bus: connected, the name is %s", BUS_NAME);
	connection->absence_logged = false;
	connection->events->ready(connection->arg);
	return 0;
}

/* A connection that is of no use is given up outside of sd-bus's own callbacks. */
static void on_drop_task(struct loop_task *task)
{
	struct bus_connection *connection = container_of(task, struct bus_connection, drop_task);

	drop(connection);
	connect_later(connection);
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

/* sd-bus queues all of this until the connection stands, and replies come through callbacks. */
static int set_up(struct bus_connection *connection)
{
	int r = connection->events->opened(connection->arg, connection->sd_bus);

	if (r >= 0)
		r = sd_bus_match_signal_async(connection->sd_bus, NULL, "org.freedesktop.DBus",
					      "/org/freedesktop/DBus", "org.freedesktop.DBus",
					      "NameLost", on_name_lost, on_match_installed,
					      connection);
	if (r >= 0)
		r = sd_bus_request_name_async(connection->sd_bus, NULL, BUS_NAME, 0, on_name_answer,
					      connection);
	return r;
}

static void connect_now(struct bus_connection *connection)
{
	_cleanup_free_ char *why = NULL;
	int r;

	assert(!connection->sd_bus);
	r = open_address(connection->address, &connection->sd_bus);
	if (r >= 0) {
		connection->bus_loop =
			bus_loop_attach(connection->loop, connection->sd_bus, on_lost, connection);
		r = set_up(connection);
	}
	if (r >= 0)
		return;
	why = xasprintf("no connection to the bus: %s", strerror(-r));
	log_absence(connection, why);
	drop(connection);
	connect_later(connection);
}

static void on_retry(struct loop_timer *timer)
{
	connect_now(container_of(timer, struct bus_connection, retry_timer));
}

void bus_connection_open(struct bus_connection *connection, struct loop *loop, const char *address,
			 const struct bus_connection_events *events, void *arg)
{
	*connection = (struct bus_connection){
		.loop = loop,
		.events = events,
		.arg = arg,
		.address = xstrdup(address),
		.backoff_ms = BACKOFF_MIN_MS,
		.retry_timer.fire = on_retry,
		.name_lost_task.run = on_name_lost_task,
		.drop_task.run = on_drop_task,
	};
	TAILQ_INIT(&connection->held);
	connect_now(connection);
}

size_t bus_connection_queued(const struct bus_connection *connection)
{
	uint64_t queued = 0;

	if (!connection->sd_bus || sd_bus_get_n_queued_write(connection->sd_bus, &queued) < 0)
		return 0;
	return (size_t)queued + connection->held_count;
}

int bus_connection_send(struct bus_connection *connection, sd_bus_message *m)
{
	struct bus_held *held;

	if (!connection->hurry)
		return sd_bus_send(connection->sd_bus, m, NULL);
	held = xnew(struct bus_held);
	held->m = sd_bus_message_ref(m);
	TAILQ_INSERT_TAIL(&connection->held, held, entry);
	connection->held_count++;
	return 0;
}

void bus_connection_hold(struct bus_connection *connection, void (*hurry)(void *arg), void *arg)
{
	assert(!connection->hurry);
	connection->hurry = hurry;
	connection->hurry_arg = arg;
}

void bus_connection_hurry(struct bus_connection *connection)
{
	if (connection->hurry)
		connection->hurry(connection->hurry_arg);
}

void bus_connection_release(struct bus_connection *connection)
{
	connection->hurry = NULL;
	while (!TAILQ_EMPTY(&connection->held)) {
		struct bus_held *held = TAILQ_FIRST(&connection->held);
		int r = sd_bus_send(connection->sd_bus, held->m, NULL);

		if (r < 0)
			log_warning("bus: a message was not sent: %s", strerror(-r));
		held_free(connection, held);
	}
}

void bus_connection_close(struct bus_connection *connection)
{
	drop(connection);
	loop_timer_clear(connection->loop, &connection->retry_timer);
	loop_task_cancel(connection->loop, &connection->name_lost_task);
	loop_task_cancel(connection->loop, &connection->drop_task);
	free(connection->name_lost_reason);
	free(connection->address);
}
