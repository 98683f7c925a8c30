/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Answers in gzip, for clients that ask for it. Private to api/rest/. */

#include <event2/http.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"

#define GZIP_MIN ((size_t)2 << 10)        /* a shorter answer fits into a packet or two anyway */
#define GZIP_LARGE ((size_t)16 << 10)     /* a thread compresses */
#define GZIP_BYTES_MAX ((size_t)32 << 20) /* of all answers that wait for the thread */

struct gzip;

/* An answer on its way. */
struct gzip_answer {
	int status;
	struct buf body;
	bool is_compressed; /* else it is as it was: compressed it would not be shorter */
};

/*
 * On the loop, never inside gzip_submit(). The body belongs to the function; answer is NULL if the
 * server closes meanwhile.
 */
typedef void (*gzip_done_fn)(struct evhttp_request *http, struct gzip_answer *answer, void *arg);

/* NULL and err if its thread cannot be started. */
struct gzip *gzip_new(struct loop *loop, gzip_done_fn done, void *arg, struct err *err);
/* Calls done for every answer. Returns NULL, takes NULL. */
struct gzip *gzip_free(struct gzip *gzip);
/*
 * Takes the body for the thread; nothing may free the request until done. False: too many bytes
 * wait already, and nothing was taken.
 */
bool gzip_submit(struct gzip *gzip, struct evhttp_request *http, int status, struct buf *body);
size_t gzip_count(const struct gzip *gzip); /* answers whose done was not called yet */

/* In place; false: it would not be shorter. */
bool gzip_compress(struct buf *body);
/* Does the value of Accept-Encoding (NULL: none) allow gzip? */
bool gzip_is_accepted(const char *accept);
