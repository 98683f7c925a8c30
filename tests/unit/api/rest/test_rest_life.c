/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connections and requests from beginning to end: order, waiting, leaving, limits, draining,
 * sockets. */

#include "rest_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"

static void test_pipelined_requests_are_answered_in_order(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply first, second, third;

	client_open(&c, f);
	client_text(&c, "GET " VOLUME_PATH " HTTP/1.1\r\nHost: localhost\r\n\r\n"
			"POST " VOLUME_PATH
			"/detach HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
			"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
	client_reply(&c, false, &first);
	client_reply(&c, false, &second);
	client_reply(&c, false, &third);
	assert_int_equal(first.status, 200);
	assert_int_equal(second.status, 201);
	assert_int_equal(third.status, 404);
	assert_int_equal(c.in.length, 0);
}

/* The server's end of a connection of this process. */
static int server_end(const struct client *c)
{
	struct sockaddr_in client = { 0 }, peer;
	socklen_t length = sizeof(client);

	assert_int_equal(getsockname(c->fd, (struct sockaddr *)&client, &length), 0);
	for (int fd = 0; fd < 1024; fd++) {
		length = sizeof(peer);
		if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
		    peer.sin_family == AF_INET && peer.sin_port == client.sin_port)
			return fd;
	}
	fail_msg("the server has no such connection");
	return -1;
}

/* Otherwise whoever keeps a connection waits 40 ms for the end of each long answer. */
static void test_the_end_of_an_answer_is_not_held_back(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;
	int at_once = 0;
	socklen_t length = sizeof(at_once);

	client_open(&c, f);
	client_request(&c, "GET", "/health", NULL, NULL);
	client_reply(&c, false, &reply);
	assert_int_equal(getsockopt(server_end(&c), IPPROTO_TCP, TCP_NODELAY, &at_once, &length),
			 0);
	assert_true(at_once);
}

static void test_a_waiting_request_holds_the_next_of_its_connection_only(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply held, next, other;

	f->core.hold = true;
	client_open(&c, f);
	client_text(&c, "GET " VOLUME_PATH " HTTP/1.1\r\nHost: localhost\r\n\r\n"
			"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
	fixture_settle(f);
	assert_int_equal(f->core.started, 1);
	assert_int_equal(rest_in_flight(f->rest), 1);

	f->core.hold = false;
	ask(f, "GET", VOLUME_PATH "/device", NULL, NULL, &other);
	assert_int_equal(other.status, 200);
	assert_int_equal(rest_in_flight(f->rest), 1);

	fake_core_release(&f->core);
	client_reply(&c, false, &held);
	client_reply(&c, false, &next);
	assert_non_null(strstr(held.body, "cloudstack_data"));
	assert_non_null(strstr(next.body, "database_health"));
	assert_int_equal(rest_in_flight(f->rest), 0);
}

static void test_keep_alive_and_close(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client old, wish;
	_cleanup_reply_ struct reply first, second;

	client_open(&old, f);
	client_text(&old, "GET /health HTTP/1.0\r\n\r\n");
	client_reply(&old, false, &first);
	client_await_close(&old);
	client_open(&wish, f);
	client_request(&wish, "GET", "/health", "Connection: close\r\n", NULL);
	client_reply(&wish, false, &second);
	client_await_close(&wish);
}

static void test_expect_100_continue(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply go_on, reply;

	client_open(&c, f);
	client_text(&c, "POST " VOLUME_PATH
			"/detach HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\n"
			"Expect: 100-continue\r\n\r\n");
	client_reply(&c, true, &go_on);
	assert_int_equal(go_on.status, 100);
	assert_int_equal(f->core.started, 0);
	client_text(&c, "{\"force\":true}");
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 201);
	assert_non_null(strstr(f->core.args.data, "\"force\":true"));
}

static void test_a_slow_sender(void **state)
{
	static const char text[] =
		"POST " VOLUME_PATH
		"/detach HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\n\r\n"
		"{\"force\":true}";
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open(&c, f);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(f->core.started, 0);
		client_send(&c, text + i, 1);
		loop_turn(f->loop);
	}
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 201);
}

