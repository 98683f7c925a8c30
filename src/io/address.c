/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Addresses of servers. Only numeric addresses are taken. A name would have to be looked up, and
 * the lookup blocks; the same name may also mean another machine tomorrow.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "io/address.h"

#define UNIX_PREFIX "unix:"

static int parse_unix(const char *path, struct address *out, struct err *err)
{
	struct sockaddr_un *local = &out->sa.local;

	if (path[0] != '/' || strlen(path) >= sizeof(local->sun_path))
		return err_set(
			err, ERR_INVALID,
			"\"unix:%s\" must hold an absolute path of at most %zu bytes, such as "
			"unix:/run/volume-daemon/nbd.sock",
			path, sizeof(local->sun_path) - 1);
	local->sun_family = AF_UNIX;
	memcpy(local->sun_path, path, strlen(path) + 1);
	out->length = sizeof(*local);
	return 0;
}

/* Splits "[::1]:10809" or "127.0.0.1:10809" into host and port. */
static int split(const char *text, char *host, size_t size, uint64_t *out_port)
{
	const char *colon = strrchr(text, ':');
	size_t length;

	if (!colon || parse_u64(colon + 1, out_port) < 0 || *out_port > 65535)
		return -1;
	length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= size)
		return -1;
	memcpy(host, text, length);
	host[length] = '\0';
	return 0;
}

int address_parse(const char *text, struct address *out, struct err *err)
{
	uint64_t port;

	assert(text);
	memset(out, 0, sizeof(*out));
	if (str_has_prefix(text, UNIX_PREFIX))
		return parse_unix(text + strlen(UNIX_PREFIX), out, err);
	if (split(text, out->host, sizeof(out->host), &port) < 0)
		return err_set(
			err, ERR_INVALID,
			"\"%s\" must be a numeric address and a port, such as 127.0.0.1:10809 or [::1]:10809, or "
			"unix: and a path",
			text);
	if (inet_pton(AF_INET, out->host, &out->sa.v4.sin_addr) == 1) {
		out->sa.v4.sin_family = AF_INET;
		out->length = sizeof(out->sa.v4);
	} else if (inet_pton(AF_INET6, out->host, &out->sa.v6.sin6_addr) == 1) {
		out->sa.v6.sin6_family = AF_INET6;
		out->length = sizeof(out->sa.v6);
	} else {
		return err_set(err, ERR_INVALID,
			       "\"%s\" is not a numeric address; names are not looked up here",
			       out->host);
	}
	address_set_port(out, (int)port);
	return 0;
}

int address_of_socket(int fd, struct address *out)
{
	memset(out, 0, sizeof(*out));
	out->length = sizeof(out->sa);
	if (getsockname(fd, &out->sa.any, &out->length) < 0)
		return -1;
	if (out->sa.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &out->sa.v4.sin_addr, out->host, sizeof(out->host));
		out->port = ntohs(out->sa.v4.sin_port);
		return 0;
	}
	if (out->sa.any.sa_family != AF_INET6)
		return -1;
	inet_ntop(AF_INET6, &out->sa.v6.sin6_addr, out->host, sizeof(out->host));
	out->port = ntohs(out->sa.v6.sin6_port);
	return 0;
}

bool address_is_local(const struct address *address)
{
	const struct sockaddr_in *v4 = &address->sa.v4;

	if (address->sa.any.sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return address_is_unix(address) || IN6_IS_ADDR_LOOPBACK(&address->sa.v6.sin6_addr);
}

void address_set_port(struct address *address, int port)
{
	address->port = port;
	if (address->sa.any.sa_family == AF_INET)
		address->sa.v4.sin_port = htons((uint16_t)port);
	else
		address->sa.v6.sin6_port = htons((uint16_t)port);
}

int address_free_port(const struct address *address, int *out, struct err *err)
{
	struct address bound = *address;
	_cleanup_close_ int fd = socket(bound.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = bound.length;
	int on = 1;

	address_set_port(&bound, 0);
	/* As servers bind: a port held for a minute by an ended connection counts as free. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, &bound.sa.any, bound.length) < 0 ||
	    getsockname(fd, &bound.sa.any, &length) < 0)
		return err_set(err, ERR_UNAVAILABLE, "%s has no free port: %s", address->host,
			       strerror(errno));
	*out = ntohs(bound.sa.any.sa_family == AF_INET ? bound.sa.v4.sin_port
						       : bound.sa.v6.sin6_port);
	return 0;
}

void address_format(const struct address *address, char *out, size_t size)
{
	if (address_is_unix(address))
		snprintf(out, size, UNIX_PREFIX "%s", address->sa.local.sun_path);
	else if (address->sa.any.sa_family == AF_INET6)
		snprintf(out, size, "[%s]:%d", address->host, address->port);
	else
		snprintf(out, size, "%s:%d", address->host, address->port);
}
