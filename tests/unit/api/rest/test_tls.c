/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* REST over TLS: what a client sees of it, which certificates are used, and which configurations
 * are refused. */

#include "rest_fixture.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"

#define DAY INT64_C(86400)
#define LIFE (100 * DAY)
#define HALF_A_MINUTE 30000
#define NEWEST 0 /* version of TLS */
#define BOUND "https://127.0.0.1:0"

static char folder[] = "/tmp/test_tls_XXXXXX";

/* ---- certificates ---- */

static void path_of(const char *name, char *out, size_t size)
{
	assert_true((size_t)snprintf(out, size, "%s/%s", folder, name) < size);
}

static void write_pem(const char *name, X509 *cert, EVP_PKEY *key)
{
	char path[64];
	FILE *file;

	path_of(name, path, sizeof(path));
	unlink(path);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(cert ? PEM_write_X509(file, cert)
			      : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL),
			 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static void set_time(ASN1_TIME *time, int64_t s)
{
	assert_non_null(ASN1_TIME_set(time, s));
}

/* A new pair in the folder, for host.example and 192.0.2.7, with the number and these seconds. */
static void renew(long number, int64_t begins_s, int64_t ends_s)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
						    "DNS:host.example,IP:192.0.2.7");

	assert_true(key && cert && names);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), number);
	X509_set_version(cert, X509_VERSION_3);
	set_time(X509_getm_notBefore(cert), begins_s);
	set_time(X509_getm_notAfter(cert), ends_s);
	X509_set_pubkey(cert, key);
	X509_add_ext(cert, names, -1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	write_pem("server-cert.pem", cert, NULL);
	write_pem("server-key.pem", NULL, key);
	X509_EXTENSION_free(names);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int64_t now_s(void)
{
	return clock_wall_ms() / 1000;
}

/* ---- the server ---- */

static const struct rest_options *options(void)
{
	static const struct rest_options encrypted = { .listen = BOUND,
						       .tls_dir = folder,
						       .max_requests = 100,
						       .max_connections = 100,
						       .access = ACCESS_CHANGE };

	return &encrypted;
}

static int setup(void **state)
{
	struct fixture *f;

	signal(SIGPIPE, SIG_IGN);
	fixture_setup(state);
	f = *state;
	renew(1, now_s(), now_s() + LIFE);
	fixture_open(f, options());
	return 0;
}

static void get(struct client *c, const char *target, const char *host, const char *headers,
		struct reply *reply)
{
	client_text(c, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, host, headers);
	client_reply(c, false, reply);
}

static void assert_serves(struct fixture *f, int status)
{
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open_tls(&c, f, NEWEST);
	get(&c, VOLUME_PATH, "localhost", "", &reply);
	assert_int_equal(reply.status, status);
}

/* ---- what a client sees ---- */

static void test_requests_and_answers(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	client_open_tls(&c, f, NEWEST);
	for (int i = 0; i < 3; i++) {
		_cleanup_reply_ struct reply reply;

		client_request(&c, "POST", VOLUME_PATH "/detach", NULL, i ? "{}" : NULL);
		client_reply(&c, false, &reply);
		assert_int_equal(reply.status, 201);
		assert_true(str_has_prefix(f->core.address, "127.0.0.1:"));
	}
	assert_false(client_is_closed(&c));
}

static void test_large_answers_come_whole(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	f->core.count = 8000;
	client_open_tls(&c, f, NEWEST);
	for (int i = 0; i < 2; i++) {
		client_request(&c, "GET", "/api/v1/volumes", NULL, NULL);
		fixture_settle(f); /* the kernel is full before anything is read */
		client_await(&c, "HTTP/1.1 200");
		client_await(&c, "\"count\":8000");
	}
}

static void test_large_bodies(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_free_ char *body = xmalloc((1 << 20) + 1);
	_cleanup_reply_ struct reply taken, refused;

	memset(body, ' ', 1 << 20);
	body[1 << 20] = '\0';
	memcpy(body, "{}", 2);
	client_open_tls(&c, f, NEWEST);
	client_request(&c, "POST", VOLUME_PATH "/detach", NULL, body);
	client_reply(&c, false, &taken);
	assert_int_equal(taken.status, 201);
	client_text(&c, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n",
		    2 << 20);
	for (int i = 0; i < 2; i++)
		client_send(&c, body, 1 << 20);
	client_reply(&c, false, &refused);
	assert_error(&refused, 413, "TOO_LARGE", NULL);
}

/* The client gets the answer, TLS says that it is whole, and nothing resets the connection while
 * the client still sends. */
static void test_a_refusal_ends_one_direction(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open_tls(&c, f, NEWEST);
	client_text(&c, "GET / HTTP/9\r\n\r\nmore");
	client_reply(&c, false, &reply);
	assert_error(&reply, 400, "INVALID_REQUEST", NULL);
	assert_string_equal(reply_header(&reply, "Connection"), "close");
	client_await_close(&c);
	assert_true(c.ended);
	c.closed = false;
	client_text(&c, "and more");
	fixture_settle(f);
	client_text(&c, "and more");
	assert_false(c.closed);
}

static void test_an_answer_that_is_cut_off_has_no_end(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	f->core.count = 20000;
	client_open_tls(&c, f, NEWEST);
	client_request(&c, "GET", "/api/v1/volumes", NULL, NULL);
	client_await(&c, "HTTP/1.1 200");
	fixture_pass(f, HALF_A_MINUTE);
	client_await_close(&c);
	assert_false(c.ended);
}

static void test_the_last_answer_before_the_end(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open_tls(&c, f, NEWEST);
	get(&c, VOLUME_PATH, "localhost", "Connection: close\r\n", &reply);
	assert_int_equal(reply.status, 200);
	client_await_close(&c);
	assert_true(c.ended);
}

static void test_a_handshake_must_end_in_time(void **state)
{
	static const char *const begun[] = { "", "\x16\x03\x01\x02", "\x16\x03\x01\x02\x00\x01" };
	struct fixture *f = *state;
	struct client clients[ARRAY_SIZE(begun)];

	for (size_t i = 0; i < ARRAY_SIZE(begun); i++) {
		client_open(&clients[i], f);
		client_text(&clients[i], "%s", begun[i]);
	}
	fixture_pass(f, HALF_A_MINUTE - 1);
	for (size_t i = 0; i < ARRAY_SIZE(begun); i++)
		assert_false(client_is_closed(&clients[i]));
	assert_serves(f, 200);
	fixture_pass(f, 1);
	for (size_t i = 0; i < ARRAY_SIZE(begun); i++) {
		assert_true(client_is_closed(&clients[i]));
		client_close(&clients[i]);
	}
}

static void test_a_request_in_the_clear_is_told(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	client_open(&c, f);
	client_request(&c, "GET", "/health", NULL, NULL);
	client_reply(&c, false, &reply);
	assert_error(&reply, 400, "INVALID_REQUEST", NULL);
	assert_non_null(strstr(reply.body, "https"));
	client_await_close(&c);
}

static void test_bytes_that_are_no_tls(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	client_open(&c, f);
	client_text(&c, "nothing that anybody knows\r\n\r\n");
	client_await_close(&c);
	assert_serves(f, 200);
}

static void test_old_versions_are_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int version;
		bool is_taken;
	} rows[] = { { TLS1_1_VERSION, false },
		     { TLS1_2_VERSION, true },
		     { TLS1_3_VERSION, true } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_client_ struct client c;

		client_open_tls(&c, f, rows[i].version);
		client_request(&c, "GET", "/health", NULL, NULL);
		assert_int_equal(c.closed, !rows[i].is_taken);
	}
}

