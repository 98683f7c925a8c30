/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection: a bus that is away, comes, goes and does not read; a name that is taken; who may
 * ask what. */

#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "bus_fixture.h"

static bool is_not_ready(struct fixture *f)
{
	return !bus_is_ready(f->bus);
}

/* A surface without a daemon yet. */
static int setup_without_daemon(void **state)
{
	struct fixture *f = xnew(struct fixture);

	clock_test_start(1000, 1000);
	bus_daemon_init(&f->daemon);
	f->loop = loop_new();
	fake_core_init(&f->core, f->loop);
	f->bus = bus_open(f->loop, &f->core, &(struct bus_options){ .address = f->daemon.address });
	*state = f;
	return 0;
}

static void test_no_bus_at_first(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 100; i++)
		loop_turn(f->loop);
	assert_false(bus_is_ready(f->bus));
	/* Nothing is kept for a bus that is not there. */
	fake_core_tell(&f->core,
		       &(struct core_event){ .type = EVENT_VOLUME_CHANGED, .id = SAMPLE_UUID });
	assert_int_equal(bus_queued(f->bus), 0);
	bus_daemon_start(&f->daemon);
	clock_test_advance(1000);
	fixture_until(f, fixture_is_ready);
}

static bool has_heard(struct fixture *f)
{
	return f->heard.length > 0;
}

static void test_completed_before_the_bus_was_there(void **state)
{
	struct fixture *f = *state;
	struct core_event event = { .type = EVENT_OPERATION_ENDED,
				    .operation = &f->core.operation };
	struct buf all = { 0 };

	fake_fill(&operation_record, &f->core.operation);
	event.id = f->core.operation.id;
	/* Of too many the oldest are left out. */
	for (int i = 0; i < 1003; i++)
		fake_core_tell(&f->core, &event);
	bus_daemon_start(&f->daemon);
	f->client = fixture_connect(f);
	fixture_listen(f);
	clock_test_advance(1000);
	fixture_until(f, has_heard);
	fixture_settle(f);
	for (int i = 0; i < 1000; i++)
		buf_add_text(&all, "OperationCompleted " BUS_ROOT "\n");
	assert_string_equal(f->heard.data, all.data);
	buf_reset(&f->heard);
	/* And once. */
	bus_daemon_stop(&f->daemon);
	f->client = sd_bus_close_unref(f->client);
	fixture_until(f, is_not_ready);
	bus_daemon_start(&f->daemon);
	f->client = fixture_connect(f);
	fixture_listen(f);
	clock_test_advance(1000);
	fixture_until(f, fixture_is_ready);
	fixture_settle(f);
	assert_false(has_heard(f));
	buf_clear(&all);
}

static bool a_call_has_started(struct fixture *f)
{
	return f->core.started > 0;
}

static void test_bus_is_restarted(void **state)
{
	struct fixture *f = *state;

	f->core.hold = true;
	assert_true(sd_bus_call_method_async(f->client, NULL, BUS_NAME, BUS_ROOT,
					     BUS_NAME ".Manager", "GetHealth", NULL, NULL,
					     NULL) >= 0);
	sd_bus_flush(f->client);
	fixture_until(f, a_call_has_started);
	bus_daemon_stop(&f->daemon);
	f->client = sd_bus_close_unref(f->client);
	fixture_until(f, is_not_ready);
	/* Nobody can be answered any more. */
	assert_int_equal(f->core.cancelled, 1);
	f->core.hold = false;
	bus_daemon_start(&f->daemon);
	clock_test_advance(1000);
	fixture_until(f, fixture_is_ready);
	f->client = fixture_connect(f);
	for (int round = 0; round < 2; round++) {
		_cleanup_message_ sd_bus_message *answer = ask(f, NULL, NULL, "GetHealth", NULL);

		assert_answer(answer, "a{sv}");
	}
}

static bool name_was_lost(struct fixture *f)
{
	return f->name_lost > 0;
}

static void count_name_lost(void *arg, const char *reason)
{
	struct fixture *f = arg;

	assert_non_null(strstr(reason, BUS_NAME));
	f->name_lost++;
}

