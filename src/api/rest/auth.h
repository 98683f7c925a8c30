/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The guards that a request must pass. Private to api/rest/. */

#include <event2/http.h>

#include "base/err.h"

struct rest_tls;

/* The headers that decide something, found in one walk. */
struct rest_headers {
	const char *host;
	const char *origin;
	const char *content_encoding;
	const char *content_type;
	const char *idempotency_key;
	const char *authorization;
	const char *fetch_site; /* of a browser: "cross-site" and the like */
	/* the name of a header that browsers send, Origin or Sec-Fetch-*; NULL: there is none */
	const char *browser;
};

/* Where a request has come to. */
struct rest_place {
	/* the address that the client has connected to, without brackets; "" for a unix socket */
	const char *address;
	const struct rest_tls *tls; /* NULL: the connection is not encrypted */
};

/* The checks before the path is looked at: duplicates, Host, Origin. */
int rest_auth(struct evhttp_request *http, const struct rest_place *place, struct rest_headers *out,
	      struct err *err);

/*
 * The token in a header Authorization, in *out: inside the header, NULL if there is no header.
 * ERR_UNAUTHORIZED for any other kind of authorization.
 */
int rest_auth_token(const struct rest_headers *headers, const char **out, struct err *err);
