/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How an operation moves.
 *
 * accept ──commit──► queued ──► enter step ──commit──► run ──next──► enter step … ──► finish
 *                                                       │
 *                                                       └──fail, cancel, overdue──► undo step
 *
 * undo step ──commit──► undo ──next──► undo step … ──► finish
 * finish ──commit──► ended
 *
 * Every arrow marked "commit" is one batch in the store: the operation's row, a history row and the
 * changes that the step has staged. on_committed() alone decides the next move, so an operation
 * has no second way to get anywhere, and a crash always leaves one of the states drawn here.
 */

#include "core/engine/operation.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "core/engine/engine.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/event.h"
#include "core/model/commit.h"
#include "core/model/event.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/model/volume.h"
#include "disk/sysblock.h"

/* Ended operations stay readable in memory (and on D-Bus) until this many younger ones have
 * ended. */
#define ENDED_KEPT 256

static void run_step(struct operation *operation);

/* ---- wakers ---- */

static void on_turn(struct loop_task *task)
{
	run_step(container_of(task, struct operation, turn));
}

static void on_sleep_over(struct loop_timer *timer)
{
	run_step(container_of(timer, struct operation, sleep));
}

static void on_deadline(struct loop_timer *timer);

void operation_init_wakers(struct operation *operation)
{
	operation->turn.run = on_turn;
	operation->sleep.fire = on_sleep_over;
	operation->deadline.fire = on_deadline;
}

/* ---- commits ---- */

static char *context_to_json(const struct operation *operation)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	record_to_json(operation->kind->context, operation->context, true, &writer);
	return buf_take(&out);
}

static char *history_details(const struct operation *operation)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	if (operation->record.step) {
		json_put_name(&writer, "step");
		json_put_text(&writer, operation->record.step);
	}
	if (operation->record.undoing) {
		json_put_name(&writer, "undoing");
		json_put_bool(&writer, true);
	}
	if (operation->record.error) {
		json_put_name(&writer, "error");
		json_put_text(&writer, operation->record.error);
	}
	json_end_object(&writer);
	return buf_take(&out);
}

static void tell_accepted(struct operation *operation, const struct err *err)
{
	struct operation_asker *asker;

	operation->accepting = false;
	/* Each round begins with the first asker, since an asker that is told may make another one
	 * leave. */
	while ((asker = TAILQ_FIRST(&operation->askers))) {
		operation_accepted_fn accepted = asker->accepted;
		void *arg = asker->arg;

		operation_leave(asker);
		accepted(arg, err->code == ERR_NONE ? operation : NULL, err);
	}
}

static char *response_json(struct operation *operation)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	operation->kind->respond(operation, &writer);
	json_end_object(&writer);
	return buf_take(&out);
}

/*
 * While the last commit waited for the store, the disk that it names may have gone, and another
 * disk may have got the name. Then the record that has just become durable is corrected and
 * committed once more, before a client hears of it.
 */
static bool is_still_true(void *arg)
{
	struct operation *operation = arg;
	struct engine *engine = operation->engine;
	struct mapping_record *mapping = change_mapping(operation->change);
	const struct device *device;

	if (!operation->ended || !mapping || !env_is_appliance(engine->env, mapping->vm_id))
		return true;
	device = mapping_disk(engine->env, mapping);
	if (device && !sysblock_verify(engine->env->sysblock, device))
		device = NULL;
	if (mapping_is_up_to_date(engine->model, mapping, device))
		return true;
	mapping_describe(engine->model, mapping, device);
	free(operation->ended->response);
	operation->ended->response = response_json(operation);
	operation_commit(operation, operation_status_names[operation->ended->status]);
	return false;
}

static struct operation *next_in_queue(const struct operation *operation)
{
	return operation->queue ? TAILQ_NEXT(operation, queue_entry) : NULL;
}

static void on_refused(struct operation *operation, const struct err *err)
{
	struct operation *waiting = next_in_queue(operation);
	struct engine *engine = operation->engine;

	tell_accepted(operation, err);
	operation_leave_queue(operation);
	operation_unlink(operation);
	operation_free(operation);
	notice_tell(engine->model, NOTICE_HOST_UNSURE); /* the export may have been closed for it */
	operation_begin_if_turn(waiting);
}

