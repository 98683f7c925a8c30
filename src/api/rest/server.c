/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The REST server, and the life of a request.
 *
 * evhttp hands a request over complete and reads no further on that connection until the request is
 * answered. A large body is parsed on a thread first (large.c). A request that can't be understood
 * is answered at once. Any other request becomes a struct rest_request, which lives until core's
 * one answer is sent, the client leaves, or the server closes; request_end() is the only way out of
 * all three. No domain object ever sees the evhttp_request.
 *
 * evhttp reads nothing while a request waits, so if a client leaves during a long poll, evhttp
 * notices only when it replies. Requests that wait longer than a moment are therefore watched
 * (watch.c). To watch each request from its start would cost two changes of the epoll set for
 * answers that take microseconds.
 *
 * A client leaves in two ways. A reset ends both directions: the request is dropped. A close ends
 * the client's sending, and looks the same as the half-close of a client that still reads: a long
 * poll is answered at once with the operation as it is, any other request is dropped.
 *
 * Long polls and streams of events do nothing but wait, and lists wait for their turn, so each of
 * the two has a budget of its own and takes no place from other requests. Those who wait and are
 * known, as the user of a unix socket or by a token, have places that nobody else can take. One
 * user or token has half of each budget at most.
 */

#include "api/rest/rest.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>

#include "api/rest/connections.h"
#include "api/rest/decode.h"
#include "api/rest/encode.h"
#include "api/rest/event_streams.h"
#include "api/rest/framing.h"
#include "api/rest/large.h"
#include "api/rest/limits.h"
#include "api/rest/listener.h"
#include "api/rest/metrics_page.h"
#include "api/rest/openapi.h"
#include "api/rest/peer.h"
#include "api/rest/status_page.h"
#include "api/rest/tls.h"
#include "api/rest/watch.h"
#include "base/log.h"
#include "spec/messages.h"

#define WATCH_MS 100 /* a request that waits longer is watched for its client leaving */

enum request_kind { REQUEST_PLAIN, REQUEST_LIST, REQUEST_LONG_POLL, REQUEST_KIND_COUNT };

struct rest {
	LIST_ENTRY(rest) entry;
	struct loop *loop;
	struct core *core;
	struct evhttp *http, *https; /* for connections in the clear, and for encrypted ones */
	struct rest_tls *tls;        /* NULL: none is encrypted */
	struct rest_group group;     /* of unix sockets */
	struct rest_listeners listeners;
	bool is_accepting; /* not draining */
	struct evhttp_bound_socket *bound[REST_LISTENERS_MAX];
	struct connections *connections;
	struct limits *limits;
	struct route_table *routes;
	struct large *large;                 /* requests that are not decoded yet */
	TAILQ_HEAD(, rest_request) requests; /* in flight */
	size_t counts[REQUEST_KIND_COUNT];   /* in flight */
	size_t max_requests;                 /* of each kind */
	struct event_streams *streams;
	struct metrics_page metrics;
	struct watch *watch;
	struct loop_timer watch_soon;
	struct rest_encoder encoder;
	enum method_access access; /* of callers over TCP without a token */
	bool require_token;
	struct log_limit refused_limit;
};

/* A request that core works on. Ends in request_end(), whatever happens. */
struct rest_request {
	TAILQ_ENTRY(rest_request) entry;
	struct rest *rest;
	struct evhttp_request *http;
	const struct method *method;
	struct call *call;
	enum request_kind kind;
	struct rest_owner owner;
	bool is_watched;
	bool gzip; /* the client takes it */
};

/* libevent gives the accept-error callback only its own evhttp, which leads to the server here. */
static LIST_HEAD(, rest) servers = LIST_HEAD_INITIALIZER(servers);

/* -1: evhttp has lost the connection, and the watch with it. */
static int fd_of(struct evhttp_request *http)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(http);

	return connection ? bufferevent_getfd(evhttp_connection_get_bufferevent(connection)) : -1;
}

