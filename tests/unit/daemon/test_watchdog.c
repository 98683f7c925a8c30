/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Signs of life: systemd's end of the socket is the test's, the store is a fake whose health the
 * test sets, and the clock is turned by hand.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/watchdog.h"
#include "store/backend.h"

#define LOOK_MS 2000
#define STUCK_MS 300000

struct fixture {
	struct loop *loop;
	struct store store;
	struct watchdog *watchdog;
	char path[64];
	int systemd;
	char log[4096]; /* of the last looks */
};

static struct store_health present; /* of the one store there is */

static void fake_health(const struct store *store, struct store_health *out)
{
	*out = present;
}

static const struct store_backend backend = { .health = fake_health };

static int set_up(void **state)
{
	struct fixture *f = xnew(struct fixture);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	clock_test_start(1000000, INT64_C(1795384203123));
	log_set_level(LOG_LEVEL_INFO);
	present = (struct store_health){ 0 };
	snprintf(f->path, sizeof(f->path), "/tmp/volume-daemon-watchdog-%d", (int)getpid());
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->path);
	f->systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->systemd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", f->path, 1);
	f->loop = loop_new();
	store_init(&f->store, &backend, f->loop);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	watchdog_free(f->watchdog);
	store_fini(&f->store);
	loop_free(f->loop);
	close(f->systemd);
	unlink(f->path);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	free(f);
	return 0;
}

static void begin(struct fixture *f, const char *limit_us)
{
	if (limit_us)
		setenv("WATCHDOG_USEC", limit_us, 1);
	f->watchdog = watchdog_new(f->loop, &f->store);
}

/* Lets so many looks pass and returns how many signs of life came; f->log has what was logged. */
static int looks(struct fixture *f, int count, int64_t every_ms)
{
	int log = memfd_create("log", MFD_CLOEXEC), saved = dup(STDERR_FILENO), signs = 0;
	char text[256];
	ssize_t length;

	dup2(log, STDERR_FILENO);
	for (int i = 0; i < count; i++) {
		clock_test_advance(every_ms);
		while (loop_turn(f->loop))
			;
	}
	dup2(saved, STDERR_FILENO);
	close(saved);
	length = pread(log, f->log, sizeof(f->log) - 1, 0);
	f->log[length > 0 ? length : 0] = '\0';
	close(log);
	while ((length = recv(f->systemd, text, sizeof(text) - 1, 0)) > 0) {
		text[length] = '\0';
		signs += strstr(text, "WATCHDOG=1") != NULL;
	}
	return signs;
}

static void a_daemon_that_is_well_gives_them(void **state)
{
	struct fixture *f = *state;

	begin(f, "60000000");
	assert_int_equal(looks(f, 10, LOOK_MS), 10);
	assert_string_equal(f->log, "");
}

/* A short limit is kept with time to spare. */
static void as_often_as_systemd_needs(void **state)
{
	struct fixture *f = *state;

	begin(f, "1000000");
	assert_int_equal(looks(f, 10, 500), 10);
}

/* An idle loop is not woken for it, unless nothing else wakes it. */
static void a_look_rides_on_other_wake_ups(void **state)
{
	struct fixture *f = *state;

	begin(f, "60000000");
	clock_test_advance(LOOK_MS);
	assert_false(loop_turn(f->loop)); /* no timer was due */
	assert_int_equal(looks(f, 1, 0), 1);
	clock_test_advance(LOOK_MS * 3 / 2);
	assert_true(loop_turn(f->loop));
	assert_int_equal(looks(f, 1, 0), 1);
}

static void without_a_watchdog_nobody_is_told(void **state)
{
	struct fixture *f = *state;

	begin(f, NULL);
	assert_int_equal(looks(f, 3, LOOK_MS), 0);
}

static void a_store_that_hangs_ends_them(void **state)
{
	struct fixture *f = *state;

	begin(f, "60000000");
	present.stuck_ms = STUCK_MS - 1;
	assert_int_equal(looks(f, 1, LOOK_MS), 1);
	present.stuck_ms = STUCK_MS;
	assert_int_equal(looks(f, 3, LOOK_MS), 0);
	assert_string_equal(
		f->log,
		"<3>a thread of the store hangs since 300 s, so systemd gets no more signs of life\n");
	/* systemd may have been slower than the disk. */
	present.stuck_ms = 0;
	assert_int_equal(looks(f, 1, LOOK_MS), 1);
}

static void a_store_that_is_away_does_not(void **state)
{
	struct fixture *f = *state;

	begin(f, "60000000");
	present = (struct store_health){ .away = true, .oldest_ms = 10 * STUCK_MS };
	snprintf(present.reason, sizeof(present.reason), "no server answers");
	/* One slow commit is no news. */
	assert_int_equal(looks(f, 1, LOOK_MS), 1);
	assert_string_equal(f->log, "");
	assert_int_equal(looks(f, 5, LOOK_MS), 5);
	assert_string_equal(f->log, "<4>the store takes no changes: no server answers\n");
	present.away = false;
	looks(f, 5, LOOK_MS);
	assert_string_equal(f->log, "<5>the store takes changes again\n");
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_daemon_that_is_well_gives_them), T(as_often_as_systemd_needs),
		T(a_look_rides_on_other_wake_ups),   T(without_a_watchdog_nobody_is_told),
		T(a_store_that_hangs_ends_them),     T(a_store_that_is_away_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
