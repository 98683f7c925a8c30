/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The REST server: its socket, and the life of a request.
 *
 * evhttp hands a request over complete and reads no further on that connection until it is answered. A request that
 * can't be understood is answered at once. Any other becomes a struct rest_request, which lives until core's one answer
 * is sent, the client leaves, or the server closes; request_end() is the only way out of all three. No domain object
 * ever sees the evhttp_request.
 *
 * Because nothing is read while a request waits, evhttp would notice a client that left in a long poll only on replying.
 * Requests that wait longer than a moment therefore get an event of their own for the client's end closing. Watching
 * each request from its start would cost two changes of the epoll set for answers that take microseconds.
 */

#include "api/rest_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"

/* libevent gives the accept-error callback only its own evhttp, so the server is found by that. */
static LIST_HEAD(, rest) servers = LIST_HEAD_INITIALIZER(servers);

static void request_end(struct rest_request *request)
{
	struct rest *rest = request->rest;

	if (request->gone)
		event_free(request->gone);
	TAILQ_REMOVE(&rest->requests, request, entry);
	rest->in_flight--;
	free(request);
}

/* Without an answer: the connection goes, and the evhttp_request with it. */
static void request_drop(struct rest_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request->http);

	call_cancel(request->call);
	request_end(request);
	evhttp_connection_free(connection);
}

static void on_answer(void *arg, const struct answer *answer)
{
	struct rest_request *request = arg;
	struct evhttp_request *http = request->http;
	const struct method *method = request->method;
	struct rest *rest = request->rest;

	request_end(request);
	rest_reply_answer(rest, http, method, answer);
}

static void on_client_gone(evutil_socket_t fd, short what, void *arg)
{
	struct rest_request *request = arg;

	log_debug("%s: the client left before the answer", evhttp_request_get_uri(request->http));
	request_drop(request);
}

static void request_watch(struct rest_request *request)
{
	struct bufferevent *stream = evhttp_connection_get_bufferevent(evhttp_request_get_connection(request->http));

	request->gone = event_new(loop_base(request->rest->loop), bufferevent_getfd(stream), EV_CLOSED, on_client_gone,
				  request);
	if (!request->gone || event_add(request->gone, NULL) < 0)
		abort(); /* out of memory */
}

static void on_watch(struct loop_timer *timer)
{
	struct rest *rest = container_of(timer, struct rest, watch);
	struct rest_request *request;

	TAILQ_FOREACH(request, &rest->requests, entry) {
		if (!request->gone)
			request_watch(request);
	}
}

static void request_start(struct rest *rest, struct evhttp_request *http, const struct route *route, const void *args)
{
	const struct caller caller = { .surface = "rest", .access = ACCESS_ADMIN };
	struct rest_request *request = xnew(struct rest_request);

	request->rest = rest;
	request->http = http;
	request->method = route->method;
	TAILQ_INSERT_TAIL(&rest->requests, request, entry);
	rest->in_flight++;
	if (!loop_timer_is_set(&rest->watch))
		loop_timer_set(rest->loop, &rest->watch, REST_WATCH_MS);
	request->call = call_start(rest->core, route->id, args, &caller, on_answer, request);
}

/* HEAD asks what GET would; what is no verb of any row finds no route and is answered with those that exist. */
static enum http_verb verb_of(const struct evhttp_request *http)
{
	switch ((int)evhttp_request_get_command(http)) {
	case EVHTTP_REQ_GET:
	case EVHTTP_REQ_HEAD:
		return HTTP_GET;
	case EVHTTP_REQ_POST:
		return HTTP_POST;
	case EVHTTP_REQ_PUT:
		return HTTP_PUT;
	case EVHTTP_REQ_DELETE:
		return HTTP_DELETE;
	default:
		return HTTP_VERB_COUNT;
	}
}

static int check_room(const struct rest *rest, struct evhttp_request *http, struct err *err)
{
	if (evbuffer_get_length(evhttp_request_get_input_buffer(http)) > REST_BODY_MAX)
		return err_set(err, ERR_TOO_LARGE, "the body is longer than %d bytes", REST_BODY_MAX);
	if (rest->in_flight >= rest->max_requests)
		return err_set(err, ERR_TOO_MANY,
			       "%zu requests are being answered already, which is the limit; try again",
			       rest->in_flight);
	return 0;
}

