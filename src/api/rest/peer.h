/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The client of a unix socket, as the kernel knows it. Private to api/rest/. */

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
 * ERR_FORBIDDEN if the socket is a unix socket and its client is not let in. The kernel noted user
 * and groups when the client connected, so that the client cannot change them meanwhile.
 */
int rest_check_peer(int fd, const struct rest_group *group, struct err *err);

struct rest_caller {
	struct caller caller; /* its address is the text below */
	char address[ADDRESS_TEXT_SIZE];
	bool is_local;   /* over a unix socket, */
	bool is_trusted; /* as root or the daemon's own user */
};
/* Who it is: the user of a unix socket, or the address of a TCP socket. */
void rest_describe_peer(int fd, struct rest_caller *out);

/* A user of a unix socket (but for root and the daemon's own user) or a token may take a half of
 * what all clients share. */
#define REST_USER_SHARE 2
