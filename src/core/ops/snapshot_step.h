/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The deletion of a snapshot in CloudStack, shared by the operations that need it. */

#include "core/engine/silence.h"
#include "core/ops/cloud_change.h"
#include "core/ops/cloud_step.h"

/* The begin of the context of such an operation. */
struct snapshot_target {
	struct silence silence;
	char *snapshot_id; /* NULL or "": not known yet */
	char *delete_job_id;
	struct cloud_change deletion; /* not stored */
};
#define SNAPSHOT_TARGET_FIELDS                                                                     \
	SILENCE_FIELDS(snapshot_target),                                                           \
		FIELD(snapshot_target, snapshot_id, TEXT, .doc = "The snapshot."),                 \
		FIELD(snapshot_target, delete_job_id, UUID, .doc = "Job of its deletion.")

/* For `subject`. */
const char *snapshot_of(const struct operation *operation);
/* In two steps, and in one. */
extern const struct cloud_change_kind snapshot_deletion, snapshot_deletion_at_once;
/* Begins or goes on with a deletion, as cloud_change_ask() and cloud_change_settle() do. */
void snapshot_delete_ask(struct operation *operation, const struct cloud_change_kind *kind);
void snapshot_delete_settle(struct operation *operation);
