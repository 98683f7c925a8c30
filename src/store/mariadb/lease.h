/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The lease: one daemon for a database. */

#include "store/mariadb/session.h"

/*
 * Takes the lock that keeps a second daemon out, for a session that guards the database and has
 * just connected. ERR_CONFLICT: another daemon has the lock or the lease.
 */
enum mariadb_fault mariadb_lease_guard(struct mariadb_session *session, struct err *err);
/*
 * Takes the lease of the database, at start and with such a session. May wait for seconds to see
 * whether another daemon lives.
 */
int mariadb_lease_take(struct mariadb_session *session, struct err *err);
/* True if GET_LOCK() works on the node of a cluster that has this version; 101104 is 10.11.4. */
bool mariadb_lease_is_supported(unsigned long version);
/*
 * The first statement of every transaction. ERR_CONFLICT: another daemon has the lease, and this
 * daemon must write nothing more.
 */
enum mariadb_fault mariadb_lease_write(struct mariadb_session *session, struct err *err);
