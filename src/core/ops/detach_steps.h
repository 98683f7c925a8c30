/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The steps that detach a volume, shared by the operations that do: detach, and delete of an
 * attached volume. Their context starts with a struct detaching.
 */

#include "core/ops/cloud_step.h"

struct detaching {
	char *job_id;
	bool force; /* also a device that is held */
	/* the name and its users wait for the volume to come back; others do not */
	bool keep_name;
	bool if_attached;  /* not attached is no error: there is nothing to detach */
	bool attached;     /* found by the check */
	char *vm_id;       /* from which VM */
	char *device_path; /* the disk it was, for the response */
	/* who has come while nobody ran that could look; NULL or empty: nobody */
	char *users;
	/* not stored */
	bool looked; /* this process has looked at its users, and nobody is in the way */
	struct cloud_change change;
};

/* Rows of the field table of a context whose first member is `struct detaching detaching`. */
#define DETACHING_FIELD(CONTEXT, MEMBER, TYPE, DOC)                                                \
	{                                                                                          \
		.name = #MEMBER, .type = FIELD_##TYPE,                                             \
		.offset =                                                                          \
			offsetof(struct CONTEXT, detaching) + offsetof(struct detaching, MEMBER),  \
		.size = FIELD_SIZE_OF(detaching, MEMBER, TYPE), .doc = (DOC)                       \
	}
#define DETACHING_FIELDS(CONTEXT)                                                                  \
	DETACHING_FIELD(CONTEXT, job_id, UUID, "Job of the detachment."),                          \
		DETACHING_FIELD(CONTEXT, force, BOOL, "Detach although it is held."),              \
		DETACHING_FIELD(CONTEXT, keep_name, BOOL,                                          \
				"The name and its users wait for it to come back."),               \
		DETACHING_FIELD(CONTEXT, if_attached, BOOL, "Not attached is no error."),          \
		DETACHING_FIELD(CONTEXT, attached, BOOL, "It was attached when the turn came."),   \
		DETACHING_FIELD(CONTEXT, users, TEXT,                                              \
				"Who has come to use it since the look at its users."),            \
		DETACHING_FIELD(CONTEXT, vm_id, UUID, "The virtual machine it is detached from."), \
		DETACHING_FIELD(CONTEXT, device_path, TEXT, "The device it was.")

#define DETACHING_STEP_COUNT 7
extern const struct step detaching_steps[DETACHING_STEP_COUNT];
/* Of an operation_kind's groups. */
#define DETACHING_STEPS                                                                            \
	{                                                                                          \
		.steps = detaching_steps, .count = DETACHING_STEP_COUNT                            \
	}

char *detaching_left_over(const struct operation *operation); /* of an operation_kind */
