/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The comparison of store, CloudStack and kernel. */

struct call;
struct core;
struct err;

/* A list of volumes is about to be fetched: the calls that wait now will be answered from it. */
void reconcile_begin(struct core *core);
/* It is whole: store, CloudStack and kernel are compared. Ends in volumes_refresh_next(). */
void reconcile_compare(struct core *core);
/* It could not be fetched: those calls are told why. */
void reconcile_fail(struct core *core, const struct err *err);
/* A call waits for a comparison that begins after now. */
void reconcile_request(struct call *call);
void reconcile_free(struct core *core);