static void request_end(struct rest_request *request)
{
	struct rest *rest = request->rest;

	if (request->is_watched)
		watch_remove(rest->watch, fd_of(request->http));
	TAILQ_REMOVE(&rest->requests, request, entry);
	rest->counts[request->kind]--;
	free(request);
}

/* A connection frees its evhttp_request along. */
static void http_drop(struct evhttp_request *http)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(http);

	if (connection)
		evhttp_connection_free(connection);
	else
		evhttp_request_free(http);
}

/* Ends a request without an answer. */
static void request_drop(struct rest_request *request)
{
	struct evhttp_request *http = request->http;

	call_cancel(request->call);
	request_end(request);
	http_drop(http);
}

static void on_answer(void *arg, const struct answer *answer)
{
	struct rest_request *request = arg;
	struct evhttp_request *http = request->http;
	const struct method *method = request->method;
	struct rest *rest = request->rest;
	bool gzip = request->gzip;
	int fd = fd_of(http);

	request_end(request);
	rest_reply_answer(&rest->encoder, http, method, answer, gzip);
	connections_push(rest->connections, fd);
}

static void on_client_left(void *item, bool is_reset)
{
	struct rest_request *request = item;

	log_debug("%s: the client left before the answer", evhttp_request_get_uri(request->http));
	if (is_reset || request->kind != REQUEST_LONG_POLL)
		request_drop(request);
	else
		call_hurry(request->call);
}

static void on_watch(struct loop_timer *timer)
{
	struct rest *rest = container_of(timer, struct rest, watch_soon);
	struct rest_request *request;

	TAILQ_FOREACH(request, &rest->requests, entry) {
		if (!request->is_watched)
			watch_add(rest->watch, fd_of(request->http), request);
		request->is_watched = true;
	}
}

/* Does the caller ask to wait for the answer? */
static bool asks_to_wait(const struct method *method, const void *args)
{
	for (size_t i = 0; i < method->args->count; i++) {
		if (method->args->fields[i].flags & FIELD_WAIT)
			return field_is_set(&method->args->fields[i], args);
	}
	return false;
}

static enum request_kind kind_of(const struct method *method, const void *args)
{
	if (asks_to_wait(method, args))
		return REQUEST_LONG_POLL;
	return method->answer == ANSWER_MANY ? REQUEST_LIST : REQUEST_PLAIN;
}

static bool accepts_gzip(struct evhttp_request *http)
{
	return gzip_is_accepted(
		evhttp_find_header(evhttp_request_get_input_headers(http), "Accept-Encoding"));
}

