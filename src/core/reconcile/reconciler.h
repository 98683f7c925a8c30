/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The comparison of store, CloudStack and kernel: at the start, every now and then, and when it is asked for.
 */

#include "base/err.h"
#include "spec/records.h"

struct core;
struct reconcile_ticket;

/* record: what was found; NULL when CloudStack's list could not be had, and err says why. */
typedef void (*reconcile_done_fn)(void *arg, const struct sync_record *record, const struct err *err);

/* Asks for a comparison that begins after now. done runs once, on a later turn, unless the ticket is cancelled. */
struct reconcile_ticket *reconcile_request(struct core *core, bool dry_run, reconcile_done_fn done, void *arg);
void reconcile_ticket_cancel(struct reconcile_ticket *ticket); /* not from inside done */

/* The next comparison is due now, or after delay_ms. */
void reconcile_in(struct core *core, int64_t delay_ms);
/* CloudStack did not answer somebody: find out soon, but not for each of many, whether it is back. */
void reconcile_soon(struct core *core);
void reconcile_begin(struct core *core);
void reconcile_start(struct core *core);
void reconcile_end(struct core *core);
