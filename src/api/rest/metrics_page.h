/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The text that Prometheus reads. Private to api/rest/. */

#include "core/core.h"

#define METRICS_PATH "/metrics"
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
/* The text serves all who ask within this time, for it costs a thousand times what a reply does. */
#define METRICS_SERVES_MS 1000

/* What the server knows of itself. */
struct rest_figures {
	size_t requests, lists, long_polls, streams; /* under way */
};

struct metrics_page {
	struct buf text;
	int64_t made_ms; /* monotonic */
};

const struct buf *metrics_page_get(struct metrics_page *page, struct core *core,
				   const struct rest_figures *figures);
