/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The reason of a refusal that CloudStack words in a way that nobody knows. */

#include "base/err.h"

struct operation;

/*
 * Fails the operation with err, and ends the step. If err is a refusal of CloudStack without a
 * known reason, the operation's checks look for one first, which takes some reads; the step waits
 * meanwhile. If a check would refuse the operation, the error is the check's, as a plan has it,
 * with CloudStack's words.
 */
void reason_fail(struct operation *operation, const struct err *err);
/* The same for a refusal as it came, which is said in words that help (refusal.h) if it can be. */
void reason_fail_refused(struct operation *operation, const struct err *refusal);