static void test_name_is_taken(void **state)
{
	struct fixture *f = *state;
	struct core core;
	struct bus *second;
	struct bus_options options = { .address = f->daemon.address,
				       .name_lost = count_name_lost,
				       .arg = f };

	fake_core_init(&core, f->loop);
	second = bus_open(f->loop, &core, &options);
	fixture_until(f, name_was_lost);
	assert_int_equal(f->name_lost, 1);
	assert_false(bus_is_ready(second));
	assert_true(bus_is_ready(f->bus));
	bus_close(second);
	fake_core_fini(&core);
}

static bool queue_is_empty(struct fixture *f)
{
	return bus_queued(f->bus) == 0;
}

static void end_and_forget(struct fixture *f)
{
	struct core_event event = { .type = EVENT_OPERATION_ENDED,
				    .id = f->core.operation.id,
				    .operation = &f->core.operation };

	fake_core_tell(&f->core, &event);
	event.type = EVENT_OPERATION_FORGOTTEN;
	fake_core_tell(&f->core, &event);
}

static size_t count_of(const char *text, const char *part)
{
	size_t count = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		count++;
	return count;
}

static void test_bus_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	struct device_record device;
	struct core_event event = { .type = EVENT_DEVICE_ADDED,
				    .id = "/dev/vdb",
				    .device = &device };
	char id[37];

	f->core.volume_count = 900;
	for (size_t i = 0; i < 900; i++) {
		fake_volume_id(i, id);
		fake_core_tell(&f->core,
			       &(struct core_event){ .type = EVENT_VOLUME_ADDED, .id = id });
	}
	fixture_settle(f);
	fixture_until(f, queue_is_empty);
	record_init(&device_record, &device);
	fake_fill(&device_record, &device);
	kill(f->daemon.pid, SIGSTOP);
	for (int i = 0; i < 20000; i++)
		fake_core_tell(&f->core, &event);
	assert_in_range(bus_queued(f->bus), 900, 1010);
	/* The ends of operations are not lost, they are late; also those that have left memory. */
	fake_fill(&operation_record, &f->core.operation);
	for (int i = 0; i < 50; i++)
		end_and_forget(f);
	loop_turn(f->loop);
	assert_in_range(bus_queued(f->bus), 900, 1010);
	/* So is the state of objects. */
	f->core.volume_name = "another";
	for (size_t i = 0; i < 900; i++) {
		fake_volume_id(i, id);
		fake_core_tell(&f->core,
			       &(struct core_event){ .type = EVENT_VOLUME_CHANGED, .id = id });
	}
	loop_turn(f->loop);
	assert_in_range(bus_queued(f->bus), 900, 1010);
	kill(f->daemon.pid, SIGCONT);
	buf_reset(&f->heard);
	fixture_until(f, queue_is_empty);
	for (int i = 0; i < 3; i++) {
		clock_test_advance(200);
		fixture_settle(f);
		fixture_until(f, queue_is_empty);
	}
	fixture_settle(f);
	for (size_t i = 0; i < 900; i++) {
		_cleanup_free_ char *path = NULL;

		fake_volume_id(i, id);
		assert_true(sd_bus_path_encode(BUS_ROOT "/volume", id, &path) >= 0);
		assert_non_null(strstr(f->heard.data, path));
	}
	assert_int_equal(count_of(f->heard.data, "OperationCompleted"), 50);
	record_clear(&device_record, &device);
}

/* --- authorisation --- */

/* A user that is neither root nor ourselves calls GetHealth; its exit code says how that ended. */
enum { CALL_WORKED = 0, CALL_FORBIDDEN = 10, CALL_UNAUTHORIZED, CALL_TOO_MANY, CALL_OTHER };

static const char *forbidden_words = ""; /* they stand in the error of CALL_FORBIDDEN */

static sd_bus *connect_as(uid_t uid, const char *address)
{
	sd_bus *bus = NULL;

	if (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0 || sd_bus_new(&bus) < 0 ||
	    sd_bus_set_address(bus, address) < 0 || sd_bus_set_bus_client(bus, true) < 0 ||
	    sd_bus_start(bus) < 0)
		_exit(CALL_OTHER);
	return bus;
}

