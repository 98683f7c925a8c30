/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A request to a store that waits for an answer: a batch, a read, a look or a step of a copy. The
 * item is the first member of the struct of the request. A backend gets items on the loop, and
 * gives each item back with store_answer(), on the loop, in a later turn.
 */

#include "base/queue.h"
#include "io/worker.h"
#include "store/store.h"

struct store_item;
struct writer;

enum store_item_kind {
	STORE_ITEM_BATCH,
	STORE_ITEM_READ,
	STORE_ITEM_ACCESS,
	STORE_ITEM_COPY,
	STORE_ITEM_TIDY
};

struct store_item_type {
	enum store_item_kind kind;
	/* Tells the caller the result. */
	void (*tell)(struct store_item *item);
	void (*free)(struct store_item *item);
};

struct store_item {
	const struct store_item_type *type;
	struct store *store;          /* NULL until submitted */
	TAILQ_ENTRY(store_item) open; /* in store->open, while the caller waits for it */
	bool is_open;
	/* a thread has the item; an answered item is freed when the thread gives it back */
	bool under_way;
	TAILQ_ENTRY(store_item) queue; /* in a queue of the backend or in store->answers */
	struct writer *writer;         /* the writer that has it, if the backend has writers */
	struct worker_job job;
	int64_t since_ms;
	struct err *err; /* the answer if it is an error; NULL: success */
};
TAILQ_HEAD(store_queue, store_item);

/* Sets the answer; ERR_NONE is success. */
void store_item_set_err(struct store_item *item, const struct err *err);

/* Gives the item to the backend, or refuses it if the store is closing. */
void store_submit_item(struct store *store, struct store_item *item);
/* The caller does not wait for the answer any more. */
void store_item_close(struct store_item *item);

/* Tells the caller the result in item->err, and frees the item. Not inside a call that submits. */
void store_answer(struct store_item *item);
/* The same, in the next turn. */
void store_answer_later(struct store_item *item);
/* ERR_UNAVAILABLE, in the next turn. */
void store_refuse(struct store_item *item, const char *reason);
/* Answers all items in `answers`, and the items that the answers add; for close. */
void store_answer_all(struct store *store);
/* Frees without telling. */
void store_drop(struct store_item *item);
