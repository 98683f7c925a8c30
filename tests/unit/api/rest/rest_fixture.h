/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A REST server above a core that is made of paper, and a client that writes bytes as they are and
 * reads replies. Both run on the test's own thread: whoever waits for the other turns the loop.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those it needs */
#include <cmocka.h>

#include <sys/socket.h>

#include "api/rest/rest.h"
#include "fake_core.h"

#define VOLUME_PATH "/api/v1/volumes/" SAMPLE_UUID

struct fixture {
	struct loop *loop;
	struct core core;
	struct rest *rest;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* In place of the one that fixture_setup() opened. */
void fixture_open(struct fixture *f, const struct rest_options *options);

struct client {
	struct fixture *fixture;
	int fd;
	struct ssl_st *ssl; /* NULL: in the clear */
	struct buf in;      /* received and not yet taken */
	bool closed;        /* by the server */
	bool ended;         /* the same, and TLS says that nothing is missing */
};

struct reply {
	int status;
	char *headers; /* from the status line on */
	char *body;
	size_t length;
};
#define _cleanup_reply_ _cleanup_(reply_clear)
void reply_clear(struct reply *reply);
/* The value of a header, NULL when it is not there. Valid until the next call. */
const char *reply_header(const struct reply *reply, const char *name);

void client_open(struct client *c, struct fixture *f);
/* The same over TLS of at most this version, of which the handshake follows with what is sent or
 * awaited first. */
void client_open_tls(struct client *c, struct fixture *f, int version);
void client_close(struct client *c);
#define NOBODY ((uid_t)65534)
/* As a client of this user, of whom the kernel takes note now. Only root becomes others. */
void connect_as(uid_t user, int fd, const struct sockaddr *address, socklen_t length);
#define _cleanup_client_ _cleanup_(client_close)
void client_send(struct client *c, const char *bytes, size_t length);
void client_text(struct client *c, const char *format, ...) _printf_(2, 3);
/* "VERB target HTTP/1.1" with Host, more header lines ("A: b\r\n…" or NULL) and a body (NULL
 * none). */
void client_request(struct client *c, const char *verb, const char *target, const char *headers,
		    const char *body);
/* Turns the loop until a reply is complete; head: to HEAD, so without its body. */
void client_reply(struct client *c, bool head, struct reply *out);
/* Turns the loop until this text has come, and takes what came up to its end. */
void client_await(struct client *c, const char *text);
/* The rest of the line after this text. */
void client_await_line(struct client *c, const char *before, char *out, size_t size);
/* Turns the loop until the server closed this connection. */
void client_await_close(struct client *c);
/* A few turns, in which anything that could happen without waiting does. */
void fixture_settle(struct fixture *f);
/* So much time goes by, after all that was sent has come. */
void fixture_pass(struct fixture *f, int64_t ms);

/* One request on a connection of its own. */
void ask(struct fixture *f, const char *verb, const char *target, const char *headers,
	 const char *body, struct reply *out);
/* The reply is an error of the fixed form with this status, word and field (NULL: without
 * details). */
void assert_error(const struct reply *reply, int status, const char *word, const char *field);
/* Looks without waiting. */
bool client_is_closed(struct client *c);
