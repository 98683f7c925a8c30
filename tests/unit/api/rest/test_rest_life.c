/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connections and requests from beginning to end: order, waiting, leaving, limits, draining,
 * sockets. */

#include "rest_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

static void test_a_client_that_leaves_cancels_its_call(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client leaver, stayer;
	_cleanup_reply_ struct reply reply;

	f->core.hold = true;
	client_open(&leaver, f);
	client_open(&stayer, f);
	client_request(&leaver, "GET", "/api/v1/operations/" SAMPLE_OPERATION "?wait=60", NULL,
		       NULL);
	await_started(f, 1);
	client_request(&stayer, "GET", "/api/v1/operations/" SAMPLE_OPERATION "?wait=60", NULL,
		       NULL);
	await_started(f, 2);
	clock_test_advance(100);
	fixture_settle(f);
	assert_int_equal(f->core.cancelled, 0);

	client_close(&leaver);
	for (int turn = 0; f->core.cancelled == 0; turn++) {
		assert_true(turn < 1000000);
		loop_turn(f->loop);
	}
	assert_int_equal(rest_in_flight(f->rest), 1);
	fake_core_release(&f->core);
	client_reply(&stayer, false, &reply);
	assert_int_equal(reply.status, 200);
	assert_int_equal(f->core.cancelled, 1);
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
		for (int turn = 0; f->core.cancelled < n; turn++) {
			assert_true(turn < 1000000);
			loop_turn(f->loop);
		}
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
						.listen_fd = -1,
						.max_requests = 2,
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
						.listen_fd = -1,
						.max_requests = 1,
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
		.listen = listen, .listen_fd = -1, .max_requests = 1, .access = ACCESS_CHANGE
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
						.listen_fd = -1,
						.max_requests = 1,
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
						.listen_fd = -1,
						.max_requests = 1,
						.access = ACCESS_CHANGE });
	address.sin6_port = htons((uint16_t)rest_port(f->rest));
	connect_to(&c, f, (struct sockaddr *)&address, sizeof(address));
	client_text(&c, "GET /health HTTP/1.1\r\nHost: [::1]:%d\r\n\r\n", rest_port(f->rest));
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
}

static int bound_socket(int type, uint32_t host)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(host) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int listening_socket(uint32_t host)
{
	int fd = bound_socket(SOCK_STREAM, host);

	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void test_an_activated_socket(void **state)
{
	struct fixture *f = *state;
	int fd = listening_socket(INADDR_LOOPBACK);
	_cleanup_reply_ struct reply reply;

	/* As a service manager passes it: blocking. */
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	fixture_open(f, &(struct rest_options){ .listen = "ignored",
						.listen_fd = fd,
						.max_requests = 1,
						.access = ACCESS_CHANGE });
	assert_int_not_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ask(f, "GET", "/health", NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
	f->rest = rest_close(f->rest);
	assert_int_equal(fcntl(fd, F_GETFL), -1);
}

static void refuse_socket(struct fixture *f, int fd)
{
	struct rest_options options = { .listen_fd = fd,
					.max_requests = 1,
					.access = ACCESS_CHANGE };
	struct err err = { 0 };

	assert_true(fd >= 0);
	assert_null(rest_open(f->loop, &f->core, &options, &err));
	assert_int_equal(err.code, ERR_INVALID);
	/* Taken over, also when it is no good. */
	assert_int_equal(fcntl(fd, F_GETFL), -1);
}

static void test_activated_sockets_that_are_no_good(void **state)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX, .sun_path = "" };
	int local;

	refuse_socket(*state, open("/dev/null", O_RDONLY | O_CLOEXEC));
	refuse_socket(*state, bound_socket(SOCK_STREAM, INADDR_LOOPBACK));
	refuse_socket(*state, bound_socket(SOCK_DGRAM, INADDR_LOOPBACK));
	refuse_socket(*state, listening_socket(INADDR_ANY));
	local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(local, (struct sockaddr *)&path, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(local, 1), 0);
	refuse_socket(*state, local);
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
		T(test_pipelined_requests_are_answered_in_order),
		T(test_the_end_of_an_answer_is_not_held_back),
		T(test_a_waiting_request_holds_the_next_of_its_connection_only),
		T(test_keep_alive_and_close),
		T(test_expect_100_continue),
		T(test_a_slow_sender),
		T(test_a_chunked_body),
		T(test_a_client_that_leaves_cancels_its_call),
		T(test_later_requests_are_watched_too),
		T(test_a_client_that_leaves_before_it_is_watched),
		T(test_a_client_that_leaves_in_the_middle_of_its_request),
		T(test_too_many_at_once),
		T(test_drain),
		T(test_close_cancels_what_is_in_flight),
		T(test_only_loopback_is_listened_on),
		T(test_a_port_in_use),
		T(test_the_bound_address_is_a_good_host),
		T(test_version_6_of_loopback),
		T(test_an_activated_socket),
		T(test_activated_sockets_that_are_no_good),
		T(test_out_of_file_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
