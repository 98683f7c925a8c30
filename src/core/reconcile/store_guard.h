/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Is the store of this machine, and of this time? While that is not known, operations stand still
 * and changes wait. If the store is one from the past or of another machine, the daemon only reads
 * until an administrator has accepted the store.
 */

#include "base/err.h"
#include "core/env.h"

struct device_sync;
struct engine;
struct host_sync;
struct model;
struct reconciler;
struct store_guard;
struct store_loaded;
struct store_wait;

struct store_guard *store_guard_new(struct env *env, struct model *model, struct engine *engine,
				    struct reconciler *reconciler, struct device_sync *device_sync,
				    struct host_sync *host_sync);
struct store_guard *store_guard_free(struct store_guard *guard); /* returns NULL, takes NULL */
/*
 * When the model is loaded, and before operations go on: reads the marks of the store, gives the
 * store marks that it lacks, and decides, or begins to look at CloudStack. Afterwards operations
 * and comparisons go on by themselves as soon as they may.
 */
void store_guard_start(struct store_guard *guard, const struct store_loaded *loaded);
/* CloudStack is configured now, or should be asked again soon. */
void store_guard_soon(struct store_guard *guard);
/* This machine is another VM by the administrator's word, while the daemon runs. */
void store_guard_note_appliance(struct store_guard *guard);

/* For health: one sentence, "" if the store is current. */
const char *store_guard_reason(const struct store_guard *guard);
/* ERR_UNAVAILABLE if the store is one from the past. */
int store_guard_check(const struct store_guard *guard, struct err *err);

/* For a change while the state is STORE_CHECKING: fn runs once, on a later turn, when the state may
 * be another one or CloudStack did not answer. */
struct store_wait *store_guard_wait(struct store_guard *guard, void (*fn)(void *arg), void *arg);
void store_wait_cancel(struct store_wait *wait); /* not from inside fn */

/*
 * An administrator accepts the store: it gets new marks, and operations go on
 * (engine/operation_past.h). done runs once, on a later turn, when that is durable or has failed.
 * ERR_CONFLICT at once: there is nothing to accept.
 */
typedef void (*store_accepted_fn)(void *arg, const struct err *err);
struct store_accept;
struct store_accept *store_guard_accept(struct store_guard *guard, store_accepted_fn done,
					void *arg, struct err *err);
void store_accept_forget(struct store_accept *accept); /* done will not run; the store is accepted
							  all the same */
