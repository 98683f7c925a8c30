/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The comparison of store, CloudStack and kernel: at the start, every now and then, and by
 * request. */

#include "base/err.h"
#include "spec/records.h"

struct engine;
struct env;
struct host;
struct host_sync;
struct model;
struct reconcile_ticket;
struct reconciler;
struct volume_list_health;

struct reconciler *reconciler_new(struct env *env, struct model *model, struct engine *engine,
				  struct host *host, struct host_sync *host_sync);
struct reconciler *reconciler_free(struct reconciler *reconciler); /* returns NULL, takes NULL */
/* The daemon is stopping: no comparison begins any more. */
void reconciler_drain(struct reconciler *reconciler);
/* True: a comparison is due later. False: a comparison is under way, or none was ever begun. */
bool reconciler_is_waiting(const struct reconciler *reconciler);
bool reconciler_is_comparing(const struct reconciler *reconciler);

/* The last lists of CloudStack's volumes. */
void reconciler_list_health(const struct reconciler *reconciler, struct volume_list_health *out);
/* The ids of volumes that CloudStack has lost, separated by ", " and cut to size bytes; "" none. */
void reconciler_lost_volumes(const struct reconciler *reconciler, char *out, size_t size);

/*
 * record: the findings; NULL if CloudStack's list could not be fetched, and err says why. dry_run:
 * nothing was to be repaired, also if the ticket did not ask for that.
 */
typedef void (*reconcile_done_fn)(void *arg, const struct sync_record *record, bool dry_run,
				  const struct err *err);

/* Asks for a comparison of all volumes that begins after this call. done runs once, on a later
 * turn, unless the ticket is cancelled. */
struct reconcile_ticket *reconcile_request(struct reconciler *reconciler, bool dry_run,
					   reconcile_done_fn done, void *arg);
void reconcile_ticket_cancel(struct reconcile_ticket *ticket); /* not from inside done */

/* The next comparison is due after delay_ms, and nothing else is changed. */
void reconcile_in(struct reconciler *reconciler, int64_t delay_ms);
/* CloudStack or the appliance is another one: all volumes are compared now. */
void reconcile_anew(struct reconciler *reconciler);
/* CloudStack did not answer a request: checks soon whether CloudStack is back, but only once for
 * many requests. */
void reconcile_soon(struct reconciler *reconciler);
