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
#include "core/ops/ops.h"
#include "core/ops/refusal.h"

#define PATIENCE_MS 10000
#define NO_REASON_OF_CLOUDSTACK (FACT_USERS | FACT_NBD_CLIENTS | FACT_COMMANDS)

struct search {
	struct operation *operation;
	struct fact_finder *finder;
	struct err *refusal;
};

static void search_free(void *awaited)
{
	struct search *search = awaited;

	fact_finder_free(search->finder);
	free(search->refusal);
	free(search);
}

static void on_facts(void *arg, const struct op_facts *facts)
{
	struct search *search = arg;
	struct operation *operation = search->operation;
	struct err err = *search->refusal, reason = { 0 };

	if (op_check(operation, facts, &reason) < 0) {
		err.reason = reason.reason;
		err_reword(&err, "%s. CloudStack's words: %s (code %d)", reason.text,
			   err.cloud_text, err.cloud_code);
	}
	search_free(search);
	operation_fail(operation, &err);
}

void reason_fail(struct operation *operation, const struct err *err)
{
	static const struct wait_kind kind = { .cancel = search_free };
	unsigned wanted = op_check_needs(operation) & ~(unsigned)NO_REASON_OF_CLOUDSTACK;
	struct search *search;

	/* The checks are those of the operation, and say nothing about its undoing. */
	if (!err->cloud_code || err->reason != ERR_REASON_NONE || operation->record.undoing ||
	    !wanted) {
		operation_fail(operation, err);
		return;
	}
	search = xnew(struct search);
	search->operation = operation;
	err_keep(&search->refusal, err);
	/* What the step had to wait for has come; the search has an end of its own. */
	loop_timer_clear(operation->ops->env->loop, &operation->deadline);
	search->finder = facts_find(operation, wanted, false, PATIENCE_MS, on_facts, search);
	operation_wait(operation, search, &kind);
}

void reason_fail_refused(struct operation *operation, const struct err *refusal)
{
	struct err err = *refusal;

	refusal_explain(operation, operation->record.vm_id, &err);
	reason_fail(operation, &err);
}
