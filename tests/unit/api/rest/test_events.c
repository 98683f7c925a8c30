/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Streams of events: what a client gets, what it gets after it was away, and what it may cost. */

#include "rest_fixture.h"

#include <errno.h>
#include <malloc.h>

#include "api/rest/event_ring.h"
#include "api/rest/event_streams.h"
#include "base/clock.h"

/* HTTP/1.0: no chunks between the events. */
static void stream_open(struct client *c, struct fixture *f, const char *query, const char *headers)
{
	client_open(c, f);
	client_text(c, "GET " EVENTS_PATH "%s HTTP/1.0\r\nHost: localhost\r\n%s\r\n", query,
		    headers);
	client_await(c, "HTTP/1.0 200 OK\r\n");
	client_await(c, "\r\n\r\n");
	client_await(c, "retry: ");
}

static void tell_volume(struct fixture *f, enum event_type type, const char *id)
{
	fake_core_tell(&f->core, &(struct core_event){ .type = type, .id = id });
}

static void tell_operation(struct fixture *f, enum event_type type, int status)
{
	struct operation_record operation;

	record_init(&operation_record, &operation);
	fake_fill(&operation_record, &operation);
	operation.status = status;
	fake_core_tell(&f->core, &(struct core_event){ .type = type,
						       .id = operation.id,
						       .operation = &operation });
	record_clear(&operation_record, &operation);
}

static void test_events_come_as_they_happen(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	assert_true(TAILQ_EMPTY(&f->core.listeners)); /* nobody listens: events cost nothing */
	f->core.volume_count = 1;
	stream_open(&c, f, "", "");
	assert_true(f->core.watches_health);
	client_await(&c, "\n\nid: ");
	client_await(&c, ".0\n\n");
	tell_operation(f, EVENT_OPERATION_ENDED, OPERATION_COMPLETED);
	client_await(
		&c,
		".1\nevent: operation\ndata: {\"kind\":\"operation\",\"change\":\"ended\",\"id\":");
	client_await(&c, "\"operation\":{\"id\":");
	client_await(&c, "\"status\":\"completed\"");
	client_await(&c, "}}\n\n");
	tell_volume(f, EVENT_VOLUME_CHANGED, SAMPLE_UUID);
	client_await(
		&c, ".2\nevent: volume\ndata: {\"kind\":\"volume\",\"change\":\"changed\",\"id\":");
	client_await(&c, "\"" SAMPLE_UUID "\",\"volume\":{\"volume_id\":\"" SAMPLE_UUID "\"");
	tell_volume(f, EVENT_VOLUME_REMOVED, OTHER_UUID);
	client_await(
		&c, ".3\nevent: volume\ndata: {\"kind\":\"volume\",\"change\":\"removed\",\"id\":");
	client_await(&c, "\"" OTHER_UUID "\"}\n\n");
	/* left memory: the operation itself has not changed */
	tell_volume(f, EVENT_OPERATION_FORGOTTEN, SAMPLE_OPERATION);
	tell_volume(f, EVENT_EXPORT_REMOVED, SAMPLE_UUID);
	client_await(&c, ".4\nevent: export\ndata: {\"kind\":\"export\",\"change\":\"removed\"");
}

static void test_the_answer_is_chunked_for_new_clients(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open(&c, f);
	client_request(&c, "GET", EVENTS_PATH, NULL, NULL);
	client_reply(&c, false, &reply);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply_header(&reply, "Content-Type"), "text/event-stream");
	assert_string_equal(reply_header(&reply, "Transfer-Encoding"), "chunked");
	assert_string_equal(reply_header(&reply, "Cache-Control"), "no-store");
	assert_string_equal(reply_header(&reply, "X-Accel-Buffering"), "no");
	client_await(&c, ".0\n\n\r\n");
	tell_volume(f, EVENT_VOLUME_REMOVED, SAMPLE_UUID);
	client_await(&c, "event: volume\n");
}

/* The id of the last event of a client that has got two events. */
static void get_two_events(struct fixture *f, char id[EVENT_ID_SIZE])
{
	_cleanup_client_ struct client c;

	stream_open(&c, f, "", "");
	tell_volume(f, EVENT_VOLUME_ADDED, SAMPLE_UUID);
	tell_volume(f, EVENT_VOLUME_REMOVED, SAMPLE_UUID);
	client_await(&c, ".1\nevent: volume\n");
	client_await_line(&c, "\n\nid: ", id, EVENT_ID_SIZE);
}

