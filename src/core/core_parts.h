/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What core is made of. */

#include <sys/queue.h>

#include "base/hash.h"
#include "cloud/cloud.h"
#include "core/core.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/notice.h"
#include "disk/flush.h"
#include "disk/probe.h"
#include "disk/sysblock.h"
#include "disk/usage.h"
#include "io/loop.h"

struct pending_event;

struct core {
	struct loop *loop;
	struct core_options options; /* texts owned */
	struct store *store;
	struct cloud *cloud;
	char *zone_id; /* for creations that name none, or NULL */
	struct sysblock *sysblock;
	struct prober *prober;
	struct usage_checker *usage_checker;
	struct flusher *flusher;
	char boot_id[37]; /* of the running kernel, "" when it cannot be read */
	bool draining;
	int64_t started_ms;

	struct volume *volumes;
	struct mapping *mappings;
	struct name *names;
	struct export *exports;
	struct hold *holds;
	struct old_names *old_names;
	TAILQ_HEAD(, serving) servings;
	struct tidy *tidy; /* the comparison under way, NULL when none is */
	struct loop_timer tidy_timer;
	struct operation *operations;     /* in memory: unfinished and recently ended */
	struct operation *requests;       /* of these, those that were asked for under a key, by that key */
	struct operation_list unfinished; /* oldest first */
	struct operation_list ended;      /* oldest first */
	size_t unfinished_count, ended_count;
	struct volume_queue *queues;
	size_t commits_waiting;
	TAILQ_HEAD(, change) changes;     /* on their way to the store */
	TAILQ_HEAD(, settling) settlings; /* likewise, of operations that need no attention any more */

	struct loop_timer refresh; /* the next comparison begins */
	struct volume_list *volume_list;
	TAILQ_HEAD(, reconcile_ticket) tickets, tickets_served;
	TAILQ_HEAD(, activation_claim) claims;
	TAILQ_HEAD(, waiter) waiters;
	const struct operation_kind *const *operation_kinds;
	int64_t next_retry_ms;         /* clock_mono_ms(): nobody asks an absent CloudStack again before */
	uint64_t refresh_round;
	bool volumes_known; /* one whole list has been fetched */

	struct loop_timer retention;
	struct store_prune *prune; /* under way, NULL when not */

	struct reconcile *reconcile; /* the comparison under way, NULL when none is */
	struct known_drift *known_drift;
	size_t suspects_passed; /* by the comparisons before, while there are more than one can look at */

	TAILQ_HEAD(, notice_listener) notice_listeners;
	struct notice_listener hold_listener, tidy_listener, follow_listener, refresh_listener;
	struct event_listener waiters_listener;
	struct content_probe *content_probe;
	void (*tell_volumes)(struct core *core);
	TAILQ_HEAD(, event_listener) listeners;
	TAILQ_HEAD(, pending_event) events;
	struct loop_task events_task;
	struct loop_task follow_task; /* mappings are compared with the kernel */
	bool follow_again;            /* once the commit under way has ended */
	bool volumes_dirty;

	TAILQ_HEAD(, call) calls;
};