static void test_clients_that_wait(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client waits, stream;
	_cleanup_reply_ struct reply reply;

	client_open_tls(&stream, f, NEWEST);
	client_request(&stream, "GET", "/api/v1/events", NULL, NULL);
	client_await(&stream, "retry: ");
	f->core.hold = true;
	client_open_tls(&waits, f, NEWEST);
	client_request(&waits, "GET", "/api/v1/operations/" SAMPLE_OPERATION "?wait=30", NULL,
		       NULL);
	fixture_pass(f, 2000);
	assert_int_equal(rest_in_flight(f->rest), 1);
	fake_core_release(&f->core);
	client_reply(&waits, false, &reply);
	assert_int_equal(reply.status, 200);
	f->core.operation.id = xstrdup(SAMPLE_OPERATION);
	fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_OPERATION_CHANGED,
						       .id = SAMPLE_OPERATION });
	client_await(&stream, "event: operation");
	fixture_pass(f, 20000);
	client_await(&stream, ": still here");
	rest_drain(f->rest);
	client_await(&stream, "0\r\n\r\n");
}

/* Without a word of TLS, as when its process is killed. */
static void test_a_client_that_waits_leaves(void **state)
{
	struct fixture *f = *state;
	struct client c;

	f->core.hold = true;
	client_open_tls(&c, f, NEWEST);
	client_request(&c, "GET", VOLUME_PATH, NULL, NULL);
	fixture_pass(f, 2000);
	assert_int_equal(rest_in_flight(f->rest), 1);
	client_close(&c);
	fixture_pass(f, 2000);
	assert_int_equal(rest_in_flight(f->rest), 0);
	assert_int_equal(f->core.cancelled, 1);
}

