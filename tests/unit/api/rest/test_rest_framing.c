/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests that are broken as HTTP: each is answered in the daemon's form of an error, as the last
 * one of its connection, and its client reads the answer although it has sent more. */

#include "rest_fixture.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "api/rest/framing.h"

#define GET "GET " VOLUME_PATH " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define DETACH "POST " VOLUME_PATH "/detach HTTP/1.1\r\nHost: localhost\r\n"

static void assert_closes_with(struct client *c, int status, const char *word)
{
	_cleanup_reply_ struct reply reply;

	client_reply(c, false, &reply);
	assert_error(&reply, status, word, NULL);
	assert_string_equal(reply_header(&reply, "Connection"), "close");
	client_await_close(c);
	assert_int_equal(c->in.length, 0);
}

static void test_a_refusal_is_the_last_answer(void **state)
{
	static const char *const rows[] = {
		"nonsense\r\n\r\n",
		"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
		"GET /health HTTP/1.1\nHost: localhost\n\n",
		"GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n\r\n",
		DETACH "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		DETACH "Content-Length: +2\r\n\r\n{}",
		DETACH "Transfer-Encoding: gzip\r\n\r\n{}",
		DETACH "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x",
		DETACH "Transfer-Encoding: chunked\r\n\r\nx\r\n",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_client_ struct client c;
		_cleanup_reply_ struct reply before;

		/* The one before is answered first, the one after not at all. */
		client_open(&c, f);
		client_text(&c, "%s%s%s", GET, rows[i], GET);
		client_reply(&c, false, &before);
		assert_int_equal(before.status, 200);
		assert_closes_with(&c, 400, "INVALID_REQUEST");
		assert_int_equal(f->core.started, i + 1);
	}
}

static void test_a_body_is_read_before_it_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf body = BUF_NULL;
	_cleanup_client_ struct client c;

	while (body.length < 3 * BODY_MAX)
		buf_add_text(&body, "{ \"a\": 1 }      ");
	client_open(&c, f);
	client_text(&c, DETACH "Content-Length: %zu\r\n\r\n", body.length);
	client_send(&c, body.data, body.length - 1);
	fixture_settle(f);
	assert_int_equal(recv(c.fd, &(char){ 0 }, 1, MSG_PEEK), -1);
	client_send(&c, body.data, 1);
	assert_closes_with(&c, 413, "TOO_LARGE");
}

static void test_chunks_with_all_that_they_may_have(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply first, second;

	client_open(&c, f);
	client_text(&c, GET DETACH "Transfer-Encoding: Chunked\r\n\r\n"
				   "5;name=\"value\"\r\n{\"for\r\n8 ; x\r\nce\":true\r\n1\r\n}\r\n"
				   "0\r\nX-Checksum: 7\r\n\r\n");
	client_reply(&c, false, &first);
	assert_int_equal(first.status, 200);
	client_reply(&c, false, &second);
	assert_int_equal(second.status, 201);
	assert_non_null(strstr(f->core.args.data, "\"force\":true"));
}

static void test_a_target_with_an_authority(void **state)
{
	static const struct {
		int status;
		const char *head;
	} rows[] = {
		{ 200, "GET http://localhost/health HTTP/1.1\r\nHost: localhost" },
		{ 200, "GET http://127.0.0.1:8090/health HTTP/1.1\r\nHost: evil.example" },
		{ 200, "GET HTTP://[::1]/health HTTP/1.0" },
		{ 404, "GET http://localhost/nowhere HTTP/1.1\r\nHost: localhost" },
		{ 421, "GET http://evil.example/health HTTP/1.1\r\nHost: localhost" },
		{ 421, "GET http://evil.example/health HTTP/1.0" },
		{ 421, "GET http://localhost@evil/health HTTP/1.0" },
		{ 421, "GET http:///health HTTP/1.1\r\nHost: localhost" },
		{ 421, "GET https://localhost/health HTTP/1.1\r\nHost: localhost" },
		{ 400, "GET http://localhost/health HTTP/1.1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_client_ struct client c;
		_cleanup_reply_ struct reply reply;

		client_open(&c, *state);
		client_text(&c, "%s\r\nConnection: keep-alive\r\n\r\n", rows[i].head);
		client_reply(&c, false, &reply);
		if (reply.status != rows[i].status)
			fail_msg("%s gave %d: %s", rows[i].head, reply.status, reply.body);
		assert_string_equal(reply_header(&reply, "Content-Type"), "application/json");
	}
}

/* That is the target "/". */
static void test_a_target_that_is_only_an_authority(void **state)
{
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open(&c, *state);
	client_text(&c, "GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n");
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply_header(&reply, "Content-Type"), "text/html; charset=utf-8");
}

