/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The sockets REST listens on: the addresses of the configuration, or one socket that systemd has
 * opened already. TCP tells nothing about a client, so an address that other machines reach needs
 * both TLS and tokens; an address of IPv6 is left out on a machine without IPv6, so that one
 * configuration fits all machines. A unix socket tells its client's user and groups, and its file
 * lets only root and one group in.
 */

#include "api/rest/listener.h"

#include <errno.h>
#include <event2/util.h>
#include <netinet/tcp.h>
#include <systemd/sd-daemon.h>

#include "api/rest/rest.h"
#include "base/log.h"

/* Programs that the daemon starts inherit neither the listener nor its connections. */
#define OURS_ALONE (LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC)
#define ENCRYPTED "https://"
#define NEEDS_TLS_DIR "http.tls_dir must name a folder with server-cert.pem and server-key.pem"

static int refuse(const char *text, struct err *err)
{
	return err_set_field(
		err, "listen", ERR_INVALID,
		"listen must be a loopback address and a port such as 127.0.0.1:8090 or [::1]:8090, or https:// and an "
		"address and a port, or unix: and a path, or several of them with blanks between; got '%s'",
		text);
}

/* ---- addresses in order ---- */

static int parse(const char *text, struct address *out, bool *is_encrypted, struct err *err)
{
	const char *bare = text;

	*is_encrypted = str_has_prefix(text, ENCRYPTED);
	if (*is_encrypted)
		bare += strlen(ENCRYPTED);
	/* Without brackets the end of an IPv6 address could be taken for a port. */
	if (address_parse(bare, out, NULL) < 0 ||
	    (bare[0] == '[') != (out->sa.any.sa_family == AF_INET6) ||
	    (*is_encrypted && address_is_unix(out)))
		return refuse(text, err);
	return 0;
}

/* A client that can connect may change volumes, or read a token on its way. */
static int check_foreign(const struct rest_options *options, const char *text, bool is_encrypted,
			 struct err *err)
{
	if (!is_encrypted)
		return err_set_field(
			err, "listen", ERR_INVALID,
			"%s can be reached from other machines, which needs TLS and tokens: write " ENCRYPTED
			"%s, and set http.require_token = yes; " NEEDS_TLS_DIR
			"; else listen on 127.0.0.1, [::1] or unix:",
			text, text);
	if (!options->require_token)
		return err_set_field(
			err, "listen", ERR_INVALID,
			"%s can be reached from other machines, so programs must show tokens: set "
			"http.require_token = yes, and make tokens with 'volumectl token create'",
			text);
	return 0;
}

static int check_address(const struct rest_options *options, const char *text,
			 struct address *address, bool *is_encrypted, struct err *err)
{
	if (parse(text, address, is_encrypted, err) < 0)
		return -1;
	if (!address_is_local(address) && check_foreign(options, text, *is_encrypted, err) < 0)
		return -1;
	if (*is_encrypted && !options->tls_dir)
		return err_set_field(err, "listen", ERR_INVALID,
				     "%s needs a certificate: " NEEDS_TLS_DIR, text);
	return 0;
}

static int check_words(const struct rest_options *options, char *words, bool *encrypts,
		       struct err *err)
{
	char *rest = NULL;
	struct address address;
	bool is_encrypted;
	size_t count = 0;

	for (char *word = strtok_r(words, ADDRESS_SEPARATORS, &rest); word;
	     word = strtok_r(NULL, ADDRESS_SEPARATORS, &rest)) {
		if (count++ == REST_LISTENERS_MAX)
			return err_set_field(err, "listen", ERR_INVALID,
					     "listen holds more than %d addresses",
					     REST_LISTENERS_MAX);
		if (check_address(options, word, &address, &is_encrypted, err) < 0)
			return -1;
		*encrypts = *encrypts || is_encrypted;
	}
	return count ? 0 : refuse(options->listen, err);
}

/* An activated socket takes the place of the addresses. */
static int check_activated(const struct rest_options *options, struct err *err)
{
	if (!options->tls_dir)
		return 0;
	return err_set_field(
		err, "listen", ERR_INVALID,
		"http.tls_dir is set, but systemd passed a socket, which takes the place of http.listen and is never "
		"encrypted; disable volume-daemon.socket");
}

