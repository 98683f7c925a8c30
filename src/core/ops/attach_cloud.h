/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hooks of a cloud_change_kind for the attachment of a volume, as data disk or as root disk; the
 * context of the operation starts with a struct attach_context. */

#include "core/ops/check.h"
#include "core/ops/cloud_change.h"

/* For the checks (check.h) of both. */
extern const struct op_check check_volume_free;
void op_attach_wish(const struct operation *operation, struct op_wish *out);
disk_users_judge_fn op_attach_users(const struct operation *operation);

enum cloud_refusal op_attach_refused(struct operation *operation, const struct err *err);
int op_attach_check(struct operation *operation, const struct cloud_volume *volume,
		    struct err *err);
void op_attach_keep_words(struct operation *operation, const char *words);
void op_attach_missed(struct operation *operation, const struct err *err);
/* CloudStack has lost the operation's volume together with the job. */
void op_attach_note_lost(struct operation *operation);