static void test_a_chunked_body(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open(&c, f);
	client_text(&c, "POST " VOLUME_PATH
			"/detach HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
			"5\r\n{\"for\r\n9\r\nce\":true}\r\n0\r\n\r\n");
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 201);
	assert_non_null(strstr(f->core.args.data, "\"force\":true"));
}

/* Turns until the core was asked n times in all. */
static void await_started(struct fixture *f, size_t n)
{
	for (int turn = 0; f->core.started < n; turn++) {
		assert_true(turn < 1000000);
		loop_turn(f->loop);
	}
}

static void await_cancelled(struct fixture *f, size_t n)
{
	for (int turn = 0; f->core.cancelled < n; turn++) {
		assert_true(turn < 1000000);
		loop_turn(f->loop);
	}
}

#define LONG_POLL "/api/v1/operations/" SAMPLE_OPERATION "?wait=60"

/* A held request that the server watches. */
static void client_wait(struct client *c, struct fixture *f, const char *target)
{
	size_t started = f->core.started;

	f->core.hold = true;
	client_open(c, f);
	client_request(c, "GET", target, NULL, NULL);
	await_started(f, started + 1);
	clock_test_advance(100);
	fixture_settle(f);
}

/* As the kernel does for a process that is killed with bytes unread. */
static void client_reset(struct client *c)
{
	const struct linger now = { .l_onoff = 1 };

	assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	client_close(c);
}

static void test_a_client_that_leaves_cancels_its_call(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client leaver, stayer;
	_cleanup_reply_ struct reply reply;

	client_wait(&leaver, f, VOLUME_PATH);
	client_wait(&stayer, f, VOLUME_PATH);
	assert_int_equal(f->core.cancelled, 0);

	client_close(&leaver);
	await_cancelled(f, 1);
	assert_int_equal(rest_in_flight(f->rest), 1);
	fake_core_release(&f->core);
	client_reply(&stayer, false, &reply);
	assert_int_equal(reply.status, 200);
	assert_int_equal(f->core.cancelled, 1);
}

static void test_a_client_that_resets_is_dropped(void **state)
{
	static const char *const targets[] = { LONG_POLL, VOLUME_PATH };
	struct fixture *f = *state;
	_cleanup_client_ struct client stayer;

	client_wait(&stayer, f, LONG_POLL);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		_cleanup_client_ struct client leaver;

		client_wait(&leaver, f, targets[i]);
		client_reset(&leaver);
		await_cancelled(f, i + 1);
		assert_int_equal(rest_in_flight(f->rest), 1);
	}
	assert_int_equal(f->core.hurried, 0);
}