static void request_start(struct rest *rest, struct evhttp_request *http, const struct route *route,
			  const void *args, const struct rest_owner *owner,
			  const struct caller *caller)
{
	struct rest_request *request = xnew(struct rest_request);

	request->gzip = accepts_gzip(http);
	connections_work(rest->connections, http);
	request->rest = rest;
	request->http = http;
	/* A plan is answered as a plan, whatever the change would answer. */
	request->method =
		method_asks_plan(route->method, args) ? &methods[METHOD_PLAN_GET] : route->method;
	request->kind = kind_of(route->method, args);
	request->owner = *owner;
	TAILQ_INSERT_TAIL(&rest->requests, request, entry);
	rest->counts[request->kind]++;
	if (!loop_timer_is_set(&rest->watch_soon))
		loop_timer_set(rest->loop, &rest->watch_soon, WATCH_MS);
	request->call = call_start(rest->core, route->id, args, caller, on_answer, request);
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

/* Those who wait in the places of the owner, also in streams. */
static size_t count_waiting(const struct rest *rest, const struct rest_owner *owner)
{
	bool is_anonymous = owner->kind == REST_OWNER_ANONYMOUS;
	size_t anonymous = event_streams_count_anonymous(rest->streams);
	size_t count = is_anonymous ? anonymous : event_streams_count(rest->streams) - anonymous;
	const struct rest_request *request;

	TAILQ_FOREACH(request, &rest->requests, entry)
		count += request->kind == REQUEST_LONG_POLL &&
			 (request->owner.kind == REST_OWNER_ANONYMOUS) == is_anonymous;
	return count;
}

static int check_room(const struct rest *rest, const struct rest_owner *owner,
		      enum request_kind kind, struct err *err)
{
	static const char *const words[REQUEST_KIND_COUNT] = {
		[REQUEST_PLAIN] = "requests are being answered already",
		[REQUEST_LIST] = "lists are being made already",
		[REQUEST_LONG_POLL] = "requests wait for operations or events already",
	};
	size_t count = kind == REQUEST_LONG_POLL ? count_waiting(rest, owner) : rest->counts[kind];

	if (count < rest->max_requests)
		return 0;
	return err_set(err, ERR_TOO_MANY,
		       "%zu %s, which is the limit (http.max_requests); try again%s", count,
		       words[kind], kind == REQUEST_LONG_POLL ? ", or ask without waiting" : "");
}

/* One user or token leaves places to the others. */
static int check_share(const struct rest *rest, const struct rest_owner *owner,
		       enum request_kind kind, struct err *err)
{
	static const char *const words[REQUEST_KIND_COUNT] = {
		[REQUEST_PLAIN] = "requests of this caller are being answered",
		[REQUEST_LIST] = "lists are being made for this caller",
		[REQUEST_LONG_POLL] = "requests of this caller wait for operations or events",
	};
	const struct rest_request *request;
	size_t count = 0;

	if (!rest_owner_has_share(owner))
		return 0;
	TAILQ_FOREACH(request, &rest->requests, entry)
		count += rest_owner_equals(&request->owner, owner) && request->kind == kind;
	if (kind == REQUEST_LONG_POLL)
		count += event_streams_count_of(rest->streams, owner);
	if (count * REST_USER_SHARE < rest->max_requests)
		return 0;
	return err_set(
		err, ERR_TOO_MANY,
		"%zu %s already, which is the limit for one user or token (half of http.max_requests); try again",
		count, words[kind]);
}

static int check_places(const struct rest *rest, const struct rest_owner *owner,
			enum request_kind kind, struct err *err)
{
	return check_room(rest, owner, kind, err) < 0 ? -1 : check_share(rest, owner, kind, err);
}

/* The description of the interface, which says nothing of the daemon's state. */
static int serve_document(struct rest *rest, struct evhttp_request *http,
			  const struct route_target *target, const struct rest_caller *caller,
			  struct err *err)
{
	rest_reply_document(&rest->encoder, http, rest_openapi, accepts_gzip(http));
	return 0;
}

static int serve_metrics(struct rest *rest, struct evhttp_request *http,
			 const struct route_target *target, const struct rest_caller *caller,
			 struct err *err)
{
	const struct rest_figures figures = {
		.requests = rest->counts[REQUEST_PLAIN],
		.lists = rest->counts[REQUEST_LIST],
		.long_polls = rest->counts[REQUEST_LONG_POLL],
		.streams = event_streams_count(rest->streams),
	};

	rest_reply_text(&rest->encoder, http, METRICS_TYPE,
			metrics_page_get(&rest->metrics, rest->core, &figures), accepts_gzip(http));
	return 0;
}

/* The value lives as long as copy. */
static int find_last_id(struct evhttp_request *http, char *copy, const char **out, struct err *err)
{
	char *name, *value;
	int r;

	*out = NULL;
	while ((r = query_next(&copy, &name, &value, err)) > 0) {
		if (!streq(name, "last_event_id"))
			return err_set_field(err, name, ERR_INVALID,
					     "%s is no argument of this path", name);
		*out = value;
	}
	/* A browser that comes back sends the id of a later event than its first address names. */
	*out = str_or(evhttp_find_header(evhttp_request_get_input_headers(http), "Last-Event-ID"),
		      *out);
	return r;
}

static int serve_events(struct rest *rest, struct evhttp_request *http,
			const struct route_target *target, const struct rest_caller *caller,
			struct err *err)
{
	_cleanup_free_ char *query = xstrdup(str_or(target->query, ""));
	struct rest_owner owner;
	const char *last_id;

	if (find_last_id(http, query, &last_id, err) < 0)
		return -1;
	rest_owner_of_caller(caller, &owner);
	if (!rest->is_accepting || check_places(rest, &owner, REQUEST_LONG_POLL, NULL) < 0)
		event_streams_refuse(rest->streams, http);
	else
		event_streams_open(rest->streams, http, &owner, last_id);
	return 0;
}

static int serve_file(struct rest *rest, struct evhttp_request *http,
		      const struct route_target *target, const struct rest_caller *caller,
		      struct err *err)
{
	status_page_send(&rest->encoder, http, status_page_find(target), accepts_gzip(http));
	return 0;
}

/* Paths that are only read, and are no methods. */
static const struct page {
	const char *path;
	int (*serve)(struct rest *rest, struct evhttp_request *http,
		     const struct route_target *target, const struct rest_caller *caller,
		     struct err *err);
	bool takes_query;
} pages[] = {
	{ OPENAPI_PATH, serve_document, false }, { METRICS_PATH, serve_metrics, false },
	{ EVENTS_PATH, serve_events, true },     { "/", serve_file, false },
	{ "/page.css", serve_file, false },      { "/page.js", serve_file, false },
};

static const struct page *find_page(const struct route_target *target)
{
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if (route_target_is(target, pages[i].path))
			return &pages[i];
	}
	return NULL;
}

