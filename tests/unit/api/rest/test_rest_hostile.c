/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What REST answers to those who ask badly, by mistake or on purpose. None of it may reach core. */

#include "rest_fixture.h"

#include <stdio.h>

static void test_paths(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int status;
		const char *target, *field;
	} rows[] = {
		{ 404, "/api/v1", NULL },
		{ 404, "/api/v1/nothing", NULL },
		{ 404, "/health/", NULL },
		{ 404, VOLUME_PATH "/", NULL },
		{ 404, "/api/v1//volumes", NULL },
		{ 404, "/API/V1/volumes", NULL },
		{ 404, VOLUME_PATH "/a/b/c/d/e/f", NULL },
		{ 404, "/api/v1/volumes%2F" SAMPLE_UUID, NULL },
		{ 400, "//localhost/health", NULL },
		{ 400, "ftp://localhost/health", NULL },
		{ 400, "/hel%6", NULL },
		{ 400, "/health%00", NULL },
		{ 400, VOLUME_PATH "%00", NULL },
		{ 400, "/api/v1/volumes/../volumes", NULL },
		{ 400, "/api/v1/volumes/%2e%2e/device", NULL },
		{ 400, "/api/v1/volumes/%0d%0aX:%20y", NULL },
		{ 400, "/api/v1/volumes/42", "volume_id" },
		{ 400, VOLUME_PATH "%2Fdevice", "volume_id" },
		{ 400, VOLUME_PATH "0/device", "volume_id" },
		{ 400, "/api/v1/vms/no-uuid/volumes", "vm_id" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_reply_ struct reply reply;

		ask(f, "GET", rows[i].target, NULL, NULL, &reply);
		if (reply.status != rows[i].status)
			fail_msg("%s gave %d: %s", rows[i].target, reply.status, reply.body);
		assert_error(&reply, rows[i].status,
			     rows[i].status == 404 ? "NOT_FOUND" : "INVALID_REQUEST",
			     rows[i].field);
	}
	assert_int_equal(f->core.started, 0);
}

static void test_queries(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *target, *field;
	} rows[] = {
		{ VOLUME_PATH "?colour=red", "colour" },
		{ VOLUME_PATH "?REFRESH=true", "REFRESH" },
		{ VOLUME_PATH "?refresh=true&refresh=true", "refresh" },
		{ VOLUME_PATH "?refresh=maybe", "refresh" },
		{ VOLUME_PATH "?refresh=%", "refresh" },
		{ VOLUME_PATH "?%00", NULL },
		{ VOLUME_PATH "?=1", NULL },
		{ "/api/v1/volumes?limit=0", "limit" },
		{ "/api/v1/volumes?limit=1001", "limit" },
		{ "/api/v1/volumes?limit=-1", "limit" },
		{ "/api/v1/volumes?limit=9223372036854775808", "limit" },
		{ "/api/v1/volumes?limit=1e2", "limit" },
		{ "/api/v1/volumes?limit=", "limit" },
		{ "/api/v1/volumes?limit=%2010", "limit" },
		{ "/api/v1/volumes?name=a%00b", "name" },
		{ "/api/v1/volumes?name=%ff", "name" },
		{ "/api/v1/volumes?vm_id=1", "vm_id" },
		{ "/api/v1/operations?since=yesterday", "since" },
		{ "/api/v1/operations/" SAMPLE_OPERATION "?wait=61", "wait" },
		{ "/api/v1/operations/" SAMPLE_OPERATION "?wait=-1", "wait" },
		{ "/health?x", "x" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_reply_ struct reply reply;

		ask(f, "GET", rows[i].target, NULL, NULL, &reply);
		if (reply.status != 400)
			fail_msg("%s gave %d: %s", rows[i].target, reply.status, reply.body);
		assert_error(&reply, 400, "INVALID_REQUEST", rows[i].field);
	}
	assert_int_equal(f->core.started, 0);
}

