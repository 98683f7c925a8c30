/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The REST server, and the life of a request.
 *
 * evhttp hands a request over complete and reads no further on that connection until the request is
 * answered. A request that can't be understood is answered at once. Any other request becomes a
 * struct rest_request, which lives until core's one answer is sent, the client leaves, or the
 * server closes; request_end() is the only way out of all three. No domain object ever sees the
 * evhttp_request.
 *
 * evhttp reads nothing while a request waits, so if a client leaves during a long poll, evhttp
 * notices only when it replies. Requests that wait longer than a moment therefore get an event of
 * their own for the closing of the client's end. To watch each request from its start would cost
 * two changes of the epoll set for answers that take microseconds.
 */

#include "api/rest/rest.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>

#include "api/rest/decode.h"
#include "api/rest/encode.h"
#include "api/rest/listener.h"
#include "base/log.h"

#define HEADERS_MAX (16 << 10)
#define BODY_MAX (1 << 20)
/*
 * evhttp refuses a body over its limit with a page of its own making. This limit is twice the
 * daemon's limit, so that a body that is a little too large gets the daemon's form of an error, and
 * a body that is far too large is not read to its end.
 */
#define BODY_READ_MAX ((ssize_t)2 * BODY_MAX)
#define IDLE_S 30           /* between two reads */
#define WATCH_MS 100        /* a request that waits longer is watched for its client leaving */
#define ACCEPT_PAUSE_MS 100 /* after the process ran out of file descriptors */

struct rest {
	LIST_ENTRY(rest) entry;
	struct loop *loop;
	struct core *core;
	struct evhttp *http;
	struct evhttp_bound_socket *bound; /* NULL once draining */
	struct route_table *routes;
	TAILQ_HEAD(, rest_request) requests; /* in flight */
	size_t in_flight;
	size_t max_requests;
	struct loop_timer watch;
	struct loop_timer accept_again;
	struct rest_encoder encoder;
	enum method_access access; /* of all callers */
	int port;
	char host[64]; /* the bound address as it stands in a Host header, "[::1]" */
};

/* A request that core works on. Ends in request_end(), whatever happens. */
struct rest_request {
	TAILQ_ENTRY(rest_request) entry;
	struct rest *rest;
	struct evhttp_request *http;
	const struct method *method;
	struct call *call;
	struct event *gone; /* waits for the client to close its side; NULL until watched */
};

/* libevent gives the accept-error callback only its own evhttp, which leads to the server here. */
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

/* Ends a request without an answer: freeing the connection also frees the evhttp_request. */
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
	rest_reply_answer(&rest->encoder, http, method, answer);
}

static void on_client_gone(evutil_socket_t fd, short what, void *arg)
{
	struct rest_request *request = arg;

	log_debug("%s: the client left before the answer", evhttp_request_get_uri(request->http));
	request_drop(request);
}

static void request_watch(struct rest_request *request)
{
	struct bufferevent *stream =
		evhttp_connection_get_bufferevent(evhttp_request_get_connection(request->http));

	request->gone = event_new(loop_base(request->rest->loop), bufferevent_getfd(stream),
				  EV_CLOSED, on_client_gone, request);
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

static void request_start(struct rest *rest, struct evhttp_request *http, const struct route *route,
			  const void *args)
{
	const struct caller caller = { .surface = "rest", .access = rest->access };
	struct rest_request *request = xnew(struct rest_request);

	request->rest = rest;
	request->http = http;
	request->method = route->method;
	TAILQ_INSERT_TAIL(&rest->requests, request, entry);
	rest->in_flight++;
	if (!loop_timer_is_set(&rest->watch))
		loop_timer_set(rest->loop, &rest->watch, WATCH_MS);
	request->call = call_start(rest->core, route->id, args, &caller, on_answer, request);
}

/*
 * HEAD asks the same as GET. A verb that no row has finds no route, and the reply names the verbs
 * that exist.
 */
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
	if (evbuffer_get_length(evhttp_request_get_input_buffer(http)) > BODY_MAX)
		return err_set(err, ERR_TOO_LARGE, "the body is longer than %d bytes", BODY_MAX);
	if (rest->in_flight >= rest->max_requests)
		return err_set(
			err, ERR_TOO_MANY,
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

	if (rest_auth(http, rest->host, &headers, err) < 0 || check_room(rest, http, err) < 0 ||
	    route_target_parse(&target, evhttp_request_get_uri(http), err) < 0)
		return -1;
	route = route_find(rest->routes, &target, verb_of(http), &verbs);
	if (!route && !verbs)
		return err_set(err, ERR_NO_SUCH_PATH, "no such path");
	if (!route) {
		rest_reply_verbs(&rest->encoder, http, verbs);
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
		rest_reply_error(&rest->encoder, http, &err);
}

static void on_accept_again(struct loop_timer *timer)
{
	struct rest *rest = container_of(timer, struct rest, accept_again);

	if (rest->bound)
		evconnlistener_enable(evhttp_bound_socket_get_listener(rest->bound));
}

/*
 * Out of file descriptors, most likely. The socket stays readable, so going on at once would be a
 * loop at full speed.
 */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	int error = evutil_socket_geterror(evconnlistener_get_fd(listener));
	struct rest *rest;

	LIST_FOREACH(rest, &servers, entry) {
		if (rest->http != arg)
			continue;
		log_warning("accepting connections pauses for %d ms: %s", ACCEPT_PAUSE_MS,
			    evutil_socket_error_to_string(error));
		evconnlistener_disable(listener);
		loop_timer_set(rest->loop, &rest->accept_again, ACCEPT_PAUSE_MS);
		return;
	}
}

static struct evhttp *http_new(struct rest *rest)
{
	struct evhttp *http = evhttp_new(loop_base(rest->loop));

	if (!http)
		abort(); /* out of memory */
	evhttp_set_max_headers_size(http, HEADERS_MAX);
	evhttp_set_max_body_size(http, BODY_READ_MAX);
	evhttp_set_timeout(http, IDLE_S);
	evhttp_set_default_content_type(http, NULL);
	/*
	 * All verbs that evhttp knows: a verb not allowed here would get evhttp's own 501 and page.
	 */
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
						 EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
						 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
						 EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(http, on_request, rest);
	return http;
}

static void remember_address(struct rest *rest, const struct address *address)
{
	snprintf(rest->host, sizeof(rest->host),
		 address->sa.any.sa_family == AF_INET6 ? "[%s]" : "%s", address->host);
	rest->port = address->port;
}

struct rest *rest_open(struct loop *loop, struct core *core, const struct rest_options *options,
		       struct err *err)
{
	struct rest *rest = xnew(struct rest);
	struct evconnlistener *listener;
	struct address address;

	assert(options->max_requests > 0);
	rest->loop = loop;
	rest->core = core;
	rest->max_requests = options->max_requests;
	rest->access = options->access;
	rest->watch.fire = on_watch;
	rest->accept_again.fire = on_accept_again;
	TAILQ_INIT(&rest->requests);
	LIST_INSERT_HEAD(&servers, rest, entry);
	rest->routes = route_table_new(methods, METHOD_COUNT);

	listener = rest_listen(loop, options->listen, options->listen_fd, &address, err);
	if (!listener)
		return rest_close(rest);
	remember_address(rest, &address);
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
	rest->encoder.closing = true;
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
	buf_clear(&rest->encoder.body);
	free(rest);
	return NULL;
}