/* The bytes of a next request, which are not taken yet, hide neither end of the client. */
static void test_a_client_that_leaves_behind_its_next_request(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client resets, closes;

	client_wait(&resets, f, LONG_POLL);
	client_text(&resets, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
	fixture_settle(f);
	client_reset(&resets);
	await_cancelled(f, 1);

	client_wait(&closes, f, VOLUME_PATH);
	client_text(&closes, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
	fixture_settle(f);
	assert_int_equal(f->core.cancelled, 1);
	client_close(&closes);
	await_cancelled(f, 2);
	assert_int_equal(rest_in_flight(f->rest), 0);
}

static void test_a_half_closed_long_poll_is_answered_at_once(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_wait(&c, f, LONG_POLL);
	assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
	assert_int_equal(f->core.cancelled, 0);
	assert_int_equal(rest_in_flight(f->rest), 0);
	client_await_close(&c);
}

static void test_later_requests_are_watched_too(void **state)
{
	struct fixture *f = *state;

	f->core.hold = true;
	for (size_t n = 1; n <= 3; n++) {
		_cleanup_client_ struct client c;

		client_open(&c, f);
		client_request(&c, "GET", VOLUME_PATH, NULL, NULL);
		await_started(f, n);
		clock_test_advance(100);
		fixture_settle(f);
		client_close(&c);
		await_cancelled(f, n);
	}
	assert_int_equal(rest_in_flight(f->rest), 0);
	/* Nothing in flight: no timer goes on ticking. */
	clock_test_advance(100);
	fixture_settle(f);
	clock_test_advance(100000);
	assert_false(loop_turn(f->loop));
}

static void test_a_client_that_leaves_before_it_is_watched(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	f->core.hold = true;
	client_open(&c, f);
	client_request(&c, "GET", VOLUME_PATH, NULL, NULL);
	await_started(f, 1);
	client_close(&c);
	fake_core_release(&f->core);
	fixture_settle(f);
	assert_int_equal(rest_in_flight(f->rest), 0);
	ask(f, "GET", VOLUME_PATH, NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
}

/* Fills what the kernel keeps for the client, so that the server cannot write. */
static size_t stop_writes(const struct client *c)
{
	static const char noise[4096];
	int fd = server_end(c);
	size_t all = 0;

	for (ssize_t sent = 1; sent > 0;) {
		sent = send(fd, noise, sizeof(noise), MSG_DONTWAIT | MSG_NOSIGNAL);
		all += sent > 0 ? (size_t)sent : 0;
	}
	assert_int_equal(errno, EAGAIN);
	return all;
}

/* Core has a request whose "100 Continue" could not be written yet. Returns the bytes before it. */
static size_t client_expect_in_vain(struct client *c, struct fixture *f)
{
	size_t noise, started = f->core.started;

	f->core.hold = true;
	client_open(c, f);
	fixture_settle(f);
	noise = stop_writes(c);
	client_text(c, "POST " VOLUME_PATH
		       "/detach HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\n"
		       "Expect: 100-continue\r\n\r\n");
	fixture_settle(f);
	client_text(c, "{\"force\":true}");
	await_started(f, started + 1);
	return noise;
}

static void test_a_client_that_leaves_before_100_continue(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client early, late;
	_cleanup_reply_ struct reply reply;

	client_expect_in_vain(&early, f);
	client_reset(&early);
	fixture_settle(f);
	clock_test_advance(100);
	await_cancelled(f, 1);

	client_expect_in_vain(&late, f);
	clock_test_advance(100);
	fixture_settle(f);
	client_reset(&late);
	await_cancelled(f, 2);
	assert_int_equal(rest_in_flight(f->rest), 0);
	f->core.hold = false;
	ask(f, "GET", VOLUME_PATH, NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
}

static void test_an_answer_takes_100_continue_along(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply go_on, reply;
	size_t noise = client_expect_in_vain(&c, f);

	fake_core_release(&f->core);
	while (noise > 0) {
		char bytes[4096];
		ssize_t got = recv(c.fd, bytes, noise < sizeof(bytes) ? noise : sizeof(bytes), 0);

		if (got > 0)
			noise -= (size_t)got;
		else
			loop_turn(f->loop);
	}
	client_reply(&c, true, &go_on);
	assert_int_equal(go_on.status, 100);
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 201);
}

static void test_a_client_that_leaves_in_the_middle_of_its_request(void **state)
{
	static const char text[] =
		"POST " VOLUME_PATH
		"/detach HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\n\r\n{\"for";
	struct fixture *f = *state;
	_cleanup_reply_ struct reply reply;

	for (size_t length = 1; length < sizeof(text); length += 9) {
		_cleanup_client_ struct client c;

		client_open(&c, f);
		client_send(&c, text, length);
		fixture_settle(f);
		client_close(&c);
		fixture_settle(f);
	}
	assert_int_equal(f->core.started, 0);
	ask(f, "GET", VOLUME_PATH, NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
}

static void test_too_many_at_once(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client first, second;
	_cleanup_reply_ struct reply refused, reply;

	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = 2,
						.max_connections = 100,
						.access = ACCESS_CHANGE });
	f->core.hold = true;
	client_open(&first, f);
	client_request(&first, "GET", VOLUME_PATH, NULL, NULL);
	client_open(&second, f);
	client_request(&second, "GET", VOLUME_PATH, NULL, NULL);
	await_started(f, 2);
	ask(f, "GET", VOLUME_PATH, NULL, NULL, &refused);
	assert_error(&refused, 429, "TOO_MANY_REQUESTS", NULL);
	assert_non_null(reply_header(&refused, "Retry-After"));
	fake_core_release(&f->core);
	client_reply(&first, false, &reply);
	reply_clear(&reply);
	client_reply(&second, false, &reply);
	reply_clear(&reply);
	ask(f, "GET", VOLUME_PATH, NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
}

static void test_long_polls_take_no_place_from_work(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client first, second;
	_cleanup_reply_ struct reply reply, refused;

	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = 2,
						.max_connections = 100,
						.access = ACCESS_CHANGE });
	client_wait(&first, f, LONG_POLL);
	client_wait(&second, f, LONG_POLL);
	ask(f, "GET", LONG_POLL, NULL, NULL, &refused);
	assert_error(&refused, 429, "TOO_MANY_REQUESTS", NULL);
	assert_non_null(reply_header(&refused, "Retry-After"));
	f->core.hold = false;
	ask(f, "GET", "/health", NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
	reply_clear(&reply);
	ask(f, "POST", VOLUME_PATH "/detach", NULL, "{}", &reply);
	assert_int_equal(reply.status, 201);

	reply_clear(&reply);
	client_close(&first);
	fixture_settle(f);
	ask(f, "GET", LONG_POLL, NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
}

static void test_lists_take_no_place_from_work(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client first, second;
	_cleanup_reply_ struct reply reply, refused;

	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = 2,
						.max_connections = 100,
						.access = ACCESS_CHANGE });
	client_wait(&first, f, "/api/v1/volumes");
	client_wait(&second, f, "/api/v1/volumes");
	ask(f, "GET", "/api/v1/volumes", NULL, NULL, &refused);
	assert_error(&refused, 429, "TOO_MANY_REQUESTS", NULL);
	f->core.hold = false;
	ask(f, "GET", "/health", NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
}

static int try_connect(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static void test_drain(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client busy, idle;
	_cleanup_reply_ struct reply before, held, last;

	client_open(&idle, f);
	client_request(&idle, "GET", VOLUME_PATH, NULL, NULL);
	client_reply(&idle, false, &before);
	assert_null(reply_header(&before, "Connection"));
	f->core.hold = true;
	client_open(&busy, f);
	client_request(&busy, "GET", VOLUME_PATH, NULL, NULL);
	await_started(f, 2);

	rest_drain(f->rest);
	rest_drain(f->rest);
	assert_int_equal(try_connect(rest_port(f->rest)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(rest_in_flight(f->rest), 1);

	fake_core_release(&f->core);
	client_reply(&busy, false, &held);
	assert_int_equal(held.status, 200);
	assert_string_equal(reply_header(&held, "Connection"), "close");
	client_await_close(&busy);
	assert_int_equal(rest_in_flight(f->rest), 0);
	client_request(&idle, "GET", "/nowhere", NULL, NULL);
	client_reply(&idle, false, &last);
	assert_string_equal(reply_header(&last, "Connection"), "close");
	client_await_close(&idle);
}

/* They would outlast the daemon. */
static void test_drain_answers_long_polls(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_wait(&c, f, LONG_POLL);
	rest_drain(f->rest);
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
	client_await_close(&c);
}

static void test_close_cancels_what_is_in_flight(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client watched, fresh, half, idle;

	f->core.hold = true;
	client_open(&idle, f);
	client_open(&half, f);
	client_text(&half, "GET /health HTTP/1.1\r\nHost:");
	client_open(&watched, f);
	client_request(&watched, "GET", VOLUME_PATH, NULL, NULL);
	await_started(f, 1);
	clock_test_advance(100);
	fixture_settle(f);
	client_open(&fresh, f);
	client_request(&fresh, "GET", VOLUME_PATH, NULL, NULL);
	await_started(f, 2);

	f->rest = rest_close(f->rest);
	assert_int_equal(f->core.cancelled, 2);
	client_await_close(&watched);
	client_await_close(&fresh);
	client_await_close(&half);
	client_await_close(&idle);
	assert_null(rest_close(NULL));
}

static void test_only_loopback_is_listened_on(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {
		"0.0.0.0:0",      "[::]:0",
		"192.0.2.1:8090", "[2001:db8::1]:0",
		"128.0.0.1:0",    "localhost:0",
		"nonsense",       "127.0.0.1:99999",
		"127.0.0.1:x",    "",
		"/run/x.sock",    "[::ffff:127.0.0.1]:0",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct rest_options options = { .listen = bad[i],
						.max_requests = 1,
						.max_connections = 100,
						.access = ACCESS_CHANGE };
		struct err err = { 0 };

		if (rest_open(f->loop, &f->core, &options, &err))
			fail_msg("listens on '%s'", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.field, "listen");
	}
}

static void test_a_port_in_use(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *listen = xasprintf("127.0.0.1:%d", rest_port(f->rest));
	struct rest_options options = {
		.listen = listen, .max_requests = 1, .max_connections = 100, .access = ACCESS_CHANGE
	};
	struct err err = { 0 };

	assert_null(rest_open(f->loop, &f->core, &options, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, listen));
}

static void connect_to(struct client *c, struct fixture *f, const struct sockaddr *address,
		       socklen_t length)
{
	*c = (struct client){ .fixture = f,
			      .fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	assert_int_equal(connect(c->fd, address, length), 0);
	assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
}

static void test_the_bound_address_is_a_good_host(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(0x7f000102) };
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	fixture_open(f, &(struct rest_options){ .listen = "127.0.1.2:0",
						.max_requests = 1,
						.max_connections = 100,
						.access = ACCESS_CHANGE });
	address.sin_port = htons((uint16_t)rest_port(f->rest));
	connect_to(&c, f, (struct sockaddr *)&address, sizeof(address));
	client_text(&c, "GET /health HTTP/1.1\r\nHost: 127.0.1.2:%d\r\n\r\n", rest_port(f->rest));
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
}

static bool machine_has_v6(void)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6,
					.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static void test_version_6_of_loopback(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in6 address = { .sin6_family = AF_INET6,
					.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	_cleanup_client_ struct client c = { .fd = -1 };
	_cleanup_reply_ struct reply reply = { 0 };

	if (!machine_has_v6())
		skip();
	fixture_open(f, &(struct rest_options){ .listen = "[::1]:0",
						.max_requests = 1,
						.max_connections = 100,
						.access = ACCESS_CHANGE });
	address.sin6_port = htons((uint16_t)rest_port(f->rest));
	connect_to(&c, f, (struct sockaddr *)&address, sizeof(address));
	client_text(&c, "GET /health HTTP/1.1\r\nHost: [::1]:%d\r\n\r\n", rest_port(f->rest));
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
}

/* A network of its own, whose loopback is down: no address of IPv6 is there. */
static void open_without_v6(struct fixture *f, const char *listen, struct err *err)
{
	const struct rest_options options = { .listen = listen,
					      .group = (gid_t)-1,
					      .group_name = "nobody",
					      .max_requests = 1,
					      .max_connections = 100,
					      .access = ACCESS_CHANGE };
	_cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	f->rest = rest_close(f->rest);
	if (home < 0 || unshare(CLONE_NEWNET) < 0)
		skip();
	f->rest = rest_open(f->loop, &f->core, &options, err);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
}

static void test_a_machine_without_version_6(void **state)
{
	struct fixture *f = *state;
	char folder[] = "/tmp/volume-daemon-test-XXXXXX", text[64];
	_cleanup_free_ char *listen = NULL;
	struct err err = { 0 };

	assert_non_null(mkdtemp(folder));
	listen = xasprintf("unix:%s/sock [::1]:0", folder);
	open_without_v6(f, listen, &err);
	assert_non_null(f->rest);
	assert_string_equal(err.text, "");
	assert_true(rest_address(f->rest, 0, text, sizeof(text)));
	assert_false(rest_address(f->rest, 1, text, sizeof(text)));
	f->rest = rest_close(f->rest);
	assert_int_equal(rmdir(folder), 0);

	/* Nothing else to listen on. */
	open_without_v6(f, "[::1]:0", &err);
	assert_null(f->rest);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "can't listen on [::1]:0"));
}

static int bound_socket(int type, uint32_t host)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(host) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The page costs far more than a reply, so it serves for a second. */
static void test_figures_are_gathered_once_a_second(void **state)
{
	struct fixture *f = *state;

	for (size_t second = 1; second <= 3; second++) {
		for (int i = 0; i < 5; i++) {
			_cleanup_reply_ struct reply reply;

			ask(f, "GET", "/metrics", NULL, NULL, &reply);
			assert_int_equal(reply.status, 200);
			assert_string_equal(reply_header(&reply, "Content-Type"),
					    "text/plain; version=0.0.4; charset=utf-8");
			assert_non_null(strstr(reply.body, "\nvolumed_sse_clients 0\n"));
			assert_int_equal(f->core.measured, second);
		}
		clock_test_advance(1000);
	}
}

static int listening_socket(uint32_t host)
{
	int fd = bound_socket(SOCK_STREAM, host);

	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

/* With a socket that is passed to it. The group lets nobody in over a unix socket but root and the
 * user. */
static void open_passed(struct fixture *f, const char *listen, int fd)
{
	fixture_open(f, &(struct rest_options){ .listen = listen,
						.passed = &fd,
						.passed_count = 1,
						.group = (gid_t)-1,
						.group_name = "nobody",
						.max_requests = 1,
						.max_connections = 100,
						.access = ACCESS_CHANGE });
}

static void test_an_activated_socket(void **state)
{
	struct fixture *f = *state;
	int fd = listening_socket(INADDR_LOOPBACK);
	_cleanup_reply_ struct reply reply;

	/* As a service manager passes it: blocking. */
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	open_passed(f, "127.0.0.1:0", fd);
	assert_int_not_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ask(f, "GET", "/health", NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
	f->rest = rest_close(f->rest);
	assert_int_equal(fcntl(fd, F_GETFL), -1);
}

/* The descriptors that a program inherits which this process starts. */
static size_t count_inherited(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFD);

		count += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return count;
}

/* By an address, and by a socket that a service manager passed. */
static void test_connections_are_not_inherited(void **state)
{
	struct fixture *f = *state;
	size_t before = count_inherited();

	for (int is_passed = 0; is_passed < 2; is_passed++) {
		_cleanup_client_ struct client c;
		_cleanup_reply_ struct reply reply;

		if (is_passed)
			open_passed(f, "127.0.0.1:0", listening_socket(INADDR_LOOPBACK));
		client_open(&c, f);
		client_request(&c, "GET", "/health", NULL, NULL);
		client_reply(&c, false, &reply);
		assert_int_equal(count_inherited(), before);
	}
}

static void refuse_socket(struct fixture *f, const char *listen, int fd, const char *reason)
{
	struct rest_options options = { .listen = listen,
					.passed = &fd,
					.passed_count = 1,
					.max_requests = 1,
					.max_connections = 100,
					.access = ACCESS_CHANGE };
	struct err err = { 0 };

	assert_true(fd >= 0);
	assert_null(rest_open(f->loop, &f->core, &options, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, reason));
	/* Taken over, also when it is no good. */
	assert_int_equal(fcntl(fd, F_GETFL), -1);
}

static void test_activated_sockets_that_are_no_good(void **state)
{
	static const char any[] = "127.0.0.1:8090";

	refuse_socket(*state, any, open("/dev/null", O_RDONLY | O_CLOEXEC), "no listening TCP");
	refuse_socket(*state, any, bound_socket(SOCK_STREAM, INADDR_LOOPBACK), "no listening TCP");
	refuse_socket(*state, any, bound_socket(SOCK_DGRAM, INADDR_LOOPBACK), "no listening TCP");
	refuse_socket(*state, any, listening_socket(INADDR_ANY), "reached from other machines");
}

/* A socket unit that is still enabled does not open what the configuration closes. */
static void test_an_activated_socket_that_lets_others_in(void **state)
{
	struct fixture *f = *state;
	int fd;

	refuse_socket(f, "unix:/run/x.sock", listening_socket(INADDR_LOOPBACK),
		      "disable volume-daemon.socket");
	refuse_socket(f, "unix:/run/x.sock, unix:/run/y.sock", listening_socket(INADDR_LOOPBACK),
		      "disable volume-daemon.socket");
	fd = listening_socket(INADDR_LOOPBACK);
	open_passed(f, "127.0.0.1:0 [::1]:0", fd);
}

static void name_socket(int fd, char *out, size_t size)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	snprintf(out, size, "127.0.0.1:%d", ntohs(address.sin_port));
}

/* Both are served, and an address that the configuration names as well is not bound once more. */
static void test_several_activated_sockets(void **state)
{
	struct fixture *f = *state;
	int fds[] = { listening_socket(INADDR_LOOPBACK), listening_socket(INADDR_LOOPBACK) };
	char named[32], wanted[64], said[192];

	name_socket(fds[1], named, sizeof(named));
	fixture_open(f, &(struct rest_options){ .listen = named,
						.passed = fds,
						.passed_count = ARRAY_SIZE(fds),
						.max_requests = 1,
						.max_connections = 100,
						.access = ACCESS_CHANGE });
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct sockaddr_in address;
		socklen_t length = sizeof(address);
		_cleanup_client_ struct client c;
		_cleanup_reply_ struct reply reply;

		name_socket(fds[i], named, sizeof(named));
		snprintf(wanted, sizeof(wanted), "http://%s", named);
		assert_true(rest_address(f->rest, i, said, sizeof(said)));
		assert_string_equal(said, wanted);
		assert_int_equal(getsockname(fds[i], (struct sockaddr *)&address, &length), 0);
		connect_to(&c, f, (struct sockaddr *)&address, length);
		client_text(&c, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
		client_reply(&c, false, &reply);
		assert_int_equal(reply.status, 200);
	}
	assert_false(rest_address(f->rest, ARRAY_SIZE(fds), said, sizeof(said)));
}

/* A drain ends no socket of the service manager: clients wait there for the next daemon. */
static void test_an_activated_socket_outlives_a_drain(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), kept;

	snprintf(path.sun_path, sizeof(path.sun_path), "/tmp/rest-%d.sock", getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&path, sizeof(path)), 0);
	assert_int_equal(listen(fd, 1), 0);
	kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	open_passed(f, "127.0.0.1:0", fd);
	rest_drain(f->rest);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&path, sizeof(path)), 0);
	close(fd);
	close(kept);
	assert_int_equal(unlink(path.sun_path), 0);
}

