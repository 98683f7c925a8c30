/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What evhttp sees of the bytes of a connection. The bytes may come in any pieces. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those it needs */
#include <cmocka.h>

#include <stdio.h>

#include "api/rest/framing.h"

#define HOST "Host: h\r\n"
#define POST "POST /p HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n"
#define REFUSED "GET / HTTP/1.1\r\n\r\n"

/* Chunks are cut as their pieces come. */
static void join_chunks(const char *text, struct buf *out)
{
	const char *body = strstr(text, "\r\n\r\n");

	if (!body || !strstr(text, "chunked")) {
		buf_add_text(out, text);
		return;
	}
	body += 4;
	buf_add(out, text, (size_t)(body - text));
	while (*body) {
		char *data;
		size_t size = strtoul(body, &data, 16);

		assert_memory_equal(data, "\r\n", 2);
		if (size == 0) {
			buf_add_text(out, body);
			return;
		}
		buf_add(out, data + 2, size);
		body = data + 2 + size;
		assert_memory_equal(body, "\r\n", 2);
		body += 2;
	}
}

static void feed(struct framing *framing, const char *text, size_t step, struct buf *out)
{
	_cleanup_buf_ struct buf passed = BUF_NULL;
	size_t length = strlen(text);

	for (size_t at = 0; at < length; at += step)
		framing_feed(framing, text + at, at + step < length ? step : length - at, &passed);
	join_chunks(str_or(passed.data, ""), out);
}

/* refused: a part of the refusal, NULL: there is none. */
static void assert_passes(const char *text, const char *passed, const char *refused)
{
	static const size_t steps[] = { 1, 2, 3, 7, 64, SIZE_MAX / 2 };
	_cleanup_buf_ struct buf expected = BUF_NULL;

	join_chunks(passed, &expected);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		_cleanup_buf_ struct buf out = BUF_NULL;
		struct framing framing = { 0 };

		feed(&framing, text, steps[i], &out);
		if (!streq(str_or(out.data, ""), str_or(expected.data, "")))
			fail_msg("'%s' in pieces of %zu became '%s'", text, steps[i], out.data);
		if (!refused != !framing.refusal ||
		    (refused && !strstr(framing.refusal->text, refused)))
			fail_msg("'%s' in pieces of %zu: %s", text, steps[i],
				 framing.refusal ? framing.refusal->text : "not refused");
		framing_clear(&framing);
	}
}

