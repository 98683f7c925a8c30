/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kernel events: those of block devices wake us, those somebody else sent do not. */

#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "disk/uevent.h"

struct scene {
	struct loop *loop;
	struct uevent *uevent;
	int calls;
	bool close_inside;
};

static void on_block(void *arg)
{
	struct scene *scene = arg;

	scene->calls++;
	if (scene->close_inside)
		scene->uevent = uevent_close(scene->uevent);
}

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);
	struct err err = { 0 };

	scene->loop = loop_new();
	scene->uevent = uevent_open(scene->loop, on_block, scene, &err);
	*state = scene;
	if (!scene->uevent)
		print_message("%s\n", err.text);
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	uevent_close(scene->uevent);
	loop_free(scene->loop);
	free(scene);
	return 0;
}

/* Makes the kernel send a "change" of something in a sysfs folder; false when it may not be
 * asked. */
static bool provoke(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	bool written = false;

	while (dir && !written && (entry = readdir(dir))) {
		_cleanup_free_ char *path = xasprintf("%s/%s/uevent", folder, entry->d_name);
		_cleanup_close_ int fd =
			entry->d_name[0] == '.' ? -1 : open(path, O_WRONLY | O_CLOEXEC);

		written = fd >= 0 && write(fd, "change", 6) == 6;
	}
	if (dir)
		closedir(dir);
	return written;
}

static void drain(struct scene *scene)
{
	/* One turn takes at most so many messages. */
	for (int i = 0; i < 100; i++)
		loop_turn(scene->loop);
	scene->calls = 0;
}

static void test_kernel_event(void **state)
{
	struct scene *scene = *state;

	if (!scene->uevent || !provoke("/sys/block"))
		skip();
	loop_turn(scene->loop);
	assert_true(scene->calls >= 1);
	/* Said once, not again and again. */
	drain(scene);
	scene->close_inside = true;
	assert_true(provoke("/sys/block"));
	loop_turn(scene->loop);
	assert_null(scene->uevent);
	assert_int_equal(scene->calls, 1);
}

/*
 * For the two tests that nothing is said: real events of this machine's disks may come in between,
 * so one quiet try out of several is enough. When the check is missing, no try is quiet.
 */
#define TRIES 10

static void test_other_subsystem(void **state)
{
	struct scene *scene = *state;
	bool quiet = false;

	if (!scene->uevent || !provoke("/sys/class/net"))
		skip();
	for (int i = 0; i < TRIES && !quiet; i++) {
		drain(scene);
		assert_true(provoke("/sys/class/net"));
		loop_turn(scene->loop);
		quiet = scene->calls == 0;
	}
	assert_true(quiet);
}

/* udevd's place: a message to the kernel's group, but from a process. */
static bool forge(void)
{
	static const char text[] = "change@/devices/x\0ACTION=change\0SUBSYSTEM=block";
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	_cleanup_close_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	return fd >= 0 && sendto(fd, text, sizeof(text), 0, (const struct sockaddr *)&to,
				 sizeof(to)) == sizeof(text);
}

/* True when a forged message reaches a plain listener at all, so that the test proves something. */
static bool forging_works(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	_cleanup_close_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	char bytes[8192];

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || !forge())
		return false;
	return recv(fd, bytes, sizeof(bytes), 0) > 0;
}

static void test_forged(void **state)
{
	struct scene *scene = *state;
	bool quiet = false;

	if (!scene->uevent || !forging_works())
		skip();
	for (int i = 0; i < TRIES && !quiet; i++) {
		drain(scene);
		assert_true(forge());
		loop_turn(scene->loop);
		quiet = scene->calls == 0;
	}
	assert_true(quiet);
}

/* More than the socket holds: the loss itself is a reason to look. */
static void test_overflow(void **state)
{
	struct scene *scene = *state;

	if (!scene->uevent || !provoke("/sys/class/net"))
		skip();
	drain(scene);
	for (int i = 0; i < 5000; i++)
		assert_true(provoke("/sys/class/net"));
	for (int i = 0; i < 100 && scene->calls == 0; i++)
		loop_turn(scene->loop);
	assert_true(scene->calls >= 1);
}

static void test_close_nothing(void **state)
{
	assert_null(uevent_close(NULL));
}

int main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_kernel_event), TEST(test_other_subsystem), TEST(test_forged),
		TEST(test_overflow),     TEST(test_close_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
