/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The steps that detach a volume, shared by the operations that need them: detach, and delete of an
 * attached volume. The context of such an operation starts with a struct detaching. */

#include "core/engine/silence.h"
#include "core/ops/check.h"
#include "core/ops/cloud_change.h"
#include "core/ops/leftover_disk.h"

struct detaching {
	struct silence silence;
	char *job_id;
	bool force; /* also if the device is held */
	/* the name and its users wait until the volume comes back */
	bool keep_name;
	/* the volume is deleted next: it need not be attached, and must not be protected */
	bool if_attached;
	bool attached;     /* found out by the check */
	char *vm_id;       /* the VM it is detached from */
	char *device_path; /* the volume's disk, for the response */
	/* the users that came since the check; NULL or empty: none */
	char *users;
	bool detached; /* CloudStack shows so */
	/* CloudStack's words, if the job failed and detached the volume all the same; NULL or
	 * empty: none */
	char *words;
	/* not stored */
	struct leftover_disk leftover;
	struct cloud_change change;
};

/* Rows of the field table of a context that starts with a struct detaching. */
#define DETACHING_FIELDS                                                                             \
	SILENCE_FIELDS(detaching),                                                                   \
		FIELD(detaching, job_id, UUID, .doc = "Job of the detachment."),                     \
		FIELD(detaching, force, BOOL, .doc = "Detach although the device is held."),         \
		FIELD(detaching, keep_name, BOOL,                                                    \
		      .doc = "The name and its users wait until the volume comes back."),            \
		FIELD(detaching, if_attached, BOOL, .doc = "The volume is deleted next."),           \
		FIELD(detaching, attached, BOOL,                                                     \
		      .doc = "The volume was attached when the operation's turn came."),             \
		FIELD(detaching, users, TEXT,                                                        \
		      .doc = "The users that came since the first look for users."),                 \
		FIELD(detaching, detached, BOOL, .doc = "CloudStack shows it detached."),            \
		FIELD(detaching, words, TEXT,                                                        \
		      .doc = "CloudStack's words, if the job failed and detached it all the same."), \
		FIELD(detaching, vm_id, UUID,                                                        \
		      .doc = "The virtual machine that the volume is detached from."),               \
		FIELD(detaching, device_path, TEXT, .doc = "The device that the volume was.")

#define DETACHING_STEP_COUNT 7
extern const struct step detaching_steps[DETACHING_STEP_COUNT];
/* A member of operation_kind's groups. */
#define DETACHING_STEPS                                                                            \
	{                                                                                          \
		.steps = detaching_steps, .count = DETACHING_STEP_COUNT                            \
	}

/* For the checks (check.h) of these operations. */
extern const struct op_check check_volume_attached;
void detaching_foresee(struct operation *operation, const struct op_facts *facts);
disk_users_judge_fn detaching_users(const struct operation *operation);
/* The NBD clients of the volume must be gone. */
bool detaching_sends_clients_away(const struct operation *operation);

char *detaching_left_over(const struct operation *operation); /* for operation_kind */
