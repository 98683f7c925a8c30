/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parts of a cloud, and the one command that only cloud/ itself uses. Private to cloud/. */

#include "cloud/cloud.h"

struct cloud {
	struct cloud_queue *queue; /* commands put their calls there */
	struct cloud_jobs *jobs;
};

/* Our account's pending jobs, a page. result->jobs are their ids. */
struct cloud_call *cloud_list_jobs(struct cloud *cloud, int64_t page, cloud_done_fn done,
				   void *arg);
