/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * HTTP requests that never block the loop: curl's multi interface on libevent. At most max_parallel
 * requests are on the wire; the others wait here in order (letting curl queue them costs a third of
 * the throughput).
 *
 * A request reaches the server at most once: no request is repeated here, not even on a kept
 * connection that turns out to be dead. After an error with `sent` true, whether the server acted
 * on it is unknown.
 */

#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"

struct http_client;
struct http_call;

struct http_client_options {
	size_t max_parallel; /* connections and requests at once */
	const char *ca_file; /* NULL: the system's */
	const char *user_agent;
	/* The settings that hold the URL and ca_file, such as "cloud.url", for error texts. */
	const char *url_setting;
	const char *ca_setting;
};

struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options);
/* For requests that are sent from now on. */
void http_client_set(struct http_client *client, size_t max_parallel, const char *ca_file);
/* asserts that no call is under way; NULL */
struct http_client *http_client_free(struct http_client *client);

struct http_request {
	const char *url;  /* may carry secrets: never logged, never in an error */
	const char *body; /* NULL: GET; otherwise POST application/x-www-form-urlencoded */
	size_t body_length;
	int64_t timeout_ms;  /* whole request, waiting for its turn not included */
	size_t max_response; /* bytes; more ends the call with ERR_TOO_LARGE */
};

struct http_response {
	int status;       /* 0: no answer; then err says why */
	const char *body; /* zero-terminated */
	size_t body_length;
	const char *content_type; /* "" if none */
	/* "" unless the answer is a redirect to another server, port or scheme: the URL of the
	 * request there, without query and user. A redirect is never followed. */
	const char *redirect;
	/* false: certain that the server never got the request (no connection) */
	bool sent;
	/* ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_TOO_LARGE; text names host and reason only */
	struct err err;
};

typedef void (*http_done_fn)(void *arg, const struct http_response *response);

/*
 * Copies the data that the request points to. done runs exactly once, on a later turn, unless the
 * call is cancelled.
 */
struct http_call *http_client_start(struct http_client *client, const struct http_request *request,
				    http_done_fn done, void *arg);
/* done will not run; the call is freed; not from inside done */
void http_call_cancel(struct http_call *call);
/* started and not ended, waiting ones included */
size_t http_client_active(const struct http_client *client);
