/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where operations stand: in the list of the unfinished or of the ended, and in a queue behind
 * others on the same volume. operation_start.c makes them, operation.c moves them. */

#include "core/engine/operation_table.h"

#include <assert.h>

#include "cloud/cloud_refusals.h"
#include "core/engine/engine.h"
#include "core/env.h"
#include "core/event.h"
#include "core/model/commit.h"
#include "core/model/event.h"

void operation_link(struct operation *operation)
{
	struct engine *engine = operation->engine;
	const struct operation_record *record = &operation->record;
	struct operation *older;

	HASH_ADD_KEYPTR(hh, engine->operations, record->id, strlen(record->id), operation);
	if (!record->request_id)
		return;
	/* A key is free again after a day, and the operation that had it may still be in memory. */
	older = operation_find_request(engine, record->request_id);
	if (older && (older->record.created_at > record->created_at ||
		      (older->record.created_at == record->created_at &&
		       strcmp(older->record.id, record->id) > 0)))
		return;
	if (older) {
		HASH_DELETE(request_hh, engine->requests, older);
		older->has_request = false;
	}
	HASH_ADD_KEYPTR(request_hh, engine->requests, record->request_id,
			strlen(record->request_id), operation);
	operation->has_request = true;
}

void operation_add(struct operation *operation)
{
	struct engine *engine = operation->engine;

	operation_link(operation);
	TAILQ_INSERT_TAIL(&engine->unfinished, operation, age_entry);
	engine->unfinished_count++;
}

static void drop_record(struct operation_record **record)
{
	if (!*record)
		return;
	record_clear(&operation_record, *record);
	free(TAKE_PTR(*record));
}

void operation_drop_ended(struct operation *operation)
{
	drop_record(&operation->ended);
}

void operation_drop_durable(struct operation *operation)
{
	drop_record(&operation->durable);
}

struct operation_record *operation_edit(struct operation *operation)
{
	if (!operation->durable) {
		operation->durable = xnew(struct operation_record);
		record_copy(&operation_record, operation->durable, &operation->record);
	}
	return &operation->record;
}

const struct operation_record *operation_shown(const struct operation *operation)
{
	return operation->durable ? operation->durable : &operation->record;
}

void operation_change_drop(struct operation *operation)
{
	change_free(TAKE_PTR(operation->change));
}

void operation_stop_waiting(struct operation *operation)
{
	struct loop *loop = operation->engine->env->loop;

	if (operation->awaited)
		operation->wait_kind->cancel(TAKE_PTR(operation->awaited));
	loop_task_cancel(loop, &operation->turn);
	loop_timer_clear(loop, &operation->sleep);
}

struct cloud_refusals *operation_refusals(struct operation *operation)
{
	if (operation->refusals)
		return operation->refusals;
	operation->refusals = xnew(struct cloud_refusals);
	TAILQ_INSERT_TAIL(&operation->engine->refused, operation, refused_entry);
	return operation->refusals;
}

static void drop_refusals(struct operation *operation)
{
	struct cloud_refusals *refusals = TAKE_PTR(operation->refusals);

	if (!refusals)
		return;
	TAILQ_REMOVE(&operation->engine->refused, operation, refused_entry);
	cloud_refusals_clear(refusals);
	free(refusals);
}

struct operation *operation_refused_first(const struct engine *engine)
{
	return TAILQ_FIRST(&engine->refused);
}

struct operation *operation_refused_after(const struct operation *operation)
{
	return TAILQ_NEXT(operation, refused_entry);
}

void operation_unlink(struct operation *operation)
{
	struct engine *engine = operation->engine;

	drop_refusals(operation);
	HASH_DEL(engine->operations, operation);
	if (operation->has_request)
		HASH_DELETE(request_hh, engine->requests, operation);
	operation->has_request = false;
	if (operation->phase == PHASE_ENDED) {
		TAILQ_REMOVE(&engine->ended, operation, age_entry);
		engine->ended_count--;
	} else {
		TAILQ_REMOVE(&engine->unfinished, operation, age_entry);
		engine->unfinished_count--;
	}
}

void operation_waits_for(struct operation *operation, const char *text)
{
	if (streq(text, operation->record.waits_for))
		return;
	str_set(&operation->record.waits_for, text);
	if (operation->durable)
		str_set(&operation->durable->waits_for, text);
	/* The end of a commit is told anyway, and nothing before that. */
	if (operation->phase != PHASE_COMMITTING)
		events_operation(operation->engine->model, EVENT_OPERATION_CHANGED,
				 operation_shown(operation));
}

struct operation_asker *operation_join(struct operation *operation, operation_accepted_fn accepted,
				       void *arg)
{
	struct operation_asker *asker = xnew(struct operation_asker);

	assert(operation->accepting);
	asker->operation = operation;
	asker->accepted = accepted;
	asker->arg = arg;
	TAILQ_INSERT_TAIL(&operation->askers, asker, entry);
	return asker;
}

void operation_leave(struct operation_asker *asker)
{
	TAILQ_REMOVE(&asker->operation->askers, asker, entry);
	free(asker);
}

