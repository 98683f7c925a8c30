/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tables in SQLite's dialect. */

#include "store/migrate.h"

extern const struct migration sqlite_migrations[];
extern const size_t sqlite_migration_count;
