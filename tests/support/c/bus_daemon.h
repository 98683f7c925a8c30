/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A private dbus-daemon, which lets everybody do everything. */

#include <sys/types.h>

struct bus_daemon {
	char directory[32];
	char *address;
	pid_t pid;
};

/* its address is known, and nobody listens there */
void bus_daemon_init(struct bus_daemon *daemon);
/* until it listens; also again, when it was stopped */
void bus_daemon_start(struct bus_daemon *daemon);
void bus_daemon_stop(struct bus_daemon *daemon);
void bus_daemon_fini(struct bus_daemon *daemon);
