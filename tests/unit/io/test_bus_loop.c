/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sd-bus on the loop: two peers over a socket pair, both on the same loop, and a real dbus-daemon
 * for what only happens with one. Each test would hang (the alarm ends it) if a wish of sd-bus were
 * not read again before the wait.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "bus_daemon.h"
#include "io/bus_loop.h"

#define PATH "/org/test/Object"
#define INTERFACE "org.test.Interface"

static struct loop *loop;
static sd_bus *server, *client;
static struct bus_loop *server_loop, *client_loop;
static int server_lost, client_lost, calls, replies, signals, last_error;
static sd_bus_message *unanswered;
static char payload[8000]; /* of the signals */

static void on_server_lost(void *arg)
{
	assert_ptr_equal(arg, &server_lost);
	server_lost++;
	loop_stop(loop);
}

static void on_client_lost(void *arg)
{
	assert_ptr_equal(arg, &client_lost);
	client_lost++;
	loop_stop(loop);
}

static int on_echo(sd_bus_message *message, void *arg, sd_bus_error *error)
{
	const char *text;

	calls++;
	if (sd_bus_message_read(message, "s", &text) < 0)
		return -1;
	return sd_bus_reply_method_return(message, "s", text);
}

static int on_never(sd_bus_message *message, void *arg, sd_bus_error *error)
{
	calls++;
	unanswered = sd_bus_message_ref(message);
	return 1;
}

static int on_detach_me(sd_bus_message *message, void *arg, sd_bus_error *error)
{
	server_loop = bus_loop_detach(server_loop);
	return sd_bus_reply_method_return(message, "");
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Echo", "s", "s", on_echo, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Never", "", "", on_never, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("DetachMe", "", "", on_detach_me, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL("Happened", "us", 0),
	SD_BUS_VTABLE_END,
};

static sd_bus *peer(int fd, bool is_server)
{
	sd_id128_t id = { .bytes = { 1 } };
	sd_bus *bus;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
	if (is_server)
		assert_true(sd_bus_set_server(bus, 1, id) >= 0);
	assert_true(sd_bus_set_anonymous(bus, 1) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	return bus;
}

static int setup(void **state)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			 0);
	server_lost = client_lost = calls = replies = signals = last_error = 0;
	payload[0] = '\0';
	loop = loop_new();
	server = peer(ends[0], true);
	client = peer(ends[1], false);
	assert_true(sd_bus_add_object_vtable(server, NULL, PATH, INTERFACE, vtable, NULL) >= 0);
	server_loop = bus_loop_attach(loop, server, on_server_lost, &server_lost);
	client_loop = bus_loop_attach(loop, client, on_client_lost, &client_lost);
	return 0;
}

static int teardown(void **state)
{
	unanswered = sd_bus_message_unref(unanswered);
	server_loop = bus_loop_detach(server_loop);
	client_loop = bus_loop_detach(client_loop);
	server = sd_bus_close_unref(server);
	client = sd_bus_close_unref(client);
	loop = loop_free(loop);
	return 0;
}

static int on_reply(sd_bus_message *message, void *arg, sd_bus_error *error)
{
	const char *text = NULL;

	last_error = sd_bus_message_get_errno(message);
	if (last_error == 0 && sd_bus_message_has_signature(message, "s")) {
		assert_true(sd_bus_message_read(message, "s", &text) >= 0);
		assert_string_equal(text, "hello");
	}
	if (++replies == *(int *)arg)
		loop_stop(loop);
	return 1;
}

static void call_echo(int *stop_at)
{
	assert_true(sd_bus_call_method_async(client, NULL, NULL, PATH, INTERFACE, "Echo", on_reply,
					     stop_at, "s", "hello") >= 0);
}

static void calls_are_answered(void **state)
{
	int stop_at = 3;

	for (int i = 0; i < 3; i++)
		call_echo(&stop_at);
	loop_run(loop);
	assert_int_equal(calls, 3);
	assert_int_equal(replies, 3);
	assert_int_equal(last_error, 0);
}

static int on_signal(sd_bus_message *message, void *arg, sd_bus_error *error)
{
	uint32_t number;

	assert_true(sd_bus_message_read(message, "u", &number) >= 0);
	assert_int_equal(number, signals);
	if (++signals == *(int *)arg)
		loop_stop(loop);
	return 1;
}

static int burst;

static void emit_burst(struct loop_task *task)
{
	for (uint32_t i = 0; i < (uint32_t)burst; i++)
		assert_true(sd_bus_emit_signal(server, PATH, INTERFACE, "Happened", "us", i,
					       payload) >= 0);
}

