/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Replies over HTTP. Answers are records, written as JSON by their own tables; errors have one
 * form, filled from the one map in base/err.c.
 *
 * HEAD is served as GET up to the last moment. evhttp would send a body to HEAD and then lose count
 * of the bytes of each reply, so the body is kept. The length is announced by hand, since evhttp
 * leaves it out for HEAD and for HTTP/1.0, whose clients could not tell a whole answer from a part.
 */

#include "api/rest/encode.h"

#include <assert.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>

#include "api/rest/routes.h"
#include "base/clock.h"
#include "base/log.h"

#define RETRY_AFTER_S "1"
/* A longer body is not copied, and its memory is not kept for the next one. */
#define BODY_KEPT_MAX ((size_t)16 << 10)
#define SECRET_ROOM ((size_t)4096) /* for an answer with a secret, which is never compressed */

static void add_header(struct evhttp_request *http, const char *name, const char *value)
{
	/*
	 * evhttp refuses a value that could end the header early; the reply is then sent without
	 * the header.
	 */
	if (evhttp_add_header(evhttp_request_get_output_headers(http), name, value) < 0)
		log_error("the header %s was not sent: its value has a line end", name);
}

static void free_body(const void *data, size_t length, void *arg)
{
	free(arg);
}

static void free_secret(const void *data, size_t length, void *arg)
{
	struct buf *body = arg;

	buf_wipe(body);
	free(body);
}

/* libevent wipes nothing, so it gets no copy. */
static int add_secret(struct evbuffer *out, struct buf *body)
{
	struct buf *kept = xnew(struct buf);

	*kept = *body;
	*body = (struct buf)BUF_NULL;
	return evbuffer_add_reference(out, kept->data, kept->length, free_secret, kept);
}

static void add_body(struct evbuffer *out, struct buf *body, bool is_secret)
{
	int r;

	if (is_secret) {
		r = add_secret(out, body);
	} else if (body->length <= BODY_KEPT_MAX) {
		r = evbuffer_add(out, body->data, body->length);
	} else {
		/* the rest of the memory that it has grown into */
		char *data = xrealloc(body->data, body->length);

		r = evbuffer_add_reference(out, data, body->length, free_body, data);
		*body = (struct buf)BUF_NULL;
	}
	if (r < 0)
		abort(); /* out of memory */
}

/* Of the statuses that evhttp has no phrase for; NULL: it has one. */
static const char *reason_phrase(int status)
{
	switch (status) {
	case 421:
		return "Misdirected Request";
	case 422:
		return "Unprocessable Content";
	case 429:
		return "Too Many Requests";
	default:
		return NULL;
	}
}

/* evhttp would make one for each answer. */
static void add_date(struct rest_encoder *encoder, struct evhttp_request *http)
{
	time_t now_s = (time_t)(clock_wall_ms() / 1000);
	struct tm tm;

	if (!encoder->date[0] || encoder->date_s != now_s) {
		encoder->date_s = now_s;
		evutil_date_rfc1123(encoder->date, sizeof(encoder->date), gmtime_r(&now_s, &tm));
	}
	add_header(http, "Date", encoder->date);
}

static void add_headers(struct rest_encoder *encoder, struct evhttp_request *http, bool is_last)
{
	char length[24];

	connections_answer(encoder->connections, http);
	add_date(encoder, http);
	add_header(http, "Cache-Control", "no-store");
	if (encoder->closing || is_last)
		add_header(http, "Connection", "close");
	if (encoder->body.length == 0)
		return;
	snprintf(length, sizeof(length), "%zu", encoder->body.length);
	if (!evhttp_find_header(evhttp_request_get_output_headers(http), "Content-Type"))
		add_header(http, "Content-Type", "application/json");
	add_header(http, "Content-Length", length);
}

static void send_body(struct rest_encoder *encoder, struct evhttp_request *http, int status)
{
	add_headers(encoder, http, false);
	if (evhttp_request_get_command(http) != EVHTTP_REQ_HEAD)
		add_body(evhttp_request_get_output_buffer(http), &encoder->body,
			 encoder->is_secret);
	evhttp_send_reply(http, status, reason_phrase(status), NULL);
}

/* If evhttp had all of the answer, it would close the connection with the last byte. */
static void send_last_body(struct rest_encoder *encoder, struct evhttp_request *http, int status)
{
	struct evbuffer *part = evbuffer_new();

	if (!part)
		abort(); /* out of memory */
	add_headers(encoder, http, true);
	add_body(part, &encoder->body, false);
	evhttp_send_reply_start(http, status, reason_phrase(status));
	evhttp_send_reply_chunk(http, part);
	evbuffer_free(part);
	connections_end(encoder->connections, http);
}

