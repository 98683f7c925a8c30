/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A server that hangs, or is frozen by its cgroup, keeps its sockets: the kernel accepts its
 * clients, which then wait without end. Only an NBD greeting that does not come tells so. The look
 * is made when a caller asks for the health, and the next answer about the health has the finding;
 * a daemon whose health is of no interest leaves its engine alone.
 *
 * The look reads the greeting and leaves, so it uses no export, and keeps none from being removed.
 */

#include "nbd/pulse.h"

#include "base/clock.h"

#define PAUSE_MS 1000   /* between the beginnings of two looks */
#define FORGET_MS 10000 /* after a look, its finding says nothing of today */

static void forget(struct pulse *pulse)
{
	loop_timer_clear(pulse->loop, &pulse->deadline);
	pulse->handshake = NULL;
	if (pulse->port > 0)
		clients_own_port(pulse->clients, pulse->port, false);
	pulse->port = 0;
}

static void on_greeting(void *arg, uint64_t size, const struct err *err)
{
	struct pulse *pulse = arg;

	forget(pulse);
	pulse->err = *err;
}

static void on_deadline(struct loop_timer *timer)
{
	struct pulse *pulse = container_of(timer, struct pulse, deadline);

	pulse_stop(pulse);
	err_set(&pulse->err, ERR_TIMEOUT, "a new client got no greeting within %d s",
		PULSE_ANSWER_MS / 1000);
}

void pulse_init(struct pulse *pulse, struct loop *loop)
{
	pulse->loop = loop;
	pulse->deadline.fire = on_deadline;
}

void pulse_look(struct pulse *pulse, const struct address *server, struct clients *clients)
{
	int64_t now = clock_waking_ms();

	if (pulse->handshake || (pulse->asked_ms && now - pulse->asked_ms < PAUSE_MS))
		return;
	if (now - pulse->asked_ms > FORGET_MS)
		err_clear(&pulse->err);
	pulse->asked_ms = now;
	pulse->clients = clients;
	pulse->handshake = handshake_start(pulse->loop, server, NULL, NULL, on_greeting, pulse);
	pulse->port = handshake_port(pulse->handshake);
	if (pulse->port > 0)
		clients_own_port(clients, pulse->port, true);
	loop_deadline_set(pulse->loop, &pulse->deadline, PULSE_ANSWER_MS);
}

void pulse_stop(struct pulse *pulse)
{
	if (!pulse->handshake)
		return;
	handshake_cancel(pulse->handshake);
	forget(pulse);
}

void pulse_reset(struct pulse *pulse)
{
	pulse_stop(pulse);
	pulse->asked_ms = 0;
	err_clear(&pulse->err);
}