#define CREATE(SIZE, MORE)                                                                         \
	"{\"name\":\"n\",\"disk_offering_id\":\"" SAMPLE_UUID "\",\"zone_id\":\"" SAMPLE_UUID      \
	"\",\"size\":" SIZE MORE "}"

static void test_bodies(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *body, *field;
	} rows[] = {
		{ "{", NULL },
		{ "nonsense", NULL },
		{ " ", NULL },
		{ "{}{}", NULL },
		{ "{} x", NULL },
		{ "{\"name\":}", NULL },
		{ "{'name':'n'}", NULL },
		{ "[]", NULL },
		{ "null", NULL },
		{ "\"text\"", NULL },
		{ "17", NULL },
		{ "name=n&size=1", NULL },
		{ "{}", "name" },
		{ CREATE("1073741824", ",\"colour\":1"), "colour" },
		{ CREATE("1073741824", ",\"Name\":\"n\""), "Name" },
		{ CREATE("1073741824", ",\"metadata\":[]"), "metadata" },
		{ CREATE("1073741824", ",\"metadata\":\"{}\""), "metadata" },
		{ CREATE("0", ""), "size" },
		{ CREATE("-1", ""), "size" },
		{ CREATE("1", ""), "size" },
		{ CREATE("1073741823", ""), "size" },
		{ CREATE("1073741824.5", ""), "size" },
		{ CREATE("70368744177665", ""), "size" },
		{ CREATE("9223372036854775808", ""), "size" },
		{ CREATE("18446744073709551617", ""), "size" },
		{ CREATE("1e30", ""), "size" },
		{ CREATE("-1e30", ""), "size" },
		{ CREATE("1e999", ""), "size" },
		{ CREATE("null", ""), "size" },
		{ CREATE("true", ""), "size" },
		{ CREATE("[1073741824]", ""), "size" },
		{ "{\"name\":17,\"size\":1073741824}", "name" },
		{ "{\"name\":\"\",\"size\":1073741824}", "name" },
		{ "{\"name\":\"a\\u0007b\"}", "name" },
		{ "{\"zone_id\":\"17\"}", "zone_id" },
		{ "{\"zone_id\":{}}", "zone_id" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_reply_ struct reply reply;

		ask(f, "POST", "/api/v1/volumes", NULL, rows[i].body, &reply);
		if (reply.status != 400)
			fail_msg("%s gave %d: %s", rows[i].body, reply.status, reply.body);
		assert_error(&reply, 400, "INVALID_REQUEST", rows[i].field);
	}
	assert_int_equal(f->core.started, 0);
}

static void test_deeply_nested_body(void **state)
{
	struct fixture *f = *state;
	const size_t depths[] = { JSON_DEPTH_MAX + 1, 1000, 100000 };

	for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
		_cleanup_buf_ struct buf body = BUF_NULL;
		_cleanup_reply_ struct reply reply;

		for (size_t level = 0; level < depths[i]; level++)
			buf_add_text(&body, "{\"metadata\":");
		buf_add_text(&body, "1");
		for (size_t level = 0; level < depths[i]; level++)
			buf_add_char(&body, '}');
		ask(f, "POST", "/api/v1/volumes", NULL, body.data, &reply);
		/* 100,000 levels are also more than a body may be long. */
		if (body.length > 1024 * 1024)
			assert_error(&reply, 413, "TOO_LARGE", NULL);
		else
			assert_error(&reply, 400, "INVALID_REQUEST", NULL);
	}
}

static void test_body_with_nul(void **state)
{
	static const char body[] = "{}\0{}";
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open(&c, f);
	client_text(&c,
		    "POST " VOLUME_PATH
		    "/detach HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
		    sizeof(body) - 1);
	client_send(&c, body, sizeof(body) - 1);
	client_reply(&c, false, &reply);
	assert_error(&reply, 400, "INVALID_REQUEST", NULL);
}

