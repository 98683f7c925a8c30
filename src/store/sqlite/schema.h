/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tables in SQLite's dialect. */

#include <sqlite3.h>

#include "store/migrate.h"
#include "store/shape.h"

extern const struct migration sqlite_migrations[];
extern const size_t sqlite_migration_count;
/* Adds everything that the file has. Returns SQLite's result code. */
int sqlite_shape(sqlite3 *db, struct store_shape *shape);
