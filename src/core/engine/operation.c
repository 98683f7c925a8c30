/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How an operation moves.
 *
 * accept ──commit──► queued ──► enter step ──commit──► run ──next, back──► enter step … ──► finish
 *                                                       │
 *                                                       └──fail, cancel, overdue──► undo step
 *
 * undo step ──commit──► undo ──next──► undo step … ──► finish
 * finish ──commit──► ended
 *
 * Every arrow marked "commit" is one batch in the store: the operation's row, a history row and the
 * changes that the step has staged. on_committed() alone decides the next move, so an operation
 * has no second way to get anywhere, and a crash always leaves one of the states drawn here.
 *
 * A commit is most of what a step costs, so there are two ways around it. A step that does not
 * apply is not entered. A step that runs at once, since it has no effect outside, is no state of
 * its own: it belongs to the step before it, and what it changes goes with the commit behind it.
 *
 * An operation is queued behind others on its volume, then behind others on its VM (vm_turn.h). Its
 * first step may find out that the operation changes another VM than was noted; if that VM's turn
 * is taken, the operation is queued once more.
 */

#include "core/engine/operation.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/engine/engine.h"
#include "core/engine/estimate.h"
#include "core/engine/figures.h"
#include "core/engine/operation_log.h"
#include "core/engine/operation_table.h"
#include "core/engine/silence.h"
#include "core/engine/vm_turn.h"
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

/* For the last commit of another operation. */
#define LAST_COMMIT_MS 50

static void run_step(struct operation *operation);

/* ---- wakers ---- */

static void on_turn(struct loop_task *task)
{
	struct operation *operation = container_of(task, struct operation, turn);

	switch (operation->phase) {
	case PHASE_QUEUED:
		operation_begin_if_turn(operation);
		break;
	case PHASE_READY:
	case PHASE_SLEEPING:
		run_step(operation);
		break;
	case PHASE_COMMITTING: /* the end of the commit sees that it has its VM's turn */
	case PHASE_RUNNING:
	case PHASE_WAITING:
	case PHASE_ENDED:
		break;
	}
}

static void on_sleep_over(struct loop_timer *timer)
{
	run_step(container_of(timer, struct operation, sleep));
}

void operation_init_wakers(struct operation *operation)
{
	operation->turn.run = on_turn;
	operation->sleep.fire = on_sleep_over;
}

/* ---- commits ---- */

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

