/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How long the archive goes back. Once an hour operations that ended longer ago than
 * store.retention leave the store, a few dozen in a transaction, so that a request in between waits
 * for one such transaction at most. If the store is away, or may be one from the past, the removal
 * waits for the next hour.
 */

#include "core/reconcile/retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/env.h"
#include "store/prune.h"

#define FIRST_MS INT64_C(60000)
#define EVERY_MS INT64_C(3600000)

struct retention {
	struct env *env;
	struct loop_timer timer;
	struct store_prune *prune; /* under way, NULL: none */
};

static void on_pruned(void *arg, size_t removed, const struct err *err)
{
	struct retention *retention = arg;

	retention->prune = NULL;
	if (removed)
		log_info("%zu operations that ended before store.retention left the store",
			 removed);
	if (err->code)
		log_notice("old operations stay in the store for now: %s", err->text);
	if (retention->env->options.retention_ms)
		loop_timer_set(retention->env->loop, &retention->timer, EVERY_MS);
}

static void on_due(struct loop_timer *timer)
{
	struct retention *retention = container_of(timer, struct retention, timer);

	if (!env_trusts_store(retention->env)) {
		loop_timer_set(retention->env->loop, timer, EVERY_MS);
		return;
	}
	retention->prune = store_prune(retention->env->store,
				       clock_wall_ms() - retention->env->options.retention_ms,
				       on_pruned, retention);
}

void retention_retune(struct retention *retention)
{
	if (!retention->env->options.retention_ms)
		loop_timer_clear(retention->env->loop, &retention->timer);
	else if (!retention->prune && !loop_timer_is_set(&retention->timer))
		loop_timer_set(retention->env->loop, &retention->timer, FIRST_MS);
}

struct retention *retention_new(struct env *env)
{
	struct retention *retention = xnew(struct retention);

	retention->env = env;
	retention->timer.fire = on_due;
	retention_retune(retention);
	return retention;
}

struct retention *retention_free(struct retention *retention)
{
	if (!retention)
		return NULL;
	loop_timer_clear(retention->env->loop, &retention->timer);
	if (retention->prune)
		store_prune_cancel(retention->prune);
	free(retention);
	return NULL;
}
