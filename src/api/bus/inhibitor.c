/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An operation that a shutdown interrupts goes on after the next start, so nothing is lost; but a
 * volume may be half attached meanwhile, and a job of CloudStack ends with no daemon to see it.
 * Most operations need a second or two more. logind gives them that time: it delays a shutdown
 * while a program holds a lock of mode "delay", which is a descriptor.
 *
 * There is at most one lock and one question for it. Without logind, or if logind refuses, the
 * daemon goes on without a lock and asks again with the first operation after a pause: thousands
 * of operations may begin in a second.
 */

#include "api/bus/inhibitor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define LOGIND_TIMEOUT_US UINT64_C(10000000)
#define PAUSE_MS 10000

static void give_back(struct bus_inhibitor *inhibitor)
{
	if (inhibitor->fd >= 0)
		close(inhibitor->fd);
	inhibitor->fd = -1;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_inhibitor *inhibitor = userdata;
	const sd_bus_error *refused = sd_bus_message_get_error(m);
	int lent = -1; /* the message's */

	inhibitor->question = sd_bus_slot_unref(inhibitor->question);
	if (refused || sd_bus_message_read(m, "h", &lent) < 0) {
		log_debug("bus: a shutdown does not wait for operations: %s",
			  refused ? str_or(refused->message, refused->name)
				  : "logind's answer cannot be read");
		inhibitor->not_before_ms = clock_mono_ms() + PAUSE_MS;
		return 0;
	}
	/* The operations may have ended since. */
	if (core_unfinished(inhibitor->core) == 0)
		return 0;
	inhibitor->fd = fcntl(lent, F_DUPFD_CLOEXEC, 3);
	if (inhibitor->fd < 0)
		log_debug("bus: a shutdown does not wait for operations: %s", strerror(errno));
	return 0;
}

/* logind is not started for this: where it does not run, it does not shut down either. */
static int ask(struct bus_inhibitor *inhibitor)
{
	sd_bus *sd_bus = inhibitor->connection->sd_bus;
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(sd_bus, &m, "org.freedesktop.login1",
					       "/org/freedesktop/login1",
					       "org.freedesktop.login1.Manager", "Inhibit");

	if (r >= 0)
		r = sd_bus_message_append(m, "ssss", "shutdown", "volume-daemon",
					  "Operations on volumes are under way", "delay");
	if (r >= 0)
		r = sd_bus_message_set_auto_start(m, 0);
	if (r >= 0)
		r = sd_bus_call_async(sd_bus, &inhibitor->question, m, on_answer, inhibitor,
				      LOGIND_TIMEOUT_US);
	sd_bus_message_unref(m);
	return r;
}

void bus_inhibitor_look(struct bus_inhibitor *inhibitor)
{
	int r;

	if (core_unfinished(inhibitor->core) == 0) {
		give_back(inhibitor);
		return;
	}
	if (inhibitor->fd >= 0 || inhibitor->question || !inhibitor->connection->ready ||
	    clock_mono_ms() < inhibitor->not_before_ms)
		return;
	r = ask(inhibitor);
	if (r < 0)
		log_debug("bus: logind cannot be asked: %s", strerror(-r));
}

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	if (event->type == EVENT_OPERATION_STARTED || event->type == EVENT_OPERATION_ENDED)
		bus_inhibitor_look(container_of(listener, struct bus_inhibitor, listener));
}

void bus_inhibitor_init(struct bus_inhibitor *inhibitor, struct core *core,
			const struct bus_connection *connection)
{
	*inhibitor = (struct bus_inhibitor){ .core = core, .connection = connection, .fd = -1 };
	inhibitor->listener.on_event = on_event;
	core_listen(core, &inhibitor->listener);
}

void bus_inhibitor_reset(struct bus_inhibitor *inhibitor)
{
	inhibitor->question = sd_bus_slot_unref(inhibitor->question);
	inhibitor->not_before_ms = 0;
}

void bus_inhibitor_fini(struct bus_inhibitor *inhibitor)
{
	core_unlisten(inhibitor->core, &inhibitor->listener);
	give_back(inhibitor);
}
