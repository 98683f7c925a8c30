/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A copy of a store that is in use, made piece by piece. Each step is an item of its own, so that
 * commits and reads go on between two steps; the last step makes the copy one moment of the store.
 */

#include "store/item.h"

struct store_copy {
	struct store_item item;
	bool give_up; /* drop the unfinished copy, if there is one */
	void (*done)(void *arg, const struct store_copy *copy);
	void *arg;
	/* out, valid in done() */
	bool complete;           /* the copy has the whole store */
	char *path;              /* of the copy, which now belongs to the caller */
	char *url;               /* opens the copy */
	unsigned schema_version; /* of the copy */
};

/*
 * The first step begins a copy, the following steps go on, until a step is complete or fails
 * (copy->item.err), which also drops the copy. done runs exactly once, on a later turn. To be
 * called only for a store whose backend can make copies, and for one copy at a time.
 */
void store_copy_step(struct store *store, void (*done)(void *arg, const struct store_copy *copy),
		     void *arg);
/* Drops an unfinished copy. */
void store_copy_give_up(struct store *store);
struct store_copy *store_copy_of(struct store_item *item);
