/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's knowledge, in memory. Each file of this directory keeps one table of it and shares
 * the struct below; the other directories hand a model on and do not look inside. */

#include "base/queue.h"
#include "core/event.h"
#include "core/model/notice.h"
#include "io/loop.h"

struct env;
struct pending_event;

struct model {
	struct env *env;

	struct volume *volumes;
	uint64_t list_round;     /* of the list of volumes that is or was fetched last */
	bool volumes_known;      /* one whole list has been fetched */
	bool volumes_here_known; /* one list of the appliance's volumes has been fetched */
	TAILQ_HEAD(volume_list, volume) touched; /* volumes that a change event is due for */

	struct mapping *mappings;
	struct name *names;
	struct export *exports;
	struct snapshot_kept *snapshots;
	struct token *tokens;

	TAILQ_HEAD(, change) changes; /* on their way to the store */
	size_t commits_waiting;

	uint64_t drifts[DRIFT_KIND_COUNT]; /* told since the start */
	TAILQ_HEAD(, event_listener) listeners;
	TAILQ_HEAD(, pending_event) events;
	struct loop_task events_task;
	void (*tell_volumes)(struct model *model);
	TAILQ_HEAD(, notice_listener) notice_listeners;
};

struct model *model_new(struct env *env);
/* The listeners must have left before. */
struct model *model_free(struct model *model); /* returns NULL, takes NULL */
