/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What cloud.c and cloud_job.c share. Private to cloud/. */

#include "cloud/cloud.h"
#include "io/http_client.h"

TAILQ_HEAD(cloud_call_list, cloud_call);
TAILQ_HEAD(cloud_job_list, cloud_job);

struct cloud {
	struct loop *loop;
	struct http_client *http;
	char *url;
	const struct secret *api_key;
	const struct secret *secret_key;
	int64_t timeout_ms;
	int64_t poll_min_ms;
	int64_t poll_max_ms;
	size_t max_parallel;

	struct cloud_call_list waiting; /* in the order of asking; signed only when their turn comes */
	struct cloud_call_list running; /* on the wire */
	size_t running_count;
	size_t waiting_count;
	int64_t not_before_ms;    /* monotonic; CloudStack wants to hear nothing until then */
	struct loop_timer resume; /* armed while calls wait for not_before_ms */

	struct cloud_job_list jobs; /* all watches: one listAsyncJobs could serve many */
	struct cloud_health health;
	unsigned lost; /* answers missing in a row */
};