/* ---- names ---- */

static void test_the_names_of_the_server(void **state)
{
	static const struct {
		const char *host, *headers;
		int status;
	} rows[] = {
		{ "localhost", "", 200 },
		{ "127.0.0.1:8443", "", 200 },
		{ "host.example", "", 200 },
		{ "HOST.example:8443", "", 200 },
		{ "192.0.2.7", "", 200 },
		{ "192.0.2.8", "", 421 },
		{ "other.example", "", 421 },
		{ "host.example.evil", "", 421 },
		{ "", "", 421 },
		{ "host.example", "Origin: https://host.example\r\n", 200 },
		{ "host.example", "Origin: http://host.example\r\n", 403 },
		{ "host.example", "Origin: https://localhost\r\n", 403 },
	};
	struct fixture *f = *state;
	_cleanup_client_ struct client c;

	client_open_tls(&c, f, NEWEST);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_reply_ struct reply reply;

		get(&c, VOLUME_PATH, rows[i].host, rows[i].headers, &reply);
		if (reply.status != rows[i].status)
			fail_msg("Host %s, %s: %d", rows[i].host, rows[i].headers, reply.status);
	}
}

static void test_targets_with_a_scheme(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply taken, refused;

	client_open_tls(&c, f, NEWEST);
	get(&c, "https://host.example" VOLUME_PATH, "localhost", "", &taken);
	assert_int_equal(taken.status, 200);
	get(&c, "http://host.example" VOLUME_PATH, "localhost", "", &refused);
	assert_error(&refused, 421, "MISDIRECTED", NULL);
}

/* A name in the certificate is none of the plain address. */
static void test_names_need_encryption(void **state)
{
	struct fixture *f = *state;
	struct rest_options both = *options();
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;

	both.listen = "127.0.0.1:0 " BOUND;
	fixture_open(f, &both);
	client_open(&c, f);
	get(&c, VOLUME_PATH, "host.example", "", &reply);
	assert_error(&reply, 421, "MISDIRECTED", NULL);
}

/* ---- certificates ---- */

static long number_seen(struct fixture *f)
{
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply reply;
	X509 *cert;
	long number;

	client_open_tls(&c, f, NEWEST);
	get(&c, "/health", "localhost", "", &reply);
	cert = SSL_get1_peer_certificate(c.ssl);
	number = ASN1_INTEGER_get(X509_get0_serialNumber(cert));
	X509_free(cert);
	return number;
}

/* A thread reads the files; a connection does not wait for it. */
static void await_number(struct fixture *f, long number)
{
	while (number_seen(f) != number)
		loop_turn(f->loop);
}

