/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The sockets REST listens on: those that systemd has opened already, and the addresses of the
 * configuration that are not among them. systemd keeps its sockets while the daemon is restarted,
 * and clients that connect meanwhile wait. TCP tells nothing about a client, so an address that
 * other machines reach needs both TLS and tokens; an address of IPv6 is left out on a machine
 * without IPv6, so that one configuration fits all machines. A unix socket tells its client's user
 * and groups, and its file lets only root and one group in.
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

int rest_check_listen(const struct rest_options *options, struct err *err)
{
	_cleanup_free_ char *words = xstrdup(options->listen);
	bool encrypts = false;

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
	if (error == EPERM)
		return err_set_field(
			err, "listen", ERR_UNAVAILABLE,
			"can't listen on %s: %s; if http.group is not the group of volume-daemon.service, set Group= of this "
			"unit to it",
			text, strerrordesc_np(error));
	if (error != EADDRINUSE)
		return err_set_field(err, "listen", ERR_UNAVAILABLE, "can't listen on %s: %s", text,
				     strerrordesc_np(error));
	return err_set_field(
		err, "listen", ERR_UNAVAILABLE,
		"can't listen on %s: another program listens there already (%s names it); stop that program (if it is "
		"systemd, the socket unit), or set http.listen to another address",
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

static void add(struct rest_listeners *out, struct evconnlistener *listener,
		const struct address *address, bool is_encrypted)
{
	out->items[out->count] = listener;
	out->addresses[out->count] = *address;
	out->is_encrypted[out->count] = is_encrypted;
	out->count++;
}

static bool is_listening(const struct rest_listeners *listeners, const struct address *address)
{
	for (size_t i = 0; i < listeners->count; i++) {
		if (address_equals(&listeners->addresses[i], address))
			return true;
	}
	return false;
}

static int check_room(const struct rest_listeners *listeners, struct err *err)
{
	if (listeners->count < REST_LISTENERS_MAX)
		return 0;
	return err_set_field(
		err, "listen", ERR_INVALID,
		"listen and the sockets that systemd passed are more than %d addresses together",
		REST_LISTENERS_MAX);
}

/* 1 and err: the address is of a kind that this machine does not have. */
static int add_text(struct loop *loop, const struct rest_options *options, const char *text,
		    struct rest_listeners *out, struct err *err)
{
	const struct rest_group group = { options->group_name, options->group };
	struct address address;
	struct address_file file = { 0 };
	struct evconnlistener *listener;
	bool is_encrypted;

	if (parse(text, &address, &is_encrypted, err) < 0)
		return -1;
	if (is_listening(out, &address))
		return 0;
	if (check_room(out, err) < 0)
		return -1;
	listener = address_is_unix(&address) ? from_unix(loop, text, &address, &group, &file, err)
					     : from_tcp(loop, text, &address, err);
	if (!listener)
		return is_without_ipv6(&address, errno) ? 1 : -1;
	if (address_of_socket(evconnlistener_get_fd(listener), &address) < 0)
		abort(); /* it was made above */
	out->files[out->count] = file;
	add(out, listener, &address, is_encrypted);
	return 0;
}

static int add_words(struct loop *loop, const struct rest_options *options,
		     struct rest_listeners *out, struct err *err)
{
	_cleanup_free_ char *words = xstrdup(options->listen);
	char *rest = NULL;

	for (char *word = strtok_r(words, ADDRESS_SEPARATORS, &rest); word;
	     word = strtok_r(NULL, ADDRESS_SEPARATORS, &rest)) {
		int r = add_text(loop, options, word, out, err);

		if (r < 0)
			return -1;
		if (r > 0)
			log_notice("not listening on %s: this machine has no IPv6", word);
	}
	if (out->count == 0)
		return -1;
	err_clear(err);
	return 0;
}

/* ---- sockets that systemd has opened ---- */

/* The address of a unix socket without a file stays empty. */
static int find_passed_address(int fd, struct address *out, struct err *err)
{
	bool is_unix = sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0;

	if (!is_unix && sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0)
		return err_set(err, ERR_INVALID,
			       "a socket passed to the service is no listening TCP or unix socket");
	if (address_of_socket(fd, out) < 0)
		*out = (struct address){ 0 };
	return 0;
}

/* False: the text does not name the address. */
static bool find_word(const char *text, const struct address *address, bool *is_encrypted)
{
	_cleanup_free_ char *words = xstrdup(text);
	struct err err = { 0 };
	struct address named;
	char *rest = NULL;

	for (char *word = strtok_r(words, ADDRESS_SEPARATORS, &rest); word;
	     word = strtok_r(NULL, ADDRESS_SEPARATORS, &rest)) {
		if (parse(word, &named, is_encrypted, &err) == 0 && address_equals(&named, address))
			return true;
	}
	*is_encrypted = false;
	return false;
}

/*
 * A configuration that keeps users out must not be opened by a unit that was enabled long ago. Nor
 * does an address come to the others unnoticed, one in the clear beside one with TLS least of all.
 */
static int admit_unnamed(const char *text, const struct address *address, struct err *err)
{
	char said[ADDRESS_TEXT_SIZE];

	if (address->sa.any.sa_family == AF_UNSPEC || address_is_unix(address))
		return 0;
	address_format(address, said, sizeof(said));
	if (!address_is_local(address))
		return err_set_field(
			err, "listen", ERR_INVALID,
			"systemd passed a socket on %s, which can be reached from other machines, and http.listen does not "
			"name " ENCRYPTED "%s; name it, or disable volume-daemon.socket",
			said, said);
	if (address_all_unix(text))
		return err_set_field(
			err, "listen", ERR_INVALID,
			"systemd passed a socket on %s, by which every local user may connect, but http.listen names unix "
			"sockets only; disable volume-daemon.socket, and enable volume-daemon-unix.socket in its place",
			said);
	log_notice(
		"systemd passed a socket on %s, which http.listen does not name: REST is there as well, without TLS; if it "
		"should not be, disable volume-daemon.socket",
		said);
	return 0;
}

static int add_passed(struct loop *loop, const struct rest_options *options, int fd,
		      struct rest_listeners *out, struct err *err)
{
	struct evconnlistener *listener;
	struct address address = { 0 };
	bool is_encrypted;

	if (check_room(out, err) < 0 || find_passed_address(fd, &address, err) < 0)
		return -1;
	if (!find_word(options->listen, &address, &is_encrypted) &&
	    admit_unnamed(options->listen, &address, err) < 0)
		return -1;
	/*
	 * A passed socket arrives blocking, and then one client that resets in time would stop the
	 * loop in accept().
	 */
	if (evutil_make_socket_nonblocking(fd) < 0 || evutil_make_socket_closeonexec(fd) < 0)
		return err_set(err, ERR_INTERNAL, "can't make the passed socket non-blocking: %s",
			       strerrordesc_np(errno));
	listener = evconnlistener_new(loop_base(loop), NULL, NULL, OURS_ALONE, 0, fd);
	if (!listener)
		abort(); /* out of memory */
	add(out, listener, &address, is_encrypted);
	return 0;
}

/* Takes all of them over, also if one is no good. */
static int add_all_passed(struct loop *loop, const struct rest_options *options,
			  struct rest_listeners *out, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < options->passed_count; i++) {
		if (r == 0)
			r = add_passed(loop, options, options->passed[i], out, err);
		if (r < 0)
			close(options->passed[i]);
	}
	return r;
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
	*out = (struct rest_listeners){ 0 };
	if (add_all_passed(loop, options, out, err) < 0 || add_words(loop, options, out, err) < 0) {
		drop(out);
		return -1;
	}
	for (size_t i = 0; i < out->count; i++)
		send_at_once(out->items[i]);
	return 0;
}
