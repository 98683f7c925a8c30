/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lists of many rows, read page by page. Private to cloud/. */

#include "cloud/cloud.h"

#define CLOUD_JOB_PAGES_MAX 20 /* an administrator's list holds the jobs of all users */

/* How many rows a page of one list has; learned from CloudStack's answers. */
struct cloud_page_size {
	int64_t now;
	int64_t limit; /* CloudStack refuses longer pages, or they exceed our bound of an answer */
};
void cloud_page_size_init(struct cloud_page_size *size);

struct cloud_list;
typedef struct cloud_call *(*cloud_page_fn)(const struct cloud_list *list, int64_t page,
					    int64_t size, cloud_done_fn done, void *arg);

struct cloud_list {
	struct cloud *cloud;
	const char *vm_id;     /* only volumes of this VM; NULL all */
	const char *volume_id; /* only snapshots of this volume; NULL all */
	const char *keyword;   /* only rows whose name contains this text; NULL all */
	bool own;              /* only rows of the account that the keys belong to */
	const char *what;      /* "volumes" */
	cloud_page_fn ask;
	struct cloud_page_size *size;
	int64_t pages_max;
};

/* The list is copied. on_page and done as for cloud_walk_volumes(). */
struct cloud_walk *cloud_walk_new(const struct cloud_list *list, cloud_done_fn on_page,
				  cloud_done_fn done, void *arg);
