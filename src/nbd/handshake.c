/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The server greets: NBDMAGIC, IHAVEOPT, its flags. We answer with ours and send options, each of
 * which gets one or more replies. STARTTLS comes first if TLS is wanted: messages sent before it,
 * without encryption, do not count. Then GO with the name: the server tells about the export (INFO)
 * and acknowledges, and from then on the connection is one for reading and writing. We leave with
 * DISC at once and wait for a moment for the server to close, so that a removal of the export right
 * after it does not find the export in use by us.
 *
 * expect() sets the number of bytes of the next input, and the function that takes them. A server
 * may lie about lengths and may send without end; lengths are limited before anything is kept, and
 * so are replies.
 */

#include "nbd/handshake.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "nbd/tls.h"

#define MAGIC_SERVER UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define MAGIC_OPTION UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define MAGIC_OLD UINT64_C(0x00420281861253)
#define MAGIC_REPLY UINT64_C(0x0003e889045565a9)
#define MAGIC_REQUEST UINT32_C(0x25609513)

#define FLAG_FIXED_NEWSTYLE 1U
#define FLAG_NO_ZEROES 2U

enum { OPTION_ABORT = 2, OPTION_STARTTLS = 5, OPTION_GO = 7 };
enum { REPLY_ACK = 1, REPLY_INFO = 3 };
#define REPLY_ERROR UINT32_C(0x80000000)
#define REPLY_TLS_REQUIRED (REPLY_ERROR + 5)
#define REPLY_UNKNOWN (REPLY_ERROR + 6)
#define INFO_EXPORT 0
#define COMMAND_DISC 2

#define DATA_MAX 8192    /* of one reply */
#define REPLIES_MAX 64   /* to one option */
#define FAREWELL_MS 1000 /* for the server to close */

struct greeting {
	uint64_t magic, style;
	uint16_t flags;
} __attribute__((packed));

struct option {
	uint64_t magic;
	uint32_t option, length;
} __attribute__((packed));

struct reply {
	uint64_t magic;
	uint32_t option, kind, length;
} __attribute__((packed));

struct request {
	uint32_t magic;
	uint16_t flags, command;
	uint64_t handle, offset;
	uint32_t length;
} __attribute__((packed));

struct handshake {
	struct loop *loop;
	SSL_CTX *tls;
	char *name; /* NULL: the greeting is all */
	handshake_done_fn done;
	void *arg;
	int port;

	struct bufferevent *stream; /* NULL: not connected (any more) */
	struct loop_task end_task;  /* tells the result */
	struct loop_timer farewell;

	size_t wanted; /* bytes, before take() is called with them */
	void (*take)(struct handshake *handshake, const void *bytes);
	uint32_t option;
	uint32_t kind; /* of the reply whose data is awaited */
	unsigned replies;
	bool encrypted;
	bool has_size;
	bool parting; /* the result is there; the server may close */

	uint64_t size;
	struct err err;
};

/* ---- the end ---- */

static void on_end_task(struct loop_task *task)
{
	struct handshake *handshake = container_of(task, struct handshake, end_task);
	handshake_done_fn done = handshake->done;
	void *arg = handshake->arg;
	struct err err = handshake->err;
	uint64_t size = handshake->size;

	handshake_cancel(handshake);
	done(arg, size, &err);
}

/*
 * Stops reading. The stream itself is freed with the handshake, since a callback of the stream may
 * be running.
 */
static void end(struct handshake *handshake)
{
	handshake->take = NULL;
	if (handshake->stream)
		bufferevent_disable(handshake->stream, EV_READ | EV_WRITE);
	loop_timer_clear(handshake->loop, &handshake->farewell);
	loop_task_queue(handshake->loop, &handshake->end_task);
}

#define fail(handshake, code, ...)                                                                 \
	do {                                                                                       \
		err_set(&(handshake)->err, code, __VA_ARGS__);                                     \
		end(handshake);                                                                    \
	} while (0)

static void on_farewell_timer(struct loop_timer *timer)
{
	end(container_of(timer, struct handshake, farewell));
}

/*
 * The result is there. Further bytes from the server are dropped; when it closes, or after a
 * moment, done() is called.
 */