static int serve_page(struct rest *rest, struct evhttp_request *http, const struct page *page,
		      const struct route_target *target, const struct rest_caller *caller,
		      struct err *err)
{
	if (verb_of(http) != HTTP_GET) {
		rest_reply_verbs(&rest->encoder, http, 1U << HTTP_GET);
		return 0;
	}
	if (!page->takes_query && !str_empty(target->query))
		return err_set(err, ERR_INVALID, "this path takes no query string");
	return page->serve(rest, http, target, caller, err);
}

/* The files of the status page, which asks for a token itself. */
static bool needs_no_token(struct evhttp_request *http)
{
	struct route_target target;

	return route_target_parse(&target, evhttp_request_get_uri(http), NULL) == 0 &&
	       status_page_find(&target);
}

/* Which users may connect to a unix socket is decided before. */
static int find_access_without_token(const struct rest *rest, struct evhttp_request *http,
				     struct rest_caller *caller, struct err *err)
{
	caller->caller.access = caller->is_local ? ACCESS_ADMIN : rest->access;
	if (caller->is_local || !rest->require_token || needs_no_token(http))
		return 0;
	return err_set(
		err, ERR_UNAUTHORIZED,
		"a token is needed (http.require_token): send the header Authorization: Bearer "
		"TOKEN, with a token that 'volumectl token create' has made");
}

/* A caller who shows a token may do what the token allows, neither more nor less. */
static int find_access(struct rest *rest, struct evhttp_request *http,
		       const struct rest_headers *headers, struct rest_caller *caller,
		       struct err *err)
{
	struct rest_owner owner;
	const char *token;

	if (rest_auth_token(headers, &token, err) < 0)
		return -1;
	if (!token)
		return find_access_without_token(rest, http, caller, err);
	if (caller_show_token(rest->core, token, &caller->caller))
		return 0;
	/* Who tries tokens counts as one who shows none. */
	rest_owner_of_caller(caller, &owner);
	if (limits_take(rest->limits, &owner, err) < 0)
		return -1;
	if (log_limit_allows(&rest->refused_limit, LOG_LEVEL_WARNING))
		log_tell(LOG_LEVEL_WARNING,
			 (.message_id = messages[MESSAGE_CALL_REFUSED].id,
			  .error_code = err_view(ERR_UNAUTHORIZED)->word,
			  .actor = caller->is_local ? "the unix socket"
						    : str_or(caller->caller.address, "")),
			 "rest: a token that is not known was shown from %s",
			 caller->is_local ? "the unix socket" : str_or(caller->caller.address, ""));
	return err_set(err, ERR_UNAUTHORIZED,
		       "the token is not known: it was revoked, or mistyped");
}

static bool is_encrypted(struct evhttp_request *http)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(http);

	return connection && stream_is_encrypted(evhttp_connection_get_bufferevent(connection));
}

