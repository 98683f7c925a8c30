/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The server greets: NBDMAGIC, IHAVEOPT, its flags. We answer with ours and send options, each of which gets one or more
 * replies. STARTTLS first where TLS is wanted: what was said before it in the clear counts for nothing. Then GO with the
 * name: the server tells about the export (INFO) and acknowledges, and from then on the connection is one for reading
 * and writing. We leave with DISC at once and wait for a moment for the server to close, so that whoever removes the
 * export next does not find it in use by us.
 *
 * What is expected next is always a known number of bytes and the function that takes them: expect(). A server may lie
 * about lengths and may never come to an end; lengths are limited before anything is kept, and so are replies.
 */

#include "nbd/handshake.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define MAGIC_SERVER UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define MAGIC_OPTION UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define MAGIC_OLD UINT64_C(0x00420281861253)
#define MAGIC_REPLY UINT64_C(0x0003e889045565a9)
#define MAGIC_REQUEST UINT32_C(0x25609513)

#define FLAG_FIXED_NEWSTYLE 1u
#define FLAG_NO_ZEROES 2u

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

struct nbd_check {
	struct loop *loop;
	SSL_CTX *tls;
	char *name;
	nbd_checked_fn done;
	void *arg;
	int port;

	struct bufferevent *stream; /* NULL: not connected (any more) */
	struct loop_task end_task;  /* tells the result */
	struct loop_timer farewell;

	size_t wanted; /* bytes, before take() is called with them */
	void (*take)(struct nbd_check *check, const void *bytes);
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
	struct nbd_check *check = container_of(task, struct nbd_check, end_task);
	nbd_checked_fn done = check->done;
	void *arg = check->arg;
	struct err err = check->err;
	uint64_t size = check->size;

	nbd_check_cancel(check);
	done(arg, size, &err);
}

/* Nothing is read any more; the stream itself goes with the check, for this may be inside one of its callbacks. */
static void end(struct nbd_check *check)
{
	check->take = NULL;
	if (check->stream)
		bufferevent_disable(check->stream, EV_READ | EV_WRITE);
	loop_timer_clear(check->loop, &check->farewell);
	loop_task_queue(check->loop, &check->end_task);
}

#define fail(check, code, ...)                                                                                         \
	do {                                                                                                           \
		err_set(&(check)->err, code, __VA_ARGS__);                                                             \
		end(check);                                                                                            \
	} while (0)

static void on_farewell_timer(struct loop_timer *timer)
{
	end(container_of(timer, struct nbd_check, farewell));
}

/* The result is there. What the server still sends is dropped; when it closes, or after a moment, done() is called. */
static void await_close(struct nbd_check *check)
{
	check->parting = true;
	check->take = NULL;
	loop_timer_set(check->loop, &check->farewell, FAREWELL_MS);
}

/* ---- what we send ---- */

static void expect(struct nbd_check *check, size_t bytes, void (*take)(struct nbd_check *check, const void *bytes))
{
	check->wanted = bytes;
	check->take = take;
}

static void take_reply(struct nbd_check *check, const void *bytes);

static void send_option(struct nbd_check *check, uint32_t option, const void *data, size_t length)
{
	const struct option header = {
		.magic = htobe64(MAGIC_OPTION),
		.option = htobe32(option),
		.length = htobe32((uint32_t)length),
	};

	check->option = option;
	check->replies = 0;
	bufferevent_write(check->stream, &header, sizeof(header));
	bufferevent_write(check->stream, data, length);
	expect(check, sizeof(struct reply), take_reply);
}

static void send_go(struct nbd_check *check)
{
	size_t length = strlen(check->name);
	_cleanup_free_ char *data = xcalloc(1, sizeof(uint32_t) + length + sizeof(uint16_t));
	uint32_t length_be = htobe32((uint32_t)length);

	/* The number of further questions behind the name stays 0. */
	memcpy(data, &length_be, sizeof(length_be));
	memcpy(data + sizeof(length_be), check->name, length);
	send_option(check, OPTION_GO, data, sizeof(uint32_t) + length + sizeof(uint16_t));
}

static void say_goodbye(struct nbd_check *check)
{
	const struct request request = { .magic = htobe32(MAGIC_REQUEST), .command = htobe16(COMMAND_DISC) };

	bufferevent_write(check->stream, &request, sizeof(request));
	await_close(check);
}