static void await_close(struct handshake *handshake)
{
	handshake->parting = true;
	handshake->take = NULL;
	loop_timer_set(handshake->loop, &handshake->farewell, FAREWELL_MS);
}

/* ---- sending ---- */

static void expect(struct handshake *handshake, size_t bytes,
		   void (*take)(struct handshake *handshake, const void *bytes))
{
	handshake->wanted = bytes;
	handshake->take = take;
}

static void take_reply(struct handshake *handshake, const void *bytes);

static void send_option(struct handshake *handshake, uint32_t option, const void *data,
			size_t length)
{
	const struct option header = {
		.magic = htobe64(MAGIC_OPTION),
		.option = htobe32(option),
		.length = htobe32((uint32_t)length),
	};

	handshake->option = option;
	handshake->replies = 0;
	bufferevent_write(handshake->stream, &header, sizeof(header));
	bufferevent_write(handshake->stream, data, length);
	expect(handshake, sizeof(struct reply), take_reply);
}

static void send_go(struct handshake *handshake)
{
	size_t length = strlen(handshake->name);
	_cleanup_free_ char *data = xcalloc(1, sizeof(uint32_t) + length + sizeof(uint16_t));
	uint32_t length_be = htobe32((uint32_t)length);

	/* The number of further questions behind the name stays 0. */
	memcpy(data, &length_be, sizeof(length_be));
	memcpy(data + sizeof(length_be), handshake->name, length);
	send_option(handshake, OPTION_GO, data, sizeof(uint32_t) + length + sizeof(uint16_t));
}

/* Before an export is chosen. */
static void leave(struct handshake *handshake)
{
	send_option(handshake, OPTION_ABORT, NULL, 0);
	await_close(handshake);
}

static void say_goodbye(struct handshake *handshake)
{
	const struct request request = { .magic = htobe32(MAGIC_REQUEST),
					 .command = htobe16(COMMAND_DISC) };

	bufferevent_write(handshake->stream, &request, sizeof(request));
	await_close(handshake);
}

/* ---- TLS ---- */

static void on_read(struct bufferevent *stream, void *arg);
static void on_event(struct bufferevent *stream, short what, void *arg);

static void start_tls(struct handshake *handshake)
{
	SSL *ssl = SSL_new(handshake->tls);
	struct bufferevent *plain = handshake->stream;

	/* Any machine on the way could have sent bytes before TLS. */
	if (evbuffer_get_length(bufferevent_get_input(plain)) > 0) {
		SSL_free(ssl);
		fail(handshake, ERR_UNAVAILABLE,
		     "the NBD server sends data in the clear that belongs into TLS");
		return;
	}
	bufferevent_setcb(plain, NULL, NULL, NULL, NULL);
	handshake->stream = ssl ? bufferevent_openssl_filter_new(bufferevent_get_base(plain), plain,
								 ssl, BUFFEREVENT_SSL_CONNECTING,
								 BEV_OPT_CLOSE_ON_FREE)
				: NULL;
	if (!handshake->stream)
		abort();
	handshake->take = NULL;
	bufferevent_setcb(handshake->stream, on_read, NULL, on_event, handshake);
	bufferevent_enable(handshake->stream, EV_READ | EV_WRITE);
}

static void fail_tls(struct handshake *handshake)
{
	unsigned long code = bufferevent_get_openssl_error(handshake->stream);
	SSL *ssl = bufferevent_openssl_get_ssl(handshake->stream);
	_cleanup_free_ char *fault = tls_fault_text(SSL_get_verify_result(ssl));
	char text[200] = "the connection was closed";

	if (fault) {
		fail(handshake, ERR_UNAVAILABLE,
		     "TLS with the NBD server fails (server-cert.pem of export.tls_dir): %s",
		     fault);
		return;
	}
	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	fail(handshake, ERR_UNAVAILABLE, "TLS with the NBD server fails: %s", text);
}

/* ---- receiving ---- */