int rest_check_listen(const struct rest_options *options, struct err *err)
{
	_cleanup_free_ char *words = xstrdup(options->listen);
	bool encrypts = false;

	if (options->listen_fd >= 0)
		return check_activated(options, err);
	if (check_words(options, words, &encrypts, err) < 0)
		return -1;
	if (!options->tls_dir || encrypts)
		return 0;
	return err_set_field(
		err, "listen", ERR_INVALID,
		"http.tls_dir is set, but no connection would be encrypted: write " ENCRYPTED
		" before an address of http.listen");
}

/* ---- sockets ---- */

static int cannot_listen(const char *text, int error, struct err *err)
{
	if (error == ENOTSOCK)
		return err_set_field(
			err, "listen", ERR_UNAVAILABLE,
			"can't listen on %s: the file there is no socket, so it is kept; remove it, or set http.listen "
			"to another address",
			text);
	if (error != EADDRINUSE)
		return err_set_field(err, "listen", ERR_UNAVAILABLE, "can't listen on %s: %s", text,
				     strerrordesc_np(error));
	return err_set_field(
		err, "listen", ERR_UNAVAILABLE,
		"can't listen on %s: another program listens there already (%s names it); stop that program, or set "
		"http.listen to another address",
		text, str_has_prefix(text, "unix:") ? "ss -lxp" : "ss -ltnp");
}

static struct evconnlistener *from_tcp(struct loop *loop, const char *text,
				       const struct address *address, struct err *err)
{
	/* [::] is no address of IPv4. */
	unsigned alone = address->sa.any.sa_family == AF_INET6 ? LEV_OPT_BIND_IPV6ONLY : 0;
	struct evconnlistener *listener =
		evconnlistener_new_bind(loop_base(loop), NULL, NULL,
					OURS_ALONE | LEV_OPT_REUSEABLE | alone, SOMAXCONN,
					&address->sa.any, (int)address->length);

	int error = errno;

	if (!listener)
		cannot_listen(text, error, err);
	errno = error;
	return listener;
}

static struct evconnlistener *from_unix(struct loop *loop, const char *text,
					const struct address *address,
					const struct rest_group *group, struct address_file *file,
					struct err *err)
{
	int fd = address_listen_unix(address, group->id, file);
	struct evconnlistener *listener;

	if (fd < 0) {
		cannot_listen(text, errno, err);
		return NULL;
	}
	listener = evconnlistener_new(loop_base(loop), NULL, NULL, OURS_ALONE, 0, fd);
	if (!listener)
		abort(); /* out of memory */
	return listener;
}

/* What bind() says then. */
static bool is_without_ipv6(const struct address *address, int error)
{
	return address->sa.any.sa_family == AF_INET6 &&
	       (error == EADDRNOTAVAIL || error == EAFNOSUPPORT);
}

/* 1 and err: the address is of a kind that this machine does not have. */
static int add_text(struct loop *loop, const struct rest_options *options, const char *text,
		    struct rest_listeners *out, struct err *err)
{
	const struct rest_group group = { options->group_name, options->group };
	struct address *address = &out->addresses[out->count];
	struct evconnlistener *listener;

	if (parse(text, address, &out->is_encrypted[out->count], err) < 0)
		return -1;
	listener = address_is_unix(address)
			   ? from_unix(loop, text, address, &group, &out->files[out->count], err)
			   : from_tcp(loop, text, address, err);
	if (!listener)
		return is_without_ipv6(address, errno) ? 1 : -1;
	if (!address_is_unix(address) &&
	    address_of_socket(evconnlistener_get_fd(listener), address) < 0)
		abort(); /* it was made above */
	out->items[out->count++] = listener;
	return 0;
}

static int from_text(struct loop *loop, const struct rest_options *options,
		     struct rest_listeners *out, struct err *err)
{
	_cleanup_free_ char *words = xstrdup(options->listen);
	bool is_one_left_out = false;
	char *rest = NULL;

