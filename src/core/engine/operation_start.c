/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How operations begin and come back: accepted for a request, resumed after a start, settled when
 * their leftovers are gone, and woken when a device or CloudStack changes. operation.c moves them,
 * operation_table.c keeps them.
 */

#include "core/engine/operation_start.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "cloud/cloud.h"
#include "core/engine/engine.h"
#include "core/engine/estimate.h"
#include "core/engine/figures.h"
#include "core/engine/operation.h"
#include "core/engine/operation_owner.h"
#include "core/engine/operation_past.h"
#include "core/engine/operation_table.h"
#include "core/engine/vm_turn.h"
#include "core/env.h"
#include "core/event.h"
#include "core/model/commit.h"
#include "core/model/event.h"
#include "core/model/volume.h"
#include "disk/device.h"

/* All operations that wait for an absent CloudStack together ask it this often. */
#define RETRY_EVERY_MS 200
/* between two wakes of all operations; it doubles */
#define WAKE_PAUSE_MIN_MS 1000
#define WAKE_PAUSE_MAX_MS 16000
#define WAKE_STEADY_MS 60000 /* after such a time without a wake, the next one is at once */

static struct operation *operation_new(struct engine *engine)
{
	struct operation *operation = xnew(struct operation);

	record_init(&operation_record, &operation->record);
	operation->engine = engine;
	operation->ops = engine->ops;
	TAILQ_INIT(&operation->askers);
	operation_init_wakers(operation);
	operation->deadline.fire = operation_on_deadline;
	return operation;
}

struct operation_asker *operation_start(struct engine *engine, const struct operation_order *order,
					operation_accepted_fn accepted, void *arg)
{
	struct operation *operation = operation_new(engine);
	struct operation_asker *asker;
	char uuid[UUID_TEXT_SIZE];

	uuid_make_v7(uuid);
	operation->record.id = xasprintf("op-%s", uuid);
	operation->record.type = order->type;
	operation->record.status = OPERATION_PENDING;
	str_set(&operation->record.volume_id, str_or(order->volume_id, ""));
	str_set(&operation->record.vm_id, order->vm_id);
	str_set(&operation->record.request_id, order->request_id);
	operation->record.request = order->request;
	str_set(&operation->record.caller, str_or(order->caller, OPERATION_CALLER_DAEMON));
	str_set(&operation->asked_by, operation->record.caller);
	operation->owner = xstrdup(order->owner);
	operation->record.created_at = clock_record_ms();
	operation->kind = operation_kind_of(engine, &operation->record);
	operation->context = order->context;
	operation->accepting = true;
	asker = operation_join(operation, accepted, arg);
	operation_add(operation);
	if (order->volume_id)
		operation_join_queue(operation, order->volume_id);
	operation_commit(operation, "");
	return asker;
}

struct operation *operation_imagine(struct engine *engine, const struct operation_order *order)
{
	struct operation *operation = operation_new(engine);

	operation->record.type = order->type;
	str_set(&operation->record.id, "");
	str_set(&operation->record.volume_id, str_or(order->volume_id, ""));
	str_set(&operation->record.vm_id, order->vm_id);
	operation->record.request = order->request;
	operation->kind = operation_kind_of(engine, &operation->record);
	operation->context = order->context;
	return operation;
}

/* The kind's own text of a step's name; NULL if there is no such step. */
static const char *step_name(const struct operation_kind *kind, const char *name)
{
	for (size_t i = 0; operation_kind_step(kind, i); i++) {
		if (streq(operation_kind_step(kind, i)->name, name))
			return operation_kind_step(kind, i)->name;
	}
	return NULL;
}

static void restore_failure(struct operation *operation)
{
	const struct operation_record *record = &operation->record;
	_cleanup_json_ struct json *details = NULL;
	_cleanup_free_ char *name = NULL;
	struct err failure;

	if (!record->error)
		return;
	if (record->error_details)
		details = json_parse(record->error_details, strlen(record->error_details), NULL);
	name = xasprintf("%s%s", ERR_BUS_PREFIX, str_or(json_text(json_get(details, "name")), ""));
	err_set(&failure, err_from_bus_name(name), "%s", record->error);
	err_keep(&operation->failure, &failure);
	operation->failed_step = step_name(operation->kind, json_text(json_get(details, "step")));
	operation->undo_worked = record->undoing;
}

static int restore_context(struct operation *operation, struct err *err)
{
	operation->context = xcalloc(1, operation->kind->context->size);
	record_init(operation->kind->context, operation->context);
	if (operation_restore_context(operation, operation->record.context, err) < 0)
		return -1;
	operation_show_time(operation, &operation->record);
	str_set(&operation->record.context, NULL); /* each commit writes it again */
	return 0;
}

