/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who may do what over the bus. Root and the user the daemon runs as may do everything; whoever
 * else asks is put to polkit under one of three actions, which may ask a person for a password and
 * so take minutes. Without polkit only root and our own user are let in.
 */

#include <systemd/sd-bus.h>

#include "io/loop.h"
#include "spec/methods.h"

struct auth_bus;
struct auth_check;

#define AUTH_ACTION_PREFIX "org.migratekit.volumedaemon1."

/* One per connection; bus is borrowed. */
struct auth_bus *auth_bus_new(struct loop *loop, sd_bus *bus);
/* no check may be under way; returns NULL, takes NULL */
struct auth_bus *auth_bus_free(struct auth_bus *auth);

/* err: NULL when the caller may; granted is then the most it may do. */
typedef void (*auth_done_fn)(void *arg, enum method_access granted, const struct err *err);

/*
 * May the sender of m do something that needs `access`? done runs exactly once, on a later turn,
 * unless the check is cancelled; the check is gone then. m is referenced.
 */
struct auth_check *auth_check_start(struct auth_bus *auth, sd_bus_message *m,
				    enum method_access access, auth_done_fn done, void *arg);
void auth_check_cancel(struct auth_check *check);
