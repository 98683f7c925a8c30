/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A shutdown waits for operations: the lock of a fake logind, which the test's client plays. */

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "bus_fixture.h"

static struct {
	unsigned asked;
	bool refuses, is_slow;
	sd_bus_message *unanswered;
	int kept; /* logind's end of the lock: hung up when the daemon has given it back */
} logind;

static int answer_lock(sd_bus_message *m)
{
	int ends[2], r;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	logind.kept = ends[0];
	r = sd_bus_reply_method_return(m, "h", ends[1]);
	close(ends[1]);
	return r;
}

static int on_inhibit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *what, *who, *why, *mode;

	assert_true(sd_bus_message_read(m, "ssss", &what, &who, &why, &mode) >= 0);
	assert_string_equal(what, "shutdown");
	assert_string_equal(who, "volume-daemon");
	assert_string_equal(mode, "delay");
	assert_true(*why);
	logind.asked++;
	if (logind.refuses)
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "not you");
	if (!logind.is_slow)
		return answer_lock(m);
	logind.unanswered = sd_bus_message_ref(m);
	return 1;
}

static const sd_bus_vtable logind_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Inhibit", "ssss", "h", on_inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static int setup(void **state)
{
	int r = bus_fixture_setup(state);

	memset(&logind, 0, sizeof(logind));
	logind.kept = -1;
	return r;
}

static int teardown(void **state)
{
	if (logind.kept >= 0)
		close(logind.kept);
	sd_bus_message_unref(logind.unanswered);
	return bus_fixture_teardown(state);
}

static void start_logind(struct fixture *f)
{
	assert_true(sd_bus_add_object_vtable(f->client, NULL, "/org/freedesktop/login1",
					     "org.freedesktop.login1.Manager", logind_vtable,
					     NULL) >= 0);
	assert_true(sd_bus_request_name(f->client, "org.freedesktop.login1", 0) >= 0);
}

static void operations(struct fixture *f, size_t unfinished)
{
	bool started = unfinished > f->core.unfinished;

	f->core.unfinished = unfinished;
	str_set(&f->core.operation.id, SAMPLE_OPERATION);
	fake_core_tell(&f->core,
		       &(struct core_event){
			       .type = started ? EVENT_OPERATION_STARTED : EVENT_OPERATION_ENDED,
			       .id = SAMPLE_OPERATION,
			       .operation = &f->core.operation,
		       });
	fixture_settle(f);
}

static bool is_held(void)
{
	struct pollfd end = { .fd = logind.kept, .events = POLLIN };

	assert_true(logind.kept >= 0);
	return poll(&end, 1, 0) == 0;
}

static bool is_locked(struct fixture *f)
{
	return logind.kept >= 0;
}

static void test_shutdown_waits_for_operations(void **state)
{
	struct fixture *f = *state;

	start_logind(f);
	operations(f, 1);
	fixture_until(f, is_locked);
	fixture_settle(f);
	assert_true(is_held());
	operations(f, 2);
	operations(f, 1);
	assert_true(is_held());
	assert_int_equal(logind.asked, 1);
	operations(f, 0);
	assert_false(is_held());
	close(logind.kept);
	logind.kept = -1;
	operations(f, 1);
	fixture_until(f, is_locked);
	assert_int_equal(logind.asked, 2);
}

/* A lock that comes when no operation is left is not kept. */
static void test_lock_that_comes_late(void **state)
{
	struct fixture *f = *state;

	start_logind(f);
	logind.is_slow = true;
	operations(f, 1);
	operations(f, 2);
	operations(f, 0);
	assert_int_equal(logind.asked, 1);
	assert_true(answer_lock(logind.unanswered) >= 0);
	fixture_settle(f);
	assert_false(is_held());
}

/* Where there is none, thousands of operations must not cost a question each. */
static void test_logind_that_refuses_is_asked_after_a_pause(void **state)
{
	struct fixture *f = *state;

	operations(f, 1); /* nobody has its name */
	start_logind(f);
	logind.refuses = true;
	operations(f, 2);
	assert_int_equal(logind.asked, 0);
	clock_test_advance(10000);
	operations(f, 3);
	operations(f, 4);
	assert_int_equal(logind.asked, 1);
	logind.refuses = false;
	clock_test_advance(10000);
	operations(f, 5);
	fixture_until(f, is_locked);
	assert_int_equal(logind.asked, 2);
}

/* The lock goes with the daemon. */
static void test_lock_goes_with_the_surface(void **state)
{
	struct fixture *f = *state;

	start_logind(f);
	operations(f, 1);
	fixture_until(f, is_locked);
	fixture_settle(f);
	f->bus = bus_close(f->bus);
	assert_false(is_held());
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_shutdown_waits_for_operations),
		TEST(test_lock_that_comes_late),
		TEST(test_logind_that_refuses_is_asked_after_a_pause),
		TEST(test_lock_goes_with_the_surface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
