/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whole requests, as bytes of one connection to the REST server above a core of paper. Each byte 1
 * of the input stands for 16 KiB of blanks, which JSON may hold anywhere: a thread parses bodies of
 * this size. After the last byte the client waits until nothing happens any more, and hangs up; if
 * the input ends with a byte 2, it does not wait.
 *
 * Each call that reaches core has a whole set of arguments. An answer is JSON with the length that
 * it says, also if it refuses what is no HTTP: no answer is libevent's own. Once the client has
 * left, no request is in flight.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/rest/large.h"
#include "api/rest/rest.h"
#include "base/clock.h"
#include "fake_core.h"
#include "fuzz.h"

#define QUIET_TURNS 8
#define TURNS_MAX 100000000 /* a thread may be slow */
#define BLANKS_MAX 8        /* their bytes go into the socket at once */
enum { BLANKS = 1, LEAVES = 2 };

static struct loop *loop;
static struct rest *rest;
static struct core core;

/* The arguments that core was called with, as the core of paper wrote them. */
static void on_call(struct core *called, enum method_id id)
{
	_cleanup_json_ struct json *args = json_parse(called->args.data, called->args.length, NULL);

	MUST((unsigned)id < METHOD_COUNT && args && json_kind(args) == JSON_OBJECT);
}

static void open_server(void)
{
	_cleanup_free_ char *listen = xasprintf("unix:%s", peer_path());
	const struct rest_options options = { .listen = listen,
					      .group = (gid_t)-1,
					      .group_name = "nobody",
					      .max_requests = 8,
					      .max_connections = 8,
					      .access = ACCESS_CHANGE };
	struct err err = { 0 };

	signal(SIGPIPE, SIG_IGN); /* as in the daemon */
	clock_test_start(1000, 1000);
	loop = loop_new();
	fake_core_init(&core, loop);
	core.on_call = on_call;
	rest = rest_open(loop, &core, &options, &err);
	must_equal(err.text, "");
}

static int connect_client(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", peer_path());
	MUST(connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

/* Until no more comes. */
static void read_answers(int fd, struct buf *answers)
{
	size_t before = answers->length;
	int quiet = 0;

	for (int turn = 0; quiet < QUIET_TURNS; turn++) {
		MUST(turn < TURNS_MAX);
		if (loop_turn(loop))
			quiet = 0;
		if (!peer_receive(fd, answers))
			return;
		quiet = answers->length == before && rest_in_flight(rest) == 0 ? quiet + 1 : 0;
		before = answers->length;
	}
}

/* The daemon looks after a moment whether a client has left whose request waits. */
static void settle(void)
{
	for (int turn = 0; turn < QUIET_TURNS || rest_in_flight(rest) > 0; turn++) {
		MUST(turn < TURNS_MAX);
		if (!loop_turn(loop))
			clock_test_advance(1);
	}
}

/* Behind the line by which a client learns that it may send the body. */
static const char *skip_continue(const char *answers)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

	return answers && str_has_prefix(answers, line) ? answers + strlen(line) : answers;
}

/* Empty lines may come before a request. */
static bool asks_for_head(const struct buf *request)
{
	return request->data &&
	       str_has_prefix(request->data + strspn(request->data, "\r\n"), "HEAD ");
}

/* The length of the body that a head says; -1: it says none. */
static long length_of(const char *head)
{
	const char *length = strcasestr(head, "\r\nContent-Length: ");

	return length ? strtol(length + strlen("\r\nContent-Length: "), NULL, 10) : -1;
}

/* Of a good answer; errors are always in JSON. */
static bool is_other_text(const char *head)
{
	return strcasestr(head, "\r\nContent-Type: text/");
}

/* Has no length, and need not have ended. */
static bool is_stream(const char *head)
{
	return strcasestr(head, "\r\nContent-Type: text/event-stream\r\n");
}

/* The first answer; whether a later one has a body depends on the verb of its request. */
static void check_answer(const char *answers, bool is_head)
{
	char *end = answers ? strstr(answers, "\r\n\r\n") : NULL;
	_cleanup_free_ char *head = NULL;
	_cleanup_json_ struct json *body = NULL;
	long length;
	int status;

	if (str_empty(answers))
		return;
	MUST(end && sscanf(answers, "HTTP/%*u.%*u %d ", &status) == 1);
	MUST(status >= 200 && status < 600);
	head = xstrndup(answers, (size_t)(end - answers) + 2);
	length = length_of(head);
	MUST(length >= 0 || status == 204 || (status == 200 && is_stream(head)));
	end += 4;
	if (length < 0 || is_head)
		return;
	MUST((size_t)length <= strlen(end));
	if (status == 200 && is_other_text(head))
		return;
	body = json_parse(end, (size_t)length, NULL);
	MUST(body);
	if (status >= 400)
		MUST(json_text(json_get(body, "error")) && json_text(json_get(body, "code")));
}

static void spell_out(const uint8_t *data, size_t size, struct buf *out)
{
	static char blanks[LARGE_BODY_MIN];
	unsigned count = 0;

	memset(blanks, ' ', sizeof(blanks));
	for (size_t i = 0; i < size; i++) {
		if (data[i] != BLANKS)
			buf_add_char(out, (char)data[i]);
		else if (++count <= BLANKS_MAX)
			buf_add(out, blanks, sizeof(blanks));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf answers = BUF_NULL, request = BUF_NULL;
	bool leaves = size > 0 && data[size - 1] == LEAVES;
	int fd;

	if (!rest)
		open_server();
	spell_out(data, size, &request);
	fd = connect_client();
	if (request.length > 0)
		MUST(send(fd, request.data, request.length, MSG_NOSIGNAL) >= 0 || errno == EAGAIN);
	if (!leaves)
		read_answers(fd, &answers);
	else
		loop_turn(loop);
	check_answer(skip_continue(answers.data), asks_for_head(&request));
	close(fd);
	settle();
	return 0;
}