static void await_words(struct fixture *f, const char *words)
{
	while (!strstr(f->core.certificate, words))
		loop_turn(f->loop);
}

static void test_a_renewed_certificate_is_used(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client before;
	_cleanup_reply_ struct reply reply;

	client_open_tls(&before, f, NEWEST);
	get(&before, "/health", "localhost", "", &reply);
	assert_int_equal(number_seen(f), 1);
	renew(2, now_s(), now_s() + LIFE);
	clock_test_advance(1000);
	assert_int_equal(number_seen(f), 1); /* and begins the look */
	await_number(f, 2);
	renew(3, now_s(), now_s() + LIFE);
	rest_renew_certificate(f->rest);
	await_number(f, 3);
	reply_clear(&reply);
	get(&before, "/health", "localhost", "", &reply);
	assert_int_equal(reply.status, 200);
}

static void test_half_of_a_renewal_is_not_used(void **state)
{
	struct fixture *f = *state;
	char key[64], kept[64];

	path_of("server-key.pem", key, sizeof(key));
	path_of("kept.pem", kept, sizeof(kept));
	assert_string_equal(f->core.certificate, "healthy");
	assert_int_equal(rename(key, kept), 0);
	renew(2, now_s(), now_s() + LIFE);
	assert_int_equal(rename(kept, key), 0);
	clock_test_advance(1000);
	assert_serves(f, 200);
	await_words(f, "does not belong to");
	assert_non_null(strstr(f->core.certificate, "are not used"));
	assert_int_equal(number_seen(f), 1);
	unlink(key);
	rest_renew_certificate(f->rest);
	await_words(f, "No such file");
	assert_int_equal(number_seen(f), 1);
	renew(3, now_s(), now_s() + LIFE);
	clock_test_advance(1000);
	await_number(f, 3);
	assert_string_equal(f->core.certificate, "healthy");
}

static void assert_told(struct fixture *f, int64_t begins_s, int64_t ends_s, const char *words)
{
	static long number = 4;

	renew(++number, now_s() + begins_s, now_s() + ends_s);
	rest_renew_certificate(f->rest);
	await_number(f, number);
	if (!strstr(f->core.certificate, words))
		fail_msg("'%s' expected, told was '%s'", words, f->core.certificate);
	assert_serves(f, 200);
}

static void test_the_end_of_a_certificate_is_told(void **state)
{
	struct fixture *f = *state;

	clock_test_advance(1000 * DAY * 1000);
	assert_told(f, -86 * DAY + 60, 14 * DAY + 60, "healthy");
	assert_told(f, -86 * DAY, 14 * DAY, "expires at 1972-");
	/* one that lives for a week only is renewed later */
	assert_told(f, -4 * DAY, 3 * DAY, "healthy");
	assert_told(f, -6 * DAY, DAY, "renew it");
	assert_told(f, -LIFE, -1, "is of no use to clients: its certificate has expired");
	assert_told(f, 60, LIFE, "is not valid yet");
	/* without a client and without a new file, within an hour */
	assert_told(f, -86 * DAY, 14 * DAY + 600, "healthy");
	fixture_pass(f, 3600 * 1000);
	await_words(f, "expires at 1972-");
}

/* ---- configurations ---- */

#define FOREIGN "192.0.2.7:8443"

