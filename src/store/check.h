/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Does a store obey its rules? */

#include "store/rows.h"

struct store_checked {
	size_t rows, faults;
	/* the id of the operation that was accepted last, NULL if there is none */
	char *newest_operation;
};
/* One fault, in a sentence that names the row, or the place in the file. */
typedef void (*store_fault_fn)(void *arg, const char *text);
/*
 * Blocks, and reads every row; conditions as for store_scan(). Free *out with
 * store_checked_clear().
 */
int store_check(struct store *store, store_fault_fn fault, void *arg, struct store_checked *out,
		struct err *err);
void store_checked_clear(struct store_checked *checked);