static void test_a_client_that_was_away_gets_what_it_missed(void **state)
{
	struct fixture *f = *state;
	char id[EVENT_ID_SIZE], header[128], query[128], old[128];

	get_two_events(f, id);
	fixture_settle(f);
	assert_false(f->core.watches_health);
	tell_volume(f, EVENT_EXPORT_REMOVED, OTHER_UUID);
	snprintf(header, sizeof(header), "Last-Event-ID: %s\r\n", id);
	snprintf(query, sizeof(query), "?last_event_id=%s", id);
	snprintf(old, sizeof(old), "?last_event_id=%.*s.0", (int)strcspn(id, "."), id);
	for (int i = 0; i < 3; i++) {
		_cleanup_client_ struct client c;

		/* A browser that comes back has both; the header is the newer one. */
		stream_open(&c, f, i == 0 ? "" : i == 1 ? query : old, i == 1 ? "" : header);
		client_await(&c, "\n\nid: ");
		client_await(&c, ".3\nevent: export\n");
	}
}

static void test_a_gap_is_told(void **state)
{
	static const char *const unknown[] = { "0123456789ab.1", "x", ".", "%2E1", "7", "-1" };
	struct fixture *f = *state;
	char id[EVENT_ID_SIZE], query[128];

	get_two_events(f, id);
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		_cleanup_client_ struct client c;

		snprintf(query, sizeof(query), "?last_event_id=%s", unknown[i]);
		stream_open(&c, f, query, "");
		client_await(
			&c,
			".2\nevent: resync\ndata: {\"kind\":\"resync\",\"reason\":\"unknown-id\"}\n\n");
	}
	for (int future = 0; future < 2; future++) {
		_cleanup_client_ struct client c;

		/* not yet told by this start, or a number that is none */
		snprintf(query, sizeof(query), "?last_event_id=%.*s.%s", (int)strcspn(id, "."), id,
			 future ? "3" : "18446744073709551617");
		stream_open(&c, f, query, "");
		client_await(&c, "\"reason\":\"unknown-id\"");
	}
}

static void test_the_ring_has_an_end(void **state)
{
	struct fixture *f = *state;
	char id[EVENT_ID_SIZE], query[128];
	_cleanup_client_ struct client whole, late;

	get_two_events(f, id);
	snprintf(query, sizeof(query), "?last_event_id=%s", id);
	for (int i = 0; i < EVENT_RING_MAX; i++)
		tell_volume(f, EVENT_VOLUME_REMOVED, SAMPLE_UUID);
	stream_open(&whole, f, query, "");
	client_await(&whole, ".3\nevent: volume\n");
	client_await(&whole, ".4098\nevent: volume\n");
	tell_volume(f, EVENT_VOLUME_REMOVED, SAMPLE_UUID);
	client_await(&whole, ".4099\nevent: volume\n"); /* goes on with what happens now */
	stream_open(&late, f, query, "");
	client_await(
		&late,
		".4099\nevent: resync\ndata: {\"kind\":\"resync\",\"reason\":\"too-old\"}\n\n");
	tell_volume(f, EVENT_EXPORT_REMOVED, SAMPLE_UUID);
	client_await(&late, ".4100\nevent: export\n");
}

static void test_the_bytes_of_the_ring_are_bounded(void **state)
{
	struct event_ring *ring = event_ring_new();
	_cleanup_buf_ struct buf data = BUF_NULL;
	size_t bytes = 0;

	while (data.length < EVENT_RING_BYTES_MAX / 8)
		buf_add_text(&data, "xxxxxxxxxxxxxxxx");
	for (int i = 0; i < 100; i++)
		event_ring_add(ring, "volume", &data);
	assert_int_equal(event_ring_end(ring), 101);
	for (uint64_t n = event_ring_oldest(ring); n < event_ring_end(ring); n++)
		bytes += event_ring_at(ring, n)->length;
	assert_in_range(bytes, EVENT_RING_BYTES_MAX / 2, EVENT_RING_BYTES_MAX);
	event_ring_free(ring);
}

static void test_a_quiet_stream_has_a_heart_beat(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	stream_open(&c, f, "", "");
	client_await(&c, ".0\n\n");
	/* far longer than any other answer may take */
	for (int i = 0; i < 10; i++) {
		fixture_pass(f, EVENT_BEAT_MS - 1);
		assert_int_equal(c.in.length, 0);
		fixture_pass(f, 1);
		client_await(&c, ": still here\n\n");
	}
	assert_false(c.closed);
}

