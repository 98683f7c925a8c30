/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The NBD handshake with servers of all kinds. A server here says everything it has to say at once,
 * which is as bad as saying it in time; then it closes, or waits for whatever the client does.
 */

#include <endian.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "nbd/handshake.h"

#define NAME "migration-vol-0c8f5a1e-3b7d-4e2f-9a6c-1d2e3f4a5b6c"
#define OPTION_GO 7
#define ACK 1
#define INFO 3
#define ERROR(number) (UINT32_C(0x80000000) + (number))

struct scene {
	struct loop *loop;
	struct evconnlistener *listener;
	struct bufferevent *stream;
	struct address address;
	struct buf says;  /* the server */
	struct buf heard; /* from the client */
	bool closes;
	bool client_left; /* by itself */
	bool answered;
	uint64_t size;
	struct err err;
};

/* ---- the server ---- */

static void on_read(struct bufferevent *stream, void *arg)
{
	struct scene *scene = arg;
	char bytes[4096];
	size_t length;

	while ((length = bufferevent_read(stream, bytes, sizeof(bytes))) > 0)
		buf_add(&scene->heard, bytes, length);
}

static void close_stream(struct scene *scene)
{
	if (scene->stream)
		bufferevent_free(scene->stream);
	scene->stream = NULL;
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct scene *scene = arg;

	scene->client_left = true;
	close_stream(scene);
}

static void on_written(struct bufferevent *stream, void *arg)
{
	struct scene *scene = arg;

	if (scene->closes)
		close_stream(scene);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int length, void *arg)
{
	struct scene *scene = arg;

	scene->stream = bufferevent_socket_new(loop_base(scene->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(scene->stream, on_read, on_written, on_event, scene);
	bufferevent_enable(scene->stream, EV_READ | EV_WRITE);
	bufferevent_write(scene->stream, scene->says.data, scene->says.length);
}

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);
	socklen_t length;

	scene->loop = loop_new();
	assert_int_equal(address_parse("127.0.0.1:0", &scene->address, NULL), 0);
	scene->listener = evconnlistener_new_bind(loop_base(scene->loop), on_accept, scene,
						  LEV_OPT_CLOSE_ON_FREE, 4, &scene->address.sa.any,
						  (int)scene->address.length);
	assert_non_null(scene->listener);
	length = scene->address.length;
	assert_int_equal(getsockname(evconnlistener_get_fd(scene->listener), &scene->address.sa.any,
				     &length),
			 0);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	close_stream(scene);
	if (scene->listener)
		evconnlistener_free(scene->listener);
	buf_clear(&scene->says);
	buf_clear(&scene->heard);
	loop_free(scene->loop);
	free(scene);
	return 0;
}

/* ---- what it says ---- */

static void put16(struct scene *scene, uint16_t value)
{
	value = htobe16(value);
	buf_add(&scene->says, &value, sizeof(value));
}

static void put32(struct scene *scene, uint32_t value)
{
	value = htobe32(value);
	buf_add(&scene->says, &value, sizeof(value));
}

static void put64(struct scene *scene, uint64_t value)
{
	value = htobe64(value);
	buf_add(&scene->says, &value, sizeof(value));
}

static void greet(struct scene *scene)
{
	buf_add(&scene->says, "NBDMAGICIHAVEOPT", 16);
	put16(scene, 3);
}

static void reply(struct scene *scene, uint32_t option, uint32_t kind, uint32_t length)
{
	put64(scene, UINT64_C(0x0003e889045565a9));
	put32(scene, option);
	put32(scene, kind);
	put32(scene, length);
}

static void info(struct scene *scene, uint64_t size)
{
	reply(scene, OPTION_GO, INFO, 12);
	put16(scene, 0);
	put64(scene, size);
	put16(scene, 1);
}

/* ---- the client ---- */

static void on_checked(void *arg, uint64_t size, const struct err *err)
{
	struct scene *scene = arg;

	assert_false(scene->answered);
	scene->answered = true;
	scene->size = size;
	scene->err = *err;
	loop_stop(scene->loop);
}

static void check(struct scene *scene, enum err_code code, const char *text)
{
	handshake_start(scene->loop, &scene->address, NULL, NAME, on_checked, scene);
	assert_false(scene->answered);
	loop_run(scene->loop);
	assert_true(scene->answered);
	assert_int_equal(scene->err.code, code);
	if (!strstr(scene->err.text, text))
		fail_msg("%s", scene->err.text);
}

static void await_leaving(struct scene *scene)
{
	while (!scene->client_left && scene->stream)
		loop_turn(scene->loop);
}

static bool heard(const struct scene *scene, const void *bytes, size_t length)
{
	return memmem(scene->heard.data, scene->heard.length, bytes, length) != NULL;
}

static void test_good(void **state)
{
	static const char go[] = "IHAVEOPT\0\0\0\7\0\0\0\70\0\0\0\62" NAME "\0\0";
	static const char disc[] = "\x25\x60\x95\x13\0\0\0\2";
	struct scene *scene = *state;

	greet(scene);
	/* More than was asked for, and unknown. */
	reply(scene, OPTION_GO, INFO, 6);
	put16(scene, 3);
	put32(scene, 4096);
	reply(scene, OPTION_GO, INFO, 1);
	buf_add(&scene->says, "x", 1);
	info(scene, UINT64_C(1) << 50);
	reply(scene, OPTION_GO, ACK, 0);
	check(scene, ERR_NONE, "");
	assert_true(scene->size == UINT64_C(1) << 50);
	await_leaving(scene);
	assert_true(heard(scene, go, sizeof(go) - 1));
	assert_true(heard(scene, disc, sizeof(disc) - 1));
}

