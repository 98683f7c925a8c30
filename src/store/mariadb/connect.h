/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reaching one host, without giving the password to another program that listens there. */

#include "store/mariadb/session.h"

/*
 * Sets mysql and host of the session. Blocks for some seconds at most. After a failure the caller
 * closes the session.
 */
enum mariadb_fault mariadb_reach(struct mariadb_session *session, unsigned index, struct err *err);
