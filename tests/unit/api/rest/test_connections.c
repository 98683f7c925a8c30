/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bounds of connections: their time and their number. Bytes are bounded for all together, which
 * tests/system/hostile measures. */

#include "rest_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/rest/connections.h"
#include "base/clock.h"

#define HALF_A_MINUTE 30000
#define REQUEST "GET " VOLUME_PATH " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void test_a_request_must_be_complete_in_time(void **state)
{
	static const char *const begun[] = {
		"", "G", "POST /x HTTP/1.1\r\nHost: loc",
		"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{\"a"
	};
	struct fixture *f = *state;
	struct client clients[ARRAY_SIZE(begun)];

	for (size_t i = 0; i < ARRAY_SIZE(begun); i++) {
		client_open(&clients[i], f);
		client_text(&clients[i], "%s", begun[i]);
	}
	fixture_settle(f);
	fixture_pass(f, HALF_A_MINUTE - 1);
	for (size_t i = 0; i < ARRAY_SIZE(begun); i++)
		assert_false(client_is_closed(&clients[i]));
	fixture_pass(f, 1);
	for (size_t i = 0; i < ARRAY_SIZE(begun); i++) {
		assert_true(client_is_closed(&clients[i]));
		client_close(&clients[i]);
	}
}

/* A byte now and then gains no time. */
static void test_steady_bytes_gain_no_time(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	client_open(&c, f);
	for (int second = 0; second < 29; second++) {
		client_text(&c, "G");
		fixture_pass(f, 1000);
		assert_false(client_is_closed(&c));
	}
	client_text(&c, "G");
	fixture_pass(f, 1000);
	assert_true(client_is_closed(&c));
}

/* From the answer to the next request, and again for that request. */
static void test_a_kept_connection_has_its_time_for_each_request(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	client_open(&c, f);
	for (int i = 0; i < 3; i++) {
		_cleanup_reply_ struct reply reply;

		client_text(&c, "GET " VOLUME_PATH " HTTP/1.1\r\n");
		fixture_pass(f, HALF_A_MINUTE - 1);
		client_text(&c, "Host: localhost\r\n\r\n");
		client_reply(&c, false, &reply);
		assert_int_equal(reply.status, 200);
		fixture_pass(f, HALF_A_MINUTE - 1);
		assert_false(client_is_closed(&c));
	}
	fixture_pass(f, 1);
	assert_true(client_is_closed(&c));
	/* No connection, no timer. */
	clock_test_advance(100000);
	assert_false(loop_turn(f->loop));
}

static void test_work_takes_its_time(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	f->core.hold = true;
	client_open(&c, f);
	client_text(&c, REQUEST);
	fixture_settle(f);
	fixture_pass(f, 10 * HALF_A_MINUTE);
	fake_core_release(&f->core);
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
}

/* An answer that is not read. */
static void test_an_answer_must_be_read_in_time(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	f->core.count = 8000;
	client_open(&c, f);
	client_text(&c, "GET /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\n\r\n");
	fixture_settle(f);
	assert_int_equal(f->core.started, 1);
	fixture_pass(f, HALF_A_MINUTE);
	client_await_close(&c);
	assert_true(c.in.length > 0);
	assert_null(strstr(c.in.data, "\"count\":8000"));
}

static void open_small(struct fixture *f)
{
	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = 100,
						.max_connections = 3,
						.access = ACCESS_CHANGE });
}

static void test_the_oldest_makes_room(void **state)
{
	struct fixture *f = *state;
	struct client clients[6];

	open_small(f);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		client_open(&clients[i], f);
		client_text(&clients[i], "GET ");
		fixture_settle(f);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		assert_int_equal(client_is_closed(&clients[i]), i < 3);
		client_close(&clients[i]);
	}
}

