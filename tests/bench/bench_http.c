/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What evhttp itself can do: the daemon's own loop, an evhttp on it with the daemon's settings, and
 * a handler that sends the same bytes to everybody. bench.py holds the daemon against this, so both
 * are measured on the same machine in the same minute, and the ratio is what our own code costs.
 */

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "io/loop.h"

static void on_request(struct evhttp_request *http, void *arg)
{
	const struct buf *body = arg;

	evhttp_add_header(evhttp_request_get_output_headers(http), "Cache-Control", "no-store");
	evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type",
			  "application/json");
	evbuffer_add(evhttp_request_get_output_buffer(http), body->data, body->length);
	evhttp_send_reply(http, 200, NULL, NULL);
}

/* A JSON text of so many bytes. */
static void make_body(struct buf *body, uint64_t length)
{
	buf_add_char(body, '"');
	while (body->length + 1 < length)
		buf_add_char(body, 'x');
	buf_add_char(body, '"');
}

static void print_port(struct evhttp_bound_socket *bound, void *arg)
{
	union {
		struct sockaddr any;
		struct sockaddr_storage room;
	} address;
	socklen_t length = sizeof(address);
	char text[6];

	if (getsockname(evhttp_bound_socket_get_fd(bound), &address.any, &length) < 0 ||
	    getnameinfo(&address.any, length, NULL, 0, text, sizeof(text), NI_NUMERICSERV) != 0)
		abort();
	printf("listening on http://127.0.0.1:%s\n", text);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct loop *loop = loop_new();
	struct evhttp *http = evhttp_new(loop_base(loop));
	_cleanup_buf_ struct buf body = BUF_NULL;
	uint64_t length;

	if (argc != 2 || parse_u64(argv[1], &length) < 0 || length > 1024 * 1024) {
		fprintf(stderr, "usage: bench_http LENGTH-OF-BODY\n");
		return 2;
	}
	make_body(&body, length);
	evhttp_set_timeout(http, 30);
	evhttp_set_default_content_type(http, NULL);
	evhttp_set_gencb(http, on_request, &body);
	if (evhttp_bind_socket(http, "127.0.0.1", 0) < 0) {
		fprintf(stderr, "bench_http: can't listen: %s\n", strerror(errno));
		return 1;
	}
	evhttp_foreach_bound_socket(http, print_port, NULL);
	loop_run(loop);
	return 0;
}
