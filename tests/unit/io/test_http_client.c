/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client against a real server on the loopback interface that cuts, stalls and answers too
 * much. What matters most: `sent` is never false when the server has the request, and the server
 * never has a request twice.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "http_server.h"
#include "io/http_client.h"
#include "wiping.h"

#define MAX_PARALLEL 2

static struct loop *loop;
static struct http_server *server;
static struct http_client *client;

/* What done() was told. */
struct result {
	int count;
	int status;
	bool sent;
	struct err err;
	char *body;
	size_t body_length;
	char content_type[64];
	char redirect[128];
	struct http_call *cancel; /* to be cancelled by done() */
	struct result *start;     /* to be started by done() */
	bool keep_running;
};

static struct http_client *client_with(const char *ca_file)
{
	struct http_client_options options = { .max_parallel = MAX_PARALLEL,
					       .ca_file = ca_file,
					       .user_agent = "test/1",
					       .url_setting = "test.url",
					       .ca_setting = "test.ca_file" };

	return http_client_new(loop, &options);
}

static int setup(void **state)
{
	loop = loop_new();
	server = http_server_new(false);
	client = client_with(NULL);
	return 0;
}

static int setup_tls(void **state)
{
	loop = loop_new();
	server = http_server_new(true);
	client = NULL;
	return 0;
}

static int teardown(void **state)
{
	client = http_client_free(client);
	http_server_free(server);
	loop = loop_free(loop);
	return 0;
}

static struct http_call *start(const char *path, struct result *result);

static void on_done(void *arg, const struct http_response *response)
{
	struct result *result = arg;

	result->count++;
	result->status = response->status;
	result->sent = response->sent;
	result->err = response->err;
	result->body_length = response->body_length;
	result->body = xmalloc(response->body_length + 1);
	memcpy(result->body, response->body, response->body_length + 1);
	snprintf(result->content_type, sizeof(result->content_type), "%s", response->content_type);
	snprintf(result->redirect, sizeof(result->redirect), "%s", response->redirect);
	if (result->cancel)
		http_call_cancel(result->cancel);
	if (result->start)
		start("/ok", result->start);
	if (!result->keep_running)
		loop_stop(loop);
}

static struct http_call *start_request(struct http_request request, struct result *result)
{
	struct http_call *call;

	if (!request.timeout_ms)
		request.timeout_ms = 30000;
	if (!request.max_response)
		request.max_response = 1 << 20;
	call = http_client_start(client, &request, on_done, result);
	assert_int_equal(result->count, 0); /* never inside start */
	return call;
}

static char *url_of(const char *scheme, int port, const char *path)
{
	return xasprintf("%s://127.0.0.1:%d%s?signature=topsecret", scheme, port, path);
}

static struct http_call *start(const char *path, struct result *result)
{
	_cleanup_free_ char *url = xasprintf("http://127.0.0.1:%d%s", server->port, path);

	return start_request((struct http_request){ .url = url }, result);
}

static void finish(struct result *result)
{
	while (result->count == 0)
		loop_run(loop);
	assert_int_equal(result->count, 1);
}

static void get(const char *path, struct result *result)
{
	start(path, result);
	finish(result);
}

static void result_clear(struct result *result)
{
	free(result->body);
}
#define _cleanup_result_ _cleanup_(result_clear)

static void results_clear(struct result (*results)[MAX_PARALLEL])
{
	for (int i = 0; i < MAX_PARALLEL; i++)
		result_clear(&(*results)[i]);
}

static void assert_says(const struct result *result, const char *words)
{
	assert_non_null(strstr(result->err.text, words));
}

static void assert_failed(const struct result *result, enum err_code code, bool sent)
{
	assert_int_equal(result->status, 0);
	assert_int_equal(result->err.code, code);
	assert_int_equal(result->sent, sent);
	assert_non_null(strstr(result->err.text, "127.0.0.1"));
	assert_null(strstr(result->err.text, "topsecret"));
}

