/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * sd-bus on the loop. sd-bus has no callback for a change of its events and time-out, so they are
 * read again before every wait (the loop's prepare hook); without that a queued message or a reply
 * time-out can sleep without end.
 */

#include <systemd/sd-bus.h>

#include "io/loop.h"

struct bus_loop;

/*
 * Drives bus until detached; takes a reference. lost runs on a later turn, once, when the
 * connection is gone; then the owner detaches and builds a new bus.
 */
struct bus_loop *bus_loop_attach(struct loop *loop, sd_bus *bus, void (*lost)(void *arg),
				 void *arg);
struct bus_loop *bus_loop_detach(struct bus_loop *bus_loop); /* returns NULL, takes NULL */
