/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A writer: one thread with one session at a database. Items are submitted on the loop and answered
 * on the loop, in order. Batches that could not be written because the database is away stay in the
 * writer and are written, in order, when it is back. A backend has one writer (SQLite) or several
 * that share the entities (a database server).
 */

#include "store/batch.h"

struct store_copy;
struct store_look;
struct writer;

/* All on the writer's thread. */
struct writer_driver {
	/*
	 * Writes the batches in one transaction, in order, and returns when the transaction is
	 * durable. Each batch must be claimed (store_batch_claim()) before the commit, and a batch
	 * that has been withdrawn leaves no trace. A batch that cannot be written for a reason of
	 * its own leaves no trace either: the reason becomes the answer of its item, and the other
	 * batches are not touched. -1 and the reason in err: the database is away and nothing was
	 * written, except that the result of batches marked uncertain is unknown; the writer writes
	 * all of them again later. A batch marked probe must cause a real write though it has no
	 * changes.
	 */
	int (*commit)(void *session, struct store_batch *const *batches, size_t count,
		      struct err *err);
	/* Fills the result. */
	int (*read)(void *session, struct store_read *read, struct err *err);
	/* Fills look->access. NULL if the backend has no looks. */
	void (*look)(void *session, struct store_look *look);
	/* One step of a copy, as store/copy.h says. NULL if the backend makes no copies. */
	void (*copy)(void *session, struct store_copy *copy);
	/* Nothing has been written for a while: time for housekeeping. May be NULL. */
	void (*tidy)(void *session);
	/*
	 * In quiet times a probe writes to the store instead, so that the writer knows of an
	 * absence before a request meets it.
	 */
	bool beats;
};

#define WRITER_GROUP_MAX 256 /* jobs taken at once, so also the most batches in a commit */
#define WRITER_RETRY_FIRST_MS 100
#define WRITER_RETRY_LAST_MS 2000
#define WRITER_PATIENCE_MS 900 /* an optional batch is refused when it has waited this long */
#define WRITER_QUIET_MS 5000

/* NULL and err if its thread cannot be started. */
struct writer *writer_new(struct store *store, const char *name, const struct writer_driver *driver,
			  void *session, struct err *err);
/*
 * Answers every item; items that cannot be written at once are refused. The session belongs to the
 * caller again. Returns NULL, takes NULL.
 */
struct writer *writer_free(struct writer *writer);
void writer_submit(struct writer *writer, struct store_item *item);
bool writer_is_idle(const struct writer *writer);
/*
 * Adds to transactions; fills away and reason if the database is away or has not answered for a
 * while.
 */
void writer_health(const struct writer *writer, struct store_health *out);