static int restore_step(struct operation *operation, struct err *err)
{
	if (operation->record.status == OPERATION_PENDING)
		return 0;
	for (size_t i = 0; operation_kind_step(operation->kind, i); i++) {
		if (streq(operation_kind_step(operation->kind, i)->name, operation->record.step)) {
			operation->step = i;
			operation->resumed = true;
			return 0;
		}
	}
	return err_set(
		err, ERR_INTERNAL,
		"the store has step \"%s\", which this volume-daemon does not know; install the version that wrote the store",
		str_or(operation->record.step, ""));
}

/* CloudStack may have a job of the operation on its VM. */
static bool may_have_job(const struct operation *operation)
{
	const struct operation_record *record = &operation->record;
	const struct step *step = operation_step(operation);

	if (record->status == OPERATION_PENDING || str_empty(record->vm_id))
		return false;
	return record->undoing ? step->undo_vm_turn : step->vm_turn && operation->step > 0;
}

void operation_load(struct engine *engine, struct operation_record *taken)
{
	struct operation *operation = operation_new(engine);
	const struct operation_record *record = &operation->record;
	struct err err;

	err_clear(&err);
	record_clear(&operation_record, &operation->record);
	operation->record = *taken;
	*taken = (struct operation_record){ 0 };
	operation->owner = operation_owner(record->caller);
	operation->kind = operation_kind_of(engine, record);
	operation_add(operation);
	if (!str_empty(record->volume_id))
		operation_join_queue(operation, record->volume_id);
	restore_failure(operation);
	volume_note_operation(engine->model, record);
	operation->from_past = operation_is_past(engine, record);
	operation->phase = PHASE_QUEUED;
	operation_time_is(operation, TIME_WAITING);
	estimate_show_status(&operation->record);
	if (restore_context(operation, &err) < 0 || restore_step(operation, &err) < 0) {
		operation->record.needs_attention = true;
		err_keep(&operation->interruption, &err);
	}
}

static void resume(struct operation *operation)
{
	struct err err = { 0 };

	if (operation->interruption && !operation->resumed) {
		err = *operation->interruption;
		operation_end_queued(operation, &err);
		return;
	}
	if (may_have_job(operation))
		vm_turn_share(operation);
	if (operation->from_past && operation_past_ends(operation, &err))
		operation_interrupt(operation, &err);
	operation_begin_if_turn(operation);
}

void operations_go_on(struct engine *engine)
{
	struct operation *operation;

	TAILQ_FOREACH(operation, &engine->unfinished, age_entry)
		resume(operation);
}

struct settling {
	TAILQ_ENTRY(settling) entry;
	struct engine *engine;
	struct operation_record record;
	operation_resolved_fn done; /* NULL: nobody waits */
	void *arg;
};

static void settling_free(struct settling *settling)
{
	TAILQ_REMOVE(&settling->engine->settlings, settling, entry);
	record_clear(&operation_record, &settling->record);
	free(settling);
}

static void on_settled(void *arg, const struct err *err)
{
	struct settling *settling = arg;
	struct operation *operation = operation_find(settling->engine, settling->record.id);

	if (err->code) {
		log_notice("operation=%s still needs attention: %s", settling->record.id,
			   err->text);
	} else {
		if (operation) {
			operation->record.needs_attention = false;
			operation->record.updated_at = settling->record.updated_at;
			str_set(&operation->record.error, settling->record.error);
		}
		log_notice("operation=%s needs no attention any more", settling->record.id);
		events_operation(settling->engine->model, EVENT_OPERATION_CHANGED,
				 &settling->record);
	}
	if (settling->done)
		settling->done(settling->arg, &settling->record, err);
	settling_free(settling);
}

struct settling *operation_resolve(struct engine *engine, const struct operation_record *record,
				   const char *words, const char *details, const char *caller,
				   operation_resolved_fn done, void *arg)
{
	struct change *change =
		change_new(engine->model,
			   str_empty(record->volume_id) ? record->id : record->volume_id);
	struct settling *settling = xnew(struct settling);

	settling->engine = engine;
	engine->settlings_begun++;
	TAILQ_INSERT_TAIL(&engine->settlings, settling, entry);
	record_copy(&operation_record, &settling->record, record);
	operation_show_stored(&settling->record);
	settling->record.needs_attention = false;
	settling->record.updated_at = clock_record_ms();
	free(settling->record.error);
	settling->record.error = xasprintf("%s; %s", str_or(record->error, "it failed"), words);
	settling->done = done;
	settling->arg = arg;
	change_put_operation(change, &settling->record, NULL,
			     operation_status_names[record->status], details, caller);
	change_submit(change, CHANGE_OPTIONAL, NULL, on_settled, settling);
	return settling;
}

void settling_forget(struct settling *settling)
{
	settling->done = NULL;
}

bool operation_is_settling(const struct engine *engine, const char *operation_id)
{
	const struct settling *settling;

	TAILQ_FOREACH(settling, &engine->settlings, entry) {
		if (streq(settling->record.id, operation_id))
			return true;
	}
	return false;
}

