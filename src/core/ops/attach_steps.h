/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The steps that attach a volume to the VM in the record of the operation, shared by the operations
 * that need them. The context of such an operation starts with a struct attach_context. */

#include "core/engine/operation_table.h"

#define ATTACHING_STEP_COUNT 7
extern const struct step attaching_steps[ATTACHING_STEP_COUNT];
/* A member of operation_kind's groups. */
#define ATTACHING_STEPS                                                                            \
	{                                                                                          \
		.steps = attaching_steps, .count = ATTACHING_STEP_COUNT                            \
	}

/*
 * For a step before these steps, which knows the size of the volume: disks that come from here on
 * are new. False: the attachment may not begin. Then *rival is another attachment whose end is to
 * be waited for, or NULL, and the step has ended and runs again later.
 */
bool op_attach_begin_or_wait(struct operation *operation, struct operation **rival);
