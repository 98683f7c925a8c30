/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* All jobs that are watched. Private to cloud/. */

#include "cloud/cloud.h"

/* cloud is borrowed; the queries go through it. */
/* See cloud_set_pace(). */
void cloud_jobs_set_pace(struct cloud_jobs *jobs, const struct cloud_options *options);
struct cloud_jobs *cloud_jobs_new(struct loop *loop, struct cloud *cloud,
				  const struct cloud_options *options);
/* Asserts that no job is watched. Returns NULL, takes NULL. */
struct cloud_jobs *cloud_jobs_free(struct cloud_jobs *jobs);
/* The keys have changed: a list of jobs that was refused to the old ones is tried again. */
void cloud_jobs_allow(struct cloud_jobs *jobs);
