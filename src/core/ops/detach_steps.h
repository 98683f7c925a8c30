/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The steps that detach a volume, shared by the operations that need them: detach, and delete of an
 * attached volume. The context of such an operation starts with a struct detaching. */

#include "core/ops/cloud_step.h"

struct detaching {
	char *job_id;
	bool force; /* also if the device is held */
	/* the name and its users wait until the volume comes back */
	bool keep_name;
	bool if_attached;  /* a volume that is not attached is no error */
	bool attached;     /* found out by the check */
	char *vm_id;       /* the VM it is detached from */
	char *device_path; /* the volume's disk, for the response */
	/* the users that came while no daemon ran to see them; NULL or empty: none */
	char *users;
	/* not stored */
	bool looked; /* this process has looked for users, and none is in the way */
	struct cloud_change change;
};

/* Rows of the field table of a context that starts with a struct detaching. */
#define DETACHING_FIELDS                                                                           \
	FIELD(detaching, job_id, UUID, .doc = "Job of the detachment."),                           \
		FIELD(detaching, force, BOOL, .doc = "Detach although the device is held."),       \
		FIELD(detaching, keep_name, BOOL,                                                  \
		      .doc = "The name and its users wait until the volume comes back."),          \
		FIELD(detaching, if_attached, BOOL,                                                \
		      .doc = "A volume that is not attached is no error."),                        \
		FIELD(detaching, attached, BOOL,                                                   \
		      .doc = "The volume was attached when the operation's turn came."),           \
		FIELD(detaching, users, TEXT,                                                      \
		      .doc = "The users that came since the first look for users."),               \
		FIELD(detaching, vm_id, UUID,                                                      \
		      .doc = "The virtual machine that the volume is detached from."),             \
		FIELD(detaching, device_path, TEXT, .doc = "The device that the volume was.")

#define DETACHING_STEP_COUNT 7
extern const struct step detaching_steps[DETACHING_STEP_COUNT];
/* A member of operation_kind's groups. */
#define DETACHING_STEPS                                                                            \
	{                                                                                          \
		.steps = detaching_steps, .count = DETACHING_STEP_COUNT                            \
	}

char *detaching_left_over(const struct operation *operation); /* for operation_kind */
