/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Requests with large bodies of JSON, which a thread parses. Private to api/rest/. */

#include <event2/http.h>

#include "base/err.h"
#include "base/json.h"
#include "io/loop.h"

#define LARGE_BODY_MIN ((size_t)16 << 10)
#define LARGE_BYTES_MAX ((size_t)8 << 20) /* of all bodies that wait */
/* Of requests that wait: the headers of each may take 640 KiB of memory. */
#define LARGE_COUNT_MAX 48

struct large;

struct large_body {
	struct json *document; /* NULL: err says why */
	struct err err;
};

/*
 * On the loop, never inside large_parse(): the body was parsed, and is valid during the call. NULL
 * if the server closes meanwhile.
 */
typedef void (*large_done_fn)(struct evhttp_request *http, const struct large_body *body,
			      void *arg);

/* NULL and err if its thread cannot be started. */
struct large *large_new(struct loop *loop, large_done_fn done, void *arg, struct err *err);
/* Calls done for every request. Returns NULL, takes NULL. */
struct large *large_free(struct large *large);
/*
 * Takes the body out of the request, which nothing may free until done. ERR_TOO_MANY if the bodies
 * that wait are too large or too many already; ERR_UNAVAILABLE if there is no memory.
 */
int large_parse(struct large *large, struct evhttp_request *http, struct err *err);
size_t large_count(const struct large *large); /* requests whose done was not called yet */
