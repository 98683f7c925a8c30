/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The calls under way, and the objects that methods work with: call->calls. */

#include "base/log.h"
#include "base/queue.h"
#include "core/call.h"
#include "core/event.h"

struct call;
struct cloud_lists;
struct cloud_rights;
struct engine;
struct env;
struct health_watch;
struct host;
struct host_sync;
struct metrics;
struct model;
struct reconciler;
struct snapshots;
struct store_guard;
struct user_names;

struct calls {
	struct env *env;
	struct model *model;
	struct host *host;
	struct engine *engine;
	struct reconciler *reconciler;
	struct store_guard *store_guard;
	struct host_sync *host_sync;
	struct snapshots *snapshots; /* this and the next five are made by calls_init() */
	struct metrics *metrics;
	struct health_watch *health_watch;
	struct cloud_lists *cloud_lists;
	struct cloud_rights *cloud_rights;
	struct user_names *user_names;
	TAILQ_HEAD(, call) calls;
	uint64_t list_turn;           /* the turn of the loop in which a list was made last */
	TAILQ_HEAD(, waiter) waiters; /* calls that wait for an operation */
	struct event_listener listener;
	struct log_limit changes_limit;
};

/* A call begins on a turn of its own; args are copied. */
struct call *calls_start(struct calls *calls, enum method_id id, const void *args,
			 const struct caller *caller, call_done_fn done, void *arg);
void calls_init(struct calls *calls); /* when the modules above are set */
void calls_fini(struct calls *calls);