static void test_what_is_right_passes_as_it_is(void **state)
{
	static const char *const rows[] = {
		"GET /a?b=c HTTP/1.1\r\n" HOST "\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"HEAD /x HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
		POST "Content-Length: 2\r\n\r\n{}",
		POST "Content-Length: 0\r\n\r\nGET /a HTTP/1.1\r\n" HOST "\r\n",
		POST "Expect: 100-continue\r\nContent-Length: 002\r\n\r\n{}",
		"DELETE /a HTTP/1.1\r\n" HOST "X: \xc3\xa9 \"\tz\r\nX-Empty: \r\n\r\n",
		CHUNKED "\r\n2\r\n{}\r\n0\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
		"GET /%2f\xc3\xa9#x HTTP/1.1\r\n" HOST "\r\n", /* for the routes to refuse */
		"GET /partly HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabc",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_passes(rows[i], rows[i], NULL);
}

static void test_what_evhttp_takes_wrongly_is_rewritten(void **state)
{
	static const struct {
		const char *text, *passed;
	} rows[] = {
		{ "\r\n\r\nGET /a HTTP/1.1\r\n" HOST "\r\n", "GET /a HTTP/1.1\r\n" HOST "\r\n" },
		{ "EJECT /a HTTP/1.1\r\n" HOST "\r\n", "PATCH /a HTTP/1.1\r\n" HOST "\r\n" },
		{ "get /a HTTP/1.1\r\n" HOST "\r\n", "PATCH /a HTTP/1.1\r\n" HOST "\r\n" },
		{ "TRACE /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
		  "PATCH /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx" },
		{ "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", "PATCH * HTTP/1.1\r\n" HOST "\r\n" },
		{ "GET /a HTTP/1.1\r\nHost:h\t \r\nExpect:\t100-Continue\r\n\r\n",
		  "GET /a HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n" },
		{ "GET http://o:1/a?b HTTP/1.1\r\nA: b\r\nHost: h\r\n\r\n",
		  "GET /a?b HTTP/1.1\r\nA: b\r\nHost: o:1\r\n\r\n" },
		{ "GET HTTP://o HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost: o\r\n\r\n" },
		{ "GET http://o?b HTTP/1.0\r\n\r\n", "GET /?b HTTP/1.0\r\nHost: o\r\n\r\n" },
		{ "GET http:///a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.0\r\nHost: \r\n\r\n" },
		{ CHUNKED "\r\n02;a=\"b\" ;c\r\n{}\r\n1 ; d\r\n \r\n000\r\nX-Sum: 1\r\n\r\n",
		  CHUNKED "\r\n3\r\n{} \r\n0\r\n\r\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_passes(rows[i].text, rows[i].passed, NULL);
}

static void test_a_head_that_is_refused(void **state)
{
	static const struct {
		const char *head, *why;
	} rows[] = {
		{ "nonsense", "no request line" },
		{ " GET / HTTP/1.1", "no request of HTTP/1.1" },
		{ "\x16\x03\x01", "not encrypted" },
		{ "G(T / HTTP/1.1", "no request line" },
		{ "GET HTTP/1.1", "no target" },
		{ "GET /", "its version" },
		{ "GET / HTTP/2.0", "not HTTP/2.0" },
		{ "GET / HTTP/1.10", "not HTTP/1.10" },
		{ "GET / http/1.1", "its version" },
		{ "GET / HTTP/1.1 ", "its version" },
		{ "GET /a b HTTP/1.1", "blank" },
		{ "GET  / HTTP/1.1", "blank" },
		{ "GET /\x01 HTTP/1.1", "control character" },
		{ "GET http://a\rb/ HTTP/1.1", "control character" },
		{ "GET //o/a HTTP/1.1", "one '/'" },
		{ "GET a HTTP/1.1", "one '/'" },
		{ "GET o:80 HTTP/1.1", "one '/'" },
		{ "GET http://o//p/a HTTP/1.0", "one '/'" },
		{ "GET https://o/a HTTP/1.1", "not encrypted" },
		{ "GET http://o/a HTTP/1.1", "Host is missing" },
		{ "GET / HTTP/1.1\r\nX\r\nY: z", "no ':'" },
		{ "GET / HTTP/1.1\r\n: z", "no name" },
		{ "GET / HTTP/1.1\r\nX : z", "no ':'" },
		{ "GET / HTTP/1.1\r\nX: a\r\n b", "second line" },
		{ "GET / HTTP/1.1\r\nX: a\rb", "X has a control" },
		{ "GET / HTTP/1.1\r\nX: a\nY: b", "LF alone" },
		{ "GET / HTTP/1.1\nX: a", "LF alone" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nhOST: a", "Host is given twice" },
		{ "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1", "twice" },
		{ "GET / HTTP/1.1\r\nContent-Length: +2", "decimal" },
		{ "GET / HTTP/1.1\r\nContent-Length: -2", "decimal" },
		{ "GET / HTTP/1.1\r\nContent-Length: 2, 2", "decimal" },
		{ "GET / HTTP/1.1\r\nContent-Length: 0x2", "decimal" },
		{ "GET / HTTP/1.1\r\nContent-Length:", "decimal" },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: gzip", "may only be chunked" },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked", "may only be chunked" },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: chunked;a=b", "may only be chunked" },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
		  "once" },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked", "HTTP/1.0 has no" },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1", "exclude" },
		{ "GET / HTTP/1.1\r\nExpect: miracles", "100-continue" },
		{ "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999", "longer than" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf text = BUF_NULL;

		/* What comes after it is no request. */
		buf_printf(&text, "%s\r\n\r\nGET /b HTTP/1.1\r\n" HOST "\r\n", rows[i].head);
		assert_passes(text.data, REFUSED, rows[i].why);
	}
}

static void test_a_nul_in_a_head(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n";
	_cleanup_buf_ struct buf passed = BUF_NULL;
	struct framing framing = { 0 };

	framing_feed(&framing, text, sizeof(text) - 1, &passed);
	assert_string_equal(passed.data, REFUSED);
	assert_non_null(strstr(framing.refusal->text, "control character"));
	framing_clear(&framing);
}

/* evhttp reads no body of HEAD, and would take it for a request. */
static void test_a_body_of_head(void **state)
{
	assert_passes("HEAD / HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nGET ",
		      "HEAD / HTTP/1.1\r\n\r\n", "HEAD has no body");
	assert_passes("HEAD / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		      "HEAD / HTTP/1.1\r\n\r\n", "HEAD has no body");
}

/* evhttp has the head already, and gets an end of its body. */
static void test_chunks_that_are_refused(void **state)
{
	static const char *const rows[] = {
		"x\r\n",       "\r\n",
		"-1\r\n",      "+1\r\n",
		"0x1\r\n",     " 1\r\n",
		"1 \r\n",      "1 2\r\n",
		"1\n",         "1;a\rb\n",
		"1\r\nab",     "1\r\na\n",
		"1\r\n1\r\n1", "1000000000000000\r\n",
		"0\r\nX\r\n",  "0\r\n X: y\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf text = BUF_NULL;
		struct framing framing = { 0 };

		buf_printf(&text, CHUNKED "\r\n%s\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", rows[i]);
		for (size_t step = 1; step < text.length; step += 5) {
			_cleanup_buf_ struct buf out = BUF_NULL;

			framing = (struct framing){ 0 };
			feed(&framing, text.data, step, &out);
			if (!framing.refusal || framing.refusal->code != ERR_INVALID)
				fail_msg("not refused: %s", rows[i]);
			assert_int_equal(framing.passed, 1);
			assert_non_null(strstr(out.data, "\r\n\r\n"));
			assert_string_equal(out.data + out.length - 5, "0\r\n\r\n");
			framing_clear(&framing);
		}
	}
}

/* ---- limits ---- */

static void add_many(struct buf *out, size_t count)
{
	while (count-- > 0)
		buf_add_char(out, 'x');
}

static void test_the_length_of_a_head(void **state)
{
	static const char begin[] = "GET / HTTP/1.1\r\nX: ";

	for (size_t over = 0; over < 2; over++) {
		_cleanup_buf_ struct buf text = BUF_NULL, out = BUF_NULL;
		struct framing framing = { 0 };

		buf_add_text(&text, begin);
		add_many(&text, HEAD_MAX + over - strlen(begin) - 4);
		buf_add_text(&text, "\r\n\r\n");
		feed(&framing, text.data, 1000, &out);
		assert_string_equal(out.data, over ? REFUSED : text.data);
		assert_int_equal(framing.refusal != NULL, over);
		framing_clear(&framing);
	}
}

/* Endless lines, of which nothing is kept after the refusal. */
static void test_an_endless_head(void **state)
{
	_cleanup_buf_ struct buf passed = BUF_NULL;
	struct framing framing = { 0 };

	framing_feed(&framing, "GET /", 5, &passed);
	for (int i = 0; i < 100000; i++)
		framing_feed(&framing, "xxxxxxxxxx", 10, &passed);
	assert_string_equal(passed.data, REFUSED);
	assert_non_null(strstr(framing.refusal->text, "longer than 16384 bytes"));
	assert_null(framing.held.data);
	assert_true(framing_discards(&framing));
	framing_clear(&framing);
}

static void feed_many(struct framing *framing, uint64_t count, struct buf *passed)
{
	static char many[1 << 16];

	for (; count > 0; count -= count < sizeof(many) ? count : sizeof(many))
		framing_feed(framing, many, count < sizeof(many) ? (size_t)count : sizeof(many),
			     passed);
}

static void begin_body(struct framing *framing, uint64_t length, const char *more,
		       struct buf *passed)
{
	_cleanup_buf_ struct buf head = BUF_NULL;

	buf_printf(&head, POST "%sContent-Length: %zu\r\n\r\n", more, (size_t)length);
	framing_feed(framing, head.data, head.length, passed);
}

static void test_a_body_over_the_limit_is_thrown_away_to_its_end(void **state)
{
	_cleanup_buf_ struct buf passed = BUF_NULL;
	struct framing framing = { 0 };

	begin_body(&framing, BODY_DRAIN_MAX, "", &passed);
	feed_many(&framing, BODY_DRAIN_MAX - 1, &passed);
	assert_int_equal(passed.length, 0);
	assert_null(framing.refusal);
	assert_true(framing_discards(&framing));
	feed_many(&framing, 1, &passed);
	assert_string_equal(passed.data, REFUSED);
	assert_int_equal(framing.refusal->code, ERR_TOO_LARGE);
	framing_clear(&framing);
}

static void test_a_body_at_the_limit_passes(void **state)
{
	_cleanup_buf_ struct buf passed = BUF_NULL;
	struct framing framing = { 0 };

	begin_body(&framing, BODY_MAX, "", &passed);
	feed_many(&framing, BODY_MAX, &passed);
	assert_true(passed.length > BODY_MAX);
	assert_int_equal(framing.state, FRAMING_HEAD);
	assert_false(framing_discards(&framing));
	framing_clear(&framing);
}

static void test_a_body_that_is_refused_at_once(void **state)
{
	static const struct {
		uint64_t length;
		const char *more;
	} rows[] = {
		{ BODY_DRAIN_MAX + 1, "" },
		{ BODY_MAX + 1, "Expect: 100-continue\r\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf passed = BUF_NULL;
		struct framing framing = { 0 };

		begin_body(&framing, rows[i].length, rows[i].more, &passed);
		assert_string_equal(passed.data, REFUSED);
		assert_int_equal(framing.refusal->code, ERR_TOO_LARGE);
		framing_clear(&framing);
	}
}

/* A zero ends a text of C, but no line of HTTP. */
static void test_zeros_are_refused(void **state)
{
	static const char chunk[] = CHUNKED "\r\n1\0;\r\n";
	const struct {
		const char *bytes;
		size_t length;
	} rows[] = {
		{ "\0", 1 }, /* at once: its client would send no end of a line */
		{ chunk, sizeof(chunk) - 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf passed = BUF_NULL;
		struct framing framing = { 0 };

		framing_feed(&framing, rows[i].bytes, rows[i].length, &passed);
		assert_non_null(framing.refusal);
		framing_clear(&framing);
	}
}

static void feed_chunk(struct framing *framing, size_t length, struct buf *passed)
{
	char size[32];

	snprintf(size, sizeof(size), "%zx\r\n", length);
	framing_feed(framing, size, strlen(size), passed);
	feed_many(framing, length, passed);
	framing_feed(framing, "\r\n", 2, passed);
}

static void test_chunks_over_the_limit(void **state)
{
	_cleanup_buf_ struct buf passed = BUF_NULL;
	struct framing framing = { 0 };
	size_t kept;

	framing_feed(&framing, CHUNKED "\r\n", strlen(CHUNKED "\r\n"), &passed);
	feed_chunk(&framing, BODY_MAX, &passed);
	kept = passed.length;
	feed_chunk(&framing, BODY_MAX, &passed);
	feed_chunk(&framing, 1, &passed);
	assert_int_equal(passed.length, kept);
	assert_null(framing.refusal);
	framing_feed(&framing, "0\r\n\r\n", 5, &passed);
	assert_string_equal(passed.data + kept, "0\r\n\r\n");
	assert_int_equal(framing.refusal->code, ERR_TOO_LARGE);
	assert_int_equal(framing.passed, 1);
	framing_clear(&framing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_right_passes_as_it_is),
		cmocka_unit_test(test_what_evhttp_takes_wrongly_is_rewritten),
		cmocka_unit_test(test_a_head_that_is_refused),
		cmocka_unit_test(test_a_nul_in_a_head),
		cmocka_unit_test(test_a_body_of_head),
		cmocka_unit_test(test_chunks_that_are_refused),
		cmocka_unit_test(test_the_length_of_a_head),
		cmocka_unit_test(test_an_endless_head),
		cmocka_unit_test(test_a_body_over_the_limit_is_thrown_away_to_its_end),
		cmocka_unit_test(test_a_body_at_the_limit_passes),
		cmocka_unit_test(test_a_body_that_is_refused_at_once),
		cmocka_unit_test(test_chunks_over_the_limit),
		cmocka_unit_test(test_zeros_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
