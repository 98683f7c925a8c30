/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the files of this directory. */

#include "base/queue.h"
#include "core/engine/operation_table.h"

struct engine_estimates;
struct engine_figures;
struct env;
struct model;

struct engine {
	struct env *env;
	struct model *model;
	const struct operation_kind *const *kinds;
	struct ops *ops;
	struct engine_figures *figures;
	struct engine_estimates *estimates;

	struct operation *operations; /* in memory: unfinished and recently ended */
	/* the operations that were requested under a key, by that key */
	struct operation *requests;
	struct operation_list unfinished; /* oldest first */
	struct operation_list ended;      /* oldest first */
	struct operation_list refused;    /* of the unfinished, those with refusals */
	size_t unfinished_count, ended_count;
	struct volume_queue *queues;
	struct vm_queue *vm_queues;
	TAILQ_HEAD(, settling) settlings; /* on their way to the store */
	uint64_t settlings_begun;
	/* the newest id of a store that was accepted as one from the past, "" none */
	char past_id[UUID_TEXT_SIZE];
	/* clock_mono_ms(): an absent CloudStack is not asked again before this time */
	int64_t next_retry_ms;
	/* of the wakes when CloudStack is back: the last one (clock_mono_ms()), the least time
	 * until the next one, and that one if it is due */
	int64_t woken_ms, wake_pause_ms;
	struct loop_timer wake;
};
