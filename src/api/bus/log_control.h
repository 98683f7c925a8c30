/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * org.freedesktop.LogControl1, by which "systemctl service-log-level volume-daemon debug" and
 * service-log-target change the log of the running daemon. Everybody may read it; a change needs
 * the right "admin". A level lasts until the configuration is read again, a target until the daemon
 * ends. Private to api/bus/.
 */

#include <systemd/sd-bus.h>

#include "api/bus/auth.h"
#include "base/queue.h"

struct bus_log_control {
	struct auth_bus *auth; /* of the present connection; borrowed */
	TAILQ_HEAD(, log_change) changes;
	size_t count;
};

void bus_log_control_init(struct bus_log_control *control);
int bus_log_control_register(struct bus_log_control *control, sd_bus *sd_bus,
			     struct auth_bus *auth);
/* Changes that wait for polkit are dropped: the connection goes. */
void bus_log_control_cancel(struct bus_log_control *control);