uint64_t operation_settlings(const struct engine *engine)
{
	return engine->settlings_begun;
}

void operation_settle(struct engine *engine, const struct operation_record *record)
{
	operation_resolve(engine, record, "a later check found nothing left of it",
			  "{\"settled\":true}", OPERATION_CALLER_DAEMON, NULL, NULL);
}

void operation_on_device(struct engine *engine, const struct device *device)
{
	struct operation *operation;

	TAILQ_FOREACH(operation, &engine->unfinished, age_entry) {
		if (operation->kind->type == OPERATION_CREATE)
			continue;
		if (operation->phase == PHASE_SLEEPING &&
		    operation_step(operation)->deadline == STEP_DEVICE)
			loop_task_queue(engine->env->loop, &operation->turn);
		else if (operation->awaited && operation->wait_kind->poke &&
			 device_identity(device, operation->record.volume_id) != IDENTITY_OTHER)
			operation->wait_kind->poke(operation);
	}
}

int64_t operation_retry_in(struct engine *engine, int64_t delay_ms)
{
	int64_t now_ms = clock_mono_ms(), turn_ms;
	int64_t last_ms = now_ms + (int64_t)engine->unfinished_count * RETRY_EVERY_MS;

	/* Delays differ, and a long one must not put off the short ones behind it. */
	if (engine->next_retry_ms < now_ms)
		engine->next_retry_ms = now_ms;
	/* The turns of operations that have ended are left over. */
	if (engine->next_retry_ms > last_ms)
		engine->next_retry_ms = last_ms;
	turn_ms = engine->next_retry_ms - now_ms;
	engine->next_retry_ms += RETRY_EVERY_MS;
	return delay_ms + turn_ms;
}

static void wake_all(struct engine *engine)
{
	struct operation *operation;

	loop_timer_clear(engine->env->loop, &engine->wake);
	engine->next_retry_ms = 0;
	engine->woken_ms = clock_mono_ms();
	engine->wake_pause_ms =
		engine->wake_pause_ms ? 2 * engine->wake_pause_ms : WAKE_PAUSE_MIN_MS;
	if (engine->wake_pause_ms > WAKE_PAUSE_MAX_MS)
		engine->wake_pause_ms = WAKE_PAUSE_MAX_MS;
	TAILQ_FOREACH(operation, &engine->unfinished, age_entry) {
		/* Ready: no CloudStack was configured when their turn came. */
		if (operation->phase == PHASE_READY ||
		    (operation->phase == PHASE_SLEEPING &&
		     operation_step(operation)->deadline == STEP_CLOUD))
			loop_task_queue(engine->env->loop, &operation->turn);
	}
}

/* If CloudStack is away once more, its next return wakes. */
static void on_wake_timer(struct loop_timer *timer)
{
	struct engine *engine = container_of(timer, struct engine, wake);
	struct cloud_health health;

	cloud_health(engine->env->cloud, &health);
	if (health.usable)
		wake_all(engine);
}

/* A CloudStack that answers some requests and not others seems to come back every moment. If each
 * return made all operations ask at once, they would never come to their longer pauses. */
void operation_on_cloud_back(struct engine *engine)
{
	int64_t since_ms = clock_mono_ms() - engine->woken_ms;

	if (since_ms >= WAKE_STEADY_MS)
		engine->wake_pause_ms = 0;
	if (since_ms >= engine->wake_pause_ms)
		wake_all(engine);
	else
		loop_timer_set(engine->env->loop, &engine->wake, engine->wake_pause_ms - since_ms);
}

struct engine *engine_new(struct env *env, struct model *model,
			  const struct operation_kind *const *kinds, struct ops *ops)
{
	struct engine *engine = xnew(struct engine);

	engine->env = env;
	engine->model = model;
	engine->kinds = kinds;
	engine->ops = ops;
	engine->figures = engine_figures_new();
	engine->estimates = engine_estimates_new();
	TAILQ_INIT(&engine->unfinished);
	TAILQ_INIT(&engine->refused);
	TAILQ_INIT(&engine->ended);
	TAILQ_INIT(&engine->settlings);
	engine->wake.fire = on_wake_timer;
	return engine;
}

static void free_all(struct engine *engine)
{
	struct operation *operation, *next;
	struct settling *settling;

	loop_timer_clear(engine->env->loop, &engine->wake);
	while ((settling = TAILQ_FIRST(&engine->settlings)))
		settling_free(settling);
	HASH_ITER(hh, engine->operations, operation, next) {
		operation_leave_queue(operation);
		vm_turn_leave(operation);
		operation_unlink(operation);
		operation_free(operation);
	}
}

struct engine *engine_free(struct engine *engine)
{
	if (!engine)
		return NULL;
	free_all(engine);
	engine_figures_free(engine->figures);
	engine_estimates_free(engine->estimates);
	free(engine);
	return NULL;
}
