/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The strict check of a request's line and headers, before evhttp sees them. Private to api/rest/.
 */

#include "base/buf.h"
#include "base/err.h"

/* What follows from a head for the bytes after it and for the answer. */
struct request_head {
	bool is_head;          /* the verb is HEAD: the answer has no body */
	bool is_chunked;       /* the body's length follows from its chunks */
	bool expects_continue; /* the client waits before it sends the body */
	uint64_t length;       /* of a body that is not chunked; UINT64_MAX: that or more */
};

/*
 * is_encrypted: the connection is, so targets with a scheme have https. text is a head without its
 * last, empty line; each of its lines ends with CR LF. Appends to passed a whole head that evhttp
 * takes as it is meant, of which the target is a path or "*". -1 and err if no such head exists:
 * out says then what was understood of it, and passed has a part.
 */
int request_head_check(const char *text, size_t length, bool is_encrypted, struct request_head *out,
		       struct buf *passed, struct err *err);
/* "name: value", without the line's end. */
int request_field_check(const char *line, size_t length, struct err *err);
