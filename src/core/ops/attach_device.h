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
	char *boot_id; /* the boot that after_diskseq belongs to */
	/* disks with a higher sequence number came after the operation began */
	int64_t after_diskseq;
	uint64_t size;     /* CloudStack's */
	int64_t device_id; /* CloudStack's, -1 unknown */
	bool refused;      /* CloudStack refused: there is nothing to undo */
	/* when the operation began, no disk here identified itself and no attachment of ours was
	 * under way */
	bool alone;
	/* found on the disk by libblkid; NULL: nothing known */
	char *filesystem, *label, *filesystem_uuid, *partition_table;
	char *unreadable; /* why the contents are not known */
	/* the program that had the disk to itself before the disk could have its name; NULL:
	 * none */
	char *taken;
	/* the clients that keep the export at its old size, from before the volume was away and
	 * grew; NULL: none */
	char *kept;
	/* not stored: a later process finds it out again */
	uint64_t read_seen; /* device.seen of the disk that is being read */
	/* like after_diskseq, for sysblock's own count, which starts at zero in each process */
	uint64_t after_seen;
	bool began_here; /* after_seen was counted by this process */
	enum matched_by matched_by;
	struct cloud_change change, undo;
	struct activation_ensured ensured;
	bool asked; /* the program that has taken the disk was looked for */
	/* device.seen of the disk that was given its name before the job had ended */
	uint64_t early_disk;
};

bool op_attach_is_here(const struct operation *operation, const struct cloud_volume *volume);
/* The volume's disk at this moment, borrowed until the next turn. NULL: the step has ended, and
 * runs again later. */
const struct device *op_attach_device_or_wait(struct operation *operation);
/* The disk that identifies itself as the volume; NULL if there is none, or if it is in doubt. */
const struct device *op_attach_own_disk(struct operation *operation);
