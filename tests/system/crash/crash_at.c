/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon with a weak spot. It is linked from the same parts as the real one, but every batch
 * passes through here on its way to the store. The file VOLD_CRASH_AT, once it is there, names one:
 * "attach/await-job/before" or "…/after". Before: the process dies when the batch is handed over,
 * and nothing of it is ever written. After: it dies when the batch is durable and nobody has heard
 * of it yet.
 *
 * A batch is named after the operation's state that it holds: "accept" for the first, "end" for the
 * last, otherwise the step, with "undo " before it while things are taken back.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/batch.h"

/* The linker sends callers of store_submit() to the first and makes the second the real one. */
void __wrap_store_submit(struct store *store, struct store_batch *batch, store_done_fn done,
			 void *arg);
void __real_store_submit(struct store *store, struct store_batch *batch, store_done_fn done,
			 void *arg);

static void on_durable(void *arg, const struct err *err)
{
	if (err->code == ERR_NONE)
		raise(SIGKILL);
}

static const char *moment_of(const struct operation_record *record)
{
	if (record->status == OPERATION_PENDING)
		return "accept";
	return operation_status_is_final(record->status) ? "end" : record->step;
}

static bool is_planned(const struct operation_record *record, const char *when)
{
	_cleanup_free_ char *plan = read_file_at(AT_FDCWD, getenv("VOLD_CRASH_AT"), 100, NULL);
	bool undo = record->undoing && !operation_status_is_final(record->status);
	_cleanup_free_ char *name = xasprintf("%s/%s%s/%s", operation_type_names[record->type],
					      undo ? "undo " : "", moment_of(record), when);

	return streq(plan, name);
}

void __wrap_store_submit(struct store *store, struct store_batch *batch, store_done_fn done,
			 void *arg)
{
	const struct store_change *change;

	STAILQ_FOREACH(change, &batch->changes, entry) {
		if (change->table != STORE_OPERATIONS || change->remove)
			continue;
		if (is_planned(&change->row.operation, "before"))
			raise(SIGKILL);
		if (is_planned(&change->row.operation, "after"))
			done = on_durable;
	}
	__real_store_submit(store, batch, done, arg);
}
