/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Waits for the jobs of other clients of CloudStack on the volumes of a VM. */

#include "cloud/cloud.h"

struct operation;

/* Part of an operation's context, and not stored. */
struct vm_look {
	struct operation *operation;
	void (*then)(struct operation *operation);
};

/* CloudStack works on the volume: it shows a job, or a state that passes. */
bool cloud_volume_is_busy(const struct cloud_volume *volume);
/*
 * For a step before the request, while no operation of this daemon has a job on the VM in the
 * record: the first step, which has the VM's turn, or a later one. Goes on with `then` if
 * CloudStack shows no work on a volume of this VM, or if it was not asked. Otherwise the step ends,
 * and runs again later.
 */
void vm_idle_then(struct vm_look *look, struct operation *operation,
		  void (*then)(struct operation *operation));
