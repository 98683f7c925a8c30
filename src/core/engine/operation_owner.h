/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The caller against whom an unfinished operation counts. */

#include "core/engine/operation_table.h"

/*
 * A key such as "token ci" or "user 1000", from the caller of an operation as JSON; to be freed.
 * NULL: the caller has no limit of its own, such as root, a caller over D-Bus or over TCP.
 */
char *operation_owner(const char *caller);
/* How many unfinished operations this caller has. */
size_t operation_count_of(const struct engine *engine, const char *owner);
