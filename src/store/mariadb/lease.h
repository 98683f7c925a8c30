/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The lease: one daemon for a database. */

#include "store/mariadb/session.h"

/*
 * For a session that guards the database, when it has connected: takes the lock that keeps a second
 * daemon out. ERR_CONFLICT: another daemon has the lock or the lease.
 */
enum mariadb_fault mariadb_lease_guard(struct mariadb_session *session, struct err *err);
/*
 * At start, with such a session: takes the lease of the database. May wait for seconds to see
 * whether another daemon lives.
 */
int mariadb_lease_take(struct mariadb_session *session, struct err *err);
/*
 * The first statement of every transaction. ERR_CONFLICT: the lease is another daemon's, this
 * daemon must write nothing more.
 */
enum mariadb_fault mariadb_lease_write(struct mariadb_session *session, struct err *err);
