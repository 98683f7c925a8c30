/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Statements and rows in MariaDB's dialect. */

#include "store/batch.h"
#include "store/mariadb/session.h"
#include "store/read.h"

enum mariadb_fault mariadb_apply(struct mariadb_session *session, const struct store_change *change,
				 struct err *err);
enum mariadb_fault mariadb_list(struct mariadb_session *session, struct store_read *read,
				struct err *err);
enum mariadb_fault mariadb_history(struct mariadb_session *session, struct store_read *read,
				   struct err *err);
enum mariadb_fault mariadb_count(struct mariadb_session *session, struct store_read *read,
				 struct err *err);
enum mariadb_fault mariadb_load(struct mariadb_session *session, struct store_loaded *out,
				struct err *err);
/* A page of store_scan(). */
enum mariadb_fault mariadb_scan(struct mariadb_session *session, enum store_table table,
				const char *after_id, size_t limit, store_row_fn fn, void *arg,
				struct err *err);
/*
 * The volume that has the value that the change needs; NULL if no volume has the value, or if the
 * owner cannot be found.
 */
char *mariadb_owner(struct mariadb_session *session, const struct store_change *change);
