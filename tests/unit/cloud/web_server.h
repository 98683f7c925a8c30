/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A web server in the loop of the test. It answers from a script, one row a request, and remembers
 * what it was asked. After the last row it answers as the last row says.
 */

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "io/loop.h"

enum web_action {
	WEB_ANSWER,
	WEB_CUT, /* reads the request, then closes the connection */
	WEB_HOLD /* does not answer until web_server_release() */
};

struct web_row {
	enum web_action action;
	int status;
	const char *body;
	const char *type; /* NULL: JSON */
};

struct web_request {
	bool post;
	char path[64];
	struct evkeyvalq params;
};

/* CloudStack's answer to wrong keys, to a request that has expired, to an unknown command. */
#define WEB_DENIED                                                                                     \
	"{\"errorresponse\":{\"uuidList\":[],\"errorcode\":401,\"errortext\":\"unable to verify user " \
	"credentials and/or request signature\"}}"

#define WEB_REQUESTS_MAX 64

struct web_server {
	struct evhttp *http;
	unsigned short port;
	const struct web_row *rows;
	size_t row_count;
	size_t asked; /* requests so far */
	struct web_request requests[WEB_REQUESTS_MAX];
	struct evhttp_request *held[WEB_REQUESTS_MAX];
	size_t held_count;
	/*
	 * Reads of the capabilities are answered without the script, as by a server whose
	 * clock is so far ahead of ours, or that does not accept the keys.
	 */
	int64_t ahead_ms;
	bool denies;
	size_t probes;
};

void web_server_start(struct web_server *server, struct loop *loop);
void web_server_stop(struct web_server *server);
/* From now on; rows must live as long. Forgets what was asked. */
void web_server_script(struct web_server *server, const struct web_row *rows, size_t count);
/* Answers the oldest held request. */
void web_server_release(struct web_server *server, const struct web_row *row);
/* A parameter of the nth request; NULL when it was not there. */
const char *web_server_param(const struct web_server *server, size_t request, const char *name);