static int serve(struct rest *rest, struct evhttp_request *http, struct err *err)
{
	struct rest_headers headers;
	struct route_target target;
	const struct route *route;
	unsigned verbs;
	void *args;
	int r;

	if (rest_guard(rest, http, &headers, err) < 0 || check_room(rest, http, err) < 0 ||
	    route_target_parse(&target, evhttp_request_get_uri(http), err) < 0)
		return -1;
	route = route_find(rest->routes, &target, verb_of(http), &verbs);
	if (!route && !verbs)
		return err_set(err, ERR_NO_SUCH_PATH, "no such path");
	if (!route) {
		rest_reply_verbs(rest, http, verbs);
		return 0;
	}
	args = xcalloc(1, route->method->args->size);
	record_init(route->method->args, args);
	r = rest_decode(route, &target, &headers, http, args, err);
	if (r == 0)
		request_start(rest, http, route, args);
	record_clear(route->method->args, args);
	free(args);
	return r;
}

static void on_request(struct evhttp_request *http, void *arg)
{
	struct rest *rest = arg;
	struct err err = { 0 };

	if (serve(rest, http, &err) < 0)
		rest_reply_error(rest, http, &err);
}

static void on_accept_again(struct loop_timer *timer)
{
	struct rest *rest = container_of(timer, struct rest, accept_again);

	if (rest->bound)
		evconnlistener_enable(evhttp_bound_socket_get_listener(rest->bound));
}

/* Out of file descriptors, most likely. The socket stays readable, so going on at once would be a loop at full speed. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	int error = evutil_socket_geterror(evconnlistener_get_fd(listener));
	struct rest *rest;

	LIST_FOREACH(rest, &servers, entry) {
		if (rest->http != arg)
			continue;
		log_warning("accepting connections pauses for %d ms: %s", REST_ACCEPT_PAUSE_MS,
			    evutil_socket_error_to_string(error));
		evconnlistener_disable(listener);
		loop_timer_set(rest->loop, &rest->accept_again, REST_ACCEPT_PAUSE_MS);
		return;
	}
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage room;
};

static bool is_loopback(const union address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohl(address->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

/* "127.0.0.1:8090" or "[::1]:0". libevent's own parser refuses port 0, which asks the kernel for a free one. */
static int address_from_text(const char *text, union address *out, int *length)
{
	bool v6 = *text == '[';
	const char *colon = strrchr(text, ':');
	_cleanup_free_ char *host = NULL;
	uint64_t port;

	if (!colon || parse_u64(colon + 1, &port) < 0 || port > UINT16_MAX || (v6 && colon[-1] != ']'))
		return -1;
	host = xstrndup(text + v6, (size_t)(colon - text) - 2 * v6);
	if (v6) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons((uint16_t)port);
		*length = sizeof(out->v6);
		return inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1 ? 0 : -1;
	}
	out->v4.sin_family = AF_INET;
	out->v4.sin_port = htons((uint16_t)port);
	*length = sizeof(out->v4);
	return inet_pton(AF_INET, host, &out->v4.sin_addr) == 1 ? 0 : -1;
}

static int listener_from_text(struct rest *rest, const char *text, struct evconnlistener **out, struct err *err)
{
	const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
	union address address = { 0 };
	int length;

	if (address_from_text(text, &address, &length) < 0)
		return err_set_field(
			err, "listen", ERR_INVALID,
			"listen must be an address and a port such as 127.0.0.1:8090 or [::1]:8090, got '%s'", text);
	if (!is_loopback(&address))
		return err_set_field(
			err, "listen", ERR_INVALID,
			"listen must be a loopback address (127.0.0.0/8 or ::1), got '%s': who can connect "
			"may change volumes",
			text);
	*out = evconnlistener_new_bind(loop_base(rest->loop), NULL, NULL, flags, SOMAXCONN, &address.any, length);
	if (!*out)
		return err_set_field(err, "listen", ERR_UNAVAILABLE, "can't listen on %s: %s", text,
				     evutil_socket_error_to_string(errno));
	return 0;
}