/* Before any work is done for a caller. */
static int check_caller(struct rest *rest, struct evhttp_request *http,
			struct rest_headers *headers, struct rest_caller *caller, struct err *err)
{
	const struct rest_peer *peer = connections_peer(rest->connections, http);
	struct rest_place place = {
		.address = peer->host,
		.tls = is_encrypted(http) ? rest->tls : NULL,
	};

	if (rest_peer_check(fd_of(http), peer, &rest->group, err) < 0 ||
	    rest_auth(http, &place, headers, err) < 0)
		return -1;
	rest_caller_of_peer(peer, caller);
	return find_access(rest, http, headers, caller, err);
}

static int check_limits(struct rest *rest, struct evhttp_request *http,
			const struct rest_caller *caller, struct err *err)
{
	struct rest_owner owner;

	rest_owner_of_caller(caller, &owner);
	if (limits_take(rest->limits, &owner, err) < 0)
		return -1;
	return connections_admit(rest->connections, http, &owner, err);
}

/* parsed: a large body; NULL: the request has its body. */
static int serve(struct rest *rest, struct evhttp_request *http, const struct large_body *parsed,
		 struct err *err)
{
	struct rest_headers headers;
	struct rest_caller caller;
	struct rest_owner owner;
	struct route_target target;
	const struct page *page;
	const struct route *route;
	unsigned verbs;
	void *args;
	int r;

	if (check_caller(rest, http, &headers, &caller, err) < 0 ||
	    (!parsed && check_limits(rest, http, &caller, err) < 0))
		return -1;
	if (streq(evhttp_request_get_uri(http), "*")) {
		rest_reply_verbs(&rest->encoder, http, (1U << HTTP_VERB_COUNT) - 1);
		return 0;
	}
	if (route_target_parse(&target, evhttp_request_get_uri(http), err) < 0)
		return -1;
	page = find_page(&target);
	if (page)
		return serve_page(rest, http, page, &target, &caller, err);
	route = route_find(rest->routes, &target, verb_of(http), &verbs);
	if (!route && !verbs)
		return err_set(err, ERR_NO_SUCH_PATH, "no such path");
	if (!route) {
		rest_reply_verbs(&rest->encoder, http, verbs);
		return 0;
	}
	rest_owner_of_caller(&caller, &owner);
	args = xcalloc(1, route->method->args->size);
	record_init(route->method->args, args);
	r = rest_decode(route, &target, &headers, http, parsed, args, err);
	if (r == 0)
		r = check_places(rest, &owner, kind_of(route->method, args), err);
	if (r == 0)
		request_start(rest, http, route, args, &owner, &caller.caller);
	record_clear(route->method->args, args);
	free(args);
	return r;
}

static void answer_request(struct rest *rest, struct evhttp_request *http,
			   const struct large_body *parsed)
{
	struct err err;

	err_clear(&err);
	if (serve(rest, http, parsed, &err) < 0)
		rest_reply_error(&rest->encoder, http, &err);
}

static void on_parsed(struct evhttp_request *http, const struct large_body *parsed, void *arg)
{
	if (parsed)
		answer_request(arg, http, parsed);
	else
		http_drop(http);
}

static void on_compressed(struct evhttp_request *http, struct gzip_answer *answer, void *arg)
{
	struct rest *rest = arg;

	if (answer)
		rest_reply_compressed(&rest->encoder, http, answer);
	else
		http_drop(http);
}

static bool is_large(struct evhttp_request *http)
{
	return evbuffer_get_length(evhttp_request_get_input_buffer(http)) >= LARGE_BODY_MIN;
}

static void on_request(struct evhttp_request *http, void *arg)
{
	struct rest *rest = arg;
	const struct err *refusal = connections_refusal(rest->connections, http);
	struct rest_headers headers;
	struct rest_caller caller;
	struct err err;

	err_clear(&err);
	if (refusal)
		rest_reply_refusal(&rest->encoder, http, refusal);
	else if (!is_large(http))
		answer_request(rest, http, NULL);
	else if (check_caller(rest, http, &headers, &caller, &err) == 0 &&
		 check_limits(rest, http, &caller, &err) == 0 &&
		 large_parse(rest->large, http, &err) == 0)
		connections_hold(rest->connections, http);
	else
		rest_reply_error(&rest->encoder, http, &err);
}