static void test_refused_configurations(void **state)
{
	static const struct {
		const char *listen;
		bool has_dir, needs_token;
		const char *words; /* NULL: it is in order */
	} rows[] = {
		{ "127.0.0.1:0", false, false, NULL },
		{ BOUND, true, false, NULL },
		{ "https://" FOREIGN " 127.0.0.1:0", true, true, NULL },
		{ "https://0.0.0.0:8443 https://[::]:8443", true, true, NULL },
		{ FOREIGN, true, true, "write https://" FOREIGN },
		{ "0.0.0.0:8090", false, false, "write https://0.0.0.0:8090" },
		{ "[::]:8090", false, true, "http.tls_dir must name a folder" },
		{ "https://" FOREIGN, true, false, "http.require_token = yes" },
		{ "https://" FOREIGN, false, true, "http.tls_dir must name a folder" },
		{ BOUND, false, false, "http.tls_dir must name a folder" },
		{ "127.0.0.1:0", true, false, "no connection would be encrypted" },
		{ "https://unix:/run/x.sock", true, false, "listen must be" },
		{ "https://", true, false, "listen must be" },
		{ "http://127.0.0.1:0", false, false, "listen must be" },
		{ "https://host.example:8443", true, true, "listen must be" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rest_options tried = *options();
		struct err err = { 0 };
		int r;

		tried.listen = rows[i].listen;
		tried.tls_dir = rows[i].has_dir ? folder : NULL;
		tried.require_token = rows[i].needs_token;
		r = rest_check_listen(&tried, &err);
		if (r != (rows[i].words ? -1 : 0) || !strstr(err.text, str_or(rows[i].words, "")))
			fail_msg("%s: %d, %s", rows[i].listen, r, err.text);
	}
}

static void spoil(const char *name, const char *text)
{
	char path[64];
	FILE *file;

	path_of(name, path, sizeof(path));
	unlink(path);
	if (!text)
		return;
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, 0600), 0);
}

static void assert_files_refused(struct fixture *f, const char *words)
{
	struct err err = { 0 }, same = { 0 };

	assert_int_equal(rest_check_certificate(folder, &err), -1);
	if (!strstr(err.text, words))
		fail_msg("'%s' expected: %s", words, err.text);
	assert_null(rest_open(f->loop, &f->core, options(), &same));
	assert_string_equal(same.text, err.text);
	renew(1, now_s(), now_s() + LIFE);
}

static void test_files_that_are_refused(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *key;
	char path[64];

	spoil("server-cert.pem", NULL);
	assert_files_refused(f, "server-cert.pem cannot be used for TLS: No such file");
	spoil("server-key.pem", NULL);
	assert_files_refused(f, "server-key.pem cannot be used for TLS: No such file");
	spoil("server-cert.pem", "no certificate");
	assert_files_refused(f, "server-cert.pem cannot be used for TLS");
	spoil("server-key.pem", "no key");
	assert_files_refused(f, "server-key.pem cannot be used for TLS");
	path_of("server-key.pem", path, sizeof(path));
	assert_int_equal(chmod(path, 0640), 0);
	assert_files_refused(f, "may be used by others");
	key = EVP_RSA_gen(4104);
	write_pem("server-key.pem", NULL, key);
	EVP_PKEY_free(key);
	assert_files_refused(f, "has 4104 bits");
	spoil("server-key.pem", NULL);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_files_refused(f, "is no regular file");
}

static int enter(void **state)
{
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int leave(void **state)
{
	spoil("server-cert.pem", NULL);
	spoil("server-key.pem", NULL);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

#define TEST(FN) cmocka_unit_test_setup_teardown(FN, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_requests_and_answers),
		TEST(test_large_answers_come_whole),
		TEST(test_large_bodies),
		TEST(test_a_refusal_ends_one_direction),
		TEST(test_an_answer_that_is_cut_off_has_no_end),
		TEST(test_the_last_answer_before_the_end),
		TEST(test_a_handshake_must_end_in_time),
		TEST(test_a_request_in_the_clear_is_told),
		TEST(test_bytes_that_are_no_tls),
		TEST(test_old_versions_are_refused),
		TEST(test_clients_that_wait),
		TEST(test_a_client_that_waits_leaves),
		TEST(test_the_names_of_the_server),
		TEST(test_targets_with_a_scheme),
		TEST(test_names_need_encryption),
		TEST(test_a_renewed_certificate_is_used),
		TEST(test_half_of_a_renewal_is_not_used),
		TEST(test_the_end_of_a_certificate_is_told),
		TEST(test_refused_configurations),
		TEST(test_files_that_are_refused),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
