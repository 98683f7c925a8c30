/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How long the archive goes back. Once an hour operations that ended longer ago than store.retention leave the store, a
 * few dozen in a transaction, so that requests in between wait for one of these at most. When the store is away
 * the next hour will do.
 */

#include "core/reconcile/retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/core_parts.h"
#include "store/prune.h"

#define FIRST_MS INT64_C(60000)
#define EVERY_MS INT64_C(3600000)

static void on_pruned(void *arg, size_t removed, const struct err *err)
{
	struct core *core = arg;

	core->prune = NULL;
	if (removed)
		log_info("%zu operations that ended before store.retention left the store", removed);
	if (err->code)
		log_notice("old operations stay in the store for now: %s", err->text);
	loop_timer_set(core->loop, &core->retention, EVERY_MS);
}

static void on_due(struct loop_timer *timer)
{
	struct core *core = container_of(timer, struct core, retention);

	core->prune = store_prune(core->store, clock_wall_ms() - core->options.retention_ms, on_pruned, core);
}

void retention_begin(struct core *core)
{
	core->retention.fire = on_due;
	if (core->options.retention_ms)
		loop_timer_set(core->loop, &core->retention, FIRST_MS);
}

void retention_end(struct core *core)
{
	loop_timer_clear(core->loop, &core->retention);
	if (core->prune)
		store_prune_cancel(core->prune);
	core->prune = NULL;
}
