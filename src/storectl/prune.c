/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Removal of old operations from a store whose daemon is stopped; a running daemon does this
 * itself, see store.retention.
 */

#include "storectl/prune.h"

#include <stdio.h>

#include "base/clock.h"
#include "store/prune.h"

struct pruning {
	struct loop *loop;
	int64_t before_ms;
	size_t count;
	bool done;
	struct err err;
};

static void on_pruned(void *arg, size_t removed, const struct err *err)
{
	struct pruning *pruning = arg;

	pruning->count = removed;
	pruning->err = *err;
	pruning->done = true;
	loop_stop(pruning->loop);
}

static void count_row(void *arg, const void *row, const struct err *err)
{
	struct pruning *pruning = arg;
	const struct operation_record *operation = row;

	pruning->count += err->code == ERR_NONE && operation->completed_at &&
			  !operation->needs_attention &&
			  operation->completed_at < pruning->before_ms;
}

int prune_store(struct place *place, int64_t older_than_ms, bool dry_run, struct err *err)
{
	struct pruning pruning = { .loop = place->loop,
				   .before_ms = clock_wall_ms() - older_than_ms };
	struct store_loaded loaded;

	if (dry_run) {
		if (store_scan_all(place->store, STORE_OPERATIONS, count_row, &pruning, err) < 0)
			return -1;
		printf("%zu operations would be removed\n", pruning.count);
		return 0;
	}
	/* The removal notes how far the ids of the store went. */
	if (store_load(place->store, &loaded, err) < 0)
		return -1;
	store_loaded_clear(&loaded);
	store_prune(place->store, pruning.before_ms, on_pruned, &pruning);
	while (!pruning.done)
		loop_run(place->loop);
	printf("%zu operations removed\n", pruning.count);
	if (pruning.err.code == ERR_NONE)
		return 0;
	*err = pruning.err;
	return -1;
}