/* Events of 16 KiB, until the kernel's buffers and the portion of a client that reads nothing are
 * full. */
static void fill_pipe(struct fixture *f)
{
	char text[16 << 10] = "";

	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 400; i++) {
		tell_volume(f, EVENT_VOLUME_REMOVED, text);
		loop_turn(f->loop);
	}
}

static void test_a_client_that_takes_nothing_is_cut_off(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client slow, quick;

	stream_open(&slow, f, "", "");
	stream_open(&quick, f, "", "");
	fill_pipe(f);
	client_await(&quick, ".400\nevent: volume\n");
	fixture_pass(f, EVENT_BEAT_MS);
	fixture_pass(f, EVENT_BEAT_MS);
	client_await_close(&slow);
	tell_volume(f, EVENT_EXPORT_REMOVED, SAMPLE_UUID);
	client_await(&quick, ".401\nevent: export\n");
}

/* It does not hold up the ring, nor does the ring grow for it. */
static void test_a_client_that_the_ring_overtakes_is_cut_off(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client slow;

	stream_open(&slow, f, "", "");
	fill_pipe(f);
	for (int i = 0; i < EVENT_RING_MAX; i++)
		tell_volume(f, EVENT_VOLUME_REMOVED, SAMPLE_UUID);
	client_await_close(&slow);
	assert_false(f->core.watches_health);
}

#define STUFFED ((size_t)4 << 20) /* far more than the kernel keeps of this client */

/* Sends until nothing more is taken, and returns how much was. */
static size_t stuff(struct client *c, const char *junk, size_t length)
{
	const int size = 64 << 10;
	size_t taken = 0;
	int refused = 0;

	assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	while (refused < 100 && taken < STUFFED) {
		ssize_t sent = send(c->fd, junk, length, MSG_NOSIGNAL);

		refused = sent < 0 ? refused + 1 : 0;
		taken += sent > 0 ? (size_t)sent : 0;
		loop_turn(c->fixture->loop);
	}
	return taken;
}

/* What it sends stays in the kernel, whatever it is, and is at the cost of nobody else. */
static void test_what_a_client_sends_to_a_stream_is_not_kept(void **state)
{
	static const char *const kinds[] = {
		"\r\n\r\n", /* blank lines may stand before a request */
		"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n",
		"no request at all\r\n",
		"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
	};
	struct fixture *f = *state;
	static char junk[64 << 10];

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_client_ struct client stream, other;
		_cleanup_reply_ struct reply reply;
		size_t before;

		for (size_t at = 0; at < sizeof(junk); at++)
			junk[at] = kinds[i][at % strlen(kinds[i])];
		client_open(&other, f);
		stream_open(&stream, f, "", "");
		before = mallinfo2().uordblks;
		assert_true(stuff(&stream, junk, sizeof(junk)) < STUFFED);
		assert_true(mallinfo2().uordblks < before + ((size_t)1 << 20));
		tell_volume(f, EVENT_EXPORT_REMOVED, SAMPLE_UUID);
		client_await(&stream, "event: export\n");
		client_request(&other, "GET", "/health", NULL, NULL);
		client_reply(&other, false, &reply);
		assert_int_equal(reply.status, 200);
	}
}

static void open_small(struct fixture *f)
{
	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = 2,
						.max_connections = 100,
						.access = ACCESS_CHANGE });
}

static void test_streams_and_long_polls_share_their_places(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client stream, poll, more;
	_cleanup_reply_ struct reply waits, plain;

	open_small(f);
	f->core.hold = true;
	stream_open(&stream, f, "", "");
	client_open(&poll, f);
	client_request(&poll, "GET", "/api/v1/operations/" SAMPLE_OPERATION "?wait=9", NULL, NULL);
	fixture_settle(f);
	/* An error would end a browser's attempts for good. */
	client_open(&more, f);
	client_text(&more, "GET " EVENTS_PATH " HTTP/1.0\r\nHost: localhost\r\n\r\n");
	client_await_close(&more);
	assert_non_null(strstr(more.in.data, "HTTP/1.0 200 OK\r\n"));
	assert_non_null(strstr(more.in.data, "Content-Type: text/event-stream\r\n"));
	assert_non_null(strstr(more.in.data, "\r\n\r\nretry: "));
	assert_in_range(strtol(strstr(more.in.data, "retry: ") + 7, NULL, 10), 30000, 45000);
	assert_null(strstr(more.in.data, "id:"));
	ask(f, "GET", "/api/v1/operations/" SAMPLE_OPERATION "?wait=9", NULL, NULL, &waits);
	assert_error(&waits, 429, "TOO_MANY_REQUESTS", NULL);
	assert_non_null(reply_header(&waits, "Retry-After"));
	f->core.hold = false;
	ask(f, "GET", "/health", NULL, NULL, &plain);
	assert_int_equal(plain.status, 200);
	fake_core_release(&f->core);
}

