/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The framing of requests, one state for each part of a request. Heads are held until they are
 * whole and checked (head.c). A body with a length passes as it comes; chunks are written anew, as
 * large as their pieces come, since evhttp would keep a chunk until it is whole.
 *
 * A body over the limit is thrown away up to its end and then refused: many clients read no answer
 * before they have sent all. A client that waits for "100 Continue" is refused at once.
 *
 * Where the end of a request is in doubt, so is the beginning of the next one, so a refusal ends
 * the connection.
 */

#include "api/rest/framing.h"

#include <ctype.h>

#define CHUNK_LINE_MAX 4096 /* the size of a chunk and its extensions */
#define SIZE_DIGITS_MAX 15
#define TLS_HANDSHAKE 0x16 /* the first byte of a client of https */
#define LAST_CHUNK "0\r\n\r\n"

/* Bytes that are not looked at yet. */
struct piece {
	const char *bytes;
	size_t length;
};

static struct piece take(struct piece *in, uint64_t length)
{
	struct piece taken = { in->bytes, length < in->length ? (size_t)length : in->length };

	in->bytes += taken.length;
	in->length -= taken.length;
	return taken;
}

/* ---- ends of requests ---- */

static void next_request(struct framing *framing)
{
	buf_clear(&framing->held);
	framing->line = 0;
	framing->left = 0;
	framing->body = 0;
	framing->state = FRAMING_HEAD;
}

static void end_connection(struct framing *framing, const struct err *err)
{
	next_request(framing);
	err_keep(&framing->refusal, err);
	framing->state = FRAMING_ENDED;
}

/* evhttp has not seen the request. */
static void refuse_head(struct framing *framing, bool is_head, const struct err *err,
			struct buf *passed)
{
	buf_printf(passed, "%s / HTTP/1.1\r\n\r\n", is_head ? "HEAD" : "GET");
	framing->passed++;
	end_connection(framing, err);
}

/* evhttp has seen the head of the request, and waits for its next chunk. */
static void refuse_chunks(struct framing *framing, const struct err *err, struct buf *passed)
{
	buf_add_text(passed, LAST_CHUNK);
	end_connection(framing, err);
}

static void too_long(struct err *err)
{
	err_set(err, ERR_TOO_LARGE, "the body is longer than %zu bytes", BODY_MAX);
}

/* ---- lines ---- */

/* Holds the bytes up to a line end, and that. 1: the line is whole; 0: more must come; -1 and err:
 * it is no line. */
static int take_line(struct framing *framing, struct piece *in, struct err *err)
{
	const char *end = memchr(in->bytes, '\n', in->length);
	struct piece part = take(in, end ? (size_t)(end - in->bytes) + 1 : in->length);
	struct buf *held = &framing->held;

	if (held->length + part.length > HEAD_MAX)
		return err_set(err, ERR_INVALID,
			       "the request line and the headers are longer than %zu bytes",
			       HEAD_MAX);
	buf_add(held, part.bytes, part.length);
	if (!end)
		return 0;
	if (held->length - framing->line < 2 || held->data[held->length - 2] != '\r')
		return err_set(err, ERR_INVALID,
			       "a line ends with LF alone: HTTP ends its lines with CR LF");
	return 1;
}

/* The whole line, without its end. */
static struct piece last_line(const struct framing *framing)
{
	return (struct piece){ framing->held.data + framing->line,
			       framing->held.length - framing->line - 2 };
}

/* ---- heads ---- */

static void begin_body(struct framing *framing, const struct request_head *head)
{
	framing->passed++;
	next_request(framing);
	if (head->is_chunked) {
		framing->state = FRAMING_CHUNK_SIZE;
	} else if (head->length > 0) {
		framing->left = head->length;
		framing->state = FRAMING_BODY;
	}
}

static void begin_drain(struct framing *framing, const struct request_head *head,
			struct buf *passed)
{
	struct err err = { 0 };

	next_request(framing);
	framing->left = head->length;
	framing->state = FRAMING_DRAIN;
	if (!head->expects_continue && head->length <= BODY_DRAIN_MAX)
		return;
	too_long(&err);
	refuse_head(framing, false, &err, passed);
}

static void finish_head(struct framing *framing, struct buf *passed)
{
	size_t before = passed->length;
	struct request_head head;
	struct err err;

	if (framing->line == 0) {
		next_request(framing); /* empty lines before a request are allowed */
		return;
	}
	err_clear(&err);
	if (request_head_check(framing->held.data, framing->line, framing->is_encrypted, &head,
			       passed, &err) < 0) {
		buf_cut(passed, before);
		refuse_head(framing, head.is_head, &err, passed);
	} else if (head.length > BODY_MAX) {
		buf_cut(passed, before);
		begin_drain(framing, &head, passed);
	} else {
		begin_body(framing, &head);
	}
}

/* A client that speaks another protocol would wait for an answer instead of ending its line. */
static int check_first(struct piece in, struct err *err)
{
	if (isgraph((unsigned char)*in.bytes) || *in.bytes == '\r' || *in.bytes == '\n')
		return 0;
	return err_set(err, ERR_INVALID, "this is no request of HTTP/1.1%s",
		       *in.bytes == TLS_HANDSHAKE ? ": the connection is not encrypted" : "");
}

static void on_head(struct framing *framing, struct piece *in, struct buf *passed)
{
	struct err err;
	int r;

	err_clear(&err);
	r = framing->held.length == 0 ? check_first(*in, &err) : 0;
	if (r == 0)
		r = take_line(framing, in, &err);
	if (r < 0)
		refuse_head(framing, false, &err, passed);
	else if (r > 0 && last_line(framing).length == 0)
		finish_head(framing, passed);
	else if (r > 0)
		framing->line = framing->held.length;
}