/* Turns the loop, without letting it wait, until sem is posted. */
static void turn_until(sem_t *sem)
{
	while (sem_trywait(sem) != 0)
		loop_turn(loop);
}

static void answers_arrive_whole(void **state)
{
	_cleanup_result_ struct result result = { 0 };

	start("/ok", &result);
	assert_int_equal(http_client_active(client), 1);
	finish(&result);
	assert_int_equal(result.status, 200);
	assert_true(result.sent);
	assert_int_equal(result.err.code, ERR_NONE);
	assert_string_equal(result.body, "hello");
	assert_int_equal(result.body_length, 5);
	assert_string_equal(result.content_type, "application/json");
	assert_int_equal(http_client_active(client), 0);
	assert_true(str_has_prefix(server->last_request, "GET /ok HTTP/1.1\r\n"));
	assert_non_null(strstr(server->last_request, "\r\nUser-Agent: test/1\r\n"));
}

static void bodies_are_posted_as_they_are(void **state)
{
	_cleanup_result_ struct result small = { 0 }, large = { 0 }, empty = { 0 };
	_cleanup_free_ char *url = xasprintf("http://127.0.0.1:%d/echo", server->port);
	char body[] = "command=listVolumes&signature=topsecret";
	static char much[1200001]; /* from 1 MiB on curl would ask for a "100 Continue" first */

	start_request((struct http_request){ .url = url,
					     .body = body,
					     .body_length = strlen(body) },
		      &small);
	memset(body, '-', strlen(body)); /* it was copied */
	finish(&small);
	assert_string_equal(small.body, "command=listVolumes&signature=topsecret");
	assert_true(str_has_prefix(server->last_request, "POST /echo HTTP/1.1\r\n"));
	assert_non_null(strstr(server->last_request,
			       "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));

	memset(much, 'x', sizeof(much) - 1);
	start_request((struct http_request){ .url = url,
					     .body = much,
					     .body_length = sizeof(much) - 1,
					     .max_response = 2000000 },
		      &large);
	finish(&large);
	assert_int_equal(large.body_length, sizeof(much) - 1);
	assert_null(strstr(server->last_request, "Expect"));

	start_request((struct http_request){ .url = url, .body = "", .body_length = 0 }, &empty);
	finish(&empty);
	assert_int_equal(empty.status, 200);
	assert_true(str_has_prefix(server->last_request, "POST"));
}

static void what_was_sent_and_answered_is_wiped(void **state)
{
	static const char *const secrets[] = { "topsecret", NULL };
	_cleanup_result_ struct result result = { 0 };
	_cleanup_free_ char *url = xasprintf("http://127.0.0.1:%d/echo", server->port);

	wiping_watch(secrets);
	start_request((struct http_request){ .url = url, .body = "a=topsecret", .body_length = 11 },
		      &result);
	finish(&result);
	client = http_client_free(client);
	assert_null(wiping_missed());
	wiping_watch(NULL);
	assert_string_equal(result.body, "a=topsecret");
}

static void every_status_is_an_answer(void **state)
{
	static const char *const paths[] = { "/status/401", "/status/431", "/status/500",
					     "/status/503" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_result_ struct result result = { 0 };

		get(paths[i], &result);
		assert_int_equal(result.status, atoi(paths[i] + 8));
		assert_int_equal(result.err.code, ERR_NONE);
		assert_string_equal(result.body, "why");
	}
	_cleanup_result_ struct result result = { 0 };
	int requests = server->requests;

	get("/redirect", &result);
	assert_int_equal(result.status, 302); /* not followed */
	assert_int_equal(server->requests, requests + 1);
}

static void connections_are_kept(void **state)
{
	for (int i = 0; i < 20; i++) {
		_cleanup_result_ struct result result = { 0 };

		get("/ok", &result);
		assert_int_equal(result.status, 200);
	}
	assert_int_equal(server->requests, 20);
	assert_int_equal(server->connections, 1);
}

static void too_much_ends_the_call(void **state)
{
	_cleanup_free_ char *url = url_of("http", server->port, "/large");
	_cleanup_result_ struct result exact = { 0 }, over = { 0 };

	start_request((struct http_request){ .url = url, .max_response = 100000 }, &exact);
	finish(&exact);
	assert_int_equal(exact.status, 200);
	assert_int_equal(exact.body_length, 100000);
	start_request((struct http_request){ .url = url, .max_response = 99999 }, &over);
	finish(&over);
	assert_failed(&over, ERR_TOO_LARGE, true);
	assert_int_equal(over.body_length, 0);
}

static void cut_connections(void **state)
{
	static const char *const paths[] = { "/half", "/nothing" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_free_ char *url = url_of("http", server->port, paths[i]);
		_cleanup_result_ struct result result = { 0 };

		start_request((struct http_request){ .url = url }, &result);
		finish(&result);
		assert_failed(&result, ERR_UNAVAILABLE, true);
		assert_int_equal(result.body_length, 0);
	}
	assert_int_equal(server->requests, 2);
}

/* The kept connection dies after the server has the request: curl alone would send it once more. */
static void a_request_is_never_sent_twice(void **state)
{
	_cleanup_result_ struct result first = { 0 }, get_result = { 0 }, again = { 0 },
				       post_result = { 0 };
	_cleanup_free_ char *url = url_of("http", server->port, "/nothing");

	get("/ok", &first);
	start_request((struct http_request){ .url = url }, &get_result);
	finish(&get_result);
	assert_failed(&get_result, ERR_UNAVAILABLE, true);
	get("/ok", &again);
	start_request((struct http_request){ .url = url, .body = "a=b", .body_length = 3 },
		      &post_result);
	finish(&post_result);
	assert_failed(&post_result, ERR_UNAVAILABLE, true);
	assert_int_equal(server->requests, 4);
}

static void a_connection_closed_while_idle_does_no_harm(void **state)
{
	_cleanup_result_ struct result first = { 0 }, second = { 0 };

	get("/leave", &first);
	assert_int_equal(first.status, 200);
	sem_wait(&server->closed);
	get("/ok", &second);
	assert_int_equal(second.status, 200);
	assert_int_equal(server->connections, 2);
	assert_int_equal(server->requests, 2);
}

/* ---- nothing was sent ---- */

static int unused_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static void refused_connection(void **state)
{
	_cleanup_free_ char *url = url_of("http", unused_port(), "/ok");
	_cleanup_result_ struct result result = { 0 };

	start_request((struct http_request){ .url = url, .body = "a=b", .body_length = 3 },
		      &result);
	finish(&result);
	assert_failed(&result, ERR_UNAVAILABLE, false);
	assert_non_null(strstr(result.err.text, "Connection refused"));
}

static void name_that_does_not_resolve(void **state)
{
	_cleanup_result_ struct result result = { 0 };

	/* 64 characters are one more than DNS has, so that nobody needs to be asked. */
#define NAME "a123456789b123456789c123456789d123456789e123456789f123456789g123.invalid"
	start_request((struct http_request){ .url = "http://" NAME "/?signature=topsecret" },
		      &result);
	finish(&result);
	assert_int_equal(result.err.code, ERR_UNAVAILABLE);
	assert_false(result.sent);
	assert_non_null(strstr(result.err.text, NAME));
	assert_null(strstr(result.err.text, "topsecret"));
}

static void addresses_that_are_not_http(void **state)
{
	static const char *const urls[] = { "file:///etc/passwd", "ftp://127.0.0.1/x?topsecret",
					    "127.0.0.1 x topsecret", "", "http://" };

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		_cleanup_result_ struct result result = { 0 };

		start_request((struct http_request){ .url = urls[i] }, &result);
		finish(&result);
		assert_int_equal(result.err.code, ERR_UNAVAILABLE);
		assert_int_equal(result.status, 0);
		assert_false(result.sent);
		assert_int_equal(result.body_length, 0);
		assert_null(strstr(result.err.text, "topsecret"));
	}
}

static void tls_to_a_server_that_has_none(void **state)
{
	_cleanup_free_ char *url = url_of("https", server->port, "/ok");
	_cleanup_result_ struct result result = { 0 };

	/* The handshake looks like an endless header to a server of plain HTTP; we break it off. */
	start_request((struct http_request){ .url = url }, &result);
	while (server->connections == 0)
		loop_turn(loop);
	http_server_free(server);
	finish(&result);
	server = http_server_new(false);
	assert_failed(&result, ERR_UNAVAILABLE, false);
}

static void certificates_are_checked(void **state)
{
	_cleanup_free_ char *url = url_of("https", server->port, "/ok");
	_cleanup_free_ char *other_name = xasprintf("https://localhost:%d/ok", server->port);
	_cleanup_result_ struct result unknown = { 0 }, other = { 0 }, known = { 0 };

	client = client_with(NULL);
	start_request((struct http_request){ .url = url }, &unknown);
	finish(&unknown);
	assert_failed(&unknown, ERR_UNAVAILABLE, false);
	assert_says(&unknown, "its certificate is signed by an authority that is not trusted here");
	assert_says(&unknown, "a file that test.ca_file names");
	client = http_client_free(client);

	client = client_with(server->ca_file);
	start_request((struct http_request){ .url = other_name }, &other);
	finish(&other);
	assert_int_equal(other.err.code, ERR_UNAVAILABLE);
	assert_says(&other, "its certificate is for another name than localhost; use a name that "
			    "stands in the certificate in test.url");
	assert_false(other.sent);
	assert_int_equal(server->requests, 0);

	start_request((struct http_request){ .url = url }, &known);
	finish(&known);
	assert_int_equal(known.status, 200);
	assert_string_equal(known.body, "hello");
	assert_int_equal(server->requests, 1);
}

static void get_with_validity(long from_s, long to_s, struct result *result)
{
	_cleanup_free_ char *url = NULL;

	loop = loop_new();
	server = http_server_new_valid(from_s, to_s);
	client = client_with(server->ca_file);
	url = url_of("https", server->port, "/ok");
	start_request((struct http_request){ .url = url }, result);
	finish(result);
	assert_failed(result, ERR_UNAVAILABLE, false);
}

static void an_expired_certificate(void **state)
{
	_cleanup_result_ struct result result = { 0 };

	get_with_validity(-7200, -3600, &result);
	assert_says(&result,
		    "its certificate has expired; renew it, or set this machine's clock if ");
}

static void a_certificate_of_the_future(void **state)
{
	_cleanup_result_ struct result result = { 0 };

	get_with_validity(3600, 7200, &result);
	assert_says(&result, "its certificate is not valid yet: this machine's clock says 20");
}

static void a_file_without_authorities(void **state)
{
	_cleanup_free_ char *url = url_of("https", server->port, "/ok");
	_cleanup_result_ struct result result = { 0 };

	client = client_with("/dev/null");
	start_request((struct http_request){ .url = url }, &result);
	finish(&result);
	assert_failed(&result, ERR_UNAVAILABLE, false);
	assert_says(&result, "there are no CA certificates in /dev/null");
}

/* ---- redirects ---- */

static void a_redirect_says_where_to(void **state)
{
	_cleanup_free_ char *url = url_of("http", server->port, "/moved/api");
	_cleanup_result_ struct result moved = { 0 }, here = { 0 }, none = { 0 };

	start_request((struct http_request){ .url = url }, &moved);
	finish(&moved);
	assert_int_equal(moved.status, 302);
	assert_string_equal(moved.redirect, "https://cloud.example:8443/moved/api");
	get("/redirect", &here);
	assert_string_equal(here.redirect, "");
	get("/ok", &none);
	assert_string_equal(none.redirect, "");
	assert_int_equal(server->requests, 3);
}

/* ---- cancelling and waiting ---- */

static void cancelled_in_flight(void **state)
{
	_cleanup_result_ struct result result = { 0 }, next = { 0 };
	struct http_call *call = start("/hold", &result);

	turn_until(&server->held);
	http_call_cancel(call);
	assert_int_equal(http_client_active(client), 0);
	sem_wait(&server->gone); /* the server sees it at once */
	get("/ok", &next);
	assert_int_equal(result.count, 0);
}

static void cancelled_at_once_and_while_waiting(void **state)
{
	_cleanup_(results_clear) struct result held[MAX_PARALLEL] = { 0 };
	_cleanup_result_ struct result waiting = { 0 }, next = { 0 };
	struct http_call *calls[MAX_PARALLEL];
	int requests;

	http_call_cancel(start("/ok", &next));
	for (int i = 0; i < MAX_PARALLEL; i++)
		calls[i] = start("/hold", &held[i]);
	http_call_cancel(start("/ok", &waiting));
	for (int i = 0; i < MAX_PARALLEL; i++)
		turn_until(&server->held);
	for (int i = 0; i < MAX_PARALLEL; i++)
		http_call_cancel(calls[i]);
	requests = server->requests;
	get("/ok", &next);
	assert_int_equal(requests, MAX_PARALLEL);
	assert_int_equal(waiting.count, 0);
	for (int i = 0; i < MAX_PARALLEL; i++)
		assert_int_equal(held[i].count, 0);
}

static void cancelling_makes_room(void **state)
{
	_cleanup_(results_clear) struct result held[MAX_PARALLEL] = { 0 };
	_cleanup_result_ struct result waiting = { 0 };
	struct http_call *calls[MAX_PARALLEL];

	for (int i = 0; i < MAX_PARALLEL; i++)
		calls[i] = start("/hold", &held[i]);
	start("/ok", &waiting);
	turn_until(&server->held);
	http_call_cancel(calls[0]);
	finish(&waiting);
	assert_int_equal(waiting.status, 200);
	for (int i = 1; i < MAX_PARALLEL; i++)
		http_call_cancel(calls[i]);
}

#define MANY 10

static void no_more_at_once_than_allowed(void **state)
{
	struct result results[MANY] = { 0 };

	for (int i = 0; i < MANY; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/hold/%d", i);
		start(path, &results[i]);
	}
	assert_int_equal(http_client_active(client), MANY);
	/* One by one, so that the order of arrival is the order of starting. */
	turn_until(&server->held);
	turn_until(&server->held);
	for (int i = 2; i < MANY; i++) {
		sem_post(&server->gate);
		turn_until(&server->held);
	}
	sem_post(&server->gate);
	sem_post(&server->gate);
	while (http_client_active(client) > 0)
		loop_turn(loop);
	assert_int_equal(server->most_holding, MAX_PARALLEL);
	assert_in_range(server->connections, 1, MAX_PARALLEL);
	assert_string_equal(server->hold_order + 2, "23456789");
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(results[i].count, 1);
		assert_int_equal(results[i].status, 200);
		result_clear(&results[i]);
	}
}