/* Out of file descriptors, most likely. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	int error = evutil_socket_geterror(evconnlistener_get_fd(listener));
	struct rest *rest;

	LIST_FOREACH(rest, &servers, entry) {
		if (rest->http != arg && rest->https != arg)
			continue;
		log_warning("accepting connections pauses for a moment: %s",
			    evutil_socket_error_to_string(error));
		connections_lack_descriptors(rest->connections);
		return;
	}
}

static struct evhttp *http_new(struct rest *rest)
{
	struct evhttp *http = evhttp_new(loop_base(rest->loop));

	if (!http)
		abort(); /* out of memory */
	/* framing.c keeps the limits; a head may be a little longer in the form that it gets there.
	 */
	evhttp_set_max_headers_size(http, 2 * HEAD_MAX);
	evhttp_set_max_body_size(http, BODY_MAX);
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

static struct evhttp *http_of(const struct rest *rest, size_t listener)
{
	return rest->listeners.is_encrypted[listener] ? rest->https : rest->http;
}

static void accept_all(struct rest *rest)
{
	rest->is_accepting = true;
	connections_accept(rest->connections, rest->http, NULL);
	if (rest->https)
		connections_accept(rest->connections, rest->https, rest->tls);
	for (size_t i = 0; i < rest->listeners.count; i++) {
		evconnlistener_set_error_cb(rest->listeners.items[i], on_accept_error);
		rest->bound[i] = evhttp_bind_listener(http_of(rest, i), rest->listeners.items[i]);
		if (!rest->bound[i])
			abort(); /* out of memory */
	}
}

static void on_certificate(void *arg, const char *words)
{
	struct rest *rest = arg;

	core_set_rest_certificate(rest->core, words);
}

static int open_listeners(struct rest *rest, const struct rest_options *options, struct err *err)
{
	int r = rest_check_listen(options, err);

	if (r == 0 && options->tls_dir) {
		rest->tls = rest_tls_open(rest->loop, options->tls_dir, on_certificate, rest, err);
		r = rest->tls ? 0 : -1;
	}
	if (r < 0) {
		for (size_t i = 0; i < options->passed_count; i++)
			close(options->passed[i]);
		return -1;
	}
	if (rest_listen(rest->loop, options, &rest->listeners, err) < 0)
		return -1;
	rest->http = http_new(rest);
	if (rest->tls)
		rest->https = http_new(rest);
	return 0;
}

int rest_check_certificate(const char *tls_dir, struct err *err)
{
	return rest_tls_check(tls_dir, err);
}

void rest_renew_certificate(struct rest *rest)
{
	if (rest->tls)
		rest_tls_look(rest->tls);
}

/* The addresses stay until a restart, also if the configuration has others by now. */
static void set_require_token(struct rest *rest, const struct rest_options *options)
{
	rest->require_token = options->require_token;
	for (size_t i = 0; i < rest->listeners.count; i++) {
		const struct address *address = &rest->listeners.addresses[i];

		rest->require_token |= address->host[0] && !address_is_local(address);
	}
}

struct rest *rest_open(struct loop *loop, struct core *core, const struct rest_options *options,
		       struct err *err)
{
	struct rest *rest = xnew(struct rest);

	assert(options->max_requests > 0 && options->max_connections > 0);
	rest->loop = loop;
	rest->core = core;
	rest->max_requests = options->max_requests;
	rest->access = options->access;
	rest->group = (struct rest_group){ .name = options->group_name, .id = options->group };
	rest->watch_soon.fire = on_watch;
	TAILQ_INIT(&rest->requests);
	LIST_INSERT_HEAD(&servers, rest, entry);
	rest->routes = route_table_new(methods, METHOD_COUNT);

