/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Old operations leave the store: operations that ended before a time, with their history, a few at
 * once, so that no other request waits long. Operations that still need attention stay.
 */

#include "store/store.h"

/* one round trip each, and together less than the patience for an optional batch */
#define STORE_PRUNE_BATCH 50

struct store_prune;

/*
 * The store has been loaded. removed: the number of operations, also if err tells why pruning
 * stopped. Runs once, on a later turn.
 */
typedef void (*store_prune_fn)(void *arg, size_t removed, const struct err *err);
struct store_prune *store_prune(struct store *store, int64_t before_ms, store_prune_fn done,
				void *arg);
/* done will not run; requests under way end by themselves. */
void store_prune_cancel(struct store_prune *prune);
