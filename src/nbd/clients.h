/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who is connected to an NBD server: the kernel's list of sockets, read on a worker, since it may be long. Connections
 * of this very process are left out; a server on a unix socket is asked about by its path.
 */

#include "io/address.h"
#include "nbd/exporter.h"

#define EXPORT_CLIENTS_MAX 256 /* more are not named */

struct export_watch;
struct export_look;

/* clients is valid during the call; whoever is connected stands once in it for each connection. */
typedef void (*export_looked_fn)(void *arg, const struct export_client *clients, size_t count, const struct err *err);

struct export_watch *export_watch_new(struct loop *loop, const char *proc_root);
/* Waits for a look under way, which reads memory of the kernel only. Asserts that no done() is awaited. */
struct export_watch *export_watch_free(struct export_watch *watch);

struct export_look *export_look_start(struct export_watch *watch, const struct export_address *server,
				      export_looked_fn done, void *arg);
void export_look_cancel(struct export_look *look); /* not from inside done */
/* A connection of our own, by its port: no client in looks that begin or run before it is taken out again. */
void export_watch_own_port(struct export_watch *watch, int port, bool open);