/* A request in work is never given up for a connection that may never ask for anything. */
static void test_work_makes_no_room(void **state)
{
	struct fixture *f = *state;
	struct client works[3], idle;

	open_small(f);
	f->core.hold = true;
	for (size_t i = 0; i < ARRAY_SIZE(works); i++) {
		client_open(&works[i], f);
		client_text(&works[i], REQUEST);
		fixture_settle(f);
	}
	client_open(&idle, f);
	fixture_settle(f);
	assert_true(client_is_closed(&idle));
	client_close(&idle);
	fake_core_release(&f->core);
	for (size_t i = 0; i < ARRAY_SIZE(works); i++) {
		_cleanup_reply_ struct reply reply;

		client_reply(&works[i], false, &reply);
		assert_int_equal(reply.status, 200);
		client_close(&works[i]);
	}
}

/* More than one look at the listener takes. */
static void test_a_rush_of_connections(void **state)
{
	struct fixture *f = *state;
	struct client rush[200];
	_cleanup_reply_ struct reply reply;

	open_small(f);
	for (size_t i = 0; i < ARRAY_SIZE(rush); i++)
		client_open(&rush[i], f);
	ask(f, "GET", "/health", NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
	for (size_t i = 0; i < ARRAY_SIZE(rush); i++)
		client_close(&rush[i]);
}

/* ---- large bodies ---- */

#define LARGE 9

/* All but the last byte of a body of blanks, which is no JSON. */
static void open_large(struct fixture *f, struct client clients[LARGE], size_t length)
{
	_cleanup_free_ char *body = xmalloc(length);

	memset(body, ' ', length);
	for (size_t i = 0; i < LARGE; i++) {
		client_open(&clients[i], f);
		client_text(
			&clients[i],
			"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
			length);
		client_send(&clients[i], body, length - 1);
	}
	fixture_settle(f);
}

/* No turn of the loop between them, so that the next turn sees all of them. */
static void complete_large(struct client clients[LARGE])
{
	for (size_t i = 0; i < LARGE; i++)
		client_text(&clients[i], " ");
}

static void close_large(struct client clients[LARGE])
{
	for (size_t i = 0; i < LARGE; i++)
		client_close(&clients[i]);
}

static void test_large_bodies_wait_beside_the_loop(void **state)
{
	struct fixture *f = *state;
	struct client large[LARGE], small;
	_cleanup_reply_ struct reply passed;

	open_large(f, large, 20000);
	client_open(&small, f);
	fixture_settle(f);
	complete_large(large);
	client_text(&small, "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
	loop_turn(f->loop);
	assert_int_equal(rest_in_flight(f->rest), LARGE);
	client_reply(&small, false, &passed);
	assert_int_equal(passed.status, 404);
	for (size_t i = 0; i < LARGE; i++) {
		_cleanup_reply_ struct reply reply;

		client_reply(&large[i], false, &reply);
		assert_error(&reply, 400, "INVALID_REQUEST", NULL);
	}
	client_close(&small);
	close_large(large);
}

static void test_large_bodies_that_wait_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct client large[LARGE];

	open_large(f, large, 1 << 20);
	complete_large(large);
	for (size_t i = 0; i < LARGE; i++) {
		_cleanup_reply_ struct reply reply;

		client_reply(&large[i], false, &reply);
		assert_int_equal(reply.status, i < LARGE - 1 ? 400 : 429);
	}
	close_large(large);
}

static void test_the_server_closes_while_large_bodies_wait(void **state)
{
	struct fixture *f = *state;
	struct client large[LARGE];

	open_large(f, large, 20000);
	complete_large(large);
	loop_turn(f->loop);
	assert_int_equal(rest_in_flight(f->rest), LARGE);
	close_large(large);
}

/* A unix socket, whose clients the kernel knows. */
static struct evconnlistener *listen_on_unix(struct fixture *f, struct sockaddr_un *address,
					     socklen_t *length)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct evconnlistener *listener;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*length = sizeof(*address);
	assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, length), 0);
	listener = evconnlistener_new(loop_base(f->loop), NULL, NULL,
				      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, SOMAXCONN, fd);
	assert_non_null(listener);
	return listener;
}

