/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * CloudStack makes the changes of one VM one after the other, so nothing is faster if they are all
 * sent at once. But jobs that wait there are lost with the management server, and volumes with
 * them; they cannot be cancelled; and they can overtake jobs that were sent through another
 * management server. So the operations wait here.
 *
 * They take their turns in the order in which they were accepted, which is the order of their ids.
 * So the order is the same after a restart, and an operation that learns its VM late gets its place
 * all the same. An undo goes first: its volume is attached where it should not be. Normally one
 * operation has the turn; vm_turn_share() names the exceptions.
 */

#include "core/engine/vm_turn.h"

#include <assert.h>
#include <string.h>

#include "core/engine/engine.h"
#include "core/env.h"

/* All operations that have or want the turn of one VM. Lives as long as it has members. */
struct vm_queue {
	char *vm_id;
	struct operation_list having, waiting;
	UT_hash_handle hh;
};

static struct vm_queue *queue_get(struct engine *engine, const char *vm_id)
{
	struct vm_queue *queue;

	HASH_FIND_STR(engine->vm_queues, vm_id, queue);
	if (queue)
		return queue;
	queue = xnew(struct vm_queue);
	queue->vm_id = xstrdup(vm_id);
	TAILQ_INIT(&queue->having);
	TAILQ_INIT(&queue->waiting);
	HASH_ADD_KEYPTR(hh, engine->vm_queues, queue->vm_id, strlen(queue->vm_id), queue);
	return queue;
}

/* ---- those that wait ---- */

static void tell(struct operation *operation)
{
	const struct vm_queue *queue;
	const struct operation *before;
	_cleanup_free_ char *text = NULL;

	if (!operation)
		return;
	queue = operation->vm_queue;
	before = TAILQ_PREV(operation, operation_list, vm_entry);
	if (!before)
		before = TAILQ_LAST(&queue->having, operation_list);
	if (!before)
		return;
	text = xasprintf("operation %s on the same VM", before->record.id);
	operation_waits_for(operation, text);
}

static bool goes_before(const struct operation *operation, const struct operation *other)
{
	if (operation->record.undoing != other->record.undoing)
		return operation->record.undoing;
	return strcmp(operation->record.id, other->record.id) < 0;
}

static void join(struct operation *operation)
{
	struct vm_queue *queue = queue_get(operation->engine, operation->record.vm_id);
	struct operation *other;

	operation->vm_queue = queue;
	/* From the end, since most come in their order. */
	TAILQ_FOREACH_REVERSE(other, &queue->waiting, operation_list, vm_entry)
	{
		if (!goes_before(operation, other))
			break;
	}
	if (other)
		TAILQ_INSERT_AFTER(&queue->waiting, other, operation, vm_entry);
	else
		TAILQ_INSERT_HEAD(&queue->waiting, operation, vm_entry);
	tell(TAILQ_NEXT(operation, vm_entry));
}

static void have(struct operation *operation)
{
	struct vm_queue *queue = operation->vm_queue;

	TAILQ_REMOVE(&queue->waiting, operation, vm_entry);
	TAILQ_INSERT_TAIL(&queue->having, operation, vm_entry);
	operation->has_vm_turn = true;
	tell(TAILQ_FIRST(&queue->waiting));
}

static bool is_next(const struct operation *operation)
{
	const struct vm_queue *queue = operation->vm_queue;

	return TAILQ_EMPTY(&queue->having) && TAILQ_FIRST(&queue->waiting) == operation;
}

bool vm_turn_take(struct operation *operation)
{
	if (operation->has_vm_turn)
		return true;
	if (!operation->vm_queue)
		join(operation);
	if (!is_next(operation)) {
		tell(operation);
		return false;
	}
	have(operation);
	return true;
}

void vm_turn_share(struct operation *operation)
{
	bool waited = operation->vm_queue != NULL;

	if (operation->has_vm_turn)
		return;
	if (!waited)
		join(operation);
	have(operation);
	if (waited)
		loop_task_queue(operation->engine->env->loop, &operation->turn);
}

void vm_turn_leave(struct operation *operation)
{
	struct engine *engine = operation->engine;
	struct vm_queue *queue = TAKE_PTR(operation->vm_queue);
	struct operation *after, *first;

	if (!queue)
		return;
	if (operation->has_vm_turn) {
		after = NULL;
		TAILQ_REMOVE(&queue->having, operation, vm_entry);
	} else {
		after = TAILQ_NEXT(operation, vm_entry);
		TAILQ_REMOVE(&queue->waiting, operation, vm_entry);
	}
	operation->has_vm_turn = false;
	tell(after);
	first = TAILQ_FIRST(&queue->waiting);
	if (first && is_next(first)) {
		loop_task_queue(engine->env->loop, &first->turn);
	} else if (!first && TAILQ_EMPTY(&queue->having)) {
		HASH_DEL(engine->vm_queues, queue);
		free(queue->vm_id);
		free(queue);
	}
}