/* ---- TLS ---- */

static void on_read(struct bufferevent *stream, void *arg);
static void on_event(struct bufferevent *stream, short what, void *arg);

static void start_tls(struct nbd_check *check)
{
	SSL *ssl = SSL_new(check->tls);
	struct bufferevent *plain = check->stream;

	/* What came before could have been put there by anybody on the wire. */
	if (evbuffer_get_length(bufferevent_get_input(plain)) > 0) {
		SSL_free(ssl);
		fail(check, ERR_UNAVAILABLE, "the NBD server sends in the clear what belongs into TLS");
		return;
	}
	bufferevent_setcb(plain, NULL, NULL, NULL, NULL);
	check->stream = ssl ? bufferevent_openssl_filter_new(bufferevent_get_base(plain), plain, ssl,
							     BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE)
			    : NULL;
	if (!check->stream)
		abort();
	check->take = NULL;
	bufferevent_setcb(check->stream, on_read, NULL, on_event, check);
	bufferevent_enable(check->stream, EV_READ | EV_WRITE);
}

static void fail_tls(struct nbd_check *check)
{
	unsigned long code = bufferevent_get_openssl_error(check->stream);
	char text[200] = "the connection was closed";

	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	fail(check, ERR_UNAVAILABLE, "TLS with the NBD server fails: %s", text);
}

/* ---- what we get ---- */

static void refuse(struct nbd_check *check, const char *reason)
{
	if (check->kind == REPLY_UNKNOWN)
		err_set(&check->err, ERR_NOT_FOUND, "the NBD server has no export \"%s\"", check->name);
	else if (check->kind == REPLY_TLS_REQUIRED)
		err_set(&check->err, ERR_UNAVAILABLE, "the NBD server wants TLS, which is not configured here");
	else if (check->option == OPTION_STARTTLS)
		err_set(&check->err, ERR_UNAVAILABLE, "the NBD server does not offer TLS: %s", reason);
	else
		err_set(&check->err, ERR_UNAVAILABLE, "the NBD server refuses export \"%s\": %s", check->name, reason);
	send_option(check, OPTION_ABORT, NULL, 0);
	await_close(check);
}

static void take_info(struct nbd_check *check, const char *data, size_t length)
{
	uint16_t type;
	uint64_t size;

	if (length < sizeof(type))
		return;
	memcpy(&type, data, sizeof(type));
	if (be16toh(type) != INFO_EXPORT || length < sizeof(type) + sizeof(size))
		return;
	memcpy(&size, data + sizeof(type), sizeof(size));
	check->size = be64toh(size);
	check->has_size = true;
}

static void acknowledged(struct nbd_check *check)
{
	if (check->option == OPTION_STARTTLS) {
		check->encrypted = true;
		start_tls(check);
	} else if (!check->has_size) {
		fail(check, ERR_UNAVAILABLE, "the NBD server does not tell the size of export \"%s\"", check->name);
	} else {
		say_goodbye(check);
	}
}

/* wanted is the length of the data. */
static void take_data(struct nbd_check *check, const void *bytes)
{
	_cleanup_free_ char *text = NULL;

	if (check->kind & REPLY_ERROR) {
		text = xstrndup(bytes, check->wanted);
		refuse(check, *text ? text : "no reason given");
		return;
	}
	if (check->kind == REPLY_ACK) {
		acknowledged(check);
		return;
	}
	if (check->kind == REPLY_INFO && check->option == OPTION_GO)
		take_info(check, bytes, check->wanted);
	expect(check, sizeof(struct reply), take_reply);
}

static void take_reply(struct nbd_check *check, const void *bytes)
{
	struct reply reply;

	memcpy(&reply, bytes, sizeof(reply));
	check->kind = be32toh(reply.kind);
	if (be64toh(reply.magic) != MAGIC_REPLY || be32toh(reply.option) != check->option ||
	    be32toh(reply.length) > DATA_MAX || ++check->replies > REPLIES_MAX) {
		fail(check, ERR_UNAVAILABLE, "what the NBD server answers makes no sense");
		return;
	}
	expect(check, be32toh(reply.length), take_data);
}