/* More than the socket holds, emitted from outside any bus callback: sd-bus then wants to hear of
 * POLLOUT. */
static void signals_from_elsewhere_drain(void **state)
{
	struct loop_task task = { .run = emit_burst };
	int stop_at = 1;
	uint64_t queued;

	call_echo(&stop_at); /* the connection is up */
	loop_run(loop);
	burst = 5000;
	memset(payload, 'x', sizeof(payload) - 1);
	assert_true(sd_bus_add_match(client, NULL, "type='signal',member='Happened'", on_signal,
				     &burst) >= 0);
	loop_task_queue(loop, &task);
	loop_turn(loop);
	assert_true(sd_bus_get_n_queued_write(server, &queued) >= 0);
	assert_true(queued > 0);
	loop_run(loop);
	assert_int_equal(signals, 5000);
	assert_true(sd_bus_get_n_queued_write(server, &queued) >= 0);
	assert_int_equal(queued, 0);
}

struct counter {
	struct loop_hook hook;
	int last, most;
};

static void count_turn(struct loop_hook *hook)
{
	struct counter *counter = container_of(hook, struct counter, hook);

	if (signals - counter->last > counter->most)
		counter->most = signals - counter->last;
	counter->last = signals;
}

/* However much waits on the bus, others get their turn in between, and nothing is left lying. */
static void a_flood_leaves_room_for_others(void **state)
{
	struct loop_task task = { .run = emit_burst };
	struct counter counter = { .hook.prepare = count_turn };
	int stop_at = 1;

	call_echo(&stop_at);
	loop_run(loop);
	burst = 1000;
	assert_true(sd_bus_add_match(client, NULL, "type='signal',member='Happened'", on_signal,
				     &burst) >= 0);
	loop_hook_add(loop, &counter.hook);
	loop_task_queue(loop, &task);
	loop_run(loop);
	loop_hook_remove(loop, &counter.hook);
	assert_int_equal(signals, 1000);
	/* 64 in a row when the event came, and once more at the start of the next turn. */
	assert_in_range(counter.most, 2, 128);
}

/* The call is made from outside, and nothing else happens on the bus but its time running out. */
static void reply_timeouts_are_honoured(void **state)
{
	sd_bus_message *message;
	int stop_at = 1;
	uint64_t turns;

	call_echo(&stop_at);
	loop_run(loop);
	stop_at = 2;
	assert_true(sd_bus_message_new_method_call(client, &message, NULL, PATH, INTERFACE,
						   "Never") >= 0);
	assert_true(sd_bus_call_async(client, NULL, message, on_reply, &stop_at, 50000) >= 0);
	sd_bus_message_unref(message);
	turns = loop_turns(loop);
	loop_run(loop);
	assert_int_equal(last_error, ETIMEDOUT);
	assert_int_equal(calls, 2);
	/* Waited, not spun. */
	assert_in_range(loop_turns(loop) - turns, 2, 30);
}

static void a_lost_connection_is_told_once(void **state)
{
	sd_bus_message *message;
	int stop_at = 1;

	call_echo(&stop_at);
	loop_run(loop);
	stop_at = 100;
	assert_true(sd_bus_message_new_method_call(client, &message, NULL, PATH, INTERFACE,
						   "Never") >= 0);
	assert_true(sd_bus_call_async(client, NULL, message, on_reply, &stop_at, 0) >= 0);
	sd_bus_message_unref(message);
	while (calls < 2)
		loop_turn(loop);
	server_loop = bus_loop_detach(server_loop);
	unanswered = sd_bus_message_unref(unanswered);
	server = sd_bus_close_unref(server);
	loop_run(loop);
	assert_int_equal(client_lost, 1);
	assert_int_equal(replies, 2); /* the call that was under way has failed */
	assert_int_not_equal(last_error, 0);
	for (int i = 0; i < 10; i++)
		loop_turn(loop);
	assert_int_equal(client_lost, 1);
}

/* Closed by ourselves: told as well, and not inside sd_bus_close(). */
static void closing_is_a_loss_too(void **state)
{
	int stop_at = 1;

	call_echo(&stop_at);
	loop_run(loop);
	sd_bus_close(client);
	assert_int_equal(client_lost, 0);
	while (client_lost == 0)
		loop_turn(loop);
	while (server_lost == 0)
		loop_turn(loop);
	for (int i = 0; i < 10; i++)
		loop_turn(loop);
	assert_int_equal(client_lost, 1);
	assert_int_equal(server_lost, 1);
}

