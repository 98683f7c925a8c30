/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The store that tests use: everything is in memory, and the tests decide its failures. It can be
 * away or slow, refuse the nth commit or "crash" at it (the commit and everything after it never
 * happen and no done() runs any more), and a second store can be opened on the rows that the first
 * had made durable, as after a restart.
 */

#include "store/store.h"

struct store_backend;
extern const struct store_backend store_memory_backend;

struct store *store_memory_new(struct loop *loop);
/* A new store with the rows that old had committed; old is closed without running its callbacks. */
struct store *store_memory_reopen(struct store *old);
void store_memory_set_away(struct store *base, const char *reason); /* NULL: back again */
/* Commits and reads that are asked for from now on take so long. */
void store_memory_set_slow(struct store *base, int64_t ms);
void store_memory_fail_at(struct store *base, uint64_t nth_commit, enum err_code code);
/*
 * before: nothing of the nth commit is kept; otherwise the commit is kept but no caller hears of
 * it.
 */
void store_memory_crash_at(struct store *base, uint64_t nth_commit, bool before);
bool store_memory_has_crashed(const struct store *store);
/*
 * The stored transitions of an operation, oldest first; the texts are the store's. Returns their
 * number.
 */
struct store_memory_transition {
	const char *previous_status;
	const char *new_status;
	const char *details;
};
size_t store_memory_history(const struct store *base, const char *operation_id,
			    struct store_memory_transition *out, size_t max);
