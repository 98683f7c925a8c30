/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The clients connected to an NBD server: the kernel's list of sockets, read on a worker, since it
 * may be long. Connections of this process are left out; a server on a unix socket is found by its
 * path.
 */

#include "io/address.h"
#include "nbd/exporter.h"

#define CLIENTS_MAX 256 /* further clients are not named */

struct clients;
struct clients_scan;

/* clients is valid during the call, and has an entry for each connection. */
typedef void (*clients_done_fn)(void *arg, const struct export_client *clients, size_t count,
				const struct err *err);

/* NULL and err if its thread cannot be started. */
struct clients *clients_new(struct loop *loop, const char *proc_root, struct err *err);
/*
 * Waits for a scan under way, which reads memory of the kernel only. Asserts that no done() is
 * awaited.
 */
struct clients *clients_free(struct clients *clients);

struct clients_scan *clients_scan_start(struct clients *clients, const struct address *server,
					clients_done_fn done, void *arg);
void clients_scan_cancel(struct clients_scan *scan); /* not from inside done */
/*
 * Notes a connection of our own by its port, or takes the port out again: scans that begin or run
 * in between do not count the connection as a client.
 */
void clients_own_port(struct clients *clients, int port, bool open);
