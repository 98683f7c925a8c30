/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hooks of a cloud_change_kind for the attachment of a volume, as data disk or as root disk; the
 * context of the operation starts with a struct attach_context. */

#include "core/ops/cloud_change.h"

/*
 * In the first step, when the volume was listed: the volume, attached to nothing and idle; NULL: it
 * is not, and the step has ended.
 */
const struct cloud_volume *op_attach_free_volume_or_end(struct operation *operation,
							const struct cloud_result *result);
enum cloud_refusal op_attach_refused(struct operation *operation, const struct err *err);
int op_attach_check(struct operation *operation, const struct cloud_volume *volume,
		    struct err *err);
void op_attach_keep_words(struct operation *operation, const char *words);
void op_attach_missed(struct operation *operation, const struct err *err);
/* CloudStack has lost the operation's volume together with the job. */
void op_attach_note_lost(struct operation *operation);
