/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Refusals by CloudStack, in words that help the client. */

#include "base/err.h"

struct operation;

/*
 * Says a refusal, or the failure of a job, in other words if its reason is known: what failed, why,
 * and what helps, with the ids of the request. vm_id: the VM that it is about, NULL if it has no
 * id. CloudStack's own words go to the log and stay in err.
 */
void refusal_explain(const struct operation *operation, const char *vm_id, struct err *err);
