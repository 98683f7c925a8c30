/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * REST over HTTP, built from methods[]: a route is a row's verb and path, arguments come from the
 * path, the query string and a JSON body, answers are records as JSON.
 */

#include "core/core.h"

struct rest;

struct rest_options {
	const char *listen;  /* "127.0.0.1:8090", "[::1]:0", …; loopback only */
	int listen_fd;       /* an activated socket instead, -1 none; taken over */
	size_t max_requests; /* requests in flight at once; more get 429 */
	/* the most that callers may do: HTTP does not identify them */
	enum method_access access;
};

struct rest *rest_open(struct loop *loop, struct core *core, const struct rest_options *options,
		       struct err *err);
int rest_port(const struct rest *rest); /* the port really bound */
void rest_drain(struct rest *rest);     /* accept nothing more; answers carry Connection: close */
size_t rest_in_flight(const struct rest *rest);
/* cancels the requests in flight; returns NULL, takes NULL */
struct rest *rest_close(struct rest *rest);
