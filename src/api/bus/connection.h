/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The connection to the bus, and the daemon's name on it. A lost connection is made again, with
 * back-off. Private to api/bus/.
 */

#include <systemd/sd-bus.h>

#include "base/queue.h"
#include "io/bus_loop.h"

struct bus_connection_events {
	/*
	 * A new connection, before the name is asked for. A negative errno: the connection is of no
	 * use.
	 */
	int (*opened)(void *arg, sd_bus *sd_bus);
	/* The daemon has its name. */
	void (*ready)(void *arg);
	/* Give back everything that opened() has made; runs also if opened() did not. */
	void (*closing)(void *arg);
	/*
	 * The name belongs to another program. Comes on a turn of its own, in which the connection
	 * may be closed.
	 */
	void (*name_lost)(void *arg, const char *reason);
};

TAILQ_HEAD(bus_held_list, bus_held);

struct bus_connection {
	struct loop *loop;
	const struct bus_connection_events *events;
	void *arg;
	char *address; /* NULL: the system bus */

	sd_bus *sd_bus; /* NULL between two connections */
	struct bus_loop *bus_loop;
	bool ready;
	bool absence_logged;
	int64_t backoff_ms;
	struct loop_timer retry_timer;
	struct loop_task name_lost_task;
	struct loop_task drop_task;
	char *name_lost_reason;
	void (*hurry)(void *arg); /* NULL: no message waits */
	void *hurry_arg;
	struct bus_held_list held; /* the messages that were sent meanwhile */
	size_t held_count;
};

/* opened() may run within. */
void bus_connection_open(struct bus_connection *connection, struct loop *loop, const char *address,
			 const struct bus_connection_events *events, void *arg);
void bus_connection_close(struct bus_connection *connection); /* without flushing */
/* messages not yet written */
size_t bus_connection_queued(const struct bus_connection *connection);
/* A negative errno if the message cannot be sent. The caller keeps its reference. */
int bus_connection_send(struct bus_connection *connection, sd_bus_message *m);
/*
 * Until the release, messages wait that are sent by bus_connection_send(), in their order. The
 * connection may end before the release; then they are gone. hurry releases at once.
 */
void bus_connection_hold(struct bus_connection *connection, void (*hurry)(void *arg), void *arg);
/* Not from inside the writing of a message. Without a hold, nothing happens. */
void bus_connection_hurry(struct bus_connection *connection);
void bus_connection_release(struct bus_connection *connection);
