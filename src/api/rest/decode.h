/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The arguments of a request. Private to api/rest/. */

#include "api/rest/auth.h"
#include "api/rest/large.h"
#include "api/rest/routes.h"

/*
 * Path, query string and body into args, an initialised struct of the route's method. parsed: the
 * body, if it was parsed before; NULL: the request has it.
 */
int rest_decode(const struct route *route, const struct route_target *target,
		const struct rest_headers *headers, struct evhttp_request *http,
		const struct large_body *parsed, void *args, struct err *err);