static _Noreturn void user_calls(uid_t uid, const char *address, const char *member)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus *bus = connect_as(uid, address);
	int r;

	if (streq(member, "DetachVolume"))
		r = sd_bus_call_method(bus, BUS_NAME, BUS_ROOT, BUS_NAME ".Manager", member, &error,
				       NULL, "sa{sv}", SAMPLE_UUID, 0);
	else
		r = sd_bus_call_method(bus, BUS_NAME, BUS_ROOT, BUS_NAME ".Manager", member, &error,
				       NULL, NULL);
	if (r >= 0)
		_exit(CALL_WORKED);
	if (streq(error.name, ERR_BUS_PREFIX "Forbidden"))
		_exit(strstr(error.message, forbidden_words) ? CALL_FORBIDDEN : CALL_OTHER);
	if (streq(error.name, ERR_BUS_PREFIX "TooManyRequests"))
		_exit(CALL_TOO_MANY);
	_exit(streq(error.name, ERR_BUS_PREFIX "Unauthorized") ? CALL_UNAUTHORIZED : CALL_OTHER);
}

#define NOBODY 65534
#define ANOTHER 1 /* the bus wants users that the system knows */

/* A program that does not wait for the answers to its calls. */
static _Noreturn void nobody_calls_often(const char *address, int times)
{
	sd_bus *bus = connect_as(NOBODY, address);

	for (int i = 0; i < times; i++) {
		if (sd_bus_call_method_async(bus, NULL, BUS_NAME, BUS_ROOT, BUS_NAME ".Manager",
					     "GetHealth", NULL, NULL, NULL) < 0)
			_exit(CALL_OTHER);
	}
	for (;;) {
		if (sd_bus_process(bus, NULL) == 0)
			sd_bus_wait(bus, UINT64_MAX);
	}
}

static pid_t nobody;
static int nobody_status;

static bool nobody_has_ended(struct fixture *f)
{
	return waitpid(nobody, &nobody_status, WNOHANG) == nobody;
}

static int ask_as(struct fixture *f, uid_t uid, const char *member)
{
	nobody = fork();
	assert_true(nobody >= 0);
	if (nobody == 0)
		user_calls(uid, f->daemon.address, member);
	fixture_until(f, nobody_has_ended);
	assert_true(WIFEXITED(nobody_status));
	return WEXITSTATUS(nobody_status);
}

static int ask_as_nobody(struct fixture *f, const char *member)
{
	return ask_as(f, NOBODY, member);
}

/* What the fake polkit says, and what it was asked last. */
static struct {
	bool silent;       /* the person does not answer */
	const char *error; /* in place of an answer */
	int authorized, challenge;
	size_t asked, cancelled;
	char action[64];
} polkit;

static int on_check_authorization(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *kind, *key, *name, *action;

	assert_true(sd_bus_message_read(m, "(sa{sv})", &kind, 1, &key, "s", &name) >= 0);
	assert_string_equal(kind, "system-bus-name");
	assert_true(sd_bus_message_read(m, "s", &action) >= 0);
	snprintf(polkit.action, sizeof(polkit.action), "%s", action);
	polkit.asked++;
	if (polkit.silent)
		return 1;
	if (polkit.error)
		return sd_bus_reply_method_errorf(m, polkit.error, "in place of an answer");
	return sd_bus_reply_method_return(m, "(bba{ss})", polkit.authorized, polkit.challenge, 0);
}

static int on_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *id;

	assert_true(sd_bus_message_read(m, "s", &id) >= 0);
	assert_true(str_has_prefix(id, "volume-daemon-"));
	polkit.cancelled++;
	return 1;
}

