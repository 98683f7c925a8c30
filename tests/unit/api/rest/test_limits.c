/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One caller does not take all: requests a second and connections at the same time, of a user, of a
 * token, and of all together who show none.
 */

#include "rest_fixture.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"

#define KNOWN "Authorization: Bearer vold_right\r\n"
#define OTHER "Authorization: Bearer vold_wrong\r\n"

static void open_limited(struct fixture *f, const struct rest_limits *limits)
{
	f->core.known_token = "vold_right";
	f->core.token_access = ACCESS_ADMIN;
	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = 100,
						.max_connections = 100,
						.access = ACCESS_ADMIN,
						.limits = *limits });
}

static void assert_status(struct fixture *f, const char *headers, int status)
{
	_cleanup_reply_ struct reply reply;

	ask(f, "GET", "/api/v1/devices", headers, NULL, &reply);
	if (status != 429) {
		assert_int_equal(reply.status, status);
		return;
	}
	assert_error(&reply, 429, "TOO_MANY_REQUESTS", NULL);
	assert_string_equal(reply_header(&reply, "Retry-After"), "1");
}

static void test_requests_of_all_without_a_token(void **state)
{
	struct fixture *f = *state;

	open_limited(f, &(struct rest_limits){ .anonymous_requests = 3 });
	for (int second = 0; second < 2; second++) {
		for (int i = 0; i < 3; i++)
			assert_status(f, NULL, 200);
		assert_status(f, NULL, 429);
		assert_status(f, KNOWN, 200); /* it has a limit of its own, or none */
		clock_test_advance(334);
		assert_status(f, NULL, 200);
		assert_status(f, NULL, 429);
		clock_test_advance(5000);
	}
}

static void test_requests_of_a_token(void **state)
{
	struct fixture *f = *state;

	open_limited(f, &(struct rest_limits){ .requests = 2 });
	for (int i = 0; i < 2; i++)
		assert_status(f, KNOWN, 200);
	assert_status(f, KNOWN, 429);
	for (int i = 0; i < 5; i++)
		assert_status(f, NULL, 200);
	assert_status(f, KNOWN, 429);
	clock_test_advance(500);
	assert_status(f, KNOWN, 200);
}

static void wait_for_an_operation(struct client *c, struct fixture *f, const char *headers)
{
	client_open(c, f);
	client_request(c, "GET", "/api/v1/operations/" SAMPLE_OPERATION "?wait=30", headers, NULL);
	fixture_settle(f);
}

static void assert_no_place(struct fixture *f, const char *headers)
{
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	wait_for_an_operation(&c, f, headers);
	client_reply(&c, false, &reply);
	assert_error(&reply, 429, "TOO_MANY_REQUESTS", NULL);
}

/* Programs without a token take all their places for those who wait, but none of the others. */
static void test_places_of_those_who_wait(void **state)
{
	enum { PLACES = 4 };
	struct fixture *f = *state;
	struct client anonymous[PLACES], known[PLACES / 2];
	_cleanup_client_ struct client stream;

	f->core.known_token = "vold_right";
	f->core.token_access = ACCESS_READ;
	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = PLACES,
						.max_connections = 100,
						.access = ACCESS_READ });
	f->core.hold = true;
	client_open(&stream, f);
	client_request(&stream, "GET", "/api/v1/events", NULL, NULL);
	client_await(&stream, "retry: ");
	for (size_t i = 1; i < PLACES; i++)
		wait_for_an_operation(&anonymous[i], f, NULL);
	assert_int_equal(rest_in_flight(f->rest), PLACES - 1);
	assert_no_place(f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		wait_for_an_operation(&known[i], f, KNOWN);
	assert_int_equal(rest_in_flight(f->rest), PLACES - 1 + PLACES / 2);
	assert_no_place(f, KNOWN); /* one token has half of them */
	for (size_t i = 1; i < PLACES; i++)
		client_close(&anonymous[i]);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		client_close(&known[i]);
}

/* Who tries tokens uses up what those have who show none. */
static void test_tokens_that_are_tried(void **state)
{
	struct fixture *f = *state;

	open_limited(f, &(struct rest_limits){ .anonymous_requests = 3, .requests = 100 });
	for (int i = 0; i < 3; i++)
		assert_status(f, OTHER, 401);
	assert_status(f, OTHER, 429);
	assert_status(f, NULL, 429);
	assert_status(f, KNOWN, 200);
}

/* A body that is parsed beside the loop is one request. */
static void test_a_large_body_is_one_request(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *body = xmalloc(20001);

	memset(body, ' ', 20000);
	body[20000] = '\0';
	open_limited(f, &(struct rest_limits){ .anonymous_requests = 2 });
	for (int i = 0; i < 3; i++) {
		_cleanup_reply_ struct reply reply;

		ask(f, "POST", "/api/v1/volumes", NULL, body, &reply);
		assert_int_equal(reply.status, i < 2 ? 400 : 429);
	}
}