static void on_ended(struct operation *operation)
{
	struct engine *engine = operation->engine;
	struct operation *waiting = next_in_queue(operation), *oldest;

	operation_unlink(operation);
	record_clear(&operation_record, &operation->record);
	operation->record = *operation->ended;
	free(TAKE_PTR(operation->ended));
	operation->phase = PHASE_ENDED;
	operation_link(operation);
	TAILQ_INSERT_TAIL(&engine->ended, operation, age_entry);
	engine->ended_count++;
	operation_leave_queue(operation);

	log_write(operation->record.status == OPERATION_FAILED ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		  "%s operation=%s volume=%s: %s%s%s", operation_type_names[operation->record.type],
		  operation->record.id, operation->record.volume_id,
		  operation_status_names[operation->record.status],
		  operation->record.error ? ": " : "", str_or(operation->record.error, ""));
	volume_note_operation(engine->model, &operation->record);
	events_operation(engine->model, EVENT_OPERATION_ENDED, &operation->record);
	notice_tell(engine->model, NOTICE_DEVICES_UNSURE);
	if (operation->record.status != OPERATION_COMPLETED)
		notice_tell(engine->model, NOTICE_HOST_UNSURE);
	operation_begin_if_turn(waiting);

	while (engine->ended_count > ENDED_KEPT) {
		oldest = TAILQ_FIRST(&engine->ended);
		events_operation(engine->model, EVENT_OPERATION_FORGOTTEN, &oldest->record);
		operation_unlink(oldest);
		operation_free(oldest);
	}
}

/* If the store refuses a commit for good, the staged change is wrong (another volume has the
 * device), or we are. */
static void on_commit_refused(struct operation *operation, const struct err *err)
{
	struct engine *engine = operation->engine;

	if (err->code == ERR_UNAVAILABLE || operation->record.undoing || operation->failure) {
		/* The daemon stops, or nothing is left to try: the stored step runs again after the
		 * next start. */
		if (!engine->env->draining)
			log_error("operation=%s stands still until the next start: %s",
				  operation->record.id, err->text);
		return;
	}
	operation_drop_ended(operation);
	operation->phase = PHASE_RUNNING;
	operation_fail(operation, err);
}

static void on_committed(void *arg, const struct err *err)
{
	struct operation *operation = arg;
	struct engine *engine = operation->engine;

	operation->change = NULL;
	if (operation->accepting) {
		if (err->code) {
			on_refused(operation, err);
			return;
		}
		events_operation(engine->model, EVENT_OPERATION_STARTED, &operation->record);
		volume_note_operation(engine->model, &operation->record);
		operation->phase = PHASE_QUEUED;
		tell_accepted(operation, err);
		operation_begin_if_turn(operation);
		return;
	}
	if (err->code) {
		on_commit_refused(operation, err);
		return;
	}
	if (operation->ended) {
		on_ended(operation);
		return;
	}
	volume_note_operation(engine->model, &operation->record);
	events_operation(engine->model, EVENT_OPERATION_CHANGED, &operation->record);
	operation->phase = PHASE_READY;
	run_step(operation);
}

struct change *operation_change(struct operation *operation)
{
	const struct operation_record *record = &operation->record;

	if (!operation->change)
		operation->change =
			change_new(operation->engine->model,
				   str_empty(record->volume_id) ? record->id : record->volume_id);
	return operation->change;
}

struct change *operation_change_anew(struct operation *operation)
{
	operation_change_drop(operation);
	return operation_change(operation);
}

void operation_commit(struct operation *operation, const char *previous_status)
{
	static const struct change_hooks hooks = { .landed = is_still_true };
	struct operation_record *record = operation->ended ? operation->ended : &operation->record;
	struct change *change = operation_change(operation);
	_cleanup_free_ char *details = history_details(operation);

	record->updated_at = clock_wall_ms();
	free(record->context);
	record->context = context_to_json(operation);
	change_put_operation(change, record, previous_status, details);
	str_set(&record->context, NULL); /* the change has a copy */
	operation->phase = PHASE_COMMITTING;
	loop_timer_clear(operation->engine->env->loop, &operation->deadline);
	change_submit(change, operation->accepting ? CHANGE_OPTIONAL : CHANGE_WHATEVER_COMES,
		      &hooks, on_committed, operation);
}

/* ---- steps ---- */

static void enter_step(struct operation *operation, size_t step)
{
	const char *previous = operation_status_names[operation->record.status];

	operation->step = step;
	operation->runs = 0;
	operation->resumed = operation->job_lost = false;
	str_set(&operation->reason, NULL);
	operation->reason_code = ERR_NONE;
	operation->record.status = OPERATION_EXECUTING;
	operation->record.step_since = clock_wall_ms();
	str_set(&operation->record.step, operation_step(operation)->name);
	log_debug("operation=%s %s%s", operation->record.id,
		  operation->record.undoing ? "undo " : "", operation->record.step);
	operation_commit(operation, previous);
}

