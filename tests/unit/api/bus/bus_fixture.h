/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A private dbus-daemon, the bus surface above a core of paper, and a client connection. Surface
 * and client run on the test's own thread: whoever waits for something turns both.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those it needs */
#include <cmocka.h>
#include <systemd/sd-bus.h>

#include "api/bus/bus.h"
#include "bus_daemon.h"
#include "fake_core.h"

struct fixture {
	struct bus_daemon daemon;
	struct loop *loop;
	struct core core;
	struct bus *bus;
	sd_bus *client;
	struct buf heard; /* signals: "Member path\n" */
	size_t name_lost;
};

/* up to a surface that is ready and a client that hears its signals */
int bus_fixture_setup(void **state);
int bus_fixture_teardown(void **state);

sd_bus *fixture_connect(struct fixture *f);
void fixture_listen(struct fixture *f);
/* Turns both sides until *condition; fails the test after far too many turns. */
void fixture_until(struct fixture *f, bool (*condition)(struct fixture *f));
void fixture_settle(struct fixture *f); /* until everything sent so far has arrived */
bool fixture_is_ready(struct fixture *f);

/* A call of the Manager (path NULL) and its answer, which may be an error. The caller unrefs it. */
sd_bus_message *ask(struct fixture *f, const char *path, const char *interface, const char *member,
		    const char *types, ...);
void assert_error(sd_bus_message *answer, const char *name, const char *text_part);
void assert_answer(sd_bus_message *answer, const char *signature);

static inline void message_unrefp(sd_bus_message **m)
{
	sd_bus_message_unref(*m);
}
#define _cleanup_message_ _cleanup_(message_unrefp)
