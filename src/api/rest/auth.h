/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which requests are let in. Private to api/rest/. */

#include <event2/http.h>

#include "base/err.h"

/* The headers that decide something, found in one walk. */
struct rest_headers {
	const char *host;
	const char *origin;
	const char *content_type;
	const char *idempotency_key;
	bool from_browser; /* Origin or a Sec-Fetch-* header is there */
};

/*
 * Duplicates, Host, Origin: what is checked before the path is looked at. own_host is the address
 * the server listens on, as it stands in a Host header ("[::1]").
 */
int rest_auth(struct evhttp_request *http, const char *own_host, struct rest_headers *out,
	      struct err *err);
