/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A copy of an open SQLite database, made in steps by the thread that uses the database. */

#include <sqlite3.h>

#include "base/err.h"

struct sqlite_copy;

/* The name of the copy of the store at path. The caller frees it. */
char *sqlite_copy_path(const char *path);
/* Removes a copy that an earlier daemon has left at this path. */
void sqlite_copy_remove(const char *copy_path);
/* NULL and err: nothing is left behind. db outlives the copy. */
struct sqlite_copy *sqlite_copy_begin(sqlite3 *db, const char *copy_path, struct err *err);
/* 1: there is more to copy, 0: the copy is complete, -1: it cannot be made */
int sqlite_copy_step(struct sqlite_copy *copy, struct err *err);
/* keep: the complete file stays. Returns NULL, takes NULL. */
struct sqlite_copy *sqlite_copy_end(struct sqlite_copy *copy, bool keep);
