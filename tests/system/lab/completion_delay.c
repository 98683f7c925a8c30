/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How soon a client of the bus hears that an attachment is completed, counted from the kernel's
 * event of the disk. Both are received here, so the machine's own clock tells, and a bare netlink
 * listener is the reference. It prints "listening", and then a line for each completed operation
 * with a new disk: "completed MICROSECONDS", since the first event of the disk.
 */

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

#define KERNEL_GROUP 1

static int64_t disk_us; /* the event of a disk that no operation has had yet; 0: none */

static _Noreturn void fail(const char *what, int r)
{
	fprintf(stderr, "completion_delay: %s: %s\n", what, strerror(-r));
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int open_netlink(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
	int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		fail("netlink", -errno);
	return fd;
}

static void read_events(int fd)
{
	char event[8193];
	ssize_t length;

	while ((length = recv(fd, event, sizeof(event) - 1, 0)) > 0) {
		event[length] = '\0';
		if (!disk_us && str_has_prefix(event, "add@") && strstr(event, "/block/"))
			disk_us = now_us();
	}
	if (length < 0 && errno != EAGAIN)
		fail("netlink", -errno);
}

static int on_completed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	if (disk_us) {
		printf("completed %lld\n", (long long)(now_us() - disk_us));
		fflush(stdout);
	}
	disk_us = 0;
	return 0;
}

int main(void)
{
	int fd = open_netlink(), r;
	sd_bus *bus;

	r = sd_bus_open_system(&bus);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, NULL, NULL,
					"org.migratekit.VolumeDaemon1.Manager",
					"OperationCompleted", on_completed, NULL);
	if (r < 0)
		fail("bus", r);
	printf("listening\n");
	fflush(stdout);
	for (;;) {
		struct pollfd fds[] = { { fd, POLLIN, 0 }, { sd_bus_get_fd(bus), POLLIN, 0 } };

		while ((r = sd_bus_process(bus, NULL)) > 0)
			read_events(fd);
		if (r < 0)
			fail("bus", r);
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			fail("poll", -errno);
		read_events(fd);
	}
}
