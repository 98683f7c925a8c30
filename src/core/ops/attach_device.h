/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The device an attached volume has become, and the context of an attachment. */

#include "core/ops/activation_step.h"
#include "core/ops/cloud_step.h"
#include "disk/device.h"
#include "spec/records.h"

struct cloud_volume;
struct operation;

/* How soon a step looks again when nothing wakes it. */
#define ATTACH_LOOK_AGAIN_MS 1000

struct attach_context {
	char *job_id;
	char *undo_job_id;
	char *boot_id;         /* the kernel that after_diskseq belongs to */
	int64_t after_diskseq; /* disks with a higher sequence number came after we began */
	uint64_t size;         /* CloudStack's */
	int64_t device_id;     /* CloudStack's, -1 unknown */
	bool refused;          /* CloudStack said no: nothing to take back */
	/* no disk here said who it is, and no attachment of ours was under way, when we began */
	bool alone;
	/* what libblkid found on the disk; NULL: nothing that is known */
	char *filesystem, *label, *filesystem_uuid, *partition_table;
	char *unreadable; /* why that is not known */
	/* who had the disk to himself before it could have its name; NULL: nobody */
	char *taken;
	char *kept; /* who keeps its export as it was before it went and grew; NULL: nobody */
	/* not stored: found again by looking again */
	uint64_t read_seen; /* device.seen of the disk that is being read */
	/* the same for sysblock's own count, which starts anew with each process */
	uint64_t after_seen;
	bool began_here; /* after_seen was counted by this process */
	enum matched_by matched_by;
	struct cloud_change change, undo;
	struct activation_ensured ensured;
	bool asked; /* which program has taken the disk */
	/* device.seen of the disk that was given its name before the job had ended */
	uint64_t early_disk;
};

bool op_attach_is_here(const struct operation *operation, const struct cloud_volume *volume);
/* The volume's disk at this moment, borrowed until the next turn. NULL: the step has ended, and
 * looks again. */
const struct device *op_attach_device_or_wait(struct operation *operation);
/* The disk that says itself that it is the volume; NULL when there is none, or something is odd
 * about it. */
const struct device *op_attach_own_disk(struct operation *operation);