static void detached_from_inside_a_handler(void **state)
{
	int stop_at = 1, again = 2;

	call_echo(&stop_at);
	loop_run(loop);
	assert_true(sd_bus_call_method_async(client, NULL, NULL, PATH, INTERFACE, "DetachMe",
					     on_reply, &again, "") >= 0);
	while (server_loop)
		loop_turn(loop);
	server_loop = bus_loop_attach(loop, server, on_server_lost, &server_lost);
	loop_run(loop);
	assert_int_equal(replies, 2);
	assert_int_equal(last_error, 0);
	assert_null(bus_loop_detach(NULL));
}

static void an_idle_bus_does_not_wake_the_loop(void **state)
{
	int stop_at = 1;

	call_echo(&stop_at);
	loop_run(loop);
	for (int i = 0; i < 20; i++)
		loop_turn(loop);
	for (int i = 0; i < 20; i++)
		assert_false(loop_turn(loop)); /* no task is queued, so the loop would sleep */
}

/* ---- with a real bus ---- */

static struct bus_daemon bus_daemon;

static int setup_daemon(void **state)
{
	bus_daemon_init(&bus_daemon);
	server_lost = client_lost = calls = replies = signals = last_error = 0;
	loop = loop_new();
	return 0;
}

static int teardown_daemon(void **state)
{
	client_loop = bus_loop_detach(client_loop);
	client = sd_bus_close_unref(client);
	loop = loop_free(loop);
	bus_daemon_fini(&bus_daemon);
	return 0;
}

/* The bus's socket does not exist yet; sd-bus watches for it with inotify and connects by
 * itself. */
static void attach_waiting_client(void)
{
	assert_true(sd_bus_new(&client) >= 0);
	assert_true(sd_bus_set_address(client, bus_daemon.address) >= 0);
	assert_true(sd_bus_set_bus_client(client, 1) >= 0);
	assert_true(sd_bus_set_watch_bind(client, 1) >= 0);
	assert_true(sd_bus_start(client) >= 0);
	client_loop = bus_loop_attach(loop, client, on_client_lost, &client_lost);
}

static int on_name(sd_bus_message *message, void *arg, sd_bus_error *error)
{
	last_error = sd_bus_message_get_errno(message);
	loop_stop(loop);
	return 1;
}

static void a_bus_that_appears_later(void **state)
{
	attach_waiting_client();
	assert_true(sd_bus_request_name_async(client, NULL, "org.test.Name", 0, on_name, NULL) >=
		    0);
	for (int i = 0; i < 20; i++)
		loop_turn(loop);
	assert_int_equal(sd_bus_is_ready(client), 0);
	bus_daemon_start(&bus_daemon);
	loop_run(loop);
	assert_int_equal(last_error, 0);
	assert_int_equal(sd_bus_is_ready(client), 1);
	assert_int_equal(client_lost, 0);
	/* And when it goes away: */
	bus_daemon_stop(&bus_daemon);
	loop_run(loop);
	assert_int_equal(client_lost, 1);
}

/* A synchronous call reads other messages into sd-bus's queue; nothing on the socket will tell of
 * them again. */
static void what_a_synchronous_call_has_read_is_not_forgotten(void **state)
{
	sd_bus_message *reply = NULL;
	int wanted = 10;

	attach_waiting_client();
	assert_true(sd_bus_request_name_async(client, NULL, "org.test.Name", 0, on_name, NULL) >=
		    0);
	bus_daemon_start(&bus_daemon);
	loop_run(loop);
	assert_true(sd_bus_add_match(client, NULL, "type='signal',member='Happened'", on_signal,
				     &wanted) >= 0);
	for (int i = 0; i < 20; i++)
		loop_turn(loop);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(sd_bus_emit_signal(client, PATH, INTERFACE, "Happened", "us", i,
					       payload) >= 0);
	assert_true(sd_bus_call_method(client, "org.freedesktop.DBus", "/org/freedesktop/DBus",
				       "org.freedesktop.DBus", "GetId", NULL, &reply, "") >= 0);
	sd_bus_message_unref(reply);
	assert_int_equal(signals, 0);
	loop_run(loop);
	assert_int_equal(signals, 10);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define D(name) cmocka_unit_test_setup_teardown(name, setup_daemon, teardown_daemon)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(calls_are_answered),
		T(signals_from_elsewhere_drain),
		T(a_flood_leaves_room_for_others),
		T(reply_timeouts_are_honoured),
		T(a_lost_connection_is_told_once),
		T(closing_is_a_loss_too),
		T(detached_from_inside_a_handler),
		T(an_idle_bus_does_not_wake_the_loop),
		D(a_bus_that_appears_later),
		D(what_a_synchronous_call_has_read_is_not_forgotten),
	};

	signal(SIGPIPE, SIG_IGN); /* as in the daemon */
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