static int listener_from_fd(struct rest *rest, int fd, struct evconnlistener **out, struct err *err)
{
	union address address = { 0 };
	socklen_t length = sizeof(address);

	if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0)
		return err_set(err, ERR_INVALID, "the socket passed to the service is not a listening TCP socket");
	if (getsockname(fd, &address.any, &length) < 0 || !is_loopback(&address))
		return err_set(err, ERR_INVALID,
			       "the socket passed to the service listens on an address other than loopback");
	/* They arrive blocking, and then one client that resets in time would stop the loop in accept(). */
	if (evutil_make_socket_nonblocking(fd) < 0 || evutil_make_socket_closeonexec(fd) < 0)
		return err_set(err, ERR_INTERNAL, "can't make the passed socket non-blocking: %s", strerror(errno));
	*out = evconnlistener_new(loop_base(rest->loop), NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	return *out ? 0 : err_set(err, ERR_INTERNAL, "can't use the passed socket: %s", strerror(errno));
}

/*
 * evhttp writes an answer of more than 16 KiB in pieces, and the kernel would hold the last one back until the client has
 * acknowledged the others, which it does 40 ms later. The connections have what their listener has.
 */
static void send_at_once(struct evconnlistener *listener)
{
	const int on = 1;

	/* Without it answers are only later. */
	(void)setsockopt(evconnlistener_get_fd(listener), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void remember_address(struct rest *rest, struct evconnlistener *listener)
{
	union address address = { 0 };
	socklen_t length = sizeof(address);
	char text[INET6_ADDRSTRLEN] = "";

	if (getsockname(evconnlistener_get_fd(listener), &address.any, &length) < 0)
		return;
	if (address.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof(text));
		snprintf(rest->host, sizeof(rest->host), "[%s]", text);
		rest->port = ntohs(address.v6.sin6_port);
	} else {
		inet_ntop(AF_INET, &address.v4.sin_addr, rest->host, sizeof(rest->host));
		rest->port = ntohs(address.v4.sin_port);
	}
}

static struct evhttp *http_new(struct rest *rest)
{
	struct evhttp *http = evhttp_new(loop_base(rest->loop));

	if (!http)
		abort(); /* out of memory */
	evhttp_set_max_headers_size(http, REST_HEADERS_MAX);
	evhttp_set_max_body_size(http, REST_BODY_READ_MAX);
	evhttp_set_timeout(http, REST_IDLE_S);
	evhttp_set_default_content_type(http, NULL);
	/* All that evhttp knows: those it does not allow it would answer itself, with 501 and a page. */
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
						 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
						 EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(http, on_request, rest);
	return http;
}

struct rest *rest_open(struct loop *loop, struct core *core, const struct rest_options *options, struct err *err)
{
	_cleanup_close_ int fd = options->listen_fd;
	struct rest *rest = xnew(struct rest);
	struct evconnlistener *listener = NULL;
	int r;

	assert(options->max_requests > 0);
	rest->loop = loop;
	rest->core = core;
	rest->max_requests = options->max_requests;
	rest->watch.fire = on_watch;
	rest->accept_again.fire = on_accept_again;
	TAILQ_INIT(&rest->requests);
	LIST_INSERT_HEAD(&servers, rest, entry);
	rest->routes = route_table_new(methods, METHOD_COUNT);

	r = fd >= 0 ? listener_from_fd(rest, fd, &listener, err)
		    : listener_from_text(rest, options->listen, &listener, err);
	if (r < 0)
		return rest_close(rest);
	TAKE_FD(fd);
	send_at_once(listener);
	remember_address(rest, listener);
	rest->http = http_new(rest);
	evconnlistener_set_error_cb(listener, on_accept_error);
	rest->bound = evhttp_bind_listener(rest->http, listener);
	if (!rest->bound)
		abort(); /* out of memory */
	return rest;
}

int rest_port(const struct rest *rest)
{
	return rest->port;
}

size_t rest_in_flight(const struct rest *rest)
{
	return rest->in_flight;
}

void rest_drain(struct rest *rest)
{
	rest->draining = true;
	if (rest->bound)
		evhttp_del_accept_socket(rest->http, rest->bound);
	rest->bound = NULL;
}

struct rest *rest_close(struct rest *rest)
{
	struct rest_request *request;

	if (!rest)
		return NULL;
	while ((request = TAILQ_FIRST(&rest->requests)))
		request_drop(request);
	assert(rest->in_flight == 0);
	if (rest->http)
		evhttp_free(rest->http);
	loop_timer_clear(rest->loop, &rest->watch);
	loop_timer_clear(rest->loop, &rest->accept_again);
	LIST_REMOVE(rest, entry);
	route_table_free(rest->routes);
	buf_clear(&rest->body);
	free(rest);
	return NULL;
}
