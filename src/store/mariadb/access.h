/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ossea_configs, another program's table. */

#include "store/mariadb/session.h"

/* The row that counts, unless its mark is the given mark. */
void mariadb_access(struct mariadb_session *session, const char *mark, struct store_access *out);
