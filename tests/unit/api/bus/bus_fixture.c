/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus_fixture.h"

#include "base/clock.h"

/* --- turning --- */

#define TURNS_MAX 5000000

static void fixture_turn(struct fixture *f)
{
	if (f->loop)
		loop_turn(f->loop);
	if (f->client)
		sd_bus_process(f->client, NULL);
}

void fixture_until(struct fixture *f, bool (*condition)(struct fixture *f))
{
	for (int turn = 0; !condition(f); turn++) {
		if (turn == TURNS_MAX)
			fail_msg("what was waited for does not happen");
		fixture_turn(f);
	}
}

bool fixture_is_ready(struct fixture *f)
{
	return bus_is_ready(f->bus);
}

void fixture_settle(struct fixture *f)
{
	/* Messages of one sender arrive in order: an answer comes behind every signal sent before
	 * it. Two rounds, since the first may be answered before tasks of the same turn have
	 * run. */
	for (int i = 0; i < 2; i++) {
		_cleanup_message_ sd_bus_message *answer =
			ask(f, NULL, "org.freedesktop.DBus.Peer", "Ping", NULL);
		assert_answer(answer, "");
	}
}

/* --- the client --- */

struct waiting {
	sd_bus_message *answer;
};

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct waiting *waiting = userdata;

	waiting->answer = sd_bus_message_ref(m);
	return 0;
}

sd_bus_message *ask(struct fixture *f, const char *path, const char *interface, const char *member,
		    const char *types, ...)
{
	struct waiting waiting = { NULL };
	sd_bus_message *call = NULL;
	va_list args;

	assert_true(sd_bus_message_new_method_call(f->client, &call, BUS_NAME,
						   path ? path : BUS_ROOT,
						   interface ? interface : BUS_NAME ".Manager",
						   member) >= 0);
	va_start(args, types);
	if (types)
		assert_true(sd_bus_message_appendv(call, types, args) >= 0);
	va_end(args);
	assert_true(sd_bus_call_async(f->client, NULL, call, on_reply, &waiting, 0) >= 0);
	sd_bus_message_unref(call);
	for (int turn = 0; !waiting.answer; turn++) {
		if (turn == TURNS_MAX)
			fail_msg("%s is not answered", member);
		fixture_turn(f);
	}
	return waiting.answer;
}

void assert_error(sd_bus_message *answer, const char *name, const char *text_part)
{
	const sd_bus_error *error = sd_bus_message_get_error(answer);

	assert_non_null(error);
	assert_string_equal(error->name, name);
	if (text_part && !strstr(str_or(error->message, ""), text_part))
		fail_msg("'%s' does not hold '%s'", error->message, text_part);
}

void assert_answer(sd_bus_message *answer, const char *signature)
{
	const sd_bus_error *error = sd_bus_message_get_error(answer);

	if (error)
		fail_msg("%s: %s", error->name, error->message);
	assert_string_equal(sd_bus_message_get_signature(answer, true), signature);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fixture *f = userdata;

	buf_printf(&f->heard, "%s %s\n", sd_bus_message_get_member(m), sd_bus_message_get_path(m));
	return 0;
}

sd_bus *fixture_connect(struct fixture *f)
{
	sd_bus *client = NULL;
	const char *name;

	assert_true(sd_bus_new(&client) >= 0);
	assert_true(sd_bus_set_address(client, f->daemon.address) >= 0);
	assert_true(sd_bus_set_bus_client(client, true) >= 0);
	assert_true(sd_bus_start(client) >= 0);
	assert_true(sd_bus_get_unique_name(client, &name) >= 0);
	return client;
}

void fixture_listen(struct fixture *f)
{
	assert_true(sd_bus_add_match(f->client, NULL, "type='signal',sender='" BUS_NAME "'",
				     on_signal, f) >= 0);
	buf_reset(&f->heard);
}

static void on_name_lost(void *arg, const char *reason)
{
	struct fixture *f = arg;

	f->name_lost++;
}

int bus_fixture_setup(void **state)
{
	struct fixture *f = xnew(struct fixture);
	struct bus_options options = { .name_lost = on_name_lost, .arg = f };

	clock_test_start(1000, 1000);
	bus_daemon_init(&f->daemon);
	bus_daemon_start(&f->daemon);
	options.address = f->daemon.address;
	f->loop = loop_new();
	fake_core_init(&f->core, f->loop);
	f->bus = bus_open(f->loop, &f->core, &options);
	fixture_until(f, fixture_is_ready);
	f->client = fixture_connect(f);
	fixture_listen(f);
	*state = f;
	return 0;
}

int bus_fixture_teardown(void **state)
{
	struct fixture *f = *state;

	f->bus = bus_close(f->bus);
	fake_core_fini(&f->core);
	loop_free(f->loop);
	sd_bus_close_unref(f->client);
	bus_daemon_fini(&f->daemon);
	buf_clear(&f->heard);
	free(f);
	return 0;
}