static void done_may_start_and_cancel(void **state)
{
	_cleanup_result_ struct result first = { .keep_running = true }, second = { 0 },
				       third = { 0 };

	first.cancel = start("/hold", &second);
	first.start = &third;
	turn_until(&server->held);
	start("/ok", &first);
	finish(&third);
	assert_int_equal(first.count, 1);
	assert_int_equal(third.status, 200);
	assert_int_equal(second.count, 0);
}

/* Both have ended in the same turn; the first one's done() cancels the other, whose end is waiting
 * to be told. */
static void done_may_cancel_what_has_ended(void **state)
{
	_cleanup_result_ struct result a = { .keep_running = true }, b = { .keep_running = true };
	struct http_call *call_a = start("/hold/a", &a), *call_b = start("/hold/b", &b);

	a.cancel = call_b;
	b.cancel = call_a;
	turn_until(&server->held);
	turn_until(&server->held);
	sem_post(&server->gate);
	sem_post(&server->gate);
	/* Without the loop, both answers get here before it looks. */
	while (server->holding > 0)
		;
	while (http_client_active(client) > 0)
		loop_turn(loop);
	assert_int_equal(a.count + b.count, 1);
}

/* ---- time, turned by hand ---- */

static void a_slow_answer_times_out(void **state)
{
	_cleanup_free_ char *url = NULL;
	_cleanup_result_ struct result result = { 0 };

	clock_test_start(1000, 0);
	url = url_of("http", server->port, "/hold");
	start_request((struct http_request){ .url = url, .timeout_ms = 20000 }, &result);
	turn_until(&server->held);
	clock_test_advance(19999);
	loop_turn(loop);
	assert_int_equal(result.count, 0);
	clock_test_advance(1);
	loop_turn(loop);
	assert_int_equal(result.count, 1);
	assert_failed(&result, ERR_TIMEOUT, true);
	sem_wait(&server->gone);
}