/* Its client is known to be this very user. */
static void test_an_activated_unix_socket(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	/* The kernel chooses an abstract name. */
	assert_int_equal(bind(fd, (struct sockaddr *)&path, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&path, &length), 0);
	open_passed(f, "127.0.0.1:0", fd);
	connect_to(&c, f, (struct sockaddr *)&path, length);
	client_text(&c, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
}

/* A server on a unix socket with four places of each kind, for this user and its group. */
static void open_unix(struct fixture *f, struct sockaddr_un *path, socklen_t *length)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*path = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*length = sizeof(*path);
	assert_int_equal(bind(fd, (struct sockaddr *)path, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, 9), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)path, length), 0);
	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.passed = &fd,
						.passed_count = 1,
						.group = getegid(),
						.group_name = "ours",
						.max_requests = 4,
						.max_connections = 100,
						.access = ACCESS_READ,
						.require_token = true });
}

/* How many requests of one user core has, of five. */
static size_t count_served(struct fixture *f, uid_t user, const char *target)
{
	struct client clients[5];
	struct sockaddr_un path;
	size_t started = f->core.started;
	socklen_t length;

	open_unix(f, &path, &length);
	f->core.hold = true;
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		clients[i] = (struct client){ .fixture = f, .fd = fd };
		connect_as(user, fd, (struct sockaddr *)&path, length);
		client_request(&clients[i], "GET", target, NULL, NULL);
		fixture_settle(f);
	}
	started = f->core.started - started;
	assert_true(f->core.has_uid);
	assert_int_equal(f->core.uid, user);
	assert_int_equal(f->core.access, ACCESS_ADMIN);
	assert_string_equal(f->core.address, "");
	if (started < ARRAY_SIZE(clients)) {
		_cleanup_reply_ struct reply reply;

		client_reply(&clients[ARRAY_SIZE(clients) - 1], false, &reply);
		assert_error(&reply, 429, "TOO_MANY_REQUESTS", NULL);
	}
	f->rest = rest_close(f->rest);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		client_close(&clients[i]);
	return started;
}

