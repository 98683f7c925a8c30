/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The descriptors, threads and children of this process. A program compares itself with itself
 * before and after its work to see whether it leaks.
 */

#include <stddef.h>

/* A line each, for people. */
struct inventory {
	char **lines;
	size_t count;
};

struct inventory inventory_take(void);
void inventory_clear(struct inventory *inventory);
/* The lines of now that were not there before; waits for a moment until there are none. */
struct inventory inventory_await_nothing_left(const struct inventory *before);
