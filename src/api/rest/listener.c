/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The socket REST listens on: an address of the configuration, or a socket that systemd has opened
 * already. Either way the address must be loopback, since the server asks no client for its
 * identity.
 */

#include "api/rest/listener.h"

#include <errno.h>
#include <event2/util.h>
#include <netinet/tcp.h>
#include <systemd/sd-daemon.h>

static struct evconnlistener *from_text(struct loop *loop, const char *text, struct address *out,
					struct err *err)
{
	const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
	struct evconnlistener *listener;

	/* Without brackets the end of an IPv6 address could be taken for a port. */
	if (address_parse(text, out, NULL) < 0 || address_is_unix(out) ||
	    (text[0] == '[') != (out->sa.any.sa_family == AF_INET6)) {
		err_set_field(
			err, "listen", ERR_INVALID,
			"listen must be an address and a port such as 127.0.0.1:8090 or [::1]:8090, got '%s'",
			text);
		return NULL;
	}
	if (!address_is_local(out)) {
		err_set_field(
			err, "listen", ERR_INVALID,
			"listen must be a loopback address (127.0.0.0/8 or ::1), got '%s': any client that can connect "
			"may change volumes",
			text);
		return NULL;
	}
	listener = evconnlistener_new_bind(loop_base(loop), NULL, NULL, flags, SOMAXCONN,
					   &out->sa.any, (int)out->length);
	if (!listener)
		err_set_field(err, "listen", ERR_UNAVAILABLE, "can't listen on %s: %s", text,
			      evutil_socket_error_to_string(errno));
	return listener;
}

static struct evconnlistener *from_fd(struct loop *loop, int fd, struct err *err)
{
	struct evconnlistener *listener;
	struct address address;

	if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0) {
		err_set(err, ERR_INVALID,
			"the socket passed to the service is not a listening TCP socket");
		return NULL;
	}
	if (address_of_socket(fd, &address) < 0 || !address_is_local(&address)) {
		err_set(err, ERR_INVALID,
			"the socket passed to the service listens on an address other than loopback");
		return NULL;
	}
	/*
	 * An activated socket arrives blocking, and then one client that resets in time would stop
	 * the loop in accept().
	 */
	if (evutil_make_socket_nonblocking(fd) < 0 || evutil_make_socket_closeonexec(fd) < 0) {
		err_set(err, ERR_INTERNAL, "can't make the passed socket non-blocking: %s",
			strerror(errno));
		return NULL;
	}
	listener = evconnlistener_new(loop_base(loop), NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	if (!listener)
		err_set(err, ERR_INTERNAL, "can't use the passed socket: %s", strerror(errno));
	return listener;
}

/*
 * evhttp writes an answer of more than 16 KiB in pieces, and the kernel would hold the last piece
 * back until the client has acknowledged the others, which takes the client 40 ms. Connections
 * inherit the option from their listener.
 */
static void send_at_once(struct evconnlistener *listener)
{
	const int on = 1;

	/* Without the option, answers only come later. */
	(void)setsockopt(evconnlistener_get_fd(listener), IPPROTO_TCP, TCP_NODELAY, &on,
			 sizeof(on));
}

struct evconnlistener *rest_listen(struct loop *loop, const char *text, int fd, struct address *out,
				   struct err *err)
{
	_cleanup_close_ int taken = fd;
	struct evconnlistener *listener =
		fd >= 0 ? from_fd(loop, fd, err) : from_text(loop, text, out, err);

	if (!listener)
		return NULL;
	TAKE_FD(taken);
	send_at_once(listener);
	if (address_of_socket(evconnlistener_get_fd(listener), out) < 0)
		abort(); /* it was made, or checked, above */
	return listener;
}