/* The volume of an operation that has left it may have moved on. */
static bool response_is_true(struct operation *operation)
{
	char *response;

	if (operation->queue || !operation->ended->response)
		return true;
	response = response_json(operation);
	if (streq(response, operation->ended->response)) {
		free(response);
		return true;
	}
	free(operation->ended->response);
	operation->ended->response = response;
	operation_commit(operation, operation_status_names[operation->ended->status]);
	return false;
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

	if (!operation->ended)
		return true;
	if (!mapping || !env_is_appliance(engine->env, mapping->vm_id))
		return response_is_true(operation);
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

static void forget_old(struct engine *engine)
{
	while (engine->ended_count > ENDED_KEPT) {
		struct operation *oldest = TAILQ_FIRST(&engine->ended);

		events_operation(engine->model, EVENT_OPERATION_FORGOTTEN, &oldest->record);
		operation_unlink(oldest);
		operation_free(oldest);
	}
}

static void on_ended(struct operation *operation)
{
	struct engine *engine = operation->engine;
	struct operation *waiting = next_in_queue(operation);

	operation_unlink(operation);
	operation_drop_durable(operation);
	record_clear(&operation_record, &operation->record);
	operation->record = *operation->ended;
	free(TAKE_PTR(operation->ended));
	operation_time_is(operation, TIME_OWN);
	operation_has_ended(operation);
	operation->phase = PHASE_ENDED;
	operation_link(operation);
	TAILQ_INSERT_TAIL(&engine->ended, operation, age_entry);
	engine->ended_count++;
	operation_leave_queue(operation);

	operation_log_ended(operation);
	volume_note_operation(engine->model, &operation->record);
	events_operation(engine->model, EVENT_OPERATION_ENDED, &operation->record);
	notice_tell(engine->model, NOTICE_DEVICES_UNSURE);
	if (operation->record.status != OPERATION_COMPLETED)
		notice_tell(engine->model, NOTICE_HOST_UNSURE);
	operation_begin_if_turn(waiting);
	forget_old(engine);
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

static void on_accepted(struct operation *operation, const struct err *err)
{
	struct engine *engine = operation->engine;

	if (err->code) {
		on_refused(operation, err);
		return;
	}
	operation_log_accepted(operation);
	events_operation(engine->model, EVENT_OPERATION_STARTED, &operation->record);
	volume_note_operation(engine->model, &operation->record);
	operation->phase = PHASE_QUEUED;
	operation_time_is(operation, TIME_WAITING);
	tell_accepted(operation, err);
	operation_begin_if_turn(operation);
}

/* The operation is pending again. */
static void on_queued(struct operation *operation)
{
	operation->phase = PHASE_QUEUED;
	operation_time_is(operation, TIME_WAITING);
	if (operation->interruption) {
		struct err err = *operation->interruption;

		operation_end_queued(operation, &err);
	} else {
		operation_begin_if_turn(operation);
	}
}

static void on_committed(void *arg, const struct err *err)
{
	struct operation *operation = arg;
	struct engine *engine = operation->engine;

	operation->change = NULL;
	if (operation->accepting) {
		on_accepted(operation, err);
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
	operation_drop_durable(operation);
	volume_note_operation(engine->model, &operation->record);
	events_operation(engine->model, EVENT_OPERATION_CHANGED, &operation->record);
	if (operation->record.status == OPERATION_PENDING) {
		on_queued(operation);
		return;
	}
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

	operation_time_is(operation, TIME_OWN);
	if (!operation->accepting)
		operation_edit(operation);
	record->updated_at = clock_record_ms();
	free(record->context);
	record->context = operation_context_to_json(operation);
	operation_show_time(operation, record);
	change_put_operation(change, record, operation->durable, previous_status, details,
			     operation->asked_by);
	str_set(&operation->asked_by, NULL);
	str_set(&record->context, NULL); /* the change has a copy */
	operation->phase = PHASE_COMMITTING;
	operation->asked_ms = clock_mono_ms();
	change_submit(change, operation->accepting ? CHANGE_OPTIONAL : CHANGE_WHATEVER_COMES,
		      &hooks, on_committed, operation);
}

/* ---- steps ---- */

static void set_step(struct operation *operation, size_t step)
{
	struct operation_record *record = operation_edit(operation);

	loop_timer_clear(operation->engine->env->loop, &operation->deadline);
	silence_end(operation);
	operation->step = step;
	operation->runs = 0;
	operation->resumed = operation->job_lost = operation->effect_unknown = false;
	operation->untouched = false;
	str_set(&record->waits_for, NULL);
	operation->reason_code = ERR_NONE;
	record->status = OPERATION_EXECUTING;
	record->step_since = clock_record_ms();
	if (!record->started_at)
		record->started_at = record->step_since;
	str_set(&record->step, operation_step(operation)->name);
	estimate_show(operation);
	if (!record->undoing && !operation_step(operation)->vm_turn && !operation->keeps_vm_turn)
		vm_turn_leave(operation);
	operation_step_begins(operation, operation_step(operation)->name);
	operation_log_step(operation);
}

static void enter_step(struct operation *operation, size_t step)
{
	const char *previous = operation_status_names[operation->record.status];

	set_step(operation, step);
	operation_commit(operation, previous);
}

int64_t operation_step_deadline_ms(const struct operation *operation)
{
	switch (operation_step(operation)->deadline) {
	case STEP_CLOUD:
		return operation->engine->env->options.cloud_wait_ms;
	case STEP_DEVICE:
		return operation->engine->env->options.device_wait_ms;
	}
	abort();
}

bool operation_is_past_return(const struct operation *operation)
{
	size_t count = operation->step + (operation->untouched ? 0 : 1);

	for (size_t i = 0; i < count; i++) {
		if (operation_kind_step(operation->kind, i)->no_return)
			return true;
	}
	return false;
}

static bool is_past_undo(const struct operation *operation)
{
	for (size_t i = 0; i <= operation->step; i++) {
		if (operation_kind_step(operation->kind, i)->no_undo)
			return true;
	}
	return false;
}

/* True: the operation has the turn of its VM, or the step needs no turn. */
static bool has_vm_turn(struct operation *operation)
{
	const struct step *step = operation_step(operation);

	if (!(operation->record.undoing ? step->undo_vm_turn : step->vm_turn))
		return true;
	return str_empty(operation->record.vm_id) || vm_turn_take(operation);
}

static bool has_done_nothing(const struct operation *operation)
{
	return operation->step == 0 && !operation->record.undoing;
}

/* The operation is pending again and begins anew when it has its turn. */
static void set_back(struct operation *operation)
{
	struct operation_record *record = operation_edit(operation);
	const char *previous = operation_status_names[record->status];

	assert(has_done_nothing(operation));
	loop_timer_clear(operation->engine->env->loop, &operation->deadline);
	operation_change_drop(operation);
	operation->resumed = false;
	record->status = OPERATION_PENDING;
	record->step_since = record->started_at = 0;
	estimate_show(operation);
	str_set(&record->step, NULL);
	operation_step_begins(operation, NULL);
	operation_commit(operation, previous);
}

/* An operation that gave way comes back for each look. It stays in its step, since two operations
 * that look in turn would fill the store; but the time in the queue is not the step's. */
static void await_vm_turn(struct operation *operation)
{
	bool gave_way = has_done_nothing(operation) && operation->runs > 0;

	if (has_done_nothing(operation) && !gave_way) {
		set_back(operation);
		return;
	}
	if (gave_way)
		loop_timer_clear(operation->engine->env->loop, &operation->deadline);
	operation_time_is(operation, TIME_WAITING);
	operation->phase = PHASE_SLEEPING;
}

static enum time_part part_of(const struct step *step)
{
	if (step->awaits_kernel)
		return TIME_KERNEL;
	return step->deadline == STEP_CLOUD ? TIME_CLOUDSTACK : TIME_OWN;
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

		err_keep(&operation->interruption, NULL);
		operation_fail(operation, &err);
		return;
	}
	if (!has_vm_turn(operation)) {
		await_vm_turn(operation);
		return;
	}
	if (!loop_timer_is_set(&operation->deadline)) {
		operation->looked_missed_ms = clock_missed_ms();
		loop_deadline_set(engine->env->loop, &operation->deadline,
				  operation_step_deadline_ms(operation));
	}
	operation_time_is(operation, part_of(step));
	operation->runs++;
	if (operation_is_rerun(operation))
		operation->asked_ms = clock_mono_ms();
	if (operation->record.undoing)
		step->undo(operation);
	else if (step->applies && !step->applies(operation))
		operation_next(operation);
	else
		step->run(operation);
	assert(operation->phase != PHASE_RUNNING); /* a step ends in exactly one verb */
}

void operation_begin_if_turn(struct operation *operation)
{
	if (!operation || !env_trusts_store(operation->engine->env) ||
	    operation->phase != PHASE_QUEUED || !operation_is_first(operation))
		return;
	if (!has_vm_turn(operation)) {
		if (operation->resumed)
			await_vm_turn(operation);
		return;
	}
	if (operation->resumed) {
		operation->phase = PHASE_READY;
		estimate_show(operation);
		loop_task_queue(operation->engine->env->loop, &operation->turn);
		return;
	}
	enter_step(operation, 0);
}

static void finish(struct operation *operation, enum operation_status status)
{
	struct operation_record *ended = xnew(struct operation_record);

	loop_timer_clear(operation->engine->env->loop, &operation->deadline);
	operation_step_begins(operation, NULL);
	vm_turn_leave(operation);
	str_set(&operation_edit(operation)->waits_for, NULL);
	record_copy(&operation_record, ended, &operation->record);
	ended->status = status;
	ended->completed_at = clock_record_ms();
	estimate_show_status(ended);
	if (status == OPERATION_COMPLETED)
		ended->response = response_json(operation);
	operation->ended = ended;
	operation_commit(operation, operation_status_names[operation->record.status]);
}

/* Adds to the error from which step on the operation was undone. */
static void note_undone(struct operation *operation)
{
	_cleanup_free_ char *text = NULL;

	if (!operation->undo_worked || !operation->failed_step)
		return;
	text = xasprintf("%s; the operation was undone from step %s on", operation->record.error,
			 operation->failed_step);
	str_set(&operation_edit(operation)->error, text);
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
	note_undone(operation);
	finish_failed(operation);
}

/* ---- verbs ---- */

/* The step, or the callback it waited for, has spoken its verb. */
static void settle(struct operation *operation)
{
	assert(operation->phase == PHASE_RUNNING || operation->phase == PHASE_WAITING);
	operation->awaited = NULL;
}

/* The first step behind this one that has something to do; NULL: none has. */
static const struct step *next_step(const struct operation *operation, size_t *number)
{
	const struct step *step;

	*number = operation->step;
	do
		step = operation_kind_step(operation->kind, ++*number);
	while (step && step->applies && !step->applies(operation));
	return step;
}

void operation_next(struct operation *operation)
{
	const struct step *step;
	size_t number;

	settle(operation);
	if (operation->record.undoing) {
		undo_from(operation, operation->step);
		return;
	}
	estimate_learn(operation);
	step = next_step(operation, &number);
	if (!step) {
		finish(operation, OPERATION_COMPLETED);
	} else if (step->at_once && step->at_once(operation)) {
		set_step(operation, number);
		operation->phase = PHASE_READY;
		run_step(operation);
	} else {
		enter_step(operation, number);
	}
}

void operation_back(struct operation *operation, size_t steps)
{
	settle(operation);
	assert(steps <= operation->step);
	enter_step(operation, operation->step - steps);
}

void operation_store(struct operation *operation)
{
	settle(operation);
	operation_change_drop(operation);
	operation_commit(operation, operation_status_names[operation->record.status]);
}

/* Stores the parts of the first error that clients and a later process need. */
static void record_failure(struct operation *operation)
{
	struct operation_record *record = operation_edit(operation);
	const struct err *err = operation->failure;
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	json_put_name(&writer, "name");
	json_put_text(&writer, err_view(err->code)->bus_name);
	if (operation->failed_step) {
		json_put_name(&writer, "step");
		json_put_text(&writer, operation->failed_step);
	}
	if (err->cloud_code) {
		json_put_name(&writer, "cloudstack_error_code");
		json_put_int(&writer, err->cloud_code);
		json_put_name(&writer, "cloudstack_message");
		json_put_text(&writer, err->cloud_text);
	}
	json_end_object(&writer);
	str_set(&record->error, err->text);
	str_set(&record->error_code, err_view(err->code)->word);
	str_set(&record->error_reason, err_reason_word(err->reason));
	free(record->error_details);
	record->error_details = buf_take(&out);
}

/* Adds to the error why the undo failed, or how the operation ended, and its possible remains. */
static void note_left_over(struct operation *operation, const char *why)
{
	_cleanup_free_ char *left_over = operation->kind->left_over(operation);
	_cleanup_free_ char *text = xasprintf("%s; %s%s", operation->record.error, why, left_over);

	/* Leftovers are removed by what the operation wanted, which a newer world may not want. */
	operation_edit(operation)->needs_attention |= !operation->from_past;
	str_set(&operation->record.error, text);
}

/* Adds to the error the effects that stay. */
static void note_stays(struct operation *operation)
{
	const struct operation_kind *kind = operation->kind;
	_cleanup_free_ char *stays = kind->stays ? kind->stays(operation) : NULL;

	if (stays) {
		_cleanup_free_ char *text = xasprintf("%s; %s", operation->record.error, stays);

		str_set(&operation->record.error, text);
	}
}

void operation_fail(struct operation *operation, const struct err *err)
{
	settle(operation);
	assert(err->code != ERR_NONE);
	if (operation->record.undoing) {
		_cleanup_free_ char *why =
			xasprintf("the undo, which began at step %s, failed at %s: %s; ",
				  str_or(operation->failed_step, "?"),
				  operation_step(operation)->name, err->text);

		note_left_over(operation, why);
		finish_failed(operation);
		return;
	}
	operation_change_drop(operation);
	err_keep(&operation->failure, err);
	err_keep(&operation->interruption, NULL); /* the failure is its effect */
	operation->failed_step = operation_step(operation)->name;
	record_failure(operation);
	note_stays(operation);
	/* A refusal leaves everything as it was; silence may have left it half done. */
	if (operation_is_past_return(operation) &&
	    (err->code == ERR_TIMEOUT || operation->effect_unknown))
		note_left_over(operation, "");
	operation->record.undoing = true;
	operation->has_disk = false;
	log_notice("operation=%s volume=%s: undo from step %s on: %s", operation->record.id,
		   operation->record.volume_id, operation->failed_step, err->text);
	undo_from(operation, is_past_undo(operation) ? 0 : operation->step + 1);
}

void operation_failf(struct operation *operation, enum err_code code, const char *format, ...)
{
	struct err err;
	va_list args;

	va_start(args, format);
	err_vset(&err, code, format, args);
	va_end(args);
	operation_fail(operation, &err);
}

void operation_again(struct operation *operation, int64_t delay_ms, const char *format, ...)
{
	char reason[ERR_TEXT_SIZE];
	va_list args;

	settle(operation);
	operation->reason_code = ERR_NONE;
	va_start(args, format);
	err_text_vformat(reason, sizeof(reason), format, args);
	va_end(args);
	operation_waits_for(operation, reason);
	operation->undo_worked |= operation->record.undoing;
	operation->phase = PHASE_SLEEPING;
	loop_timer_set(operation->engine->env->loop, &operation->sleep, delay_ms);
}

void operation_go_to_vm(struct operation *operation, const char *vm_id)
{
	if (streq(vm_id, operation->record.vm_id))
		return;
	vm_turn_leave(operation);
	str_set(&operation_edit(operation)->vm_id, vm_id);
}

void operation_leave_volume(struct operation *operation)
{
	struct operation *waiting = next_in_queue(operation);
	struct model *model = operation->engine->model;

	if (!operation->queue)
		return;
	operation_leave_queue(operation);
	notice_tell(model, NOTICE_DEVICES_UNSURE);
	notice_tell(model, NOTICE_HOST_UNSURE);
	operation_begin_if_turn(waiting);
}

bool operation_on_vm_or_queued(struct operation *operation, const char *vm_id)
{
	operation_go_to_vm(operation, vm_id);
	if (has_vm_turn(operation))
		return true;
	settle(operation);
	set_back(operation);
	return false;
}

void operation_queue_behind(struct operation *operation, struct operation *other)
{
	/* The other needs no turn any more, and would never pass one on. */
	if (other->ended) {
		operation_again(operation, LAST_COMMIT_MS, "operation %s is about to end",
				other->record.id);
		return;
	}
	vm_turn_leave(operation);
	vm_turn_share(other);
	other->keeps_vm_turn = true;
	settle(operation);
	set_back(operation);
}

void operation_wait(struct operation *operation, void *awaited, const struct wait_kind *kind)
{
	assert(awaited && kind->cancel);
	settle(operation);
	operation->undo_worked |= operation->record.undoing;
	operation->phase = PHASE_WAITING;
	operation->awaited = awaited;
	operation->wait_kind = kind;
}

void operation_fail_after(struct operation *operation, const struct err *err, void *awaited,
			  const struct wait_kind *kind)
{
	err_keep(&operation->failure, err);
	loop_timer_clear(operation->engine->env->loop, &operation->deadline);
	operation_wait(operation, awaited, kind);
}

void operation_give_way(struct operation *operation)
{
	if (has_done_nothing(operation))
		vm_turn_leave(operation);
}

void operation_end_queued(struct operation *operation, const struct err *err)
{
	assert(operation->phase == PHASE_QUEUED);
	operation_stop_waiting(operation);
	err_keep(&operation->failure, err);
	err_keep(&operation->interruption, NULL);
	record_failure(operation);
	finish_failed(operation);
}