/* The connection goes on after each of them. */
static void test_verbs_that_are_no_verbs_of_paths(void **state)
{
	static const struct {
		int status;
		const char *line, *allow;
	} rows[] = {
		{ 204, "OPTIONS *", "GET, HEAD, POST, PUT, DELETE, OPTIONS" },
		{ 405, "GET *", "GET, HEAD, POST, PUT, DELETE, OPTIONS" },
		{ 405, "CONNECT example.org:443", "GET, HEAD, POST, PUT, DELETE, OPTIONS" },
		{ 405, "PROPFIND /health", "GET, HEAD, OPTIONS" },
		{ 405, "TRACE /health", "GET, HEAD, OPTIONS" },
		{ 405, "get /health", "GET, HEAD, OPTIONS" },
		{ 404, "PROPFIND /nothing", NULL },
	};
	_cleanup_client_ struct client c;

	client_open(&c, *state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_reply_ struct reply reply;

		client_text(&c, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
			    rows[i].line);
		client_reply(&c, false, &reply);
		if (reply.status != rows[i].status)
			fail_msg("%s gave %d: %s", rows[i].line, reply.status, reply.body);
		if (rows[i].allow)
			assert_string_equal(reply_header(&reply, "Allow"), rows[i].allow);
		if (reply.status >= 400)
			assert_true(strtoul(reply_header(&reply, "Content-Length"), NULL, 10) > 2);
	}
}

/* Whose end is the end of the connection; a client can see that it has all. */
static void test_an_answer_in_http_1_0_has_its_length(void **state)
{
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open(&c, *state);
	client_text(&c, "GET /health HTTP/1.0\r\n\r\n");
	client_await_close(&c);
	client_reply(&c, false, &reply);
	assert_true(reply.length > 0);
	assert_int_equal(c.in.length, 0);
}

static void test_a_refusal_of_head_has_no_body(void **state)
{
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open(&c, *state);
	client_text(&c, "HEAD /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
	client_reply(&c, true, &reply);
	assert_int_equal(reply.status, 400);
	client_await_close(&c);
	assert_int_equal(c.in.length, 0);
}

/* ---- what comes after a refusal ---- */

/* Sends twice, since the kernel knows after the first bytes whether the server takes any. */
static bool can_send(struct client *c)
{
	for (int i = 0; i < 2; i++) {
		int left = 1;

		if (send(c->fd, "more bytes", 10, MSG_NOSIGNAL) < 0)
			return false;
		for (int turn = 0; left > 0 && turn < 10000000; turn++) {
			loop_turn(c->fixture->loop);
			assert_int_equal(ioctl(c->fd, SIOCOUTQ, &left), 0);
		}
		assert_int_equal(left, 0);
	}
	return true;
}

static void test_a_client_that_goes_on_sending_reads_its_answer(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	client_open(&c, f);
	client_text(&c, "nonsense\r\n\r\n");
	fixture_settle(f); /* the answer was sent, and is not read yet */
	assert_true(can_send(&c));
	assert_closes_with(&c, 400, "INVALID_REQUEST");
	assert_true(can_send(&c));
}

int main(void)
{
#define T(FN) cmocka_unit_test_setup_teardown(FN, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_refusal_is_the_last_answer),
		T(test_a_body_is_read_before_it_is_refused),
		T(test_chunks_with_all_that_they_may_have),
		T(test_a_target_with_an_authority),
		T(test_a_target_that_is_only_an_authority),
		T(test_verbs_that_are_no_verbs_of_paths),
		T(test_an_answer_in_http_1_0_has_its_length),
		T(test_a_refusal_of_head_has_no_body),
		T(test_a_client_that_goes_on_sending_reads_its_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
