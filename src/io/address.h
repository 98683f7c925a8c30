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

#define ADDRESS_TEXT_SIZE (sizeof("unix:") + sizeof(((struct sockaddr_un *)NULL)->sun_path))

static inline bool address_is_unix(const struct address *address)
{
	return address->sa.any.sa_family == AF_UNIX;
}

/* Between the addresses of a text that holds several. */
#define ADDRESS_SEPARATORS " ,"
/* True if the text names unix sockets only, and at least one. */
bool address_all_unix(const char *text);
int address_parse(const char *text, struct address *out, struct err *err);
/* The address of a socket that is bound to IPv4, IPv6 or a path. -1: it is not. */
int address_of_socket(int fd, struct address *out);
/* The same of the other end of a connection. */
int address_of_peer(int fd, struct address *out);
/* The same place: family, host and port, or path. */
bool address_equals(const struct address *one, const struct address *other);
/* Only this machine can connect. */
bool address_is_local(const struct address *address);
void address_set_port(struct address *address, int port);
/* A port on which no program listens at this moment. */
int address_free_port(const struct address *address, int *out, struct err *err);
/* True if another program listens there; false also for a unix socket, and if that is not known. */
bool address_is_taken(const struct address *address);
/* As configurations write it; for people. ADDRESS_TEXT_SIZE is enough for any address. */
void address_format(const struct address *address, char *out, size_t size);

/* ---- unix sockets ---- */

/* The file of our own socket: its path may lead to another program's by now. */
struct address_file {
	dev_t device;
	ino_t inode;
};

/*
 * A listening socket at a path that only root, the daemon's own user and the group may connect to;
 * group (gid_t)-1: none. The file of a program that does not listen any more is replaced; of two
 * daemons that start at once, one gets the path. -1 and errno; EADDRINUSE: a program listens there.
 * ENOTSOCK: the path is another kind of file. Does not block.
 */
int address_listen_unix(const struct address *address, gid_t group, struct address_file *out);
/* Removes the file, while the socket still listens, so that no other program has taken the path. */
void address_unlink_unix(const struct address *address, const struct address_file *file);
/* Lets these users alone connect to the socket of another program of ours. -1 and errno. */
int address_share_unix(const struct address *address, gid_t group);