static void refuse(struct handshake *handshake, const char *reason)
{
	if (handshake->kind == REPLY_UNKNOWN)
		err_set(&handshake->err, ERR_NOT_FOUND, "the NBD server has no export \"%s\"",
			handshake->name);
	else if (handshake->kind == REPLY_TLS_REQUIRED)
		err_set(&handshake->err, ERR_UNAVAILABLE,
			"the NBD server wants TLS, which is not configured here");
	else if (handshake->option == OPTION_STARTTLS)
		err_set(&handshake->err, ERR_UNAVAILABLE, "the NBD server does not offer TLS: %s",
			reason);
	else
		err_set(&handshake->err, ERR_UNAVAILABLE,
			"the NBD server refuses export \"%s\": %s", handshake->name, reason);
	leave(handshake);
}

static void take_info(struct handshake *handshake, const char *data, size_t length)
{
	uint16_t type;
	uint64_t size;

	if (length < sizeof(type))
		return;
	memcpy(&type, data, sizeof(type));
	if (be16toh(type) != INFO_EXPORT || length < sizeof(type) + sizeof(size))
		return;
	memcpy(&size, data + sizeof(type), sizeof(size));
	handshake->size = be64toh(size);
	handshake->has_size = true;
}

static void acknowledged(struct handshake *handshake)
{
	if (handshake->option == OPTION_STARTTLS) {
		handshake->encrypted = true;
		start_tls(handshake);
	} else if (!handshake->has_size) {
		fail(handshake, ERR_UNAVAILABLE,
		     "the NBD server does not tell the size of export \"%s\"", handshake->name);
	} else {
		say_goodbye(handshake);
	}
}

/* wanted is the length of the data. */
static void take_data(struct handshake *handshake, const void *bytes)
{
	_cleanup_free_ char *text = NULL;

	if (handshake->kind & REPLY_ERROR) {
		text = xstrndup(bytes, handshake->wanted);
		refuse(handshake, *text ? text : "no reason given");
		return;
	}
	if (handshake->kind == REPLY_ACK) {
		acknowledged(handshake);
		return;
	}
	if (handshake->kind == REPLY_INFO && handshake->option == OPTION_GO)
		take_info(handshake, bytes, handshake->wanted);
	expect(handshake, sizeof(struct reply), take_reply);
}

static void take_reply(struct handshake *handshake, const void *bytes)
{
	struct reply reply;

	memcpy(&reply, bytes, sizeof(reply));
	handshake->kind = be32toh(reply.kind);
	if (be64toh(reply.magic) != MAGIC_REPLY || be32toh(reply.option) != handshake->option ||
	    be32toh(reply.length) > DATA_MAX || ++handshake->replies > REPLIES_MAX) {
		fail(handshake, ERR_UNAVAILABLE, "the answer of the NBD server makes no sense");
		return;
	}
	expect(handshake, be32toh(reply.length), take_data);
}

static void take_greeting(struct handshake *handshake, const void *bytes)
{
	struct greeting greeting;
	uint32_t flags;

	memcpy(&greeting, bytes, sizeof(greeting));
	if (be64toh(greeting.magic) != MAGIC_SERVER) {
		fail(handshake, ERR_UNAVAILABLE, "the program that listens there is no NBD server");
		return;
	}
	if (be64toh(greeting.style) != MAGIC_OPTION ||
	    !(be16toh(greeting.flags) & FLAG_FIXED_NEWSTYLE)) {
		fail(handshake, ERR_UNAVAILABLE,
		     "the NBD server speaks the old protocol, which knows no names%s",
		     be64toh(greeting.style) == MAGIC_OLD ? "" : " well enough");
		return;
	}
	flags = htobe32(be16toh(greeting.flags) & (FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES));
	bufferevent_write(handshake->stream, &flags, sizeof(flags));
	if (!handshake->name)
		leave(handshake);
	else if (handshake->tls)
		send_option(handshake, OPTION_STARTTLS, NULL, 0);
	else
		send_go(handshake);
}

/* The engines write a reply in several pieces, and their kernel holds the second one back until the
 * first is acknowledged (Nagle), for which ours would wait 40 ms. The kernel forgets the wish, so
 * it is told after each read; a socket that is not TCP refuses it, and needs it not. */
