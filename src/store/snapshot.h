/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Snapshots of a store that is in use: a copy of one moment, which is checked, and written into a
 * file of the caller if the caller wants a backup. Commits go on meanwhile.
 */

#include "base/err.h"
#include "io/loop.h"
#include "store/check.h"

struct snapshot;
struct snapshots;

struct snapshot_result {
	struct err err;
	uint64_t bytes; /* of the copy */
	unsigned schema_version;
	struct store_checked checked;
	/* the first SNAPSHOT_FAULTS_MAX faults, each a sentence */
	char **faults;
	size_t fault_count;
};
#define SNAPSHOT_FAULTS_MAX 200
/* The result is valid in the callback. */
typedef void (*snapshot_done_fn)(void *arg, const struct snapshot_result *result);

/* Both outlive the snapshots. */
struct snapshots *snapshots_new(struct loop *loop, struct store *store);
/* No snapshot may be under way. To be called after the store was closed. Returns NULL. */
struct snapshots *snapshots_free(struct snapshots *snapshots);

/*
 * target: an empty regular file that is open for writing, which becomes a backup; duplicated. -1:
 * only check. done runs exactly once, on a later turn. Errors: ERR_INVALID: the target is no such
 * file, or the store cannot be copied (the text names the way to a backup); ERR_TOO_MANY: another
 * snapshot is under way; ERR_UNAVAILABLE: no room, or the target cannot be written. After an error
 * the content of the target is worth nothing. Faults in rows are no error, but a backup of a
 * damaged store is.
 */
struct snapshot *snapshot_start(struct snapshots *snapshots, int target, snapshot_done_fn done,
				void *arg);
void snapshot_cancel(struct snapshot *snapshot); /* done will not run */
