/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* All jobs that are watched. Private to cloud/. */

#include "cloud/cloud.h"

/* cloud is borrowed, and asked. */
struct cloud_jobs *cloud_jobs_new(struct loop *loop, struct cloud *cloud,
				  const struct cloud_options *options);
/* Asserts that no job is watched. Returns NULL, takes NULL. */
struct cloud_jobs *cloud_jobs_free(struct cloud_jobs *jobs);
/* The keys have changed: what the old ones were not allowed is tried again. */
void cloud_jobs_allow(struct cloud_jobs *jobs);
