/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A lane: one thread with one session at a database. Items go in on the loop and come out answered on the loop, in
 * order. Batches that could not be written because the database is away stay in the lane and are written, in order,
 * when it is back. A backend has one lane (SQLite) or several that share the entities (a database server).
 */

#include "store/store_internal.h"

struct lane;

/* All on the lane's thread. */
struct lane_driver {
	/*
	 * Writes the batches in one transaction, in order, and returns when it is durable. Each must be claimed
	 * (store_batch_claim()) before the commit, and one that has been withdrawn leaves no trace. Neither does one
	 * that cannot be written for a reason of its own, which goes into its item.err; the others are not touched by
	 * it. -1 and the reason in err: the database is away and nothing was written, but for batches marked uncertain,
	 * of which nobody knows; the lane writes them all again later. A batch marked probe must cause a real write
	 * though it has no changes.
	 */
	int (*commit)(void *session, struct store_batch *const *batches, size_t count, struct err *err);
	/* Fills the result or read->item.err. */
	void (*read)(void *session, struct store_read *read);
	/* Fills look->access. NULL where nobody looks. */
	void (*look)(void *session, struct store_look *look);
	/* Nothing has been written for a while: time for housekeeping. May be NULL. */
	void (*tidy)(void *session);
	/* Instead of that it is written to, so that it is known to be away before somebody needs it. */
	bool beats;
};

#define LANE_GROUP_MAX 256 /* jobs the thread takes at once, so also batches in one commit */
#define LANE_RETRY_FIRST_MS 100
#define LANE_RETRY_LAST_MS 2000
#define LANE_PATIENCE_MS 900 /* an optional batch is refused when it has waited this long */
#define LANE_QUIET_MS 5000

struct lane *lane_new(struct store *store, const char *name, const struct lane_driver *driver, void *session);
/* Answers everything: what cannot be written at once is refused. The session is the caller's again. Returns NULL. */
struct lane *lane_free(struct lane *lane);
void lane_submit(struct lane *lane, struct store_item *item);
bool lane_is_idle(const struct lane *lane);
/* Adds to transactions; away and reason when it is away or has not answered for a while. */
void lane_health(const struct lane *lane, struct store_health *out);
