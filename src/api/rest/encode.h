/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one reply of each request; afterwards evhttp owns the request. Private to api/rest/. */

#include <event2/http.h>

#include "api/rest/connections.h"
#include "api/rest/gzip.h"
#include "core/core.h"

struct rest_encoder {
	struct connections *connections;
	struct gzip *gzip;
	struct buf body; /* a reply being written; kept for its memory, and cleared by its owner */
	bool is_secret;  /* the body has a secret */
	bool closing;    /* replies carry Connection: close */
	char date[40];   /* the header of this second */
	int64_t date_s;
};

void rest_reply_error(struct rest_encoder *encoder, struct evhttp_request *http,
		      const struct err *err);
/* The connection ends with it, in the client's time. */
void rest_reply_refusal(struct rest_encoder *encoder, struct evhttp_request *http,
			const struct err *err);
/* 204 or 405, with Allow. */
void rest_reply_verbs(struct rest_encoder *encoder, struct evhttp_request *http, unsigned verbs);
/* The caller may ask for gzip: then the reply may come later. */
void rest_reply_answer(struct rest_encoder *encoder, struct evhttp_request *http,
		       const struct method *method, const struct answer *answer, bool gzip);
/* A reply that was to be compressed first. */
void rest_reply_compressed(struct rest_encoder *encoder, struct evhttp_request *http,
			   struct gzip_answer *answer);
/* type: of a text that is no JSON. */
void rest_reply_text(struct rest_encoder *encoder, struct evhttp_request *http, const char *type,
		     const struct buf *text, bool gzip);
/* print appends a document in JSON. */
void rest_reply_document(struct rest_encoder *encoder, struct evhttp_request *http,
			 void (*print)(struct buf *out), bool gzip);
