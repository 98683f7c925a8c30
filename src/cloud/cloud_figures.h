/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How often CloudStack was asked since the start, and how long it took. Private to cloud/. */

#include "base/metric.h"
#include "cloud/cloud_call.h"

struct cloud_figures {
	struct {
		uint64_t results[CLOUD_UNKNOWN + 1]; /* by enum cloud_outcome */
		struct histogram seconds;
		bool was_asked;
		char *failure;           /* of the last request; NULL it was answered */
	} commands[CLOUD_COMMAND_COUNT]; /* of questions with the same command, the first */
};

void cloud_figures_note(struct cloud_figures *figures, enum cloud_command_id command,
			const struct cloud_result *result, int64_t ms);
void cloud_figures_clear(struct cloud_figures *figures);
void cloud_figures_each_read(const struct cloud_figures *figures, cloud_read_health_fn fn,
			     void *arg);
void cloud_figures_put(const struct cloud_figures *figures, struct buf *out);
