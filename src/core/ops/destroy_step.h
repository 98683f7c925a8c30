/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Destroying a volume with all its data, in the strongest form that CloudStack allows: the hooks of
 * a cloud_change_kind, shared by the operations that need them. */

#include "core/ops/cloud_change.h"

/* From the strongest to the weakest. */
enum destroy_form {
	DESTROY_EXPUNGE, /* destroyVolume with expunge */
	DESTROY_TO_BIN,  /* destroyVolume: CloudStack keeps the volume until its purge delay has
			    passed */
	DESTROY_DELETE,  /* deleteVolume, for servers and roles without destroyVolume */
};

/* The state of a destruction while it is under way; part of the operation's context, and not
 * stored: a process that goes on with a destruction begins with the strongest form again. */
struct destruction {
	struct cloud_change change;
	enum destroy_form form;
	bool in_bin;   /* the volume is destroyed, and CloudStack still keeps it */
	bool unlisted; /* CloudStack did not list the volume when it was last looked at */
};

/* For `submit`. */
struct cloud_call *destruction_submit(const struct destruction *destruction,
				      struct operation *operation, const char *job_id,
				      cloud_done_fn done, void *arg);
/* For `refused`. If the form is not allowed, the next weaker form is requested. */
enum cloud_refusal destruction_refused(struct destruction *destruction, const struct err *err);
/*
 * For `check`: the volume is gone, or in CloudStack's bin. The model still has the volume.
 *
 * An empty list proves nothing, as the volume may have moved to another account or project. Proofs
 * are: CloudStack reported success, or CloudStack says that the id belongs to no volume.
 */
int destruction_check(struct destruction *destruction, const struct cloud_volume *volume,
		      struct err *err);
/* For `missed`: CloudStack is asked once more, or the operation fails. */
void destruction_missed(struct destruction *destruction, const struct err *err);