static void waiting_for_its_turn_is_not_counted(void **state)
{
	_cleanup_(results_clear) struct result held[MAX_PARALLEL] = { 0 };
	_cleanup_result_ struct result waiting = { 0 };

	for (int i = 0; i < MAX_PARALLEL; i++)
		start("/hold", &held[i]);
	start("/hold", &waiting);
	for (int i = 0; i < MAX_PARALLEL; i++)
		turn_until(&server->held);
	clock_test_advance(30000);
	loop_turn(loop);
	for (int i = 0; i < MAX_PARALLEL; i++)
		assert_int_equal(held[i].err.code, ERR_TIMEOUT);
	assert_int_equal(waiting.count, 0);
	turn_until(&server->held);
	clock_test_advance(29999);
	loop_turn(loop);
	assert_int_equal(waiting.count, 0);
	sem_post(&server->gate);
	while (waiting.count == 0)
		loop_turn(loop);
	assert_int_equal(waiting.status, 200);
}

/* A listener whose queue is full: the kernel leaves further connections hanging, as a firewall
 * would. */
static void a_connection_that_hangs_sends_nothing(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	_cleanup_free_ char *url = NULL;
	_cleanup_result_ struct result result = { 0 };
	int fds[5];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fds[0], (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fds[0], 0), 0);
	assert_int_equal(getsockname(fds[0], (struct sockaddr *)&address, &size), 0);
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		connect(fds[i], (struct sockaddr *)&address, size);
	url = url_of("http", ntohs(address.sin_port), "/ok");
	start_request((struct http_request){ .url = url, .timeout_ms = 5000 }, &result);
	for (int i = 0; i < 20; i++)
		loop_turn(loop);
	assert_int_equal(result.count, 0);
	clock_test_advance(5000);
	while (result.count == 0)
		loop_turn(loop);
	assert_failed(&result, ERR_UNAVAILABLE, false);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(answers_arrive_whole),
		T(bodies_are_posted_as_they_are),
		T(what_was_sent_and_answered_is_wiped),
		T(every_status_is_an_answer),
		T(connections_are_kept),
		T(too_much_ends_the_call),
		T(cut_connections),
		T(a_request_is_never_sent_twice),
		T(a_connection_closed_while_idle_does_no_harm),
		T(refused_connection),
		T(name_that_does_not_resolve),
		T(addresses_that_are_not_http),
		T(tls_to_a_server_that_has_none),
		cmocka_unit_test_setup_teardown(certificates_are_checked, setup_tls, teardown),
		cmocka_unit_test_teardown(an_expired_certificate, teardown),
		cmocka_unit_test_teardown(a_certificate_of_the_future, teardown),
		cmocka_unit_test_setup_teardown(a_file_without_authorities, setup_tls, teardown),
		T(a_redirect_says_where_to),
		T(cancelled_in_flight),
		T(cancelled_at_once_and_while_waiting),
		T(cancelling_makes_room),
		T(no_more_at_once_than_allowed),
		T(done_may_start_and_cancel),
		T(done_may_cancel_what_has_ended),
		/* From here on the clock stands still. */
		T(a_slow_answer_times_out),
		T(waiting_for_its_turn_is_not_counted),
		T(a_connection_that_hangs_sends_nothing),
	};

	signal(SIGPIPE, SIG_IGN); /* as in the daemon */
	alarm(60);                /* a hang is a failure */
	/* None of this may be listened to. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
