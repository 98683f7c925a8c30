/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "rest_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"

void fixture_open(struct fixture *f, const struct rest_options *options)
{
	struct err err = { 0 };

	f->rest = rest_close(f->rest);
	f->rest = rest_open(f->loop, &f->core, options, &err);
	assert_string_equal(err.text, "");
	assert_non_null(f->rest);
}

int fixture_setup(void **state)
{
	struct fixture *f = xnew(struct fixture);

	clock_test_start(1000, 1000);
	f->loop = loop_new();
	fake_core_init(&f->core, f->loop);
	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = 100,
						.max_connections = 100,
						.access = ACCESS_CHANGE });
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	f->rest = rest_close(f->rest);
	fake_core_fini(&f->core);
	loop_free(f->loop);
	free(f);
	return 0;
}

void fixture_settle(struct fixture *f)
{
	for (int i = 0; i < 50; i++)
		loop_turn(f->loop);
}

void fixture_pass(struct fixture *f, int64_t ms)
{
	fixture_settle(f);
	clock_test_advance(ms);
	fixture_settle(f);
}

void client_open(struct client *c, struct fixture *f)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)rest_port(f->rest)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	*c = (struct client){ .fixture = f, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	assert_true(c->fd >= 0);
	/* The kernel completes this; accept() comes when the loop turns. */
	assert_int_equal(connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
}

/* Certificates are not compared: that is the work of the clients of users. */
void client_open_tls(struct client *c, struct fixture *f, int version)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	client_open(c, f);
	assert_non_null(context);
	assert_int_equal(SSL_CTX_set_max_proto_version(context, version), 1);
	SSL_CTX_set_security_level(context, 0);
	c->ssl = SSL_new(context);
	SSL_CTX_free(context);
	assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
	SSL_set_connect_state(c->ssl);
	SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

void connect_as(uid_t user, int fd, const struct sockaddr *address, socklen_t length)
{
	uid_t self = geteuid();

	assert_int_equal(seteuid(user), 0);
	assert_int_equal(connect(fd, address, length), 0);
	assert_int_equal(seteuid(self), 0);
}

void client_close(struct client *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	closep(&c->fd);
	c->fd = -1;
	buf_clear(&c->in);
}

/* What SSL_read() and SSL_write() return, as recv() and send() would. */
static ssize_t result_of(struct client *c, int r)
{
	int error = SSL_get_error(c->ssl, r);

	ERR_clear_error();
	if (r > 0)
		return r;
	c->ended = c->ended || error == SSL_ERROR_ZERO_RETURN;
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
	return -1;
}

static ssize_t receive(struct client *c, char *bytes, size_t size)
{
	return c->ssl ? result_of(c, SSL_read(c->ssl, bytes, (int)size))
		      : recv(c->fd, bytes, size, 0);
}

static ssize_t transmit(struct client *c, const char *bytes, size_t length)
{
	return c->ssl ? result_of(c, SSL_write(c->ssl, bytes, (int)length))
		      : send(c->fd, bytes, length, MSG_NOSIGNAL);
}

/* One turn of both sides. */
static void client_turn(struct client *c)
{
	char chunk[65536];
	ssize_t got;

	loop_turn(c->fixture->loop);
	got = receive(c, chunk, sizeof(chunk));
	if (got > 0)
		buf_add(&c->in, chunk, (size_t)got);
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		c->closed = true;
}

/* Far more than any of these tests needs; a reply that never comes shall not hang the run. */
#define TURNS_MAX 2000000

void client_send(struct client *c, const char *bytes, size_t length)
{
	for (int turn = 0; length > 0 && !c->closed; turn++) {
		ssize_t sent = transmit(c, bytes, length);

		assert_true(turn < TURNS_MAX);
		if (sent > 0) {
			bytes += sent;
			length -= (size_t)sent;
		} else {
			client_turn(c);
		}
	}
}

void client_text(struct client *c, const char *format, ...)
{
	char text[4096];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert_true(length >= 0 && (size_t)length < sizeof(text));
	client_send(c, text, (size_t)length);
}

void client_request(struct client *c, const char *verb, const char *target, const char *headers,
		    const char *body)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	buf_printf(&text, "%s %s HTTP/1.1\r\nHost: localhost\r\n", verb, target);
	buf_add_text(&text, headers ? headers : "");
	if (body)
		buf_printf(&text, "Content-Length: %zu\r\n", strlen(body));
	buf_printf(&text, "\r\n%s", body ? body : "");
	client_send(c, text.data, text.length);
}

void reply_clear(struct reply *reply)
{
	free(reply->headers);
	free(reply->body);
	*reply = (struct reply){ 0 };
}

