/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where an NBD server listens: "127.0.0.1:10809", "[::1]:10809" or "unix:/run/x.sock". Names are not looked up. */

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"

struct export_address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un local;
	} sa;
	socklen_t length;
	char host[INET6_ADDRSTRLEN]; /* without brackets; "" for a unix socket */
	int port;                    /* 0 for a unix socket, or not chosen yet */
};

static inline bool export_address_is_unix(const struct export_address *address)
{
	return address->sa.any.sa_family == AF_UNIX;
}

int export_address_parse(const char *text, struct export_address *out, struct err *err);
/* Only this machine can connect. */
bool export_address_is_local(const struct export_address *address);
void export_address_set_port(struct export_address *address, int port);
/* A port nobody listens on at this moment. */
int export_address_free_port(const struct export_address *address, int *out, struct err *err);
/* As it is written in configurations; for people. */
void export_address_format(const struct export_address *address, char *out, size_t size);