static void test_unknown(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	reply(scene, OPTION_GO, ERROR(6), 4);
	buf_add(&scene->says, "nope", 4);
	check(scene, ERR_NOT_FOUND, NAME);
}

static void test_refusals(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	reply(scene, OPTION_GO, ERROR(2), 9);
	buf_add(&scene->says, "not\nfor u", 9);
	check(scene, ERR_UNAVAILABLE, "not?for u");
}

static void test_wants_tls(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	reply(scene, OPTION_GO, ERROR(5), 0);
	check(scene, ERR_UNAVAILABLE, "TLS");
}

static void test_no_size(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	reply(scene, OPTION_GO, INFO, 2);
	put16(scene, 0); /* that is all it says about the export */
	reply(scene, OPTION_GO, ACK, 0);
	check(scene, ERR_UNAVAILABLE, "size");
}

static void test_not_nbd(void **state)
{
	struct scene *scene = *state;

	buf_add_text(&scene->says, "HTTP/1.1 400 Bad Request\r\n\r\n");
	check(scene, ERR_UNAVAILABLE, "no NBD server");
}

static void test_old_server(void **state)
{
	struct scene *scene = *state;

	buf_add_text(&scene->says, "NBDMAGIC");
	put64(scene, UINT64_C(0x00420281861253));
	put64(scene, 12345);
	check(scene, ERR_UNAVAILABLE, "old protocol");
}

static void test_closes(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	scene->closes = true;
	check(scene, ERR_UNAVAILABLE, "closed the connection");
}

static void test_wrong_magic(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	put64(scene, 1);
	put64(scene, 2);
	put64(scene, 3);
	check(scene, ERR_UNAVAILABLE, "makes no sense");
}

/*
 * All is said and the connection closed before the client looks for the first time: what was wrong
 * with what was said is told, not that the answer to it cannot be sent.
 */
static void test_wrong_magic_and_gone(void **state)
{
	struct scene *scene = *state;
	char folder[] = "/tmp/nbd-test-XXXXXX";
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	_cleanup_free_ char *address = NULL;

	greet(scene);
	put64(scene, 1);
	put64(scene, 2);
	put64(scene, 3);
	assert_non_null(mkdtemp(folder));
	address = xasprintf("unix:%s/socket", folder);
	assert_int_equal(address_parse(address, &scene->address, NULL), 0);
	assert_int_equal(bind(listener, &scene->address.sa.any, scene->address.length), 0);
	assert_int_equal(listen(listener, 1), 0);
	handshake_start(scene->loop, &scene->address, NULL, NAME, on_checked, scene);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(write(fd, scene->says.data, scene->says.length), scene->says.length);
	close(fd);
	close(listener);
	loop_run(scene->loop);
	unlink(scene->address.sa.local.sun_path);
	rmdir(folder);
	assert_int_equal(scene->err.code, ERR_UNAVAILABLE);
	if (!strstr(scene->err.text, "makes no sense"))
		fail_msg("%s", scene->err.text);
}

static void test_another_question(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	reply(scene, 3, ACK, 0);
	check(scene, ERR_UNAVAILABLE, "makes no sense");
}

/* It must be refused by what it says about the length: waiting for that much would never end. */
static void test_huge(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	reply(scene, OPTION_GO, INFO, UINT32_MAX);
	check(scene, ERR_UNAVAILABLE, "makes no sense");
}

static void test_never_ends(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	for (int i = 0; i < 1000; i++)
		reply(scene, OPTION_GO, INFO, 0);
	check(scene, ERR_UNAVAILABLE, "makes no sense");
}

/* What it said counts, whatever it does then: it never closes and never stops talking. */
static void test_talks_on(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	info(scene, 512);
	reply(scene, OPTION_GO, ACK, 0);
	for (int i = 0; i < 100000; i++)
		put64(scene, 0);
	check(scene, ERR_NONE, "");
	assert_int_equal(scene->size, 512);
}

static void test_nobody(void **state)
{
	struct scene *scene = *state;

	evconnlistener_free(scene->listener);
	scene->listener = NULL;
	check(scene, ERR_UNAVAILABLE, "cannot be reached");
	assert_int_equal(address_parse("unix:/nowhere/x.sock", &scene->address, NULL), 0);
	scene->answered = false;
	check(scene, ERR_UNAVAILABLE, "cannot be reached");
}

/* A silent server keeps the check waiting; whoever asked gives it up. */
static void test_cancelled(void **state)
{
	struct scene *scene = *state;
	struct handshake *call =
		handshake_start(scene->loop, &scene->address, NULL, NAME, on_checked, scene);

	assert_int_not_equal(handshake_port(call), 0);
	while (!scene->stream)
		loop_turn(scene->loop);
	handshake_cancel(call);
	await_leaving(scene);
	assert_true(scene->client_left);
	assert_false(scene->answered);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_good),
		T(test_unknown),
		T(test_refusals),
		T(test_wants_tls),
		T(test_no_size),
		T(test_not_nbd),
		T(test_old_server),
		T(test_closes),
		T(test_wrong_magic),
		T(test_another_question),
		T(test_wrong_magic_and_gone),
		T(test_huge),
		T(test_never_ends),
		T(test_talks_on),
		T(test_nobody),
		T(test_cancelled),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
