/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which drifts have been told already and still last. */

#include "base/hash.h"
#include "spec/records.h"

struct drift_log;
struct model;

struct known_drift {
	char *key; /* kind and volume */
	bool told;
	bool seen; /* in the comparison under way */
	unsigned repairs;
	int64_t next_repair_ms; /* clock_mono_ms() */
	UT_hash_handle hh;
};

struct drift_log *drift_log_new(struct model *model);
struct drift_log *drift_log_free(struct drift_log *log); /* returns NULL, takes NULL */
/* Adds the drift if the log does not know it yet. */
struct known_drift *known_get(struct drift_log *log, const struct drift_record *record);
/* Tells of the drift, unless it was told before; a device_path that is not true any more is
 * emptied. */
void drift_tell(struct drift_log *log, struct drift_record *record);
/* Forgets the drifts that the last comparison did not find any more. */
void drift_forget_old(struct drift_log *log);