static void put_error(const struct err *err, struct json_writer *w)
{
	json_begin_object(w);
	json_put_name(w, "error");
	json_put_text(w, err->text);
	json_put_name(w, "code");
	json_put_text(w, err_view(err->code)->word);
	if (*err->field || err->reason || err->cloud_code || *err->cloud_text) {
		json_put_name(w, "details");
		json_begin_object(w);
		if (*err->field) {
			json_put_name(w, "field");
			json_put_text(w, err->field);
		}
		if (err->reason) {
			json_put_name(w, "reason");
			json_put_text(w, err_reason_word(err->reason));
		}
		if (err->cloud_code) {
			json_put_name(w, "cloudstack_error_code");
			json_put_int(w, err->cloud_code);
		}
		if (*err->cloud_text) {
			json_put_name(w, "cloudstack_message");
			json_put_text(w, err->cloud_text);
		}
		json_end_object(w);
	}
	json_end_object(w);
}

static void write_error(struct rest_encoder *encoder, struct evhttp_request *http,
			const struct err *err)
{
	const struct err_view *view = err_view(err->code);
	_cleanup_json_writer_ struct json_writer w = { .out = &encoder->body };

	assert(err->code != ERR_NONE);
	log_debug("%s: %d: %s", evhttp_request_get_uri(http), view->http_status, err->text);
	buf_reset(&encoder->body);
	put_error(err, &w);
	if (view->retry_helps && (view->http_status == 429 || view->http_status == 503))
		add_header(http, "Retry-After", RETRY_AFTER_S);
	if (view->http_status == 401)
		add_header(http, "WWW-Authenticate", "Bearer");
}

void rest_reply_error(struct rest_encoder *encoder, struct evhttp_request *http,
		      const struct err *err)
{
	write_error(encoder, http, err);
	send_body(encoder, http, err_view(err->code)->http_status);
}

void rest_reply_refusal(struct rest_encoder *encoder, struct evhttp_request *http,
			const struct err *err)
{
	write_error(encoder, http, err);
	send_last_body(encoder, http, err_view(err->code)->http_status);
}

void rest_reply_verbs(struct rest_encoder *encoder, struct evhttp_request *http, unsigned verbs)
{
	_cleanup_buf_ struct buf allow = BUF_NULL;
	struct err err = { 0 };

	route_allow(verbs, &allow);
	add_header(http, "Allow", allow.data);
	if (evhttp_request_get_command(http) == EVHTTP_REQ_OPTIONS) {
		buf_reset(&encoder->body);
		send_body(encoder, http, 204);
		return;
	}
	err_set(&err, ERR_BAD_VERB, "this path takes %s only", allow.data);
	rest_reply_error(encoder, http, &err);
}

static void put_items(const struct answer *answer, struct json_writer *w)
{
	json_begin_array(w);
	for (size_t i = 0; i < answer->count; i++)
		record_to_json(answer->record, answer_item(answer, i), false, w);
	json_end_array(w);
}

static void put_many(struct evhttp_request *http, const struct method *method,
		     const struct answer *answer, struct json_writer *w)
{
	if (!method->list_key) {
		put_items(answer, w);
		if (answer->next_cursor) {
			_cleanup_buf_ struct buf link = BUF_NULL;

			route_next_link(evhttp_request_get_uri(http), answer->next_cursor, &link);
			add_header(http, "Link", link.data);
		}
		return;
	}
	json_begin_object(w);
	if (method->list_subject) {
		json_put_name(w, method->list_subject);
		json_put_text(w, str_or(answer->list_subject, ""));
	}
	json_put_name(w, method->list_key);
	put_items(answer, w);
	json_put_name(w, "count");
	json_put_uint(w, answer->count);
	if (answer->listed_ms) {
		char time[TIME_TEXT_SIZE];

		time_format(clock_wall_ms() - (clock_mono_ms() - answer->listed_ms), time);
		json_put_member(w, "listed_at", time);
	}
	if (answer->next_cursor) {
		json_put_name(w, "next_cursor");
		json_put_text(w, answer->next_cursor);
	}
	json_end_object(w);
}

/* The address of the object that was begun or made. */
static void add_location(struct evhttp_request *http, const struct method *method,
			 const struct answer *answer)
{
	enum method_scope scope = method_answer_scope(method);
	_cleanup_buf_ struct buf location = BUF_NULL;

	if (scope == SCOPE_MANAGER)
		return;
	assert(answer->record == scopes[scope].record);
	route_fill(methods[scopes[scope].show].path, scope_id_of(scope, answer->items), &location);
	add_header(http, "Location", location.data);
}