static void test_one_user_has_half_of_the_places(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(count_served(*state, NOBODY, VOLUME_PATH), 2);
	assert_int_equal(count_served(*state, NOBODY, LONG_POLL), 2);
}

static void test_our_own_user_has_all_places(void **state)
{
	assert_int_equal(count_served(*state, geteuid(), VOLUME_PATH), 4);
	assert_int_equal(count_served(*state, geteuid(), LONG_POLL), 4);
}

static void test_out_of_file_descriptors(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;
	struct rlimit old, none;

	client_open(&c, f);
	client_request(&c, "GET", "/health", NULL, NULL);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = (rlim_t)c.fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fixture_settle(f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);

	/* There is room again, but accepting is tried again only after a pause: no loop at full
	 * speed. */
	fixture_settle(f);
	assert_int_equal(f->core.started, 0);
	clock_test_advance(100);
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
}

int main(void)
{
#define T(FN) cmocka_unit_test_setup_teardown(FN, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_figures_are_gathered_once_a_second),
		T(test_pipelined_requests_are_answered_in_order),
		T(test_the_end_of_an_answer_is_not_held_back),
		T(test_a_waiting_request_holds_the_next_of_its_connection_only),
		T(test_keep_alive_and_close),
		T(test_expect_100_continue),
		T(test_a_slow_sender),
		T(test_a_chunked_body),
		T(test_a_client_that_leaves_cancels_its_call),
		T(test_a_client_that_resets_is_dropped),
		T(test_a_client_that_leaves_behind_its_next_request),
		T(test_a_half_closed_long_poll_is_answered_at_once),
		T(test_later_requests_are_watched_too),
		T(test_a_client_that_leaves_before_it_is_watched),
		T(test_a_client_that_leaves_before_100_continue),
		T(test_an_answer_takes_100_continue_along),
		T(test_a_client_that_leaves_in_the_middle_of_its_request),
		T(test_too_many_at_once),
		T(test_long_polls_take_no_place_from_work),
		T(test_lists_take_no_place_from_work),
		T(test_drain),
		T(test_drain_answers_long_polls),
		T(test_close_cancels_what_is_in_flight),
		T(test_only_loopback_is_listened_on),
		T(test_a_port_in_use),
		T(test_the_bound_address_is_a_good_host),
		T(test_version_6_of_loopback),
		T(test_a_machine_without_version_6),
		T(test_an_activated_socket),
		T(test_connections_are_not_inherited),
		T(test_activated_sockets_that_are_no_good),
		T(test_an_activated_socket_that_lets_others_in),
		T(test_several_activated_sockets),
		T(test_an_activated_socket_outlives_a_drain),
		T(test_an_activated_unix_socket),
		T(test_one_user_has_half_of_the_places),
		T(test_our_own_user_has_all_places),
		T(test_out_of_file_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