static void test_arguments_at_the_wrong_place(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply get, post;

	ask(f, "GET", VOLUME_PATH, NULL, "{\"refresh\":true}", &get);
	assert_error(&get, 400, "INVALID_REQUEST", NULL);
	ask(f, "POST", VOLUME_PATH "/detach?force=true", NULL, NULL, &post);
	assert_error(&post, 400, "INVALID_REQUEST", NULL);
	assert_int_equal(f->core.started, 0);
}

static void test_body_over_the_limit(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf body = BUF_NULL;
	_cleanup_reply_ struct reply fits, over;
	_cleanup_client_ struct client far;
	_cleanup_reply_ struct reply refused;

	buf_add_text(&body, "{}");
	while (body.length < 1024 * 1024)
		buf_add_char(&body, ' ');
	ask(f, "POST", VOLUME_PATH "/detach", NULL, body.data, &fits);
	assert_int_equal(fits.status, 201);
	buf_add_char(&body, ' ');
	ask(f, "POST", VOLUME_PATH "/detach", NULL, body.data, &over);
	assert_error(&over, 413, "TOO_LARGE", NULL);

	/* So large that it is refused by its announced length, before any of it came. */
	client_open(&far, f);
	client_text(&far, "POST " VOLUME_PATH "/detach HTTP/1.1\r\nHost: localhost\r\n"
			  "Content-Length: 1099511627776\r\nExpect: 100-continue\r\n\r\n");
	client_reply(&far, false, &refused);
	assert_error(&refused, 413, "TOO_LARGE", NULL);
	assert_int_equal(f->core.started, 1);
}

