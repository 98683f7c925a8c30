/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Errors of a session, as faults and in words. */

#include "store/mariadb/session.h"

/* "the store … cannot be used: …; advice" from the session's last error. Returns the fault. */
enum mariadb_fault mariadb_set_error(struct mariadb_session *session, unsigned code,
				     const char *text, struct err *err);