static int64_t step_deadline_ms(const struct operation *operation)
{
	switch (operation_step(operation)->deadline) {
	case STEP_CLOUD:
		return operation->engine->env->options.cloud_wait_ms;
	case STEP_DEVICE:
		return operation->engine->env->options.device_wait_ms;
	}
	abort();
}

static bool is_past_return(const struct operation *operation)
{
	for (size_t i = 0; i <= operation->step; i++) {
		if (operation_kind_step(operation->kind, i)->no_return)
			return true;
	}
	return false;
}

static void run_step(struct operation *operation)
{
	const struct step *step = operation_step(operation);
	struct engine *engine = operation->engine;

	/* Without CloudStack (the configuration lost it) no step can run, and no step can be
	 * undone. */
	if (engine->env->draining || !engine->env->cloud)
		return;
	loop_task_cancel(engine->env->loop, &operation->turn);
	loop_timer_clear(engine->env->loop, &operation->sleep);
	operation->phase = PHASE_RUNNING;
	if (operation->interruption) {
		struct err err = *operation->interruption;

		operation_keep_err(&operation->interruption, NULL);
		operation_fail(operation, &err);
		return;
	}
	if (!loop_timer_is_set(&operation->deadline))
		loop_timer_set(engine->env->loop, &operation->deadline,
			       step_deadline_ms(operation));
	operation->runs++;
	(operation->record.undoing ? step->undo : step->run)(operation);
	assert(operation->phase != PHASE_RUNNING); /* a step ends in exactly one verb */
}

void operation_begin_if_turn(struct operation *operation)
{
	if (!operation || operation->phase != PHASE_QUEUED || !operation_has_turn(operation))
		return;
	if (operation->resumed) {
		operation->phase = PHASE_READY;
		loop_task_queue(operation->engine->env->loop, &operation->turn);
		return;
	}
	enter_step(operation, 0);
}

static void finish(struct operation *operation, enum operation_status status)
{
	struct operation_record *ended = xnew(struct operation_record);

	record_copy(&operation_record, ended, &operation->record);
	ended->status = status;
	ended->completed_at = clock_wall_ms();
	if (status == OPERATION_COMPLETED)
		ended->response = response_json(operation);
	operation->ended = ended;
	operation_commit(operation, operation_status_names[operation->record.status]);
}

static void finish_failed(struct operation *operation)
{
	finish(operation, operation->failure && operation->failure->code == ERR_CANCELLED
				  ? OPERATION_CANCELLED
				  : OPERATION_FAILED);
}

/* Enters the undo of the last step below count that has one. */
static void undo_from(struct operation *operation, size_t count)
{
	while (count > 0) {
		count--;
		if (operation_kind_step(operation->kind, count)->undo) {
			enter_step(operation, count);
			return;
		}
	}
	finish_failed(operation);
}

/* ---- verbs ---- */

/* The step, or the callback it waited for, has spoken its verb. */
static void settle(struct operation *operation)
{
	assert(operation->phase == PHASE_RUNNING || operation->phase == PHASE_WAITING);
	operation->awaited = NULL;
}

void operation_next(struct operation *operation)
{
	settle(operation);
	if (operation->record.undoing)
		undo_from(operation, operation->step);
	else if (operation_kind_step(operation->kind, operation->step + 1))
		enter_step(operation, operation->step + 1);
	else
		finish(operation, OPERATION_COMPLETED);
}

/* Stores the parts of the first error that clients and a later process need. */
static void record_failure(struct operation *operation)
{
	const struct err *err = operation->failure;
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	json_put_name(&writer, "name");
	json_put_text(&writer, err_view(err->code)->bus_name);
	if (err->cloud_code) {
		json_put_name(&writer, "cloudstack_error_code");
		json_put_int(&writer, err->cloud_code);
		json_put_name(&writer, "cloudstack_message");
		json_put_text(&writer, err->cloud_text);
	}
	json_end_object(&writer);
	str_set(&operation->record.error, err->text);
	str_set(&operation->record.error_code, err_view(err->code)->word);
	free(operation->record.error_details);
	operation->record.error_details = buf_take(&out);
}

/* Adds to the error why the undo failed, or how the operation ended, and its possible remains. */
static void note_left_over(struct operation *operation, const char *why)
{
	_cleanup_free_ char *left_over = operation->kind->left_over(operation);
	_cleanup_free_ char *text = xasprintf("%s; %s%s", operation->record.error, why, left_over);

	operation->record.needs_attention = true;
	str_set(&operation->record.error, text);
}

