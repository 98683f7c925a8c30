/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The client of a connection, as the kernel knows it. Private to api/rest/. */

#include <sys/types.h>

#include "core/core.h"
#include "io/address.h"

/*
 * The clients of unix sockets that are let in: root, the daemon's own user, and the members of a
 * group.
 */
struct rest_group {
	const char *name; /* for people; borrowed */
	gid_t id;         /* (gid_t)-1: there is no such group, so no members */
};

/*
 * What stays the same while a connection lasts, and so is asked for once. The kernel noted user and
 * groups when the client connected, so that the client cannot change them meanwhile.
 */
struct rest_peer {
	bool is_local;   /* over a unix socket, */
	bool is_trusted; /* as root or the daemon's own user */
	/* of a unix socket; (uid_t)-1: not known */
	uid_t uid;
	gid_t gid;
	/* of a TCP socket: of the client, and the host that it has connected to; "": not known */
	char address[ADDRESS_TEXT_SIZE];
	char host[INET6_ADDRSTRLEN];
};
void rest_peer_find(int fd, struct rest_peer *out);
/* ERR_FORBIDDEN if the socket is a unix socket and its client is not let in. */
int rest_peer_check(int fd, const struct rest_peer *peer, const struct rest_group *group,
		    struct err *err);

struct rest_caller {
	struct caller caller;
	bool is_local, is_trusted; /* as of its peer */
};
/* Who it is, without a token: the user of a unix socket, or an address, which stays the peer's. */
void rest_caller_of_peer(const struct rest_peer *peer, struct rest_caller *out);

/* A user of a unix socket (but for root and the daemon's own user) or a token may take a half of
 * what all clients share. */
#define REST_USER_SHARE 2