static const sd_bus_vtable polkit_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("CancelCheckAuthorization", "s", "", on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check_authorization,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void test_others_without_polkit(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	forbidden_words = "polkit cannot be asked: ";
	assert_int_equal(ask_as_nobody(f, "GetHealth"), CALL_FORBIDDEN);
	forbidden_words = "";
	assert_int_equal(f->core.started, 0);
}

static void start_polkit(struct fixture *f)
{
	assert_true(sd_bus_add_object_vtable(f->client, NULL,
					     "/org/freedesktop/PolicyKit1/Authority",
					     "org.freedesktop.PolicyKit1.Authority", polkit_vtable,
					     NULL) >= 0);
	assert_true(sd_bus_request_name(f->client, "org.freedesktop.PolicyKit1", 0) >= 0);
	memset(&polkit, 0, sizeof(polkit));
	polkit.authorized = 1;
}

static void test_others_with_polkit(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	start_polkit(f);
	assert_int_equal(ask_as_nobody(f, "GetHealth"), CALL_WORKED);
	assert_string_equal(polkit.action, "org.migratekit.volumedaemon1.read");
	/* No more than what was asked for. */
	assert_int_equal(f->core.access, ACCESS_READ);
	assert_int_equal(f->core.uid, NOBODY);
	assert_int_equal(ask_as_nobody(f, "DetachVolume"), CALL_WORKED);
	assert_string_equal(polkit.action, "org.migratekit.volumedaemon1.change");
	assert_int_equal(f->core.access, ACCESS_CHANGE);
	polkit.authorized = 0;
	assert_int_equal(ask_as_nobody(f, "DetachVolume"), CALL_FORBIDDEN);
	polkit.challenge = 1;
	assert_int_equal(ask_as_nobody(f, "DetachVolume"), CALL_UNAUTHORIZED);
	assert_int_equal(f->core.started, 2);
	assert_int_equal(polkit.asked, 4);
	polkit.challenge = 0;
}

static bool are_asked(struct fixture *f)
{
	return polkit.asked == 8;
}

static bool are_cancelled(struct fixture *f)
{
	return polkit.cancelled == 8;
}

/* A user whose questions are not answered has eight, and no other user less. */
static void test_a_person_who_does_not_answer(void **state)
{
	struct fixture *f = *state;
	pid_t asker;

	if (geteuid() != 0)
		skip();
	start_polkit(f);
	polkit.silent = true;
	asker = fork();
	assert_true(asker >= 0);
	if (asker == 0)
		nobody_calls_often(f->daemon.address, 20);
	fixture_until(f, are_asked);
	polkit.silent = false;
	assert_int_equal(ask_as_nobody(f, "GetHealth"), CALL_TOO_MANY);
	assert_int_equal(ask_as(f, ANOTHER, "GetHealth"), CALL_WORKED);
	assert_int_equal(polkit.asked, 9);
	/* The caller leaves, and takes its questions along. */
	kill(asker, SIGKILL);
	fixture_until(f, are_cancelled);
	assert_int_equal(waitpid(asker, NULL, 0), asker);
	assert_int_equal(ask_as_nobody(f, "GetHealth"), CALL_WORKED);
	assert_int_equal(polkit.cancelled, 8);
}

/* sd-bus makes this error, too, when its own wait for polkit has timed out. */
static void test_a_question_that_times_out_is_cancelled(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	start_polkit(f);
	polkit.error = SD_BUS_ERROR_NO_REPLY;
	forbidden_words = "volumedaemon1.read: polkit did not answer within 300 s, or has ended; "
			  "last seen: the caller still waits, and no person is asked";
	assert_int_equal(ask_as_nobody(f, "GetHealth"), CALL_FORBIDDEN);
	forbidden_words = "";
	fixture_settle(f);
	assert_int_equal(polkit.cancelled, 1);
	/* An answer ends a question by itself. */
	polkit.error = NULL;
	assert_int_equal(ask_as_nobody(f, "GetHealth"), CALL_WORKED);
	fixture_settle(f);
	assert_int_equal(polkit.cancelled, 1);
}

static void test_ourselves_need_no_polkit(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++) {
		_cleanup_message_ sd_bus_message *answer = ask(f, NULL, NULL, "GetHealth", NULL);

		assert_answer(answer, "a{sv}");
		assert_int_equal(f->core.access, ACCESS_ADMIN);
	}
}

/* More callers than the cache of uids holds, each gone before the next comes. */
static void test_many_callers(void **state)
{
	struct fixture *f = *state;
	sd_bus *first = f->client;

	for (int i = 0; i < 300; i++) {
		f->client = fixture_connect(f);
		{
			_cleanup_message_ sd_bus_message *answer =
				ask(f, NULL, NULL, "GetHealth", NULL);

			assert_answer(answer, "a{sv}");
		}
		sd_bus_close_unref(f->client);
	}
	f->client = first;
	assert_int_equal(f->core.started, 300);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, bus_fixture_setup, bus_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_bus_at_first, setup_without_daemon,
						bus_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_completed_before_the_bus_was_there,
						setup_without_daemon, bus_fixture_teardown),
		TEST(test_bus_is_restarted),
		TEST(test_name_is_taken),
		TEST(test_bus_that_does_not_read),
		TEST(test_others_without_polkit),
		TEST(test_others_with_polkit),
		TEST(test_a_person_who_does_not_answer),
		TEST(test_a_question_that_times_out_is_cancelled),
		TEST(test_ourselves_need_no_polkit),
		TEST(test_many_callers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
