/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The snapshots that clients keep of volumes. */

#include "base/hash.h"
#include "spec/records.h"

struct model;

struct snapshot_kept {
	struct snapshot_record record; /* without the members that are only shown */
	UT_hash_handle hh;
};

/* All, in the order they came; snapshot_next() is NULL after the last. */
struct snapshot_kept *snapshot_first(const struct model *model);
static inline struct snapshot_kept *snapshot_next(const struct snapshot_kept *snapshot)
{
	return snapshot->hh.next;
}
size_t snapshot_count(const struct model *model);
struct snapshot_kept *snapshot_find(struct model *model, const char *volume_id);
/* After the commit: puts the record into the model. */
void snapshot_put(struct model *model, const struct snapshot_record *record);
void snapshot_drop(struct model *model, const char *volume_id);
/* The record with its device, for clients; the caller clears it. */
void snapshot_to_record(struct model *model, const struct snapshot_kept *snapshot,
			struct snapshot_record *out);
void snapshots_forget(struct model *model);
