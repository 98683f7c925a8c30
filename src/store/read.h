/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A read of operations from inside: the question (a list, one operation, its history, or how many
 * there are), and the result that a backend fills. */

#include "store/item.h"
#include "store/tables.h"

struct store_read {
	struct store_item item;
	/* of the rows: STORE_OPERATIONS; or STORE_HISTORY, for the transitions of operation `id` */
	enum store_table table;
	char *id;                             /* find this operation; or NULL: list by filter */
	char *after_id, *also_id;             /* STORE_HISTORY: of struct store_history_filter */
	struct store_operation_filter filter; /* its texts are copies */
	store_operations_fn done;
	store_history_fn told;   /* STORE_HISTORY */
	store_counts_fn counted; /* set: all operations are counted, and none is shown */
	void *arg;
	bool cancelled;
	/* out */
	struct store_counts counts;
	void *items;
	size_t count;
	bool more;
};

struct store_read *store_read_of(struct store_item *item);
/* True if the list goes on behind an operation of which only the id is known. */
bool store_read_lacks_place(const struct store_read *read);
/* last: that operation; NULL: the operation does not exist, and the read ends with this error. */
int store_read_set_place(struct store_read *read, const struct operation_record *last,
			 struct err *err);
/* A zeroed row at the end of the result, for the backend to fill. */
void *store_read_add(struct store_read *read);
void store_read_reset(struct store_read *read); /* drops the rows added so far */
/* If the result has one row more than the limit: drops it and sets `more`. */
void store_read_trim(struct store_read *read);