/* ---- bodies with a length ---- */

static void on_body(struct framing *framing, struct piece *in, struct buf *passed)
{
	struct piece part = take(in, framing->left);

	buf_add(passed, part.bytes, part.length);
	framing->left -= part.length;
	if (framing->left == 0)
		next_request(framing);
}

static void on_drain(struct framing *framing, struct piece *in, struct buf *passed)
{
	struct err err = { 0 };

	framing->left -= take(in, framing->left).length;
	if (framing->left > 0)
		return;
	too_long(&err);
	refuse_head(framing, false, &err, passed);
}

/* ---- chunks ---- */

/* strchr() would also find a zero. */
static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* "1a" or "1a; name=value". */
static int read_size(struct piece line, uint64_t *out, struct err *err)
{
	size_t digits = 0, blanks = 0;

	*out = 0;
	while (digits < line.length && isxdigit((unsigned char)line.bytes[digits])) {
		char digit[] = { line.bytes[digits++], '\0' };

		*out = *out << 4 | strtoul(digit, NULL, 16);
	}
	while (digits + blanks < line.length && is_blank(line.bytes[digits + blanks]))
		blanks++;
	if (digits == 0 || digits > SIZE_DIGITS_MAX || line.length > CHUNK_LINE_MAX ||
	    (digits < line.length &&
	     (digits + blanks == line.length || line.bytes[digits + blanks] != ';')))
		return err_set(
			err, ERR_INVALID,
			"a chunk of the body does not begin with a line that has its size in hexadecimal");
	return 0;
}

static void on_chunk_size(struct framing *framing, struct piece *in, struct buf *passed)
{
	struct err err = { 0 };
	int r = take_line(framing, in, &err);

	if (r > 0)
		r = read_size(last_line(framing), &framing->left, &err) < 0 ? -1 : 1;
	if (r < 0)
		refuse_chunks(framing, &err, passed);
	if (r <= 0)
		return;
	buf_clear(&framing->held);
	framing->state = framing->left > 0 ? FRAMING_CHUNK : FRAMING_TRAILER;
}

static void pass_chunk(struct framing *framing, struct piece part, struct buf *passed)
{
	buf_printf(passed, "%zx\r\n", part.length);
	buf_add(passed, part.bytes, part.length);
	buf_add_text(passed, "\r\n");
}

static void on_chunk(struct framing *framing, struct piece *in, struct buf *passed)
{
	struct piece part = take(in, framing->left);
	struct err err = { 0 };

	framing->left -= part.length;
	framing->body += part.length;
	if (framing->body <= BODY_MAX)
		pass_chunk(framing, part, passed);
	if (framing->left == 0)
		framing->state = FRAMING_CHUNK_END;
	if (framing->body <= BODY_DRAIN_MAX)
		return;
	too_long(&err);
	refuse_chunks(framing, &err, passed);
}

static void on_chunk_end(struct framing *framing, struct piece *in, struct buf *passed)
{
	struct err err = { 0 };
	int r = take_line(framing, in, &err);

	if (r > 0 && last_line(framing).length > 0)
		r = -1;
	if (r == 0 && framing->held.length < 2)
		return;
	if (r <= 0) {
		err_set(&err, ERR_INVALID, "a chunk of the body is longer than its size says");
		refuse_chunks(framing, &err, passed);
		return;
	}
	buf_clear(&framing->held);
	framing->state = FRAMING_CHUNK_SIZE;
}

static void finish_chunks(struct framing *framing, struct buf *passed)
{
	struct err err = { 0 };

	if (framing->body <= BODY_MAX) {
		buf_add_text(passed, LAST_CHUNK);
		next_request(framing);
		return;
	}
	too_long(&err);
	refuse_chunks(framing, &err, passed);
}

/* A trailer says nothing that a request here could use. */
static void on_trailer(struct framing *framing, struct piece *in, struct buf *passed)
{
	struct err err = { 0 };
	int r = take_line(framing, in, &err);
	struct piece line;

	if (r == 0)
		return;
	if (r > 0) {
		line = last_line(framing);
		if (line.length == 0) {
			finish_chunks(framing, passed);
			return;
		}
		r = request_field_check(line.bytes, line.length, &err);
	}
	if (r < 0)
		refuse_chunks(framing, &err, passed);
	else
		framing->line = framing->held.length;
}

/* ---- the whole ---- */

static void on_ended(struct framing *framing, struct piece *in, struct buf *passed)
{
	take(in, in->length);
}

void framing_feed(struct framing *framing, const char *bytes, size_t length, struct buf *passed)
{
	static void (*const parts[])(struct framing * framing, struct piece * in,
				     struct buf * passed) = {
		[FRAMING_HEAD] = on_head,       [FRAMING_BODY] = on_body,
		[FRAMING_DRAIN] = on_drain,     [FRAMING_CHUNK_SIZE] = on_chunk_size,
		[FRAMING_CHUNK] = on_chunk,     [FRAMING_CHUNK_END] = on_chunk_end,
		[FRAMING_TRAILER] = on_trailer, [FRAMING_ENDED] = on_ended,
	};
	struct piece in = { bytes, length };

	while (in.length > 0)
		parts[framing->state](framing, &in, passed);
}

bool framing_discards(const struct framing *framing)
{
	return framing->state == FRAMING_ENDED || framing->state == FRAMING_DRAIN ||
	       framing->body > BODY_MAX;
}

void framing_clear(struct framing *framing)
{
	buf_clear(&framing->held);
	err_keep(&framing->refusal, NULL);
}
