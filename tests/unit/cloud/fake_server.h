/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A web server in the loop of the test. It answers from a script, one row a request, and remembers
 * what it was asked. After the last row it answers as the last row says.
 */

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "io/loop.h"

enum fake_action {
	FAKE_ANSWER,
	FAKE_CUT, /* reads the request, then closes the connection */
	FAKE_HOLD /* does not answer until fake_server_release() */
};

struct fake_row {
	enum fake_action action;
	int status;
	const char *body;
	const char *type; /* NULL: JSON */
	const char *date; /* NULL: none of ours */
};

struct fake_request {
	bool post;
	struct evkeyvalq params;
};

#define FAKE_REQUESTS_MAX 64

struct fake_server {
	struct evhttp *http;
	unsigned short port;
	const struct fake_row *rows;
	size_t row_count;
	size_t asked; /* requests so far */
	struct fake_request requests[FAKE_REQUESTS_MAX];
	struct evhttp_request *held[FAKE_REQUESTS_MAX];
	size_t held_count;
};

void fake_server_start(struct fake_server *server, struct loop *loop);
void fake_server_stop(struct fake_server *server);
/* From now on; rows must live as long. Forgets what was asked. */
void fake_server_script(struct fake_server *server, const struct fake_row *rows, size_t count);
/* Answers the oldest held request. */
void fake_server_release(struct fake_server *server, const struct fake_row *row);
/* A parameter of the nth request; NULL when it was not there. */
const char *fake_server_param(const struct fake_server *server, size_t request, const char *name);
