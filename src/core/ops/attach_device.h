/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The device an attached volume has become, and the context of an attachment. */

#include "core/engine/silence.h"
#include "core/ops/activation_step.h"
#include "core/ops/cloud_change.h"
#include "core/ops/displace_step.h"
#include "core/ops/leftover_disk.h"
#include "core/ops/vm_idle.h"
#include "disk/device.h"
#include "spec/records.h"

struct cloud_volume;
struct operation;

/* How soon a step looks again when nothing wakes it. */
#define ATTACH_LOOK_AGAIN_MS 1000

struct attach_context {
	struct silence silence;
	char *job_id;
	char *undo_job_id;
	char *boot_id; /* the boot that after_diskseq belongs to */
	/* disks with a higher sequence number came after the operation began */
	int64_t after_diskseq;
	uint64_t size; /* CloudStack's */
	/* CloudStack's, and until the volume is attached the one to ask for; -1 unknown, or any */
	int64_t device_id;
	bool refused; /* CloudStack refused: there is nothing to undo */
	bool lost;    /* CloudStack lost the job, and no longer lists the volume */
	bool replace; /* a root disk that the VM has now makes way */
	/* the volume is only attached while its disk is here, which CloudStack does not know */
	bool only_here;
	struct displaced displaced;
	/* when the operation began, no disk here identified itself and no attachment of ours was
	 * under way */
	bool alone;
	/* found on the disk by libblkid; NULL: nothing known */
	char *filesystem, *label, *filesystem_uuid, *partition_table;
	char *unreadable; /* why the contents are not known */
	/* CloudStack's words, if the job failed and attached the volume all the same; NULL: none */
	char *words;
	/* the program that had the disk to itself before the disk could have its name; NULL:
	 * none */
	char *taken;
	/* the users of the disk, which is not exported while they have it; NULL: none */
	char *used;
	/* the clients that keep the export at its old size, from before the volume was away and
	 * grew; NULL: none */
	char *kept;
	/* of the disk that clients were told of before the attachment had ended; NULL: they were
	 * not */
	char *ready_path;
	/* not stored: a later process finds it out again */
	uint64_t read_seen; /* device.seen of the disk that is being read */
	/* like after_diskseq, for sysblock's own count, which starts at zero in each process */
	uint64_t after_seen;
	bool began_here; /* after_seen was counted by this process */
	enum matched_by matched_by;
	uint64_t listed_size; /* CloudStack's, when the operation may begin */
	struct leftover_disk leftover;
	struct vm_look vm_look;
	struct cloud_change change, undo;
	struct activation_ensured ensured;
	bool asked; /* the program that has taken the disk was looked for */
	/* device.seen of the disk that was given its name before the job had ended */
	uint64_t early_disk;
	/* device.seen of the disk that clients were told of by this process */
	uint64_t told_disk;
};

/* Rows of the field table of a context that starts with a struct attach_context. */
#define ATTACH_FIELD(MEMBER, TYPE, ...) FIELD(attach_context, MEMBER, TYPE, __VA_ARGS__)
#define ATTACH_FIELDS                                                                                  \
	SILENCE_FIELDS(attach_context),                                                                \
		ATTACH_FIELD(job_id, UUID, .doc = "Job of the attachment."),                           \
		ATTACH_FIELD(undo_job_id, UUID,                                                        \
			     .doc = "Job of the detachment, if the attachment must be undone."),       \
		ATTACH_FIELD(boot_id, TEXT, .doc = "The boot that after_diskseq belongs to."),         \
		ATTACH_FIELD(after_diskseq, INT,                                                       \
			     .doc = "Disks above it appeared after the operation began."),             \
		ATTACH_FIELD(size, SIZE, .doc = "CloudStack's size of the volume."),                   \
		ATTACH_FIELD(                                                                          \
			device_id, INT,                                                                \
			.doc = "CloudStack's deviceid; before the attachment the wanted one."),        \
		ATTACH_FIELD(refused, BOOL,                                                            \
			     .doc = "CloudStack refused: there is nothing to undo."),                  \
		ATTACH_FIELD(lost, BOOL,                                                               \
			     .doc = "CloudStack lost the job and no longer lists the volume."),        \
		ATTACH_FIELD(filesystem, TEXT, .doc = "File system found on the disk."),               \
		ATTACH_FIELD(label, TEXT, .doc = "Its label."),                                        \
		ATTACH_FIELD(filesystem_uuid, TEXT, .doc = "Its UUID."),                               \
		ATTACH_FIELD(partition_table, TEXT, .doc = "Partition table found on the disk."),      \
		ATTACH_FIELD(unreadable, TEXT,                                                         \
			     .doc = "Why the contents of the disk are not known."),                    \
		ATTACH_FIELD(                                                                          \
			words, TEXT,                                                                   \
			.doc = "CloudStack's words, if the job failed and attached it all the same."), \
		ATTACH_FIELD(                                                                          \
			taken, TEXT,                                                                   \
			.doc = "The program that had the disk before it could have its name."),        \
		ATTACH_FIELD(used, TEXT,                                                               \
			     .doc = "The users of the disk, which is therefore not exported."),        \
		ATTACH_FIELD(kept, TEXT,                                                               \
			     .doc = "The clients that keep its export at the size it had."),           \
		ATTACH_FIELD(                                                                          \
			ready_path, TEXT,                                                              \
			.doc = "The disk that clients were told of before the attachment had ended."), \
		ATTACH_FIELD(only_here, BOOL,                                                          \
			     .doc = "The volume is only attached while its disk is here."),            \
		ATTACH_FIELD(replace, BOOL,                                                            \
			     .doc = "A root disk that the VM has now is detached first."),             \
		ATTACH_FIELD(                                                                          \
			displaced.volume_id, UUID,                                                     \
			.doc = "The volume that makes way, and comes back if that is undone."),        \
		ATTACH_FIELD(displaced.vm_id, UUID, .doc = "The VM that it makes way at."),            \
		ATTACH_FIELD(displaced.is_root, BOOL, .doc = "It is the root disk of that VM."),       \
		ATTACH_FIELD(displaced.job_id, UUID, .doc = "Job of its detachment."),                 \
		ATTACH_FIELD(displaced.undo_job_id, UUID, .doc = "Job that puts it back."),            \
		ATTACH_FIELD(                                                                          \
			alone, BOOL,                                                                   \
			.doc = "No other attachment was under way when it began, and none begins before it ends.")

extern const struct record attach_context_record;

/* In a context that was loaded, an unknown text is empty. */
static inline const char *text_or_null(const char *text)
{
	return str_empty(text) ? NULL : text;
}

/* NULL: the operation attaches no volume. */
const struct attach_context *op_attach_context_of(const struct operation *operation);
bool op_attach_is_here(const struct operation *operation, const struct cloud_volume *volume);
/* The volume's disk at this moment, borrowed until the next turn. NULL: the step has ended, and
 * runs again later. */
const struct device *op_attach_device_or_wait(struct operation *operation);
/* The disk of this machine that identifies itself as the volume and has come since the operation
 * began, whatever its size; borrowed likewise. NULL: there is none. */
const struct device *op_attach_new_disk(struct operation *operation);
/* The disk that identifies itself as the volume; NULL if there is none, or if it is in doubt. */
const struct device *op_attach_own_disk(struct operation *operation);
