/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * CloudStack often refuses with words such as "Failed to attach volume" (code 530), or with words
 * of a version that we have never seen. A client cannot do anything with those. So all checks that
 * the operation's kind has are made afterwards, as for a plan: most likely the one that refuses is
 * the cause, and its words say what helps.
 *
 * The users of the disk are left out: CloudStack does not know them, so they cannot be its reason.
 * So are the rights: a command that is denied has words that are known.
 */

#include "core/ops/reason.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/ops/check.h"
#include "core/ops/fact_finder.h"
#include "core/ops/refusal.h"

#define PATIENCE_MS 10000
#define NO_REASON_OF_CLOUDSTACK (FACT_USERS | FACT_NBD_CLIENTS | FACT_COMMANDS)

static void cancel_search(void *awaited)
{
	fact_finder_free(awaited);
}

static void on_facts(void *arg, const struct op_facts *facts)
{
	struct operation *operation = arg;
	struct err err = *operation->failure, reason = { 0 };

	if (op_check(operation, facts, &reason) < 0) {
		err.code = reason.code;
		err.reason = reason.reason;
		err_reword(&err, "%s. CloudStack's words: %s (code %d)", reason.text,
			   err.cloud_text, err.cloud_code);
	}
	fact_finder_free(operation->awaited);
	operation_fail(operation, &err);
}

void reason_fail(struct operation *operation, const struct err *err)
{
	static const struct wait_kind kind = { .cancel = cancel_search };
	unsigned wanted = op_check_needs(operation) & ~(unsigned)NO_REASON_OF_CLOUDSTACK;

	/* The checks are those of the operation, and say nothing about its undoing. */
	if (!err->cloud_code || err->reason != ERR_REASON_NONE || operation->record.undoing ||
	    !wanted)
		operation_fail(operation, err);
	else
		operation_fail_after(operation, err,
				     facts_find(operation, wanted, false, PATIENCE_MS, on_facts,
						operation),
				     &kind);
}

void reason_fail_refused(struct operation *operation, const struct err *refusal)
{
	struct err err = *refusal;

	refusal_explain(operation, operation->record.vm_id, &err);
	reason_fail(operation, &err);
}
