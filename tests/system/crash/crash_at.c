/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon with a weak spot. It is linked from the same parts as the real one, but every batch
 * passes through here on its way to the store. The file VOLD_CRASH_AT, once it is there, names one:
 * "attach/await-job/before", "…/after" or "…/stop". Before: the process dies when the batch is
 * handed over, and nothing of it is ever written. After: it dies when the batch is durable and
 * nobody has heard of it yet. Stop: it stands still at that moment, until it gets a SIGCONT.
 *
 * A batch is named after the operation's state that it holds: "accept" for the first, "end" for the
 * last, otherwise the step, with "undo " before it while things are taken back, and " again" behind
 * it when the operation has come back to the step. The batch that accepts a store from the past is
 * "store/accept".
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct stop {
	store_done_fn done;
	void *arg;
};

static void on_durable_stop(void *arg, const struct err *err)
{
	struct stop *stop = arg;

	raise(SIGSTOP);
	stop->done(stop->arg, err);
	free(stop);
}

static struct stop *stop_new(store_done_fn done, void *arg)
{
	struct stop *stop = xnew(struct stop);

	stop->done = done;
	stop->arg = arg;
	return stop;
}

static const char *moment_of(const struct operation_record *record)
{
	if (record->status == OPERATION_PENDING)
		return "accept";
	return operation_status_is_final(record->status) ? "end" : record->step;
}

/* Which moments there were, of all operations since the plan was made. */
static bool is_again(const char *moment)
{
	static char *seen;
	_cleanup_free_ char *entry = xasprintf("|%s|", moment);
	bool again = seen && strstr(seen, entry);
	char *more;

	if (!again) {
		more = xasprintf("%s%s", seen ? seen : "", entry);
		free(seen);
		seen = more;
	}
	return again;
}

static char *name_of(const struct operation_record *record)
{
	bool undo = record->undoing && !operation_status_is_final(record->status);
	_cleanup_free_ char *moment = xasprintf("%s/%s%s", operation_type_names[record->type],
						undo ? "undo " : "", moment_of(record));

	return xasprintf("%s%s", moment, is_again(moment) ? " again" : "");
}

/* NULL: the change is no moment. */
static char *moment_name(const struct store_change *change)
{
	if (change->table == STORE_MARKS && streq(change->row.mark.id, STORE_MARK_PAST))
		return xstrdup("store/accept");
	if (change->table != STORE_OPERATIONS || change->remove)
		return NULL;
	return name_of(&change->row.operation);
}

static bool is_planned(const char *plan, const char *name, const char *when)
{
	_cleanup_free_ char *moment = xasprintf("%s/%s", name, when);

	return streq(plan, moment);
}

void __wrap_store_submit(struct store *store, struct store_batch *batch, store_done_fn done,
			 void *arg)
{
	_cleanup_free_ char *plan = read_file_at(AT_FDCWD, getenv("VOLD_CRASH_AT"), 100, NULL);
	const struct store_change *change;

	STAILQ_FOREACH(change, &batch->changes, entry) {
		_cleanup_free_ char *name = plan ? moment_name(change) : NULL;

		if (!name)
			continue;
		if (is_planned(plan, name, "before"))
			raise(SIGKILL);
		if (is_planned(plan, name, "after"))
			done = on_durable;
		if (is_planned(plan, name, "stop")) {
			arg = stop_new(done, arg);
			done = on_durable_stop;
		}
	}
	__real_store_submit(store, batch, done, arg);
}
