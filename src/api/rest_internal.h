/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parts of the REST server share: rest.c (life), rest_request.c (what comes in), rest_reply.c (what goes out). */

#include <event2/http.h>
#include <event2/listener.h>
#include <sys/queue.h>

#include "api/rest.h"
#include "api/rest_route.h"

#define REST_HEADERS_MAX (16 * 1024)
#define REST_BODY_MAX (1024 * 1024)
/*
 * evhttp refuses what is over its limit with a page of its own making. Its limit is the double of ours, so that a body
 * which is a little too large gets our form of an error, and one that is far too large is not read to its end.
 */
#define REST_BODY_READ_MAX (2 * REST_BODY_MAX)
#define REST_IDLE_S 30           /* between two reads */
#define REST_WATCH_MS 100        /* a request that waits longer is watched for its client leaving */
#define REST_ACCEPT_PAUSE_MS 100 /* after the process ran out of file descriptors */

TAILQ_HEAD(rest_request_list, rest_request);

struct rest {
	LIST_ENTRY(rest) entry;
	struct loop *loop;
	struct core *core;
	struct evhttp *http;
	struct evhttp_bound_socket *bound; /* NULL once draining */
	struct route_table *routes;
	struct rest_request_list requests; /* in flight */
	size_t in_flight;
	size_t max_requests;
	struct loop_timer watch;
	struct loop_timer accept_again;
	struct buf body; /* an answer being written; kept for its memory */
	int port;
	char host[64]; /* the bound address as it stands in a Host header, "[::1]" */
	bool draining;
};

/* One request that core works on. Ends in request_end(), whatever happens. */
struct rest_request {
	TAILQ_ENTRY(rest_request) entry;
	struct rest *rest;
	struct evhttp_request *http;
	const struct method *method;
	struct call *call;
	struct event *gone; /* waits for the client closing its side; NULL until watched */
};

/* The headers that decide something, found in one walk. */
struct rest_headers {
	const char *host;
	const char *origin;
	const char *content_type;
	const char *idempotency_key;
	bool from_browser; /* Origin or a Sec-Fetch-* header is there */
};

/* Duplicates, Host, Origin: what is checked before the path is looked at. */
int rest_guard(const struct rest *rest, struct evhttp_request *http, struct rest_headers *out, struct err *err);
/* Path, query string and body into args, an initialised struct of the route's method. */
int rest_decode(const struct route *route, const struct route_target *target, const struct rest_headers *headers,
		struct evhttp_request *http, void *args, struct err *err);

/* Each sends the one reply of a request, which is evhttp's afterwards. */
void rest_reply_error(struct rest *rest, struct evhttp_request *http, const struct err *err);
void rest_reply_verbs(struct rest *rest, struct evhttp_request *http, unsigned verbs); /* 204 or 405, with Allow */
void rest_reply_answer(struct rest *rest, struct evhttp_request *http, const struct method *method,
		       const struct answer *answer);