static void take_greeting(struct nbd_check *check, const void *bytes)
{
	struct greeting greeting;
	uint32_t flags;

	memcpy(&greeting, bytes, sizeof(greeting));
	if (be64toh(greeting.magic) != MAGIC_SERVER) {
		fail(check, ERR_UNAVAILABLE, "what listens there is no NBD server");
		return;
	}
	if (be64toh(greeting.style) != MAGIC_OPTION || !(be16toh(greeting.flags) & FLAG_FIXED_NEWSTYLE)) {
		fail(check, ERR_UNAVAILABLE, "the NBD server speaks the old protocol, which knows no names%s",
		     be64toh(greeting.style) == MAGIC_OLD ? "" : " well enough");
		return;
	}
	flags = htobe32(be16toh(greeting.flags) & (FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES));
	bufferevent_write(check->stream, &flags, sizeof(flags));
	if (check->tls)
		send_option(check, OPTION_STARTTLS, NULL, 0);
	else
		send_go(check);
}

static void on_read(struct bufferevent *stream, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	struct nbd_check *check = arg;

	while (check->take && check->stream == stream && evbuffer_get_length(input) >= check->wanted) {
		char bytes[DATA_MAX];
		size_t length = check->wanted;

		evbuffer_remove(input, bytes, length);
		check->take(check, bytes);
	}
	if (check->parting)
		evbuffer_drain(input, evbuffer_get_length(input));
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct nbd_check *check = arg;
	int error = EVUTIL_SOCKET_ERROR();

	if (what & BEV_EVENT_CONNECTED) {
		if (check->encrypted)
			send_go(check); /* TLS stands */
		return;
	}
	if (check->parting)
		end(check);
	else if (check->encrypted)
		fail_tls(check);
	else if (what & BEV_EVENT_EOF)
		fail(check, ERR_UNAVAILABLE, "the NBD server closed the connection");
	else
		fail(check, ERR_UNAVAILABLE, "the NBD server cannot be reached: %s", strerror(error));
}

/* ---- the beginning ---- */

static int begin_connection(const struct export_address *server, int *out_port, struct err *err)
{
	_cleanup_close_ int fd = socket(server->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct export_address own = *server;

	if (fd < 0 || (connect(fd, &server->sa.any, server->length) < 0 && errno != EINPROGRESS))
		return err_set(err, ERR_UNAVAILABLE, "the NBD server cannot be reached: %s", strerror(errno));
	if (!export_address_is_unix(server) && getsockname(fd, &own.sa.any, &own.length) == 0)
		*out_port = be16toh(own.sa.any.sa_family == AF_INET ? own.sa.v4.sin_port : own.sa.v6.sin6_port);
	return TAKE_FD(fd);
}

struct nbd_check *nbd_check_start(struct loop *loop, const struct export_address *server, SSL_CTX *tls,
				  const char *name, nbd_checked_fn done, void *arg)
{
	struct nbd_check *check = xnew(struct nbd_check);
	int fd;

	assert(strlen(name) <= DATA_MAX / 2);
	check->loop = loop;
	check->tls = tls;
	check->name = xstrdup(name);
	check->done = done;
	check->arg = arg;
	check->end_task.run = on_end_task;
	check->farewell.fire = on_farewell_timer;
	fd = begin_connection(server, &check->port, &check->err);
	if (fd < 0) {
		end(check);
		return check;
	}
	check->stream = bufferevent_socket_new(loop_base(loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (!check->stream)
		abort();
	bufferevent_setcb(check->stream, on_read, NULL, on_event, check);
	bufferevent_setwatermark(check->stream, EV_READ, 0, 4 * DATA_MAX);
	expect(check, sizeof(struct greeting), take_greeting);
	/* It is connecting already; told so, libevent says why that failed. */
	if (bufferevent_socket_connect(check->stream, NULL, 0) < 0 ||
	    bufferevent_enable(check->stream, EV_READ | EV_WRITE) < 0)
		abort();
	return check;
}

void nbd_check_cancel(struct nbd_check *check)
{
	loop_task_cancel(check->loop, &check->end_task);
	loop_timer_clear(check->loop, &check->farewell);
	if (check->stream)
		bufferevent_free(check->stream);
	free(check->name);
	free(check);
}

int nbd_check_port(const struct nbd_check *check)
{
	return check->port;
}
