/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * D-Bus, built from methods[]: the Manager's methods, Volume and Operation objects with properties
 * from their records, ObjectManager, and the signals that make polling needless. The bus may be
 * absent or go away: the daemon goes on and the connection is made again with back-off.
 */

#include "core/core.h"

struct bus;

struct bus_options {
	const char *address; /* NULL: the system bus */
	/* The name belongs to another program: another instance runs. */
	void (*name_lost)(void *arg, const char *reason);
	void *arg;
};

/* never fails */
struct bus *bus_open(struct loop *loop, struct core *core, const struct bus_options *options);
bool bus_is_ready(const struct bus *bus); /* connected, and the daemon has its name */
size_t bus_queued(const struct bus *bus); /* messages not yet written */
struct bus *bus_close(struct bus *bus);   /* without flushing; returns NULL, takes NULL */

/*
 * The introspection XML of an interface, as the daemon serves it; the caller frees it. NULL: there
 * is no such interface.
 */
char *bus_interface_xml(const char *interface);
/* The manual page of all interfaces, as mdoc; the caller frees it. */
char *bus_manual(void);
