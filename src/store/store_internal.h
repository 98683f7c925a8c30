/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Between store.c, which every caller sees, and the places rows are kept in.
 *
 * A backend is a table of functions and a struct that begins with a struct store. It gets items (batches and reads) on
 * the loop, and gives each one back with store_answer(), on the loop, in a later turn. What can block runs in a lane
 * (store_lane.h), which also keeps what could not be written and tries again.
 */

#include <stdatomic.h>
#include <sys/queue.h>

#include "io/worker.h"
#include "store/rows.h"

const struct field *store_table_key(enum store_table table);
/* The n-th column that only one row may have like this together with the others, NULL behind the last. */
const struct field *store_table_unique(enum store_table table, size_t n);

/* ---- items ---- */

struct lane;

struct store_change {
	STAILQ_ENTRY(store_change) entry;
	enum store_table table;
	bool remove; /* only the key of the row is set */
	union store_row {
		struct operation_record operation;
		struct mapping_record mapping;
		struct history_record history;
		struct name_record name;
		struct export_record export;
	} row;
};
/* ERR_CONFLICT: what the row wants for its volume is another's; owner is that one, NULL when nobody knows which. */
void store_set_conflict(const struct store_change *change, const char *owner, struct err *err);

enum store_item_kind { STORE_ITEM_BATCH, STORE_ITEM_READ, STORE_ITEM_ACCESS, STORE_ITEM_TIDY };

/* What waits for an answer. */
struct store_item {
	enum store_item_kind kind;
	struct store *store;          /* NULL until submitted */
	TAILQ_ENTRY(store_item) open; /* in store->open, while somebody waits for it */
	bool is_open;
	TAILQ_ENTRY(store_item) queue; /* in a queue of the backend or in store->answers */
	struct lane *lane;             /* where it went, if the backend has lanes */
	struct worker_job job;
	int64_t since_ms;
	struct err err; /* the answer */
};
TAILQ_HEAD(store_queue, store_item);

/* Who may decide about a batch that has waited too long: only one of loop and thread gets it. */
enum store_batch_claim { STORE_BATCH_FREE, STORE_BATCH_TAKEN, STORE_BATCH_WITHDRAWN };

struct store_batch {
	struct store_item item;
	char *entity_key;
	bool optional;
	STAILQ_HEAD(, store_change) changes;
	store_done_fn done;
	void *arg;
	/* for the lane */
	atomic_int claim; /* enum store_batch_claim, see store_batch_claim() */
	bool under_way;   /* its job is with the worker */
	bool resume;      /* the first one after the store had gone away */
	bool probe;       /* has no changes but must be written nevertheless: asks whether the store is back */
	bool kept;        /* out: it did not land, the store is away */
	bool uncertain;   /* out: its commit was not answered; only to be written again can settle it */
};
/* On the thread, before the commit: from now on the batch lands or is given back. False: it has been withdrawn. */
bool store_batch_claim(struct store_batch *batch);

struct store_read {
	struct store_item item;
	char *id;                             /* find this one; or NULL: list by filter */
	struct store_operation_filter filter; /* its texts are copies */
	store_operations_fn done;
	void *arg;
	bool cancelled;
	/* out */
	struct operation_record *items;
	size_t count;
	size_t room;
	bool more;
};

struct store_look {
	struct store_item item;
	char *mark; /* NULL: read in any case */
	struct store_access access;
	store_access_fn done;
	void *arg;
};

struct store_look *store_look_of(struct store_item *item);
/* Tells the caller, who has the result from then on. */
void store_look_answer(struct store_look *look);
void store_look_free(struct store_look *look);
/* Gives it to the backend, or refuses it when the store is closing. */
void store_submit_item(struct store *store, struct store_item *item);

struct store_batch *store_batch_of(struct store_item *item);
struct store_read *store_read_of(struct store_item *item);
/* The list is to go on behind an operation known by its id alone. */
bool store_read_lacks_place(const struct store_read *read);
/* That is this one; NULL: it is not there, which is the answer. */
int store_read_set_place(struct store_read *read, const struct operation_record *last);
/* A zeroed operation at the end of the result, for the backend to fill. */
struct operation_record *store_read_add(struct store_read *read);
void store_read_reset(struct store_read *read); /* drops what was added so far */
/* The result found one more than the limit: drop it and say so. */
void store_read_trim(struct store_read *read);
/* The tables that are loaded at start: of operations those that live, of others all rows, in the order of their keys. */
bool store_table_is_loaded(enum store_table table);
/* A zeroed row of such a table, at the end of its array. */
void *store_loaded_add(struct store_loaded *loaded, enum store_table table);

/* ---- the store ---- */

struct store_backend {
	const char *scheme;  /* "sqlite:" */
	const char *example; /* for the error that names what is allowed */
	struct store *(*open)(struct loop *loop, const struct store_options *options, struct err *err);
	/* Answers every item it still has and frees the store. */
	void (*close)(struct store *store);
	void (*submit)(struct store *store, struct store_item *item);
	int (*load)(struct store *store, struct store_loaded *out, struct err *err);
	/* See store_scan(); NULL where there is nothing a tool could open. */
	int (*scan)(struct store *store, enum store_table table, const char *after_id, size_t limit, store_row_fn fn,
		    void *arg, struct err *err);
	/* Blocks; NULL where no other program writes. If there is one, items may be looks. */
	void (*read_access)(struct store *store, struct store_access *out);
	/* waiting and oldest_ms are filled in already. */
	void (*health)(const struct store *store, struct store_health *out);
};
extern const struct store_backend store_sqlite_backend, store_mariadb_backend, store_memory_backend;

struct store {
	const struct store_backend *backend;
	struct loop *loop;
	TAILQ_HEAD(, store_item) open; /* not answered yet, in the order of submission */
	size_t open_count;
	struct store_queue answers; /* decided on the loop, told in the next turn */
	struct loop_task answer_task;
	bool closing; /* what is submitted now is refused */
};

void store_init(struct store *store, const struct store_backend *backend, struct loop *loop);
void store_fini(struct store *store); /* asserts that nothing waits */

/* Tells the caller what item->err says, and frees the item. Not inside a call that submits. */
void store_answer(struct store_item *item);
/* The same, in the next turn. */
void store_answer_later(struct store_item *item);
/* ERR_UNAVAILABLE, in the next turn. */
void store_refuse(struct store_item *item, const char *reason);
/* Tells all that wait in answers, those they add included; for close. */
void store_answer_all(struct store *store);
/* Frees without telling. */
void store_drop(struct store_item *item);
