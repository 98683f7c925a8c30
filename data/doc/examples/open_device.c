/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Copies the disk of an attached volume to standard output. The open disk comes from
 * volume-daemon, which has proven it, so it cannot be another disk, whatever its name is by now.
 *
 *     cc open_device.c -o open_device $(pkg-config --cflags --libs libsystemd)
 *     ./open_device VOLUME > image
 */

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static int copy(int disk)
{
	static char data[1 << 20];
	ssize_t length;

	while ((length = read(disk, data, sizeof(data))) > 0) {
		for (ssize_t done = 0, r; done < length; done += r) {
			r = write(STDOUT_FILENO, data + done, (size_t)(length - done));
			if (r < 0)
				return -1;
		}
	}
	return length < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	sd_bus *bus = NULL;
	int disk, r;

	if (argc != 2) {
		fprintf(stderr, "Usage: open_device VOLUME\n");
		return 2;
	}
	r = sd_bus_open_system(&bus);
	if (r < 0) {
		fprintf(stderr, "no system bus: %s\n", strerror(-r));
		return 1;
	}
	r = sd_bus_call_method(bus, "org.migratekit.VolumeDaemon1", "/org/migratekit/VolumeDaemon1",
			       "org.migratekit.VolumeDaemon1.Manager", "OpenDevice", &error, &reply,
			       "sa{sv}", argv[1], 1, "read_only", "b", 1);
	if (r < 0) {
		fprintf(stderr, "%s\n", error.message ? error.message : strerror(-r));
		return 1;
	}
	/* The file belongs to the message: fcntl(disk, F_DUPFD_CLOEXEC, 3) keeps it longer. */
	r = sd_bus_message_read(reply, "h", &disk);
	if (r < 0 || copy(disk) < 0) {
		perror("the disk cannot be copied");
		return 1;
	}
	sd_bus_message_unref(reply);
	sd_bus_flush_close_unref(bus);
	return 0;
}