static void test_chunked_body_over_the_limit(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf chunk = BUF_NULL;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	buf_add_text(&chunk, "10000\r\n");
	for (size_t i = 0; i < 0x10000; i++)
		buf_add_char(&chunk, ' ');
	buf_add_text(&chunk, "\r\n");
	client_open(&c, f);
	client_text(&c,
		    "POST " VOLUME_PATH
		    "/detach HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
	/* Without an end: the server has to say stop. */
	for (int i = 0; i < 10000 && !c.closed && c.in.length == 0; i++)
		client_send(&c, chunk.data, chunk.length);
	client_reply(&c, false, &reply);
	assert_error(&reply, 413, "TOO_LARGE", NULL);
	assert_int_equal(f->core.started, 0);
}

static void test_headers_over_the_limit(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	buf_add_text(&text, "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ");
	while (text.length < 17 * 1024)
		buf_add_char(&text, 'x');
	client_open(&c, f);
	client_send(&c, text.data, text.length);
	client_reply(&c, false, &reply);
	assert_error(&reply, 400, "INVALID_REQUEST", NULL);
	assert_int_equal(f->core.started, 0);
}

/* Whole requests as they are: what is before the path. */
static const struct {
	int status;
	const char *text;
} raw_requests[] = {
	{ 200, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" },
	{ 200, "GET /health HTTP/1.1\r\nHost: LocalHost:8090\r\n\r\n" },
	{ 200, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n" },
	{ 200, "GET /health HTTP/1.1\r\nhost: [::1]\r\n\r\n" },
	{ 200, "GET /health HTTP/1.1\r\nHost: [::1]:65535\r\n\r\n" },
	{ 200, "GET /health HTTP/1.0\r\n\r\n" },
	{ 400, "GET /health HTTP/1.1\r\n\r\n" },
	{ 400, "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n" },
	{ 400, "GET /health HTTP/1.1\r\nHost: localhost\r\nhOST: evil\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost:\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost: evil:localhost\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost: localhost:65536\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost: localhost:80x\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost: localhost:\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost: localhost@evil\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost: [::1\r\n\r\n" },
	{ 421, "GET /health HTTP/1.1\r\nHost: [::1]x\r\n\r\n" },
	{ 421, "GET /health HTTP/1.0\r\nHost: evil.example\r\n\r\n" },
	{ 403, "GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n" },
	{ 403, "GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n" },
	{ 403,
	  "GET /health HTTP/1.1\r\nHost: localhost:8090\r\nOrigin: http://localhost:3000\r\n\r\n" },
	{ 403, "GET /health HTTP/1.0\r\nOrigin: http://localhost\r\n\r\n" },
	{ 403,
	  "OPTIONS /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n" },
	{ 403, "POST " VOLUME_PATH
	       "/detach HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n" },
	{ 200,
	  "GET /health HTTP/1.1\r\nHost: localhost:8090\r\nOrigin: http://localhost:8090\r\n\r\n" },
	{ 400,
	  "POST " VOLUME_PATH
	  "/detach HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}" },
	{ 400,
	  "POST " VOLUME_PATH "/detach HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n" },
	{ 400, "POST " VOLUME_PATH
	       "/detach HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	       "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}" },
	{ 400,
	  "GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n" },
	{ 400, "POST " VOLUME_PATH "/detach HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" },
	{ 400, "GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n" },
	{ 400, "GET /health\r\n\r\n" },
	{ 400, "nonsense\r\n\r\n" },
	{ 400, "\x16\x03\x01\r\n\r\n" },
	{ 405, "PROPFIND /health HTTP/1.1\r\nHost: localhost\r\n\r\n" },
};

static void test_raw_requests(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(raw_requests); i++) {
		_cleanup_client_ struct client c;
		_cleanup_reply_ struct reply reply;
		size_t started = f->core.started;

		client_open(&c, f);
		client_send(&c, raw_requests[i].text, strlen(raw_requests[i].text));
		client_reply(&c, false, &reply);
		if (reply.status != raw_requests[i].status ||
		    !streq(reply_header(&reply, "Content-Type"), "application/json"))
			fail_msg("'%s' gave %d: %s", raw_requests[i].text, reply.status,
				 reply.body);
		assert_int_equal(f->core.started - started, reply.status == 200);
	}
}

static void test_words_of_the_guards(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply misdirected, origin;

	client_open(&c, f);
	client_text(&c, "GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n");
	client_reply(&c, false, &misdirected);
	assert_error(&misdirected, 421, "MISDIRECTED", NULL);
	assert_non_null(strstr(misdirected.headers, "421 Misdirected Request\r\n"));
	ask(f, "GET", "/health", "Origin: https://localhost\r\n", NULL, &origin);
	assert_error(&origin, 403, "FORBIDDEN", NULL);
}

/* Node's fetch() looks like a browser, and its users do not expect that. */
static void test_words_for_a_body_of_fetch(void **state)
{
	_cleanup_reply_ struct reply reply;

	ask(*state, "POST", VOLUME_PATH "/detach",
	    "sec-fetch-mode: cors\r\nContent-Type: text/plain;charset=UTF-8\r\n", "{}", &reply);
	assert_error(&reply, 415, "UNSUPPORTED_MEDIA_TYPE", NULL);
	assert_non_null(strstr(reply.body, "the header sec-fetch-mode"));
	assert_non_null(strstr(reply.body, "Content-Type: application/json"));
}

/* What a browser tells of a page that need not name its origin, as for an image. */
static void test_other_sites(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int status;
		const char *headers;
	} rows[] = {
		{ 403, "Sec-Fetch-Site: cross-site\r\n" },
		{ 403, "sec-fetch-site: same-site\r\n" },
		{ 400, "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n" },
		{ 200, "Sec-Fetch-Site: none\r\n" },
		{ 200, "Sec-Fetch-Site: same-origin\r\n" },
		/* the Origin says more */
		{ 200, "Origin: http://localhost\r\nSec-Fetch-Site: cross-site\r\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_reply_ struct reply reply;

		ask(f, "GET", "/health", rows[i].headers, NULL, &reply);
		if (reply.status != rows[i].status)
			fail_msg("%s gave %d: %s", rows[i].headers, reply.status, reply.body);
	}
}

static void test_content_types(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int status;
		const char *headers;
	} rows[] = {
		{ 201, NULL },
		{ 201, "Content-Type: application/json\r\n" },
		{ 201, "Content-Type: application/x-www-form-urlencoded\r\n" },
		{ 201,
		  "Origin: http://localhost\r\nContent-Type: Application/JSON; charset=utf-8\r\n" },
		{ 201, "Sec-Fetch-Site: same-origin\r\nContent-Type: application/json\r\n" },
		{ 415, "Origin: http://localhost\r\n" },
		{ 415, "Origin: http://localhost\r\nContent-Type: text/plain\r\n" },
		{ 415, "Origin: http://localhost\r\nContent-Type: application/jsonx\r\n" },
		{ 415,
		  "Sec-Fetch-Mode: cors\r\nContent-Type: application/x-www-form-urlencoded\r\n" },
		{ 415, "sec-fetch-site: none\r\n" },
		{ 415, "Content-Encoding: gzip\r\n" },
		{ 415, "Content-Encoding: gzip\r\nContent-Type: application/json\r\n" },
		{ 201, "Content-Encoding: identity\r\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_reply_ struct reply reply;

		ask(f, "POST", VOLUME_PATH "/detach", rows[i].headers, "{}", &reply);
		if (reply.status != rows[i].status)
			fail_msg("%s gave %d: %s", str_or(rows[i].headers, ""), reply.status,
				 reply.body);
		if (reply.status == 415)
			assert_error(&reply, 415, "UNSUPPORTED_MEDIA_TYPE", NULL);
	}
}

/* A text of the client's in an error text: still one JSON string and no header of its own. */
static void test_what_is_quoted_stays_quoted(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply query, body;

	ask(f, "GET", VOLUME_PATH "?%22%5c%3C=1", NULL, NULL, &query);
	assert_error(&query, 400, "INVALID_REQUEST", "\"\\<");
	ask(f, "POST", VOLUME_PATH "/detach", NULL, "{\"a\\r\\nX: y\":1}", &body);
	assert_int_equal(body.status, 400);
	assert_null(reply_header(&body, "X"));
}

/* The body is written out before its length is known; the connection goes on. */
static void test_an_answer_over_the_limit(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply refused, reply;

	client_open(&c, f);
	f->core.count = 60000;
	client_request(&c, "GET", "/api/v1/volumes", NULL, NULL);
	client_reply(&c, false, &refused);
	assert_error(&refused, 413, "TOO_LARGE", NULL);
	f->core.count = 1;
	client_request(&c, "GET", "/api/v1/volumes", NULL, NULL);
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
}

/* Values of JSON are counted, not only bytes. */
static void test_a_body_of_many_values(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply reply;
	_cleanup_buf_ struct buf body = BUF_NULL;

	buf_add_text(&body, "{\"force\":[0");
	for (int i = 0; i < 50000; i++)
		buf_add_text(&body, ",0");
	buf_add_text(&body, "]}");
	ask(f, "POST", VOLUME_PATH "/detach", NULL, body.data, &reply);
	assert_error(&reply, 413, "TOO_LARGE", NULL);
	assert_non_null(strstr(reply.body, "more than 50000 values"));
	assert_int_equal(f->core.started, 0);
}

int main(void)
{
#define T(FN) cmocka_unit_test_setup_teardown(FN, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_paths),
		T(test_queries),
		T(test_bodies),
		T(test_deeply_nested_body),
		T(test_body_with_nul),
		T(test_arguments_at_the_wrong_place),
		T(test_body_over_the_limit),
		T(test_chunked_body_over_the_limit),
		T(test_headers_over_the_limit),
		T(test_raw_requests),
		T(test_words_of_the_guards),
		T(test_words_for_a_body_of_fetch),
		T(test_other_sites),
		T(test_content_types),
		T(test_what_is_quoted_stays_quoted),
		T(test_an_answer_over_the_limit),
		T(test_a_body_of_many_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
