/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The calls under way, and the objects that methods work with: call->calls. */

#include "base/queue.h"
#include "core/call.h"
#include "core/event.h"

struct call;
struct engine;
struct env;
struct host;
struct host_sync;
struct model;
struct reconciler;

struct calls {
	struct env *env;
	struct model *model;
	struct host *host;
	struct engine *engine;
	struct reconciler *reconciler;
	struct host_sync *host_sync;
	TAILQ_HEAD(, call) calls;
	TAILQ_HEAD(, waiter) waiters; /* calls that wait for an operation */
	struct event_listener listener;
};

/* A call begins on a turn of its own; args are copied. */
struct call *calls_start(struct calls *calls, enum method_id id, const void *args,
			 const struct caller *caller, call_done_fn done, void *arg);
void calls_init(struct calls *calls); /* when the modules above are set */
void calls_fini(struct calls *calls);