static void test_a_stream_that_ends_leaves_its_place(void **state)
{
	struct fixture *f = *state;
	struct client first, second;

	open_small(f);
	for (int i = 0; i < 5; i++) {
		stream_open(&first, f, "", "");
		stream_open(&second, f, "", "");
		client_await(&first, ".0\n\n");
		client_await(&second, ".0\n\n");
		client_close(&first);
		client_close(&second);
		fixture_settle(f);
		assert_false(f->core.watches_health);
	}
}

static void test_streams_end_with_their_token(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client old, new, other;

	f->core.known_token = "vold_right"; /* its name is "known" */
	stream_open(&old, f, "", "Authorization: Bearer vold_right\r\n");
	client_open(&new, f);
	client_request(&new, "GET", EVENTS_PATH, "Authorization: Bearer vold_right\r\n", NULL);
	client_await(&new, ".0\n\n");
	stream_open(&other, f, "", "");
	tell_volume(f, EVENT_TOKEN_REVOKED, "unknown");
	tell_volume(f, EVENT_EXPORT_REMOVED, SAMPLE_UUID);
	tell_volume(f, EVENT_TOKEN_REVOKED, "known");
	tell_volume(f, EVENT_EXPORT_REMOVED, SAMPLE_UUID);
	client_await_close(&old);
	client_await(&new, "0\r\n\r\n");
	client_await_close(&new);
	assert_null(strstr(str_or(old.in.data, ""), ".2\nevent: export\n"));
	client_await(&other, ".2\nevent: export\n");
	assert_null(strstr(str_or(other.in.data, ""), "token"));
}

static void test_streams_end_with_the_daemon(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client old, new;

	stream_open(&old, f, "", "");
	client_open(&new, f);
	client_request(&new, "GET", EVENTS_PATH, NULL, NULL);
	client_await(&new, ".0\n\n");
	tell_volume(f, EVENT_EXPORT_REMOVED, SAMPLE_UUID);
	fixture_settle(f);
	rest_drain(f->rest);
	assert_int_equal(rest_in_flight(f->rest), 0);
	client_await(&old, ".1\nevent: export\n"); /* what was sent before has come */
	client_await(&new, ".1\nevent: export\n");
	client_await(&new, "0\r\n\r\n");
	client_await_close(&old);
	client_await_close(&new);
}

static void test_other_requests_of_its_path(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply verb, argument, head;

	ask(f, "POST", EVENTS_PATH, NULL, "{}", &verb);
	assert_error(&verb, 405, "METHOD_NOT_ALLOWED", NULL);
	assert_string_equal(reply_header(&verb, "Allow"), "GET, HEAD, OPTIONS");
	ask(f, "GET", EVENTS_PATH "?since=1", NULL, NULL, &argument);
	assert_error(&argument, 400, "INVALID_REQUEST", "since");
	ask(f, "HEAD", EVENTS_PATH, NULL, NULL, &head);
	assert_int_equal(head.status, 200);
	assert_string_equal(reply_header(&head, "Content-Type"), "text/event-stream");
	assert_true(TAILQ_EMPTY(&f->core.listeners));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_events_come_as_they_happen),
		TEST(test_the_answer_is_chunked_for_new_clients),
		TEST(test_a_client_that_was_away_gets_what_it_missed),
		TEST(test_a_gap_is_told),
		TEST(test_the_ring_has_an_end),
		TEST(test_the_bytes_of_the_ring_are_bounded),
		TEST(test_a_quiet_stream_has_a_heart_beat),
		TEST(test_a_client_that_takes_nothing_is_cut_off),
		TEST(test_a_client_that_the_ring_overtakes_is_cut_off),
		TEST(test_what_a_client_sends_to_a_stream_is_not_kept),
		TEST(test_streams_and_long_polls_share_their_places),
		TEST(test_a_stream_that_ends_leaves_its_place),
		TEST(test_streams_end_with_their_token),
		TEST(test_streams_end_with_the_daemon),
		TEST(test_other_requests_of_its_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
