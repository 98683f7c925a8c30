/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The rows of the hub, the program that shares a database with the daemon: its name for the owner
 * of a volume, and its note of whether a volume is attached.
 */

#include "store/batch.h"
#include "store/mariadb/session.h"

/*
 * Finds out which of the hub's tables and columns are there, and says in the log what may not be
 * read or written; once, at start.
 */
enum mariadb_fault mariadb_hub_find(struct mariadb_session *session, struct err *err);
/*
 * In the transaction of a change of the daemon's own rows, before and behind it. A fault of the
 * hub's tables ends their part alone: it is told, and is no fault here.
 */
enum mariadb_fault mariadb_hub_precede(struct mariadb_session *session,
				       const struct store_change *change, struct err *err);
enum mariadb_fault mariadb_hub_follow(struct mariadb_session *session,
				      const struct store_change *change, struct err *err);
/* See store_heal_links(). */
enum mariadb_fault mariadb_hub_heal(struct mariadb_session *session, struct err *err);