const char *reply_header(const struct reply *reply, const char *name)
{
	static char value[512];
	const char *line = reply->headers;
	size_t length = strlen(name);

	while ((line = strstr(line, "\r\n"))) {
		line += 2;
		if (strncasecmp(line, name, length) == 0 && strncmp(line + length, ": ", 2) == 0) {
			line += length + 2;
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\r"), line);
			return value;
		}
	}
	return NULL;
}

static void assert_body_is_what_it_says(const struct reply *reply)
{
	_cleanup_json_ struct json *json = NULL;

	if (reply->length == 0 || reply_header(reply, "Content-Encoding") ||
	    !streq(reply_header(reply, "Content-Type"), "application/json"))
		return;
	json = json_parse(reply->body, reply->length, NULL);
	if (!json)
		fail_msg("not JSON: %s", reply->body);
}

/* Takes one whole reply off what has come; false: not there yet. */
static bool take_reply(struct client *c, bool head, struct reply *out)
{
	char *end = c->in.data ? strstr(c->in.data, "\r\n\r\n") : NULL;
	size_t headers, body = 0;
	const char *length;

	if (!end)
		return false;
	headers = (size_t)(end - c->in.data) + 4;
	out->headers = xstrndup(c->in.data, headers);
	assert_int_equal(sscanf(out->headers, "HTTP/1.%*c %d", &out->status), 1);
	length = reply_header(out, "Content-Length");
	if (!head && length)
		body = strtoul(length, NULL, 10);
	if (c->in.length < headers + body) {
		reply_clear(out);
		return false;
	}
	out->body = xcalloc(1, body + 1);
	memcpy(out->body, c->in.data + headers, body);
	out->length = body;
	memmove(c->in.data, c->in.data + headers + body, c->in.length - headers - body + 1);
	c->in.length -= headers + body;
	assert_body_is_what_it_says(out);
	return true;
}

void client_reply(struct client *c, bool head, struct reply *out)
{
	*out = (struct reply){ 0 };
	for (int turn = 0; !take_reply(c, head, out); turn++) {
		if (c->closed || turn == TURNS_MAX)
			fail_msg("no reply, only '%s'", str_or(c->in.data, ""));
		client_turn(c);
	}
}

static void take(struct client *c, size_t size)
{
	c->in.length -= size;
	memmove(c->in.data, c->in.data + size, c->in.length + 1);
}

void client_await(struct client *c, const char *text)
{
	const char *found;

	for (int turn = 0; !c->in.data || !(found = strstr(c->in.data, text)); turn++) {
		if (c->closed || turn == TURNS_MAX)
			fail_msg("'%s' does not come, only '%s'", text, str_or(c->in.data, ""));
		client_turn(c);
	}
	take(c, (size_t)(found - c->in.data) + strlen(text));
}

void client_await_line(struct client *c, const char *before, char *out, size_t size)
{
	size_t length;

	client_await(c, before);
	while (!strchr(c->in.data, '\n'))
		client_turn(c);
	length = strcspn(c->in.data, "\n");
	assert_true(length < size);
	memcpy(out, c->in.data, length);
	out[length] = '\0';
	take(c, length);
}

void client_await_close(struct client *c)
{
	for (int turn = 0; !c->closed; turn++) {
		assert_true(turn < TURNS_MAX);
		client_turn(c);
	}
}

void ask(struct fixture *f, const char *verb, const char *target, const char *headers,
	 const char *body, struct reply *out)
{
	_cleanup_client_ struct client c;

	client_open(&c, f);
	client_request(&c, verb, target, headers, body);
	client_reply(&c, streq(verb, "HEAD"), out);
}

void assert_error(const struct reply *reply, int status, const char *word, const char *field)
{
	_cleanup_json_ struct json *body = json_parse(reply->body, reply->length, NULL);

	if (reply->status != status || !body)
		fail_msg("%d expected, got %d: %s", status, reply->status, reply->body);
	assert_string_equal(reply_header(reply, "Content-Type"), "application/json");
	assert_string_equal(json_text(json_get(body, "code")), word);
	assert_true(strlen(json_text(json_get(body, "error"))) > 0);
	if (field)
		assert_string_equal(str_or(json_text(json_get(json_get(body, "details"), "field")),
					   "(none)"),
				    field);
	else
		assert_null(json_get(json_get(body, "details"), "field"));
}

bool client_is_closed(struct client *c)
{
	ssize_t got;
	char byte;

	fixture_settle(c->fixture);
	got = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return got == 0 || (got < 0 && errno == ECONNRESET);
}
