/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where a server listens: "127.0.0.1:10809", "[::1]:10809" or "unix:/run/x.sock". Names are not
 * looked up.
 */

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"

struct address {
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

static inline bool address_is_unix(const struct address *address)
{
	return address->sa.any.sa_family == AF_UNIX;
}

int address_parse(const char *text, struct address *out, struct err *err);
/* The address of a socket that is bound to IPv4 or IPv6. -1: it is not. */
int address_of_socket(int fd, struct address *out);
/* Only this machine can connect. */
bool address_is_local(const struct address *address);
void address_set_port(struct address *address, int port);
/* A port on which no program listens at this moment. */
int address_free_port(const struct address *address, int *out, struct err *err);
/* As configurations write it; for people. */
void address_format(const struct address *address, char *out, size_t size);
