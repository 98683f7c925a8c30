/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which drifts have been told already and still last, and how often their repair was tried. */

#include "base/hash.h"
#include "spec/records.h"

struct drift_log;
struct engine;
struct model;

struct known_drift {
	char *key;             /* kind and volume */
	const char *volume_id; /* in key */
	bool told;
	bool seen; /* in the comparison under way */
	unsigned repairs;
	int64_t next_repair_ms; /* clock_mono_ms() */
	UT_hash_handle hh;
};

struct drift_log *drift_log_new(struct model *model, struct engine *engine);
struct drift_log *drift_log_free(struct drift_log *log); /* returns NULL, takes NULL */
/* Adds the drift if the log does not know it yet. */
struct known_drift *known_get(struct drift_log *log, const struct drift_record *record);
/* A repair that CloudStack has to make may be tried now. */
bool known_is_due(const struct known_drift *known);
/* The repair is tried; the pause until the next one doubles each time. */
void known_note_repair(struct known_drift *known);
/* Tells of the drift, unless it was told before; a device_path that is not true any more is
 * emptied. */
void drift_tell(struct drift_log *log, struct drift_record *record);
/* Forgets the drifts that the last comparison did not find any more. A comparison passes over a
 * volume with an operation under way, so the drifts of such a volume are kept. */
void drift_forget_old(struct drift_log *log);
