/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The peer greets with {"QMP": …}; qmp_capabilities takes us out of its negotiation mode; from then
 * on each command gets {"return": …} or {"error": …} with its id, and {"event": …} comes in between
 * at any time.
 *
 * One command at a time is enough: the peer works on them one by one anyway. Their ids differ from
 * those of all other connections: the peer also finishes commands of a client that has hung up
 * since, such as a killed daemon, and sends us the answers.
 */

#include "nbd/qmp.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/uuid.h"

#define LINE_MAX_BYTES (4 << 20) /* a list of nodes has half a kilobyte for each */

struct qmp {
	struct bufferevent *stream;
	const struct qmp_handler *handler;
	void *arg;
	pid_t pid;
	qmp_reply_fn reply; /* of the command under way, NULL if there is none */
	void *reply_arg;
	char connection[UUID_TEXT_SIZE];
	char id[UUID_TEXT_SIZE + 20]; /* of the last command */
	uint64_t sent;                /* commands */
	size_t scanned;               /* bytes at hand that hold no line end */
	bool greeted;
	bool reading; /* on_read() is on the stack and frees this struct if it was closed */
	bool is_closed;
};

static void qmp_free(struct qmp *qmp)
{
	bufferevent_free(qmp->stream);
	free(qmp);
}

struct qmp *qmp_close(struct qmp *qmp)
{
	if (!qmp)
		return NULL;
	assert(!qmp->is_closed);
	qmp->is_closed = true;
	bufferevent_disable(qmp->stream, EV_READ | EV_WRITE);
	if (!qmp->reading)
		qmp_free(qmp);
	return NULL;
}

/* ---- input ---- */

/* The handler closes the connection, or no more is read. */
static void fail(struct qmp *qmp, const char *what)
{
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "%s", what);
	bufferevent_disable(qmp->stream, EV_READ | EV_WRITE);
	qmp->reply = NULL;
	qmp->handler->closed(qmp->arg, &err);
}

static void on_capabilities(void *arg, const struct json *result, const struct err *err)
{
	struct qmp *qmp = arg;

	if (err->code != ERR_NONE)
		fail(qmp, "it refuses to talk");
	else
		qmp->handler->ready(qmp->arg);
}

/* An answer to a client before us. */
static bool is_not_ours(const struct qmp *qmp, const struct json *message)
{
	const char *id = json_text(json_get(message, "id"));

	if (!id || streq(id, qmp->id))
		return false;
	log_debug("qmp: passed over an answer for another connection");
	return true;
}

static int take_reply(struct qmp *qmp, const struct json *message)
{
	const struct json *result = json_get(message, "return"),
			  *error = json_get(message, "error");
	const char *id = json_text(json_get(message, "id"));
	qmp_reply_fn reply = qmp->reply;
	struct err err = { 0 };

	if (!reply || !id || (!result && !error))
		return -1;
	if (error) {
		const char *reason = json_text(json_get(error, "desc"));

		err_set(&err, ERR_UNAVAILABLE, "%s",
			str_empty(reason) ? "no reason given" : reason);
		log_debug("qmp: refused: %s", err.text);
	}
	qmp->reply = NULL;
	reply(qmp->reply_arg, error ? NULL : result, &err);
	return 0;
}

/* -1: the message is not QMP. */
static int take_message(struct qmp *qmp, const struct json *message)
{
	const char *event = json_text(json_get(message, "event"));

	if (is_not_ours(qmp, message))
		return 0;
	if (!qmp->greeted) {
		if (json_kind(json_get(message, "QMP")) != JSON_OBJECT)
			return -1;
		qmp->greeted = true;
		qmp_send(qmp, "qmp_capabilities", NULL, on_capabilities, qmp);
		return 0;
	}
	if (event) {
		qmp->handler->event(qmp->arg, event, json_get(message, "data"));
		return 0;
	}
	return take_reply(qmp, message);
}

static void take_line(struct qmp *qmp, const char *line, size_t length)
{
	_cleanup_json_ struct json *message = json_parse_lenient(line, length, NULL);

	if (!message || json_kind(message) != JSON_OBJECT || take_message(qmp, message) < 0) {
		if (!qmp->is_closed)
			fail(qmp, "its message makes no sense");
	}
}

