/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Many subscribers in one process: connections to the bus, or event streams of REST. Each time all
 * of them have been told a text, it prints the moments at which the first, half, all but a
 * hundredth and the last of them got it, in microseconds of the monotonic clock.
 *
 * The bytes are looked at as they come: a text is told once in what a subscriber gets for an
 * operation's end, so no message needs to be taken apart.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/util.h"

#define LISTENERS_MAX 4000
#define READ_SIZE 65536
#define BEHIND_MAX 64 /* longest text, of which the beginning may come in another piece */

struct listener {
	int fd;
	char kept[BEHIND_MAX + READ_SIZE + 1]; /* the end of what came before, then what comes */
	size_t kept_length;
};

static struct {
	const char *text;
	size_t count, told;
	uint64_t moments[LISTENERS_MAX];
} all;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "bench_listeners: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void send_all(int fd, const void *data, size_t length)
{
	if (send(fd, data, length, MSG_NOSIGNAL) != (ssize_t)length)
		fail("send");
}

/* Reads until the text has come. */
static void await_text(int fd, const char *text)
{
	char seen[READ_SIZE];
	size_t length = 0;

	while (length < sizeof(seen)) {
		ssize_t n = recv(fd, seen + length, sizeof(seen) - length, 0);

		if (n <= 0)
			fail(text);
		length += (size_t)n;
		if (memmem(seen, length, text, strlen(text)))
			return;
	}
	fail(text);
}

static int connect_stream(const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char request[] = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
	uint64_t number;

	if (parse_u64(port, &number) < 0)
		fail(port);
	address.sin_port = htons((uint16_t)number);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	send_all(fd, request, strlen(request));
	await_text(fd, "id: ");
	return fd;
}

/* ---- the bus: Hello and AddMatch, as bytes ---- */

static size_t put_padding(char *out, size_t at, size_t boundary)
{
	while (at % boundary)
		out[at++] = '\0';
	return at;
}

static size_t put_u32(char *out, size_t at, uint32_t value)
{
	memcpy(out + at, &value, sizeof(value));
	return at + sizeof(value);
}

static size_t put_text(char *out, size_t at, const char *text)
{
	size_t length = strlen(text);

	at = put_u32(out, at, (uint32_t)length);
	memcpy(out + at, text, length + 1);
	return at + length + 1;
}

static size_t put_field(char *out, size_t at, char number, char type, const char *text)
{
	at = put_padding(out, at, 8);
	memcpy(out + at, (char[]){ number, 1, type, '\0' }, 4);
	return put_text(out, at + 4, text);
}

static void call_bus(int fd, uint32_t serial, const char *member, const char *argument)
{
	char out[2048] = { 'l', 1, 0, 1 };
	size_t at = 16, body = argument ? 4 + strlen(argument) + 1 : 0;

	put_u32(out, 4, (uint32_t)body);
	put_u32(out, 8, serial);
	at = put_field(out, at, 1, 'o', "/org/freedesktop/DBus");
	at = put_field(out, at, 2, 's', "org.freedesktop.DBus");
	at = put_field(out, at, 3, 's', member);
	at = put_field(out, at, 6, 's', "org.freedesktop.DBus");
	if (argument) {
		at = put_padding(out, at, 8);
		memcpy(out + at, (char[]){ 8, 1, 'g', '\0', 1, 's', '\0' }, 7);
		at += 7;
	}
	put_u32(out, 12, (uint32_t)(at - 16));
	at = put_padding(out, at, 8);
	if (argument)
		at = put_text(out, at, argument);
	send_all(fd, out, at);
}

static int connect_bus(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char user[16], line[64] = "";

	if (strlen(path) >= sizeof(address.sun_path))
		fail(path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	snprintf(user, sizeof(user), "%u", getuid());
	for (size_t i = 0; user[i]; i++)
		snprintf(line + 2 * i, sizeof(line) - 2 * i, "%02x", (unsigned)user[i]);
	send_all(fd, "\0AUTH EXTERNAL ", 15);
	send_all(fd, line, strlen(line));
	send_all(fd, "\r\n", 2);
	await_text(fd, "OK ");
	send_all(fd, "BEGIN\r\n", 7);
	call_bus(fd, 1, "Hello", NULL);
	await_text(fd, "NameAcquired");
	call_bus(fd, 2, "AddMatch", "type='signal',member='OperationCompleted'");
	await_text(fd, "\x05\x01u"); /* the head of an answer */
	return fd;
}

/* ---- listening ---- */

static int compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static void on_told(void)
{
	all.moments[all.told++] = now_us();
	if (all.told < all.count)
		return;
	qsort(all.moments, all.count, sizeof(*all.moments), compare);
	printf("told %llu %llu %llu %llu\n", (unsigned long long)all.moments[0],
	       (unsigned long long)all.moments[all.count / 2],
	       (unsigned long long)all.moments[all.count * 99 / 100],
	       (unsigned long long)all.moments[all.count - 1]);
	fflush(stdout);
	all.told = 0;
}

static void on_readable(struct listener *listener)
{
	size_t length = strlen(all.text), from = 0, end;
	ssize_t n = recv(listener->fd, listener->kept + listener->kept_length, READ_SIZE, 0);
	const char *found;

	if (n <= 0)
		fail("a subscriber was cut off");
	end = listener->kept_length + (size_t)n;
	while ((found = memmem(listener->kept + from, end - from, all.text, length))) {
		on_told();
		from = (size_t)(found - listener->kept) + length;
	}
	/* of a text that has come whole nothing is kept */
	listener->kept_length = end - from < length - 1 ? end - from : length - 1;
	memmove(listener->kept, listener->kept + end - listener->kept_length,
		listener->kept_length);
}

static _Noreturn void listen_to_all(int (*open_one)(const char *where), const char *where)
{
	struct listener *listeners = xcalloc(all.count, sizeof(*listeners));
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	for (size_t i = 0; i < all.count; i++) {
		struct epoll_event event = { EPOLLIN, { .ptr = &listeners[i] } };

		listeners[i].fd = open_one(where);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i].fd, &event) < 0)
			fail("epoll");
	}
	printf("listening\n");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[64];
		int count = epoll_wait(epoll, events, ARRAY_SIZE(events), -1);

		for (int i = 0; i < count; i++)
			on_readable(events[i].data.ptr);
	}
}

int main(int argc, char **argv)
{
	const struct rlimit descriptors = { LISTENERS_MAX + 100, LISTENERS_MAX + 100 };
	uint64_t count;

	if (argc != 5 || parse_u64(argv[3], &count) < 0 || count == 0 || count > LISTENERS_MAX ||
	    strlen(argv[4]) > BEHIND_MAX || (!streq(argv[1], "bus") && !streq(argv[1], "rest"))) {
		fprintf(stderr, "usage: bench_listeners bus PATH COUNT TEXT\n"
				"       bench_listeners rest PORT COUNT TEXT\n");
		return 2;
	}
	if (setrlimit(RLIMIT_NOFILE, &descriptors) < 0)
		fail("setrlimit");
	all.count = count;
	all.text = argv[4];
	listen_to_all(streq(argv[1], "bus") ? connect_bus : connect_stream, argv[2]);
}