void operation_fail(struct operation *operation, const struct err *err)
{
	settle(operation);
	assert(err->code != ERR_NONE);
	if (operation->record.undoing) {
		_cleanup_free_ char *why = xasprintf("the undo failed at %s: %s; ",
						     operation_step(operation)->name, err->text);

		note_left_over(operation, why);
		finish_failed(operation);
		return;
	}
	operation_change_drop(operation);
	operation_keep_err(&operation->failure, err);
	operation_keep_err(&operation->interruption, NULL); /* the failure is its effect */
	record_failure(operation);
	/* A refusal leaves everything as it was; silence may have left it half done. */
	if (is_past_return(operation) && err->code == ERR_TIMEOUT)
		note_left_over(operation, "");
	operation->record.undoing = true;
	undo_from(operation, operation->step + 1);
}

void operation_failf(struct operation *operation, enum err_code code, const char *format, ...)
{
	struct err err = { .code = code };
	va_list args;

	va_start(args, format);
	vsnprintf(err.text, sizeof(err.text), format, args);
	va_end(args);
	operation_fail(operation, &err);
}

void operation_again(struct operation *operation, int64_t delay_ms, const char *format, ...)
{
	char reason[sizeof((struct err){ 0 }.text)];
	va_list args;

	settle(operation);
	operation->reason_code = ERR_NONE;
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	str_set(&operation->reason, reason);
	operation->phase = PHASE_SLEEPING;
	loop_timer_set(operation->engine->env->loop, &operation->sleep, delay_ms);
}

void operation_wait(struct operation *operation, void *awaited, const struct wait_kind *kind)
{
	assert(awaited && kind->cancel);
	settle(operation);
	operation->phase = PHASE_WAITING;
	operation->awaited = awaited;
	operation->wait_kind = kind;
}

/* ---- interruptions: cancel and time-out ---- */

void operation_interrupt(struct operation *operation, const struct err *err)
{
	switch (operation->phase) {
	case PHASE_WAITING:
	case PHASE_SLEEPING:
	case PHASE_READY:
		operation_stop_waiting(operation);
		operation->phase = PHASE_RUNNING;
		operation_fail(operation, err);
		break;
	case PHASE_QUEUED:
		if (operation->resumed) {
			/* It began before the restart, and is undone when its turn comes. */
			operation_keep_err(&operation->interruption, err);
			break;
		}
		operation_keep_err(&operation->failure, err);
		record_failure(operation);
		finish_failed(operation);
		break;
	case PHASE_COMMITTING:
		operation_keep_err(&operation->interruption, err);
		break;
	case PHASE_RUNNING:
	case PHASE_ENDED:
		abort();
	}
}

/* The step waits for an absent CloudStack, since after giving up its undo would have to wait, too.
 * When CloudStack is back, the step has its whole time again. */
static int64_t patience_left_ms(const struct operation *operation, int64_t allowed_ms)
{
	struct cloud_health health;

	cloud_health(operation->engine->env->cloud, &health);
	if (!health.usable)
		return allowed_ms;
	return health.usable_since_ms ? health.usable_since_ms + allowed_ms - clock_mono_ms() : 0;
}

static void on_deadline(struct loop_timer *timer)
{
	struct operation *operation = container_of(timer, struct operation, deadline);
	const struct step *step = operation_step(operation);
	int64_t allowed_ms = step_deadline_ms(operation), left_ms = 0;
	struct err err;

	if (step->deadline == STEP_CLOUD)
		left_ms = patience_left_ms(operation, allowed_ms);
	if (left_ms > 0) {
		loop_timer_set(operation->engine->env->loop, timer, left_ms);
		return;
	}
	err_set(&err, operation->reason_code ? operation->reason_code : ERR_TIMEOUT,
		"step %s did not end within %g s%s%s", step->name, (double)allowed_ms / 1000,
		operation->reason ? ": " : "", str_or(operation->reason, ""));
	operation_interrupt(operation, &err);
}

int operation_cancel(struct operation *operation, struct err *err)
{
	struct err cancelled;

	if (operation->phase == PHASE_ENDED || operation->ended)
		return err_set(err, ERR_CONFLICT, "operation %s has already ended: %s",
			       operation->record.id,
			       operation_status_names[operation->ended ? operation->ended->status
								       : operation->record.status]);
	if (operation->record.undoing)
		return err_set(err, ERR_CONFLICT, "operation %s is already being undone",
			       operation->record.id);
	if (operation->record.status == OPERATION_EXECUTING && is_past_return(operation))
		return err_set(err, ERR_CONFLICT,
			       "operation %s can no longer be stopped: it is at step %s",
			       operation->record.id, operation->record.step);
	err_set(&cancelled, ERR_CANCELLED, "cancelled by request");
	operation_interrupt(operation, &cancelled);
	return 0;
}