	for (char *word = strtok_r(words, ADDRESS_SEPARATORS, &rest); word;
	     word = strtok_r(NULL, ADDRESS_SEPARATORS, &rest)) {
		int r = add_text(loop, options, word, out, err);

		if (r < 0)
			return -1;
		if (r > 0)
			log_notice("not listening on %s: this machine has no IPv6", word);
		is_one_left_out = is_one_left_out || r > 0;
	}
	if (out->count == 0)
		return -1;
	err_clear(err);
	return 0;
}

/* The address of a unix socket stays empty: its file is systemd's to remove. */
static int check_fd(int fd, struct address *out, struct err *err)
{
	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0)
		return 0;
	if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0)
		return err_set(
			err, ERR_INVALID,
			"the socket passed to the service is no listening TCP or unix socket");
	if (address_of_socket(fd, out) < 0 || !address_is_local(out))
		return err_set(
			err, ERR_INVALID,
			"the socket passed to the service listens on an address other than loopback, and without TLS; disable "
			"volume-daemon.socket, and name the address in http.listen");
	return 0;
}

/* A configuration that keeps users out must not be opened by a unit that was enabled long ago. */
static int check_closed(const char *text, const struct address *address, struct err *err)
{
	if (address->sa.any.sa_family == AF_UNSPEC || !address_all_unix(text))
		return 0;
	return err_set_field(
		err, "listen", ERR_INVALID,
		"systemd passed a TCP socket, by which every local user may connect, but http.listen names unix sockets "
		"only; disable volume-daemon.socket, or give it a ListenStream= that is a path");
}

static int from_fd(struct loop *loop, const char *text, int fd, struct rest_listeners *out,
		   struct err *err)
{
	if (check_fd(fd, &out->addresses[0], err) < 0 ||
	    check_closed(text, &out->addresses[0], err) < 0)
		return -1;
	/*
	 * An activated socket arrives blocking, and then one client that resets in time would stop
	 * the loop in accept().
	 */
	if (evutil_make_socket_nonblocking(fd) < 0 || evutil_make_socket_closeonexec(fd) < 0)
		return err_set(err, ERR_INTERNAL, "can't make the passed socket non-blocking: %s",
			       strerrordesc_np(errno));
	out->items[0] = evconnlistener_new(loop_base(loop), NULL, NULL, OURS_ALONE, 0, fd);
	if (!out->items[0])
		return err_set(err, ERR_INTERNAL, "can't use the passed socket: %s",
			       strerrordesc_np(errno));
	out->count = 1;
	return 0;
}

/*
 * evhttp writes an answer of more than 16 KiB in pieces, and the kernel would hold the last piece
 * back until the client has acknowledged the others, which takes the client 40 ms. Connections
 * inherit the option from their listener.
 */
static void send_at_once(struct evconnlistener *listener)
{
	const int on = 1;

	/* Without the option, answers only come later; a unix socket does not know it. */
	(void)setsockopt(evconnlistener_get_fd(listener), IPPROTO_TCP, TCP_NODELAY, &on,
			 sizeof(on));
}

void rest_unlink_sockets(const struct rest_listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		if (address_is_unix(&listeners->addresses[i]))
			address_unlink_unix(&listeners->addresses[i], &listeners->files[i]);
	}
}

static void drop(struct rest_listeners *listeners)
{
	rest_unlink_sockets(listeners);
	for (size_t i = 0; i < listeners->count; i++)
		evconnlistener_free(listeners->items[i]);
	listeners->count = 0;
}

int rest_listen(struct loop *loop, const struct rest_options *options, struct rest_listeners *out,
		struct err *err)
{
	_cleanup_close_ int taken = options->listen_fd;
	int r;

	*out = (struct rest_listeners){ 0 };
	r = taken >= 0 ? from_fd(loop, options->listen, taken, out, err)
		       : from_text(loop, options, out, err);
	if (r < 0) {
		drop(out);
		return -1;
	}
	TAKE_FD(taken);
	for (size_t i = 0; i < out->count; i++)
		send_at_once(out->items[i]);
	return 0;
}
