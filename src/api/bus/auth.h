/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The rights of callers on the bus. Root and the daemon's own user may do everything; for every
 * other user polkit is asked about one of three actions, and polkit may ask a person for a
 * password, which takes minutes. Without polkit only root and the daemon's own user are let in.
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

/*
 * err: NULL if the caller may make the call; granted is then the highest access of the caller, and
 * uid its user.
 */
typedef void (*auth_done_fn)(void *arg, enum method_access granted, uid_t uid,
			     const struct err *err);

/*
 * May the sender of m make a call that needs `access`? done runs exactly once, on a later turn,
 * unless the check is cancelled; the check is gone then. The check holds a reference to m.
 */
struct auth_check *auth_check_start(struct auth_bus *auth, sd_bus_message *m,
				    enum method_access access, auth_done_fn done, void *arg);
void auth_check_cancel(struct auth_check *check);