	if (open_listeners(rest, options, err) < 0)
		return rest_close(rest);
	set_require_token(rest, options);
	rest->limits = limits_new(&options->limits);
	rest->connections =
		connections_new(loop, &rest->listeners, options->max_connections, rest->limits);
	rest->encoder.connections = rest->connections;
	rest->streams = event_streams_new(loop, core, rest->connections);
	accept_all(rest);
	rest->watch = watch_new(loop, on_client_left, err);
	if (rest->watch)
		rest->large = large_new(loop, on_parsed, rest, err);
	if (rest->large)
		rest->encoder.gzip = gzip_new(loop, on_compressed, rest, err);
	return rest->encoder.gzip ? rest : rest_close(rest);
}

void rest_set_limits(struct rest *rest, const struct rest_options *options)
{
	assert(options->max_requests > 0 && options->max_connections > 0);
	rest->max_requests = options->max_requests;
	rest->access = options->access;
	set_require_token(rest, options);
	limits_set(rest->limits, &options->limits);
	connections_set_max(rest->connections, options->max_connections);
}

int rest_port(const struct rest *rest)
{
	for (size_t i = 0; i < rest->listeners.count; i++) {
		if (rest->listeners.addresses[i].port)
			return rest->listeners.addresses[i].port;
	}
	return 0;
}

bool rest_address(const struct rest *rest, size_t n, char *out, size_t size)
{
	const struct address *address = &rest->listeners.addresses[n];
	char text[ADDRESS_TEXT_SIZE];

	if (n >= rest->listeners.count)
		return false;
	address_format(address, text, sizeof(text));
	if (address->sa.any.sa_family == AF_UNSPEC)
		snprintf(out, size, "the unix socket that systemd opened");
	else
		snprintf(out, size, "%s%s",
			 address_is_unix(address)          ? ""
			 : rest->listeners.is_encrypted[n] ? "https://"
							   : "http://",
			 text);
	return true;
}

size_t rest_in_flight(const struct rest *rest)
{
	size_t count = rest->large ? large_count(rest->large) : 0;

	count += rest->encoder.gzip ? gzip_count(rest->encoder.gzip) : 0;
	for (size_t kind = 0; kind < REQUEST_KIND_COUNT; kind++)
		count += rest->counts[kind];
	return count;
}

size_t rest_under_way(const struct rest *rest)
{
	return connections_under_way(rest->connections);
}

/* Long polls are answered with the operation as it is, and streams end: they would outlast the
 * daemon. */
void rest_drain(struct rest *rest)
{
	struct rest_request *request;

	TAILQ_FOREACH(request, &rest->requests, entry) {
		if (request->kind == REQUEST_LONG_POLL)
			call_hurry(request->call);
	}
	event_streams_end(rest->streams);
	rest->encoder.closing = true;
	connections_drain(rest->connections);
	if (rest->is_accepting)
		rest_unlink_sockets(&rest->listeners);
	for (size_t i = 0; i < rest->listeners.count && rest->is_accepting; i++)
		evhttp_del_accept_socket(http_of(rest, i), rest->bound[i]);
	rest->is_accepting = false;
}

struct rest *rest_close(struct rest *rest)
{
	struct rest_request *request;

	if (!rest)
		return NULL;
	while ((request = TAILQ_FIRST(&rest->requests)))
		request_drop(request);
	rest->large = large_free(rest->large);
	rest->encoder.gzip = gzip_free(rest->encoder.gzip);
	assert(rest_in_flight(rest) == 0);
	if (rest->http) {
		rest_drain(rest);
		evhttp_free(rest->http);
	}
	if (rest->https)
		evhttp_free(rest->https);
	event_streams_free(rest->streams);
	connections_free(rest->connections);
	rest_tls_close(rest->tls);
	limits_free(rest->limits);
	watch_free(rest->watch);
	loop_timer_clear(rest->loop, &rest->watch_soon);
	LIST_REMOVE(rest, entry);
	route_table_free(rest->routes);
	buf_clear(&rest->encoder.body);
	buf_clear(&rest->metrics.text);
	free(rest);
	return NULL;
}
