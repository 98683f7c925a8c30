/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers in gzip: which clients get them, that they hold the same, and that they are bounded. */

#include "rest_fixture.h"

#include <zlib.h>

#include "api/rest/gzip.h"

#define GZIP "Accept-Encoding: gzip, deflate\r\n"
#define VOLUMES "/api/v1/volumes"

static void test_what_clients_accept(void **state)
{
	static const struct {
		const char *accept;
		bool accepted;
	} rows[] = {
		{ NULL, false },
		{ "", false },
		{ "gzip", true },
		{ "deflate, GZIP;q=0.5", true },
		{ " br ,\tgzip ; q=0.001", true },
		{ "gzip;q=0", false },
		{ "gzip; q=0.000, *", false },
		{ "*", true },
		{ "*;q=0", false },
		{ "*;q=0, gzip", true },
		{ "identity", false },
		{ "gzipped", false },
		{ "x-gzip,,", false },
		{ ";;,gzip;", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (gzip_is_accepted(rows[i].accept) != rows[i].accepted)
			fail_msg("wrong about '%s'", rows[i].accept);
	}
}

static void unzip(const struct reply *reply, struct buf *out)
{
	char part[4096];
	z_stream stream = { .next_in = (Bytef *)reply->body, .avail_in = (uInt)reply->length };
	int r;

	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
	do {
		stream.next_out = (Bytef *)part;
		stream.avail_out = sizeof(part);
		r = inflate(&stream, Z_NO_FLUSH);
		assert_true(r == Z_OK || r == Z_STREAM_END);
		buf_add(out, part, sizeof(part) - stream.avail_out);
	} while (r != Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	inflateEnd(&stream);
}

/* count: of volumes, each about 270 bytes. */
static void assert_same_in_gzip(struct fixture *f, int count)
{
	_cleanup_reply_ struct reply plain, zipped;
	_cleanup_buf_ struct buf unzipped = BUF_NULL;

	f->core.count = (size_t)count;
	ask(f, "GET", VOLUMES, NULL, NULL, &plain);
	ask(f, "GET", VOLUMES, GZIP, NULL, &zipped);
	assert_null(reply_header(&plain, "Content-Encoding"));
	assert_int_equal(zipped.status, 200);
	assert_string_equal(reply_header(&zipped, "Content-Encoding"), "gzip");
	assert_string_equal(reply_header(&zipped, "Content-Type"), "application/json");
	assert_true(zipped.length < plain.length / 2);
	unzip(&zipped, &unzipped);
	assert_string_equal(unzipped.data, plain.body);
}

static void test_short_and_long_answers(void **state)
{
	assert_same_in_gzip(*state, 20);
	assert_same_in_gzip(*state, 1000);
}

static char *length_of(struct fixture *f, const char *verb, const char *target)
{
	_cleanup_reply_ struct reply reply;

	ask(f, verb, target, GZIP, NULL, &reply);
	assert_string_equal(str_or(reply_header(&reply, "Content-Encoding"), "(none)"), "gzip");
	return xstrdup(reply_header(&reply, "Content-Length"));
}

/* HEAD tells the length that GET would have. */
static void test_head(void **state)
{
	static const size_t counts[] = { 20, 1000 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		_cleanup_free_ char *get = NULL, *head = NULL;

		f->core.count = counts[i];
		get = length_of(f, "GET", VOLUMES);
		head = length_of(f, "HEAD", VOLUMES);
		assert_string_equal(head, get);
	}
}

static void assert_plain(struct fixture *f, const char *verb, const char *target,
			 const char *headers)
{
	_cleanup_reply_ struct reply reply;

	ask(f, verb, target, headers, NULL, &reply);
	if (reply_header(&reply, "Content-Encoding"))
		fail_msg("%s %s is in gzip", verb, target);
}

static void test_answers_that_stay_as_they_are(void **state)
{
	struct fixture *f = *state;

	f->core.count = 1000;
	assert_plain(f, "HEAD", VOLUMES, NULL);
	assert_plain(f, "GET", VOLUMES, "Accept-Encoding: gzip;q=0\r\n");
	assert_plain(f, "GET", VOLUME_PATH, GZIP); /* short */
	assert_plain(f, "GET", "/nowhere", GZIP);
}

static void test_the_figures(void **state)
{
	struct fixture *f = *state;
	char comment[GZIP_MIN] = "# ";
	_cleanup_reply_ struct reply plain, zipped;
	_cleanup_buf_ struct buf text = BUF_NULL;

	memset(comment + 2, 'x', sizeof(comment) - 4);
	comment[sizeof(comment) - 2] = '\n';
	f->core.figures = comment;
	ask(f, "GET", "/metrics", NULL, NULL, &plain);
	ask(f, "GET", "/metrics", GZIP, NULL, &zipped);
	assert_string_equal(str_or(reply_header(&zipped, "Content-Encoding"), "(none)"), "gzip");
	assert_string_equal(reply_header(&zipped, "Content-Type"),
			    "text/plain; version=0.0.4; charset=utf-8");
	unzip(&zipped, &text);
	assert_string_equal(text.data, plain.body);
}

static void test_the_document(void **state)
{
	_cleanup_reply_ struct reply reply;
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_ struct json *json = NULL;

	ask(*state, "GET", "/api/v1/openapi.json", GZIP, NULL, &reply);
	assert_string_equal(reply_header(&reply, "Content-Encoding"), "gzip");
	unzip(&reply, &text);
	json = json_parse(text.data, text.length, NULL);
	assert_string_equal(json_text(json_get(json, "openapi")), "3.1.0");
}

/* Large answers wait for the thread, short ones pass them. */
static void test_many_at_once(void **state)
{
	struct fixture *f = *state;
	struct client large[8];
	_cleanup_reply_ struct reply passed;

	f->core.count = 8000;
	for (size_t i = 0; i < ARRAY_SIZE(large); i++) {
		client_open(&large[i], f);
		client_request(&large[i], "GET", VOLUMES, GZIP, NULL);
	}
	ask(f, "GET", "/nowhere", GZIP, NULL, &passed);
	assert_int_equal(passed.status, 404);
	for (size_t i = 0; i < ARRAY_SIZE(large); i++) {
		_cleanup_reply_ struct reply reply;
		_cleanup_buf_ struct buf text = BUF_NULL;

		client_reply(&large[i], false, &reply);
		assert_string_equal(reply_header(&reply, "Content-Encoding"), "gzip");
		unzip(&reply, &text);
		assert_non_null(strstr(text.data, "\"count\":8000"));
		client_close(&large[i]);
	}
}

/* The clients of half of them have left. */
static void test_the_server_closes_while_answers_wait(void **state)
{
	struct fixture *f = *state;
	struct client clients[8];

	f->core.count = 8000;
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		client_open(&clients[i], f);
		client_request(&clients[i], "GET", VOLUMES, GZIP, NULL);
	}
	for (int turn = 0; f->core.started < ARRAY_SIZE(clients); turn++) {
		assert_true(turn < 1000000);
		loop_turn(f->loop);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i += 2)
		client_close(&clients[i]);
	f->rest = rest_close(f->rest);
	for (size_t i = 1; i < ARRAY_SIZE(clients); i += 2)
		client_close(&clients[i]);
}

/* Counts those that hold no more memory than their bytes need. */
static void on_done(struct evhttp_request *http, struct gzip_answer *answer, void *arg)
{
	size_t *done = arg;

	*done += answer->is_compressed && answer->body.room == answer->body.length + 1;
}

static void test_the_bytes_that_wait_are_bounded(void **state)
{
	struct fixture *f = *state;
	size_t length = GZIP_BYTES_MAX / 2, done = 0;
	struct err err = { 0 };
	struct gzip *gzip = gzip_new(f->loop, on_done, &done, &err);

	for (size_t i = 0; i < 3; i++) {
		_cleanup_buf_ struct buf body = { xcalloc(1, length + 1), length, length + 1 };

		assert_int_equal(gzip_submit(gzip, NULL, 200, &body), i < 2);
		assert_int_equal(body.length, i < 2 ? 0 : length);
	}
	assert_int_equal(gzip_count(gzip), 2);
	while (gzip_count(gzip) > 0)
		loop_turn(f->loop);
	assert_int_equal(done, 2);
	gzip_free(gzip);
}

int main(void)
{
#define T(FN) cmocka_unit_test_setup_teardown(FN, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_clients_accept),
		T(test_short_and_long_answers),
		T(test_answers_that_stay_as_they_are),
		T(test_head),
		T(test_the_figures),
		T(test_the_document),
		T(test_many_at_once),
		T(test_the_server_closes_while_answers_wait),
		T(test_the_bytes_that_wait_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
