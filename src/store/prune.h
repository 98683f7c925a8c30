/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Old operations leave the store: those that ended before a time, with their history, some at once,
 * so that nobody waits long behind it. What still needs attention stays.
 */

#include "store/store.h"

/* one round trip each, and together less than the patience for an optional batch */
#define STORE_PRUNE_BATCH 50

struct store_prune;

/* removed: how many, also when err says why it stopped. Runs once, on a later turn. */
typedef void (*store_prune_fn)(void *arg, size_t removed, const struct err *err);
struct store_prune *store_prune(struct store *store, int64_t before_ms, store_prune_fn done,
				void *arg);
/* done will not run; what is under way ends by itself. */
void store_prune_cancel(struct store_prune *prune);
