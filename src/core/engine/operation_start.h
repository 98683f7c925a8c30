/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How operations begin, come back and are woken. */

#include "core/engine/operation_table.h"

struct engine;
struct env;
struct model;

/* kinds: by type. ops: for the steps; the engine hands it on with each operation and does not look
 * inside. */
struct engine *engine_new(struct env *env, struct model *model,
			  const struct operation_kind *const *kinds, struct ops *ops);
/* returns NULL, takes NULL; all operations are forgotten */
struct engine *engine_free(struct engine *engine);

/* The arguments of a new operation. */
struct operation_order {
	enum operation_type type;
	const char *volume_id; /* NULL if it is not known yet */
	const char *vm_id;
	const char *request_id; /* NULL if the client gave none */
	char *request;          /* JSON kept with the operation; taken over */
	const char *caller;     /* JSON: who asks; NULL: the daemon itself */
	const char *owner;      /* operation_owner() of the caller */
	void *context;          /* heap struct of the kind; taken over */
};

/* accepted runs once, on a later turn, when the operation is durable or the store has refused it
 * (then its operation is NULL). */
struct operation_asker *operation_start(struct engine *engine, const struct operation_order *order,
					operation_accepted_fn accepted, void *arg);
/* An operation that is never begun, for questions about it: it stands in no registry, queue or
 * store, and no verb may be said of it. To be freed with operation_free(). */
struct operation *operation_imagine(struct engine *engine, const struct operation_order *order);
/* Puts a stored, unfinished operation into its queues, and takes the record's texts. The operation
 * stands still until operations_go_on(). */
void operation_load(struct engine *engine, struct operation_record *taken);
/* All loaded operations go on where they stood. */
void operations_go_on(struct engine *engine);
/* The leftovers that this ended operation could not undo are gone, so the operation needs no
 * attention any more. */
void operation_settle(struct engine *engine, const struct operation_record *record);
/*
 * The same on the word of an administrator, who knows better: words end the operation's error, and
 * details and caller (JSON objects) are its row of history. done runs once, on a later turn, with
 * the operation as it is then.
 */
typedef void (*operation_resolved_fn)(void *arg, const struct operation_record *record,
				      const struct err *err);
struct settling *operation_resolve(struct engine *engine, const struct operation_record *record,
				   const char *words, const char *details, const char *caller,
				   operation_resolved_fn done, void *arg);
void settling_forget(struct settling *settling); /* done will not run */
/* Is an end of this operation's attention being committed? */
bool operation_is_settling(const struct engine *engine, const char *operation_id);
/* How many such ends were begun so far: what the store was asked before the last one may not hold
 * any more. */
uint64_t operation_settlings(const struct engine *engine);
/* A device came, went or changed: steps that wait for the kernel run again, and jobs that
 * may concern the device are polled at once. */
void operation_on_device(struct engine *engine, const struct device *device);
/*
 * While CloudStack is away, all operations that wait for it ask in turn, so that thousands ask no
 * more often than a few. Returns the ms after which an operation that would wait for delay_ms may
 * ask.
 */
int64_t operation_retry_in(struct engine *engine, int64_t delay_ms);
/* CloudStack is back: steps that wait for it run again, at once or, if CloudStack came back a
 * moment ago as well, some seconds later. */
void operation_on_cloud_back(struct engine *engine);
