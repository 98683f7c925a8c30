/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The requests of one connection, as bytes: what evhttp may see of them, and which of them are
 * refused before evhttp could refuse them. Private to api/rest/.
 */

#include "api/rest/head.h"

#define HEAD_MAX ((size_t)16 << 10) /* the request line and the headers */
#define BODY_MAX ((size_t)1 << 20)
/* What is thrown away of a body that is too long, so that its client has sent all of it and reads
 * the answer. */
#define BODY_DRAIN_MAX ((uint64_t)64 << 20)

enum framing_state {
	FRAMING_HEAD,
	FRAMING_BODY,       /* not chunked */
	FRAMING_DRAIN,      /* the same, too long */
	FRAMING_CHUNK_SIZE, /* the line before a chunk */
	FRAMING_CHUNK,
	FRAMING_CHUNK_END, /* the line end after a chunk */
	FRAMING_TRAILER,
	FRAMING_ENDED /* the last request was refused, and nothing after it is looked at */
};

/* Zeros are the beginning of a connection that is not encrypted. */
struct framing {
	bool is_encrypted;
	enum framing_state state;
	struct buf held;     /* lines that are not passed on yet */
	size_t line;         /* where the last of them begins */
	uint64_t left;       /* bytes of the body or of the chunk */
	uint64_t body;       /* bytes of chunks so far */
	size_t passed;       /* requests */
	struct err *refusal; /* of the last one; NULL: none */
};

/*
 * Looks at bytes that have come, and appends to passed what evhttp is to see in their place: whole
 * and checked heads, and bodies without chunk extensions and trailers. A request that is refused is
 * the last one of the connection; evhttp sees a request in its place.
 */
void framing_feed(struct framing *framing, const char *bytes, size_t length, struct buf *passed);
/* Are the bytes that come thrown away? */
bool framing_discards(const struct framing *framing);
void framing_clear(struct framing *framing);
