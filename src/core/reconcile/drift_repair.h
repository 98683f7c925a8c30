/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A volume about which store, CloudStack and kernel may disagree, and its repair. */

#include "base/queue.h"
#include "core/model/notice.h"
#include "core/rules/drift.h"
#include "io/loop.h"
#include "spec/records.h"

struct drift_log;
struct engine;
struct env;
struct host;
struct host_sync;
struct lost_volumes;
struct model;
struct reattachment;
struct volume_list;

struct reconciler {
	struct env *env;
	struct model *model;
	struct engine *engine;
	struct host *host;
	struct host_sync *host_sync;
	struct volume_list *volume_list;
	struct drift_log *drift_log;
	struct lost_volumes *lost_volumes;
	struct loop_timer timer; /* the next comparison begins */
	TAILQ_HEAD(, reconcile_ticket) tickets, tickets_served;
	struct comparison *comparison; /* the comparison under way, NULL: none */
	/* the place in the list of suspects where the next comparison begins, if one comparison
	 * cannot check them all */
	size_t suspects_passed;
	bool is_stale;  /* the comparison under way began too early: another one follows */
	bool is_unsure; /* a notice came too late for the comparison under way */
	struct notice_listener listener;
};

struct suspect {
	TAILQ_ENTRY(suspect) entry;
	struct comparison *comparison;
	char *volume_id; /* NULL: the suspect is an operation that never learned its volume */
	/* the operation that, by the volume's name, may have left the volume behind; NULL: none */
	char *origin_id;
	/* the last known operation on the volume when CloudStack was asked; NULL: none */
	char *last_operation;
	struct operation_record origin;
	/* the call that the suspect waits for */
	struct cloud_call *call;
	struct store_read *read;
	struct operation_asker *starting;
	struct reattachment *reattachment;
	struct drift_record record; /* kind DRIFT_NONE: innocent */
};

struct comparison {
	struct reconciler *reconciler;
	bool dry_run;
	bool has_listed; /* its suspects are chosen */
	bool is_whole;   /* of all volumes, not only of those that matter here */
	size_t checked;
	size_t count, waiting; /* suspects, and the suspects that are not done */
	size_t left;           /* suspects that have to wait for another comparison */
	struct store_read *left_overs;
	TAILQ_HEAD(, suspect) suspects;
	void (*on_done)(struct suspect *suspect);
};

/* The suspect is innocent, or its drift was told or repaired: the comparison no longer waits for
 * it. */
static inline void suspect_done(struct suspect *suspect)
{
	suspect->comparison->on_done(suspect);
}

/* False: it only reports. Changes may have been paused since it began. */
bool comparison_repairs(const struct comparison *comparison);
/* Repairs the drift if that is possible, and ends in suspect_done(). */
void suspect_repair(struct suspect *suspect, const struct drift_facts *facts,
		    const struct drift *drift);
