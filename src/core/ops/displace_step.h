/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A volume that makes way: it is detached from its VM, and the undo puts it back. Steps of an
 * operation whose context starts with a struct attach_context. */

#include "core/ops/cloud_change.h"

struct displaced {
	char *volume_id; /* NULL or empty: none has to make way */
	char *vm_id;
	bool is_root; /* of that VM, which is stopped */
	char *job_id, *undo_job_id;
	/* not stored */
	struct cloud_change change, undo;
};

void displace(struct operation *operation);
void displace_undo(struct operation *operation);
