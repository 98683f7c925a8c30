/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tables in MariaDB's dialect. */

#include "store/mariadb/session.h"
#include "store/store.h"

/* Brings the schema up and tries out the user's rights. */
int mariadb_migrate(struct mariadb_session *session, struct err *err);
/*
 * Tells in sentences what mariadb_migrate() would do to the tables of an earlier daemon, and
 * changes nothing. *due: there are such tables, and their migration has not been finished.
 */
enum mariadb_fault mariadb_plan_takeover(struct mariadb_session *session, bool *due,
					 store_sentence_fn tell, void *arg, struct err *err);
/* A sentence for each row that a take-over has set aside. */
enum mariadb_fault mariadb_show_set_aside(struct mariadb_session *session, store_sentence_fn tell,
					  void *arg, struct err *err);
