/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A backend keeps rows in one kind of place. It is a table of functions, and a struct that begins
 * with a struct store. Calls that can block run on the thread of a writer (store/writer.h), which
 * also keeps the items that could not be written and tries them again.
 */

#include "base/metric.h"
#include "store/item.h"
#include "store/rows.h"

struct store_backend {
	const char *scheme;  /* "sqlite:" */
	const char *example; /* for the error that names the allowed forms */
	bool is_local;       /* see store_is_local() */
	bool has_links;      /* see store_heal_links() */
	/* The url alone, without a look at the place that it names; NULL: each is right. */
	int (*check_url)(const char *url, struct err *err);
	struct store *(*open)(struct loop *loop, const struct store_options *options,
			      struct err *err);
	/* Answers every item it still has and frees the store. */
	void (*close)(struct store *store);
	void (*submit)(struct store *store, struct store_item *item);
	int (*load)(struct store *store, struct store_loaded *out, struct err *err);
	/* See store_scan(); NULL if the backend has no store that a tool could open. */
	int (*scan)(struct store *store, enum store_table table, const char *after_id, size_t limit,
		    store_row_fn fn, void *arg, struct err *err);
	/*
	 * Tells damage of the place where the rows lie; NULL if only a server can find it.
	 * Conditions as for scan().
	 */
	int (*verify)(struct store *store, void (*damage)(void *arg, const char *text), void *arg,
		      struct err *err);
	/*
	 * Tells each row that a take-over of an earlier daemon's tables has set aside, in a
	 * sentence; NULL if no such tables can be in the store. Conditions as for scan().
	 */
	int (*set_aside)(struct store *store, void (*fault)(void *arg, const char *text), void *arg,
			 struct err *err);
	/* See store_plan_takeover(); NULL if no such tables can be in the store. */
	int (*plan_takeover)(const struct store_options *options, store_sentence_fn tell, void *arg,
			     struct err *err);
	/*
	 * NULL if the store can be copied while it is in use, see store/copy.h; otherwise the way
	 * to a backup, in words.
	 */
	const char *no_copy;
	/*
	 * Copies of the values that open the store once more, beside this one; the caller frees
	 * them. NULL if the store cannot be opened twice.
	 */
	void (*opening)(const struct store *store, char **url, struct secret **password);
	/*
	 * Blocks; NULL if no other program writes to such a store. If the function is set, items
	 * may be looks.
	 */
	void (*read_access)(struct store *store, struct store_access *out);
	/* waiting and oldest_ms are filled in already. */
	void (*health)(const struct store *store, struct store_health *out);
};

/* Of the commits since the start. */
struct store_figures {
	struct histogram seconds, batches;
};

struct store {
	const struct store_backend *backend;
	struct loop *loop;
	TAILQ_HEAD(, store_item) open; /* not answered yet, in the order of submission */
	size_t open_count;
	struct store_queue answers; /* decided on the loop, told in the next turn */
	struct loop_task answer_task;
	bool closing; /* new items are refused */
	struct store_figures figures;
	/* of all rows that were loaded or submitted since; "" none */
	char newest_id[UUID_TEXT_SIZE];
};

/* On the loop: a commit of so many batches has landed. */
void store_note_commit(struct store *store, int64_t us, size_t batches);
void store_init(struct store *store, const struct store_backend *backend, struct loop *loop);
void store_fini(struct store *store); /* asserts that nothing waits */