static void acknowledge_at_once(struct bufferevent *stream)
{
	int on = 1;

	(void)setsockopt(bufferevent_getfd(stream), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static void on_read(struct bufferevent *stream, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	struct handshake *handshake = arg;

	acknowledge_at_once(stream);
	while (handshake->take && handshake->stream == stream &&
	       evbuffer_get_length(input) >= handshake->wanted) {
		char bytes[DATA_MAX];
		size_t length = handshake->wanted;

		evbuffer_remove(input, bytes, length);
		handshake->take(handshake, bytes);
	}
	if (handshake->parting)
		evbuffer_drain(input, evbuffer_get_length(input));
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct handshake *handshake = arg;
	int error = EVUTIL_SOCKET_ERROR();

	if (what & BEV_EVENT_CONNECTED) {
		if (handshake->encrypted)
			send_go(handshake); /* TLS stands */
		return;
	}
	if (handshake->parting)
		end(handshake);
	else if (handshake->encrypted)
		fail_tls(handshake);
	else if (what & BEV_EVENT_EOF)
		fail(handshake, ERR_UNAVAILABLE, "the NBD server closed the connection");
	else
		fail(handshake, ERR_UNAVAILABLE, "the NBD server cannot be reached: %s",
		     strerror(error));
}

/* ---- the beginning ---- */

static int begin_connection(const struct address *server, int *out_port, struct err *err)
{
	_cleanup_close_ int fd =
		socket(server->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct address own = *server;

	if (fd < 0 || (connect(fd, &server->sa.any, server->length) < 0 && errno != EINPROGRESS))
		return err_set(err, ERR_UNAVAILABLE, "the NBD server cannot be reached: %s",
			       strerror(errno));
	if (!address_is_unix(server) && getsockname(fd, &own.sa.any, &own.length) == 0)
		*out_port = be16toh(own.sa.any.sa_family == AF_INET ? own.sa.v4.sin_port
								    : own.sa.v6.sin6_port);
	return TAKE_FD(fd);
}

struct handshake *handshake_start(struct loop *loop, const struct address *server, SSL_CTX *tls,
				  const char *name, handshake_done_fn done, void *arg)
{
	struct handshake *handshake = xnew(struct handshake);
	int fd;

	assert(!name || strlen(name) <= DATA_MAX / 2);
	handshake->loop = loop;
	handshake->tls = tls;
	handshake->name = xstrdup(name);
	handshake->done = done;
	handshake->arg = arg;
	handshake->end_task.run = on_end_task;
	handshake->farewell.fire = on_farewell_timer;
	fd = begin_connection(server, &handshake->port, &handshake->err);
	if (fd < 0) {
		end(handshake);
		return handshake;
	}
	handshake->stream = bufferevent_socket_new(loop_base(loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (!handshake->stream)
		abort();
	bufferevent_setcb(handshake->stream, on_read, NULL, on_event, handshake);
	bufferevent_setwatermark(handshake->stream, EV_READ, 0, (size_t)4 * DATA_MAX);
	expect(handshake, sizeof(struct greeting), take_greeting);
	/* The socket is connecting already; libevent is told so, and reports why that failed. */
	if (bufferevent_socket_connect(handshake->stream, NULL, 0) < 0 ||
	    bufferevent_enable(handshake->stream, EV_READ | EV_WRITE) < 0)
		abort();
	return handshake;
}

void handshake_cancel(struct handshake *handshake)
{
	loop_task_cancel(handshake->loop, &handshake->end_task);
	loop_timer_clear(handshake->loop, &handshake->farewell);
	if (handshake->stream)
		bufferevent_free(handshake->stream);
	free(handshake->name);
	free(handshake);
}

int handshake_port(const struct handshake *handshake)
{
	return handshake->port;
}

const char *handshake_seen(const struct handshake *handshake)
{
	if (handshake->parting)
		return handshake->err.code != ERR_NONE ? handshake->err.text
						       : "the server offers the export";
	if (handshake->option == OPTION_GO)
		return "its greeting, and no answer about the export";
	return handshake->option == OPTION_STARTTLS ? "its greeting, and TLS is not agreed"
						    : "no greeting";
}