/* Fresh connections are counted at once, which must not end the pause after a lack. */
static void test_a_lack_of_descriptors_during_a_rush(void **state)
{
	struct fixture *f = *state;
	struct evhttp *http = evhttp_new(loop_base(f->loop));
	struct limits *limits = limits_new(&(struct rest_limits){ 0 });
	struct connections *connections;
	struct rest_listeners listeners = { .count = 1 };
	struct sockaddr_un address;
	struct client rush[65];
	_cleanup_reply_ struct reply reply;
	socklen_t length;
	char byte;

	listeners.items[0] = listen_on_unix(f, &address, &length);
	assert_non_null(evhttp_bind_listener(http, listeners.items[0]));
	connections = connections_new(f->loop, &listeners, 100, limits);
	connections_accept(connections, http, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rush); i++) {
		rush[i] = (struct client){ .fixture = f,
					   .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
		connect_as(geteuid(), rush[i].fd, (struct sockaddr *)&address, length);
		client_request(&rush[i], "GET", "/health", NULL, NULL);
	}
	loop_turn(f->loop); /* accepts all but the last */
	connections_lack_descriptors(connections);
	fixture_settle(f);
	assert_int_equal(recv(rush[64].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
	assert_int_equal(fcntl(rush[64].fd, F_SETFL, O_NONBLOCK), 0);
	clock_test_advance(100);
	client_reply(&rush[64], false, &reply);
	for (size_t i = 0; i < ARRAY_SIZE(rush); i++)
		client_close(&rush[i]);
	fixture_settle(f);
	connections_drain(connections);
	evhttp_free(http);
	connections_free(connections);
	limits_free(limits);
}

static void assert_oldest_closed(struct fixture *f, uid_t user, size_t count)
{
	struct evhttp *http = evhttp_new(loop_base(f->loop));
	struct limits *limits = limits_new(&(struct rest_limits){ 0 });
	struct connections *connections;
	struct rest_listeners listeners = { .count = 1 };
	struct sockaddr_un address;
	struct client clients[6];
	socklen_t length;

	listeners.items[0] = listen_on_unix(f, &address, &length);
	assert_non_null(evhttp_bind_listener(http, listeners.items[0]));
	connections = connections_new(f->loop, &listeners, 8, limits);
	connections_accept(connections, http, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		clients[i] =
			(struct client){ .fixture = f,
					 .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
		connect_as(user, clients[i].fd, (struct sockaddr *)&address, length);
		fixture_settle(f);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		assert_int_equal(client_is_closed(&clients[i]), i < count);
		client_close(&clients[i]);
	}
	fixture_settle(f);
	connections_drain(connections);
	evhttp_free(http);
	connections_free(connections);
	limits_free(limits);
}

static void test_one_user_has_half_of_the_connections(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_oldest_closed(*state, NOBODY, 2);
}

static void test_our_own_user_is_not_bounded(void **state)
{
	assert_oldest_closed(*state, geteuid(), 0);
}

int main(void)
{
#define T(FN) cmocka_unit_test_setup_teardown(FN, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_request_must_be_complete_in_time),
		T(test_steady_bytes_gain_no_time),
		T(test_a_kept_connection_has_its_time_for_each_request),
		T(test_work_takes_its_time),
		T(test_an_answer_must_be_read_in_time),
		T(test_the_oldest_makes_room),
		T(test_work_makes_no_room),
		T(test_a_rush_of_connections),
		T(test_large_bodies_wait_beside_the_loop),
		T(test_large_bodies_that_wait_are_bounded),
		T(test_the_server_closes_while_large_bodies_wait),
		T(test_a_lack_of_descriptors_during_a_rush),
		T(test_one_user_has_half_of_the_connections),
		T(test_our_own_user_is_not_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