const struct operation_kind *operation_kind_of(const struct engine *engine,
					       const struct operation_record *record)
{
	const struct operation_kind *kind = engine->kinds[record->type];

	return kind->variant && kind->is_variant(record) ? kind->variant : kind;
}

void operation_context_free(struct engine *engine, enum operation_type type, void *context)
{
	if (context)
		record_clear(engine->kinds[type]->context, context);
	free(context);
}

struct operation_memory {
	struct operation_memory *next;
	max_align_t bytes[];
};

void *operation_alloc(struct operation *operation, size_t size)
{
	struct operation_memory *memory = xcalloc(1, sizeof(*memory) + size);

	memory->next = operation->memory;
	operation->memory = memory;
	return memory->bytes;
}

static void free_memory(struct operation *operation)
{
	struct operation_memory *memory;

	while ((memory = operation->memory)) {
		operation->memory = memory->next;
		free(memory);
	}
}

void operation_free(struct operation *operation)
{
	assert(TAILQ_EMPTY(&operation->askers));
	assert(!operation->queue && !operation->vm_queue);
	operation_stop_waiting(operation);
	loop_timer_clear(operation->engine->env->loop, &operation->deadline);
	if (operation->phase != PHASE_COMMITTING)
		operation_change_drop(operation);
	operation_drop_ended(operation);
	operation_drop_durable(operation);
	operation_context_free(operation->engine, operation->kind->type, operation->context);
	err_keep(&operation->failure, NULL);
	err_keep(&operation->interruption, NULL);
	drop_refusals(operation);
	free_memory(operation);
	free(operation->asked_by);
	free(operation->owner);
	record_clear(&operation_record, &operation->record);
	free(operation);
}

/* ---- the queue of a volume ---- */

static struct volume_queue *queue_get(struct engine *engine, const char *volume_id)
{
	struct volume_queue *queue;

	HASH_FIND_STR(engine->queues, volume_id, queue);
	if (queue)
		return queue;
	queue = xnew(struct volume_queue);
	queue->volume_id = xstrdup(volume_id);
	TAILQ_INIT(&queue->operations);
	HASH_ADD_KEYPTR(hh, engine->queues, queue->volume_id, strlen(queue->volume_id), queue);
	return queue;
}

void operation_leave_queue(struct operation *operation)
{
	struct volume_queue *queue = TAKE_PTR(operation->queue);

	if (!queue)
		return;
	TAILQ_REMOVE(&queue->operations, operation, queue_entry);
	if (!TAILQ_EMPTY(&queue->operations))
		return;
	HASH_DEL(operation->engine->queues, queue);
	free(queue->volume_id);
	free(queue);
}

void operation_join_queue(struct operation *operation, const char *volume_id)
{
	operation->queue = queue_get(operation->engine, volume_id);
	TAILQ_INSERT_TAIL(&operation->queue->operations, operation, queue_entry);
}

bool operation_is_first(struct operation *operation)
{
	const struct operation *before = NULL;
	_cleanup_free_ char *text = NULL;

	if (operation->queue)
		before = TAILQ_PREV(operation, operation_list, queue_entry);
	if (!before)
		return true;
	text = xasprintf("operation %s on the same volume", before->record.id);
	operation_waits_for(operation, text);
	return false;
}

struct operation *operation_first(const struct engine *engine)
{
	return TAILQ_FIRST(&engine->unfinished);
}

struct operation *operation_after(const struct operation *operation)
{
	return TAILQ_NEXT(operation, age_entry);
}

size_t operation_count(const struct engine *engine)
{
	return engine->unfinished_count;
}

bool operation_busy(struct engine *engine, const char *volume_id)
{
	struct volume_queue *queue;

	HASH_FIND_STR(engine->queues, volume_id, queue);
	return queue != NULL;
}

bool operation_volume_has_disk(struct engine *engine, const char *volume_id)
{
	const struct volume_queue *queue;

	HASH_FIND_STR(engine->queues, volume_id, queue);
	return queue && TAILQ_FIRST(&queue->operations)->has_disk;
}

void operation_set_volume(struct operation *operation, const char *volume_id)
{
	str_set(&operation_edit(operation)->volume_id, volume_id);
	operation->queue = queue_get(operation->engine, volume_id);
	TAILQ_INSERT_HEAD(&operation->queue->operations, operation, queue_entry);
}

/* ---- look-up ---- */

struct operation *operation_find(struct engine *engine, const char *id)
{
	struct operation *operation;

	HASH_FIND_STR(engine->operations, id, operation);
	return operation;
}

struct operation *operation_find_request(struct engine *engine, const char *request_id)
{
	struct operation *operation;

	HASH_FIND(request_hh, engine->requests, request_id, strlen(request_id), operation);
	return operation;
}

void operation_each(struct engine *engine, void (*fn)(void *arg, const char *operation_id),
		    void *arg)
{
	struct operation *operation, *next;

	HASH_ITER(hh, engine->operations, operation, next)
		fn(arg, operation->record.id);
}
