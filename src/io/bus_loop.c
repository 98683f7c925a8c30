/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sd-bus wants three things from a loop: its file descriptor watched for the events that it asks
 * for now, process() called when such an event comes or its time-out passes, and events and
 * time-out read again before each wait, since any call into sd-bus may change them silently (a
 * queued signal wants POLLOUT; a synchronous call leaves other messages in sd-bus's own queue, with
 * nothing left on the socket to wake the loop).
 *
 * process() handles one message per call. It is called up to PUMP_ROUNDS times in a row so that a
 * flood on the bus cannot starve HTTP; then the rest waits for the next turn. A time-out of "now"
 * is a task as well: no timer is needed for a time that has come.
 *
 * The time-outs are sd-bus's own and follow the real clock, also in tests.
 */
#include "io/bus_loop.h"

#include <assert.h>
#include <event2/event.h>
#include <poll.h>
#include <time.h>

#include "base/log.h"

#define PUMP_ROUNDS 64

struct bus_loop {
	struct loop *loop;
	sd_bus *bus;
	void (*lost)(void *arg);
	void *arg;
	struct loop_hook hook;
	struct loop_task pump_task, lost_task;
	struct event *io; /* watches fd for mask, unless mask is 0 */
	struct event *timer;
	int fd;
	short mask;
	uint64_t deadline_us; /* the time that timer is set to; UINT64_MAX if it is not */
	bool was_ready;
	bool is_lost;
	bool pumping;
	bool detached; /* from inside pump(), which then frees this struct */
};

static void stop_watching(struct bus_loop *bus_loop)
{
	event_del(bus_loop->io);
	event_del(bus_loop->timer);
	bus_loop->mask = 0;
	bus_loop->deadline_us = UINT64_MAX;
}

static void connection_lost(struct bus_loop *bus_loop, int error)
{
	log_debug("bus: the connection is gone: %s", strerror(-error));
	bus_loop->is_lost = true;
	stop_watching(bus_loop);
	loop_task_cancel(bus_loop->loop, &bus_loop->pump_task);
	loop_task_queue(bus_loop->loop, &bus_loop->lost_task);
}

static void pump(struct bus_loop *bus_loop)
{
	/* Handlers run in here and may detach; the bus must live until process() is back. */
	sd_bus *bus = sd_bus_ref(bus_loop->bus);
	int r = 1;

	bus_loop->pumping = true;
	for (int round = 0; round < PUMP_ROUNDS && r > 0 && !bus_loop->detached; round++)
		r = sd_bus_process(bus, NULL);
	bus_loop->pumping = false;
	sd_bus_unref(bus);
	if (bus_loop->detached) {
		free(bus_loop);
		return;
	}
	if (r < 0)
		connection_lost(bus_loop, r);
	else if (r > 0)
		loop_task_queue(bus_loop->loop, &bus_loop->pump_task);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct bus_loop *bus_loop = arg;

	if (what & EV_TIMEOUT)
		bus_loop->deadline_us = UINT64_MAX;
	/* A task works on the messages left over, PUMP_ROUNDS a turn. */
	if (!bus_loop->pump_task.queued)
		pump(bus_loop);
}

static void on_pump_task(struct loop_task *task)
{
	pump(container_of(task, struct bus_loop, pump_task));
}

static void on_lost_task(struct loop_task *task)
{
	struct bus_loop *bus_loop = container_of(task, struct bus_loop, lost_task);

	if (bus_loop->lost)
		bus_loop->lost(bus_loop->arg); /* may detach */
}

/* ---- before the wait ---- */

static void arm_io(struct bus_loop *bus_loop, int fd, int events)
{
	short mask =
		(short)(((events & POLLIN) ? EV_READ : 0) | ((events & POLLOUT) ? EV_WRITE : 0));
	bool ready = sd_bus_is_ready(bus_loop->bus) > 0;

	/*
	 * Until it is ready the bus may have closed one descriptor (inotify, a failed socket) and
	 * opened the next under the same number, which epoll does not notice.
	 */
	if (fd == bus_loop->fd && mask == bus_loop->mask && ready && bus_loop->was_ready)
		return;
	event_del(bus_loop->io);
	bus_loop->fd = fd;
	bus_loop->mask = mask;
	bus_loop->was_ready = ready;
	if (mask == 0)
		return;
	event_assign(bus_loop->io, loop_base(bus_loop->loop), fd, (short)(mask | EV_PERSIST),
		     on_event, bus_loop);
	event_add(bus_loop->io, NULL);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void arm_timer(struct bus_loop *bus_loop, uint64_t deadline_us)
{
	struct timeval delay;
	uint64_t now;

	if (deadline_us == UINT64_MAX) {
		if (bus_loop->deadline_us != UINT64_MAX)
			event_del(bus_loop->timer);
		bus_loop->deadline_us = UINT64_MAX;
		return;
	}
	now = now_us();
	if (deadline_us <= now) {
		loop_task_queue(bus_loop->loop, &bus_loop->pump_task);
		return;
	}
	if (deadline_us == bus_loop->deadline_us)
		return;
	delay.tv_sec = (time_t)((deadline_us - now) / 1000000);
	delay.tv_usec = (suseconds_t)((deadline_us - now) % 1000000);
	event_add(bus_loop->timer, &delay);
	bus_loop->deadline_us = deadline_us;
}

static void arm(struct loop_hook *hook)
{
	struct bus_loop *bus_loop = container_of(hook, struct bus_loop, hook);
	uint64_t deadline_us = UINT64_MAX;
	int fd, events, r;

	if (bus_loop->is_lost)
		return;
	fd = sd_bus_get_fd(bus_loop->bus);
	events = fd < 0 ? fd : sd_bus_get_events(bus_loop->bus);
	r = events < 0 ? events : sd_bus_get_timeout(bus_loop->bus, &deadline_us);
	if (r < 0) {
		connection_lost(bus_loop, r);
		return;
	}
	arm_io(bus_loop, fd, events);
	arm_timer(bus_loop, r == 0 ? UINT64_MAX : deadline_us);
}

/* ---- life ---- */

struct bus_loop *bus_loop_attach(struct loop *loop, sd_bus *bus, void (*lost)(void *arg), void *arg)
{
	struct bus_loop *bus_loop = xnew(struct bus_loop);

	bus_loop->loop = loop;
	bus_loop->bus = sd_bus_ref(bus);
	bus_loop->lost = lost;
	bus_loop->arg = arg;
	bus_loop->fd = -1;
	bus_loop->deadline_us = UINT64_MAX;
	bus_loop->hook.prepare = arm;
	bus_loop->pump_task.run = on_pump_task;
	bus_loop->lost_task.run = on_lost_task;
	bus_loop->io = event_new(loop_base(loop), -1, 0, on_event, bus_loop);
	bus_loop->timer = evtimer_new(loop_base(loop), on_event, bus_loop);
	if (!bus_loop->io || !bus_loop->timer)
		abort();
	loop_hook_add(loop, &bus_loop->hook);
	return bus_loop;
}

struct bus_loop *bus_loop_detach(struct bus_loop *bus_loop)
{
	if (!bus_loop)
		return NULL;
	loop_hook_remove(bus_loop->loop, &bus_loop->hook);
	loop_task_cancel(bus_loop->loop, &bus_loop->pump_task);
	loop_task_cancel(bus_loop->loop, &bus_loop->lost_task);
	event_free(bus_loop->io);
	event_free(bus_loop->timer);
	sd_bus_unref(bus_loop->bus);
	if (bus_loop->pumping)
		bus_loop->detached = true;
	else
		free(bus_loop);
	return NULL;
}