static bool is_reading(const struct qmp *qmp)
{
	return !qmp->is_closed && (bufferevent_get_enabled(qmp->stream) & EV_READ);
}

/* The next line, which the caller frees; NULL: none is complete. Bytes are searched only once. */
static char *next_line(struct qmp *qmp, size_t *out_length)
{
	struct evbuffer *input = bufferevent_get_input(qmp->stream);
	struct evbuffer_ptr from, end;

	if (evbuffer_ptr_set(input, &from, qmp->scanned, EVBUFFER_PTR_SET) < 0)
		return NULL;
	end = evbuffer_search_eol(input, &from, NULL, EVBUFFER_EOL_LF);
	if (end.pos < 0) {
		qmp->scanned = evbuffer_get_length(input);
		return NULL;
	}
	qmp->scanned = 0;
	return evbuffer_readln(input, out_length, EVBUFFER_EOL_LF);
}

static void on_read(struct bufferevent *stream, void *arg)
{
	struct qmp *qmp = arg;
	size_t length;
	char *line;

	qmp->reading = true;
	while (is_reading(qmp) && (line = next_line(qmp, &length))) {
		if (length > 0 && line[length - 1] == '\r')
			length--;
		if (length > 0)
			take_line(qmp, line, length);
		free(line);
	}
	if (is_reading(qmp) && qmp->scanned > LINE_MAX_BYTES)
		fail(qmp, "its message has no end");
	qmp->reading = false;
	if (qmp->is_closed)
		qmp_free(qmp);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	fail(arg, "it closed the connection");
}

/* ---- output ---- */

void qmp_send(struct qmp *qmp, const char *command, const char *arguments, qmp_reply_fn reply,
	      void *arg)
{
	_cleanup_buf_ struct buf line = BUF_NULL;

	assert(!qmp->is_closed && qmp->greeted);
	assert(!qmp->reply && reply);
	qmp->reply = reply;
	qmp->reply_arg = arg;
	snprintf(qmp->id, sizeof(qmp->id), "%s.%llu", qmp->connection,
		 (unsigned long long)++qmp->sent);
	buf_printf(&line, "{\"execute\":\"%s\",\"id\":\"%s\"", command, qmp->id);
	if (arguments)
		buf_printf(&line, ",\"arguments\":%s", arguments);
	buf_add_text(&line, "}\n");
	log_debug("qmp: %s %s", command, str_or(arguments, ""));
	bufferevent_write(qmp->stream, line.data, line.length);
}

bool qmp_is_busy(const struct qmp *qmp)
{
	return qmp->reply != NULL;
}

pid_t qmp_pid(const struct qmp *qmp)
{
	return qmp->pid;
}

/* ---- the connection ---- */

static int connect_to(const char *path, pid_t *out_pid, struct err *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ERR_INVALID, "%s is too long for the path of a socket", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err,
			       errno == ENOENT || errno == ECONNREFUSED ? ERR_NOT_FOUND
									: ERR_UNAVAILABLE,
			       "%s: %s", path, strerror(errno));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return err_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	*out_pid = peer.pid;
	return TAKE_FD(fd);
}

struct qmp *qmp_open(struct loop *loop, const char *path, const struct qmp_handler *handler,
		     void *arg, struct err *err)
{
	struct qmp *qmp;
	pid_t pid = 0;
	int fd = connect_to(path, &pid, err);

	if (fd < 0)
		return NULL;
	qmp = xnew(struct qmp);
	qmp->handler = handler;
	qmp->arg = arg;
	qmp->pid = pid;
	uuid_make_v4(qmp->connection);
	qmp->stream = bufferevent_socket_new(loop_base(loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (!qmp->stream)
		abort();
	bufferevent_setcb(qmp->stream, on_read, NULL, on_event, qmp);
	bufferevent_setwatermark(qmp->stream, EV_READ, 0, LINE_MAX_BYTES + 1);
	if (bufferevent_enable(qmp->stream, EV_READ | EV_WRITE) < 0)
		abort();
	return qmp;
}
