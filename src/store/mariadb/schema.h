/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tables in MariaDB's dialect. */

#include "store/mariadb/session.h"

/* Brings the schema up and tries out the user's rights. */
int mariadb_migrate(struct mariadb_session *session, struct err *err);