/* Sends what stands in the body, unless it is too much for all clients together. */
static void send_if_room(struct rest_encoder *encoder, struct evhttp_request *http, int status)
{
	struct err err;

	if (connections_have_room(encoder->connections, http, encoder->body.length)) {
		send_body(encoder, http, status);
		return;
	}
	err_set(&err, ERR_UNAVAILABLE,
		"there is no room for an answer of %zu bytes: other clients do not read their answers; try again later",
		encoder->body.length);
	evhttp_clear_headers(evhttp_request_get_output_headers(http)); /* of the answer */
	rest_reply_error(encoder, http, &err);
}

/* True if a thread has the body, and rest_reply_compressed() follows. */
static bool compress(struct rest_encoder *encoder, struct evhttp_request *http, int status)
{
	if (encoder->body.length >= GZIP_LARGE) {
		if (!gzip_submit(encoder->gzip, http, status, &encoder->body))
			return false;
		connections_hold(encoder->connections, http);
		return true;
	}
	if (gzip_compress(&encoder->body))
		add_header(http, "Content-Encoding", "gzip");
	return false;
}

/* Sends what stands in the body, unless it is too much for one client or for all. */
static void send_answer(struct rest_encoder *encoder, struct evhttp_request *http, int status,
			bool gzip)
{
	struct err err;

	if (encoder->body.length > ANSWER_SIZE_MAX) {
		err_set(&err, ERR_TOO_LARGE,
			"the answer would have %zu bytes and may have %zu: ask for less",
			encoder->body.length, ANSWER_SIZE_MAX);
		buf_clear(&encoder->body);
		rest_reply_error(encoder, http, &err);
		return;
	}
	if (gzip && !encoder->is_secret && encoder->body.length >= GZIP_MIN &&
	    compress(encoder, http, status))
		return;
	send_if_room(encoder, http, status);
}

void rest_reply_compressed(struct rest_encoder *encoder, struct evhttp_request *http,
			   struct gzip_answer *answer)
{
	buf_clear(&encoder->body);
	encoder->body = answer->body;
	answer->body = (struct buf)BUF_NULL;
	if (answer->is_compressed)
		add_header(http, "Content-Encoding", "gzip");
	send_if_room(encoder, http, answer->status);
}

static bool has_secret(const struct record *record)
{
	for (size_t i = 0; i < record->count; i++) {
		if (record->fields[i].flags & FIELD_SECRET)
			return true;
	}
	return false;
}

/* A buffer that grows leaves copies behind. */
static void begin_secret(struct rest_encoder *encoder)
{
	encoder->is_secret = true;
	buf_clear(&encoder->body);
	buf_reserve(&encoder->body, SECRET_ROOM);
}

void rest_reply_answer(struct rest_encoder *encoder, struct evhttp_request *http,
		       const struct method *method, const struct answer *answer, bool gzip)
{
	_cleanup_json_writer_ struct json_writer w = { .out = &encoder->body };
	int status = answer->unhealthy ? 503 : 200;

	if (answer->err) {
		rest_reply_error(encoder, http, answer->err);
		return;
	}
	buf_reset(&encoder->body);
	if (has_secret(answer->record))
		begin_secret(encoder);
	switch (method->answer) {
	case ANSWER_MANY:
		put_many(http, method, answer, &w);
		break;
	case ANSWER_OPERATION:
	case ANSWER_CREATED:
		status = 201;
		add_location(http, method, answer);
		record_to_json(answer->record, answer->items, false, &w);
		break;
	case ANSWER_ONE:
		record_to_json(answer->record, answer->items, false, &w);
		break;
	case ANSWER_DESCRIPTOR: /* no route leads there */
		abort();
	}
	send_answer(encoder, http, status, gzip);
	if (encoder->is_secret)
		buf_wipe(&encoder->body); /* of an answer that was not sent */
	encoder->is_secret = false;
}

void rest_reply_text(struct rest_encoder *encoder, struct evhttp_request *http, const char *type,
		     const struct buf *text, bool gzip)
{
	add_header(http, "Content-Type", type);
	buf_reset(&encoder->body);
	buf_add(&encoder->body, text->data, text->length);
	send_answer(encoder, http, 200, gzip);
}

void rest_reply_document(struct rest_encoder *encoder, struct evhttp_request *http,
			 void (*print)(struct buf *out), bool gzip)
{
	buf_reset(&encoder->body);
	print(&encoder->body);
	send_answer(encoder, http, 200, gzip);
}
