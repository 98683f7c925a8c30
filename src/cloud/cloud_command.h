/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parts of a cloud, and the commands that only cloud/ itself uses. Private to cloud/. */

#include "cloud/cloud.h"
#include "cloud/cloud_walk.h"

struct cloud {
	struct cloud_queue *queue; /* commands put their calls there */
	struct cloud_jobs *jobs;
	struct cloud_page_size volume_pages;
	struct cloud_page_size job_pages;
	struct cloud_page_size vm_pages;
	struct cloud_page_size catalog_pages; /* of zones and offerings */
	struct cloud_page_size snapshot_pages;
};

/* A page of volumes, VMs, zones, offerings or snapshots, from 1. */
struct cloud_call *cloud_list_volume_page(const struct cloud_list *list, int64_t page, int64_t size,
					  cloud_done_fn done, void *arg);
struct cloud_call *cloud_list_vm_page(const struct cloud_list *list, int64_t page, int64_t size,
				      cloud_done_fn done, void *arg);
struct cloud_call *cloud_list_zone_page(const struct cloud_list *list, int64_t page, int64_t size,
					cloud_done_fn done, void *arg);
struct cloud_call *cloud_list_offering_page(const struct cloud_list *list, int64_t page,
					    int64_t size, cloud_done_fn done, void *arg);
struct cloud_call *cloud_list_snapshot_page(const struct cloud_list *list, int64_t page,
					    int64_t size, cloud_done_fn done, void *arg);
/* A page of our account's pending jobs. result->jobs are their ids. */
struct cloud_call *cloud_list_job_page(const struct cloud_list *list, int64_t page, int64_t size,
				       cloud_done_fn done, void *arg);