/* Two connections wait for answers, and a third one asks. */
static void ask_on_three(struct fixture *f, const char *headers, int third)
{
	struct client works[2], late, others;
	_cleanup_reply_ struct reply refused, other;

	f->core.hold = true;
	for (size_t i = 0; i < ARRAY_SIZE(works); i++) {
		client_open(&works[i], f);
		client_request(&works[i], "GET", "/health", headers, NULL);
		fixture_settle(f);
	}
	client_open(&late, f);
	client_request(&late, "GET", "/health", headers, NULL);
	fixture_settle(f);
	/* Others are not concerned. */
	client_open(&others, f);
	client_request(&others, "GET", "/health", headers ? NULL : KNOWN, NULL);
	fixture_settle(f);
	fake_core_release(&f->core);
	client_reply(&late, false, &refused);
	assert_int_equal(refused.status, third);
	client_reply(&others, false, &other);
	assert_int_equal(other.status, 200);
	for (size_t i = 0; i < ARRAY_SIZE(works); i++) {
		_cleanup_reply_ struct reply reply;

		client_reply(&works[i], false, &reply);
		assert_int_equal(reply.status, 200);
		client_close(&works[i]);
	}
	client_close(&late);
	client_close(&others);
}

static void test_connections_of_all_without_a_token(void **state)
{
	struct fixture *f = *state;

	open_limited(f, &(struct rest_limits){ .anonymous_connections = 2 });
	ask_on_three(f, NULL, 429);
	open_limited(f, &(struct rest_limits){ .anonymous_connections = 3 });
	ask_on_three(f, NULL, 200);
}

static void test_connections_of_a_token(void **state)
{
	struct fixture *f = *state;

	open_limited(f, &(struct rest_limits){ .connections = 2 });
	ask_on_three(f, KNOWN, 429);
	open_limited(f, &(struct rest_limits){ .connections = 3 });
	ask_on_three(f, KNOWN, 200);
}

/* A connection that rests makes room for a new one. */
static void test_the_oldest_that_rests_makes_room(void **state)
{
	struct fixture *f = *state;
	struct client clients[3];

	open_limited(f, &(struct rest_limits){ .connections = 2 });
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		_cleanup_reply_ struct reply reply;

		client_open(&clients[i], f);
		client_request(&clients[i], "GET", "/health", KNOWN, NULL);
		client_reply(&clients[i], false, &reply);
		assert_int_equal(reply.status, 200);
	}
	client_await_close(&clients[0]);
	for (size_t i = 1; i < ARRAY_SIZE(clients); i++) {
		_cleanup_reply_ struct reply reply;

		client_request(&clients[i], "GET", "/health", KNOWN, NULL);
		client_reply(&clients[i], false, &reply);
		assert_int_equal(reply.status, 200);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		client_close(&clients[i]);
}

/* How many of five requests in the same moment a user of a unix socket gets answered. */
static int count_answered(struct fixture *f, uid_t user)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), answered = 0;
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(path);

	assert_int_equal(bind(fd, (struct sockaddr *)&path, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, 9), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&path, &length), 0);
	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.passed = &fd,
						.passed_count = 1,
						.group = getegid(),
						.group_name = "ours",
						.max_requests = 100,
						.max_connections = 100,
						.limits.requests = 2 });
	for (int i = 0; i < 5; i++) {
		_cleanup_reply_ struct reply reply;
		struct client client = { .fixture = f,
					 .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };

		connect_as(user, client.fd, (struct sockaddr *)&path, length);
		assert_int_equal(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
		client_request(&client, "GET", "/health", NULL, NULL);
		client_reply(&client, false, &reply);
		assert_true(reply.status == 200 || reply.status == 429);
		answered += reply.status == 200;
		client_close(&client);
	}
	f->rest = rest_close(f->rest);
	return answered;
}

static void test_requests_of_a_user(void **state)
{
	assert_int_equal(count_answered(*state, geteuid()), 5);
	if (geteuid() != 0)
		skip();
	assert_int_equal(count_answered(*state, NOBODY), 2);
}

int main(void)
{
#define T(FN) cmocka_unit_test_setup_teardown(FN, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_requests_of_all_without_a_token),
		T(test_requests_of_a_token),
		T(test_places_of_those_who_wait),
		T(test_tokens_that_are_tried),
		T(test_a_large_body_is_one_request),
		T(test_connections_of_all_without_a_token),
		T(test_connections_of_a_token),
		T(test_the_oldest_that_rests_makes_room),
		T(test_requests_of_a_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
