/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A batch from inside: the changes that a backend writes, and the claim that settles whether loop
 * or thread decides about the batch.
 */

#include <stdatomic.h>

#include "store/item.h"
#include "store/rows.h"

struct store_change {
	STAILQ_ENTRY(store_change) entry;
	enum store_table table;
	bool remove; /* only the key of the row is set */
	bool stays;  /* see store_batch_operation_stays() */
	union store_row row;
};

/*
 * The right to decide about a batch that has waited too long: either the loop or the thread gets
 * this right, never both.
 */
enum store_batch_claim { STORE_BATCH_FREE, STORE_BATCH_TAKEN, STORE_BATCH_WITHDRAWN };

struct store_batch {
	struct store_item item;
	char *entity_key;
	bool optional;
	bool heals_links; /* see store_heal_links() */
	STAILQ_HEAD(, store_change) changes;
	store_done_fn done;
	void *arg;
	/* for the writer */
	atomic_int claim; /* enum store_batch_claim, see store_batch_claim() */
	bool resume;      /* the first batch after the store had gone away */
	/* has no changes but must be written nevertheless: tests whether the store is back */
	bool probe;
	/* out, at the first batch of a commit that has landed: its time, and its number of batches
	 */
	int64_t commit_us;
	size_t commit_batches;
	bool kept; /* out: the batch did not land, the store is away */
	/* out: its commit was not answered; only a second write can settle the result */
	bool uncertain;
};
/*
 * On the thread, before the commit: from now on the batch lands or is given back. False: the batch
 * has been withdrawn.
 */
bool store_batch_claim(struct store_batch *batch);

struct store_batch *store_batch_of(struct store_item *item);
