/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a change gets from the request to its end; see cloud_change.h. */

#include "core/ops/cloud_change.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/engine/silence.h"
#include "core/env.h"
#include "core/model/drift_event.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"
#include "core/ops/reason.h"
#include "core/ops/refusal.h"
#include "core/rules/drift.h"

#define LOOK_AGAIN_MS 1000
/* The bound for a CloudStack that loses every job. */
#define REPEATS_MAX 5u
#define REPEAT_FIRST_MS 500
#define LOOK_LASTS_MS 5000
/* A request expires one time-out after the commit that it follows; looks before it that have taken
 * longer than this leave too little of that time. */
#define LOOK_QUICK_MS 500
/* Another job of CloudStack's is in the way. */
#define BUSY_FIRST_MS 2000
#define BUSY_MAX_MS 60000

/* A step that waits until a late request can no longer arrive finds the job lost each time, and
 * tells it once. */
static void tell_lost(struct operation *operation, const char *why)
{
	const struct drift_facts facts = { .volume_id = operation->record.volume_id,
					   .origin = &operation->record };
	struct drift drift = {
		.kind = DRIFT_OPERATION_LOST,
		.action = "the volume itself is looked at, and decides how the operation goes on",
	};

	if (operation->job_lost)
		return;
	operation->job_lost = true;
	err_text_format(drift.found, sizeof(drift.found),
			"CloudStack lost the job of operation %s, step %s: %s",
			operation->record.id, operation->record.step, why);
	drift_event_repaired(operation->ops->model, &facts, &drift);
}

/* CloudStack shows the end of the job, but not its result, or does not know the job. */
static bool is_lost(const struct cloud_result *result)
{
	if (result->outcome == CLOUD_OK)
		return cloud_err_is_lost_job(&result->err);
	return result->err.code == ERR_NOT_FOUND;
}

static void cancel_job(void *awaited)
{
	cloud_job_cancel(awaited);
}

static void poke_job(struct operation *operation)
{
	cloud_job_poke(operation->awaited);
}

static void begin(struct cloud_change *change, const struct cloud_change_kind *kind,
		  struct operation *operation, char **job_id)
{
	change->kind = kind;
	change->operation = operation;
	change->job_id = job_id;
	change->in_doubt |= operation->resumed;
}

const struct err *cloud_change_refusal(const struct cloud_change *change)
{
	static const struct err none;

	return change->refusal ? change->refusal : &none;
}

/* An error is large, and most changes are never refused. */
void cloud_change_note_refusal(struct cloud_change *change, struct operation *operation,
			       const struct err *err)
{
	if (!change->refusal && err->code == ERR_NONE)
		return;
	if (!change->refusal)
		change->refusal = operation_alloc(operation, sizeof(*change->refusal));
	*change->refusal = *err;
}

static void forget_refusal(struct cloud_change *change)
{
	if (change->refusal)
		err_clear(change->refusal);
}

/* Nothing is known of how a request has ended. */
static void forget_end(struct cloud_change *change)
{
	change->end = CLOUD_JOB_PENDING;
	change->lost = change->hidden = change->watched = false;
	forget_refusal(change);
}

static const char *subject_of(const struct cloud_change *change)
{
	const struct operation *operation = change->operation;

	return change->kind->subject ? change->kind->subject(operation)
				     : operation->record.volume_id;
}

static const char *kind_of_subject(const struct cloud_change *change)
{
	if (change->kind->check_snapshot)
		return "snapshot";
	return change->kind->check_vm ? "VM" : "volume";
}

static void made(struct cloud_change *change)
{
	struct operation *operation = change->operation;

	if (change->end == CLOUD_JOB_FAILED) {
		log_notice("%s=%s was %s, although: %s", kind_of_subject(change),
			   subject_of(change), change->kind->done,
			   cloud_change_refusal(change)->text);
		if (change->kind->keep_words)
			change->kind->keep_words(operation,
						 cloud_change_refusal(change)->cloud_text);
	}
	operation_next(operation);
}

static void ask_anew(struct cloud_change *change)
{
	cloud_step_new_job(change->job_id);
	change->in_doubt = change->sent = false;
	change->unasked = true;
	operation_back(change->operation, change->settling ? 1 : 0);
}

/* True: another job of CloudStack's is in the way, and the request is made anew. As long as a step
 * waits for a job, it waits for that one. */
static bool is_put_off(struct cloud_change *change, const struct err *err)
{
	int64_t now_ms = clock_waking_ms();

	if (err->reason != ERR_REASON_BUSY)
		return false;
	if (change->busy_since_ms == 0) {
		change->busy_since_ms = now_ms;
		change->busy_pause_ms = BUSY_FIRST_MS;
	}
	if (now_ms - change->busy_since_ms >= change->operation->ops->env->options.cloud_wait_ms)
		return false;
	change->not_before_ms = clock_mono_ms() + change->busy_pause_ms;
	if (change->busy_pause_ms < BUSY_MAX_MS)
		change->busy_pause_ms *= 2;
	ask_anew(change);
	return true;
}

static void not_made(struct cloud_change *change, const struct err *err)
{
	struct operation *operation = change->operation;

	if (is_put_off(change, err))
		return;
	if (change->kind->missed)
		change->kind->missed(operation, err);
	else
		reason_fail(operation, err);
}

static void explain(const struct cloud_change *change, struct err *err)
{
	refusal_explain(change->operation, change->operation->record.vm_id, err);
	if (change->kind->explain)
		change->kind->explain(change->operation, err);
}

/* Adds the state of the volume to the error, as its second half. */
static void add_state(struct err *err, const struct err *state)
{
	err_reword(err, "%s; %s", err->text, state->text);
}

/* The job has ended, and the volume is not as the change makes it. */
static void describe_miss(const struct cloud_change *change, const struct err *state,
			  struct err *out)
{
	const char *id = subject_of(change), *done = change->kind->done;
	const char *what = kind_of_subject(change);

	if (change->end == CLOUD_JOB_SUCCEEDED) {
		err_set(out, ERR_CLOUD, "CloudStack reported that %s %s was %s, but %s", what, id,
			done, state->text);
	} else if (change->lost && state->code == ERR_NOT_FOUND) {
		err_set(out, ERR_CLOUD,
			"CloudStack's management server was restarted while the volume was being %s, and no "
			"longer lists volume %s; its data is probably still on the storage; ask the "
			"administrator of CloudStack before you create the volume anew",
			done, id);
	} else if (change->lost) {
		err_set(out, ERR_CLOUD,
			"CloudStack lost the job by which %s %s was to be %s, and %s; try again",
			what, id, done, state->text);
	} else if (cloud_change_refusal(change)->code) {
		*out = *change->refusal;
		explain(change, out);
		add_state(out, state);
	} else {
		*out = *state;
	}
}

/* An earlier request that is not known to have become a job may still become one. */
static bool may_be_made(struct cloud_change *change)
{
	return !change->kind->can_undo && change->in_doubt && change->end == CLOUD_JOB_PENDING;
}

static const struct cloud_snapshot *find_snapshot(const struct cloud_change *change,
						  const struct cloud_result *result)
{
	for (size_t i = 0; i < result->count; i++) {
		if (strcasecmp(result->snapshots[i].id, subject_of(change)) == 0)
			return &result->snapshots[i];
	}
	return NULL;
}

/* CloudStack shows no job of a snapshot, only its state. */
static bool is_snapshot_idle_or_again(struct cloud_change *change,
				      const struct cloud_result *result)
{
	static const char *const busy[] = { "Creating", "BackingUp", "Copying", "Destroying" };
	const struct cloud_snapshot *snapshot = find_snapshot(change, result);

	for (size_t i = 0; snapshot && i < ARRAY_SIZE(busy); i++) {
		if (!streq(snapshot->state, busy[i]))
			continue;
		operation_again(change->operation, LOOK_AGAIN_MS,
				"CloudStack works on snapshot %s (%s)", snapshot->id,
				snapshot->state);
		return false;
	}
	return true;
}

/* False: CloudStack works on the object, and the step has ended. */
static bool is_idle_or_again(struct cloud_change *change, const struct cloud_result *result)
{
	struct operation *operation = change->operation;
	const struct cloud_volume *volume;
	const struct cloud_vm *vm;

	if (change->kind->check_snapshot)
		return is_snapshot_idle_or_again(change, result);
	if (change->kind->check_vm) {
		vm = cloud_step_vm(result, subject_of(change));
		if (vm && vm->job_id)
			cloud_step_vm_busy(operation, vm);
		return !vm || !vm->job_id;
	}
	volume = cloud_step_volume(operation, result, subject_of(change));
	if (volume && volume->job_id)
		cloud_step_busy(operation, volume);
	return !volume || !volume->job_id;
}

static int check(struct cloud_change *change, const struct cloud_result *result, struct err *state)
{
	const struct cloud_change_kind *kind = change->kind;
	struct operation *operation = change->operation;

	if (kind->check_snapshot)
		return kind->check_snapshot(operation, find_snapshot(change, result), state);
	if (kind->check_vm)
		return kind->check_vm(operation, cloud_step_vm(result, subject_of(change)), state);
	return kind->check(operation, cloud_step_volume(operation, result, subject_of(change)),
			   state);
}

static void judge(struct cloud_change *change, const struct cloud_result *result)
{
	struct operation *operation = change->operation;
	struct err state, err;

	err_clear(&state);
	err_clear(&err);
	if (!is_idle_or_again(change, result))
		return;
	if (check(change, result, &state) == 0) {
		made(change);
	} else if (!may_be_made(change) ||
		   cloud_change_is_late_or_wait(change, operation,
						"waiting until the request can no longer arrive")) {
		describe_miss(change, &state, &err);
		not_made(change, &err);
	}
}

static void on_looked(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;
	struct operation *operation = change->operation;

	if (change->kind->can_undo && !cloud_step_succeeded_or_end(operation, result))
		return;
	if (!change->kind->can_undo && result->err.code != ERR_NOT_FOUND &&
	    !cloud_step_shown_or_wait(operation, result))
		return;
	judge(change, result);
}

static void list(struct cloud_change *change, cloud_done_fn done)
{
	struct operation *operation = change->operation;
	struct cloud *cloud = operation->ops->env->cloud;
	struct cloud_snapshot_filter snapshot = { .id = subject_of(change) };
	struct cloud_volume_filter volume = { .id = subject_of(change) };
	struct cloud_call *call;

	if (change->kind->check_snapshot)
		call = cloud_list_snapshots(cloud, &snapshot, done, change);
	else if (change->kind->check_vm)
		call = cloud_list_vm(cloud, subject_of(change), done, change);
	else
		call = cloud_list_volumes(cloud, &volume, done, change);
	cloud_step_wait_call(operation, call);
}

static void look(struct cloud_change *change)
{
	list(change, on_looked);
}

/* The answer of a job that has succeeded shows the change. */
static bool is_shown(struct cloud_change *change, const struct cloud_result *result)
{
	struct operation *operation = change->operation;
	const struct cloud_volume *volume;
	struct err state;

	/* The job of a VM may show the VM as it was before its end. */
	if (change->end != CLOUD_JOB_SUCCEEDED || change->kind->check_vm ||
	    change->kind->check_snapshot)
		return false;
	err_clear(&state);
	volume = cloud_step_volume(operation, result, subject_of(change));
	return volume && change->kind->check(operation, volume, &state) == 0;
}

static void await_job(struct cloud_change *change);

/* A list no longer shows the job. If the volume shows the change and no job, the job has made it,
 * otherwise the job itself tells. */
static void on_looked_early(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;
	const struct cloud_volume *volume;
	struct err state;

	err_clear(&state);
	volume = cloud_step_volume(change->operation, result, subject_of(change));
	if (volume && !volume->job_id &&
	    change->kind->check(change->operation, volume, &state) == 0)
		made(change);
	else
		await_job(change);
}

static void on_job_ended(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;

	if (result->outcome == CLOUD_OK && result->job_status == CLOUD_JOB_PENDING) {
		list(change, on_looked_early);
		return;
	}

	cloud_change_note_refusal(change, change->operation, &result->err);
	change->lost = is_lost(result);
	change->hidden = !change->lost && result->outcome != CLOUD_OK;
	change->end = result->outcome == CLOUD_OK && !change->lost ? result->job_status
								   : CLOUD_JOB_PENDING;
	if (change->lost)
		tell_lost(change->operation, result->err.text);
	if (is_shown(change, result))
		made(change);
	else
		look(change);
}

char *cloud_change_job_seen(const void *awaited)
{
	return cloud_job_seen(awaited);
}

static void await_job(struct cloud_change *change)
{
	static const struct wait_kind ordinary = { .cancel = cancel_job,
						   .poke = poke_job,
						   .seen = cloud_change_job_seen };
	struct operation *operation = change->operation;
	const struct cloud_change_kind *kind = change->kind;
	/* A list has missed it, or its disk is here. */
	bool at_once = change->watched || (kind->has_sign && kind->has_sign(operation));
	const struct cloud_watch watch = {
		.job_id = *change->job_id,
		.kind = change->in_doubt || at_once ? NULL : kind->done,
		.list_is_enough = !change->watched && kind->volume_tells,
		.at_once = at_once,
	};

	change->watched = true;
	operation_wait(operation,
		       cloud_job_watch(operation->ops->env->cloud, &watch, on_job_ended, change),
		       kind->job_wait ? kind->job_wait : &ordinary);
}

/* The end of the request is known: its job has told it, or the request had no job, or no job came
 * of it. */
static bool has_ended(const struct cloud_change *change)
{
	if (change->lost || change->hidden)
		return false;
	return change->end != CLOUD_JOB_PENDING || cloud_change_refusal(change)->code != ERR_NONE;
}

static void await(struct cloud_change *change)
{
	if (has_ended(change))
		look(change);
	else
		await_job(change);
}

static void go_on(struct cloud_change *change)
{
	if (change->kind->in_one_step)
		await(change);
	else
		operation_next(change->operation);
}

static void accepted(struct cloud_change *change)
{
	forget_refusal(change);
	go_on(change);
}

static void refused(struct cloud_change *change, const struct err *err)
{
	struct operation *operation = change->operation;
	const struct cloud_change_kind *kind = change->kind;
	struct err explained = *err;

	switch (kind->refused ? kind->refused(operation, err) : REFUSAL_FAILS) {
	case REFUSAL_FAILS:
		explain(change, &explained);
		not_made(change, &explained);
		return;
	case REFUSAL_WAITS:
		return;
	case REFUSAL_PASSES:
		break;
	}
	cloud_change_note_refusal(change, operation, err);
	go_on(change);
}

static void find_job(struct cloud_change *change, cloud_done_fn done)
{
	struct operation *operation = change->operation;

	cloud_step_wait_call(operation, cloud_find_job(operation->ops->env->cloud, *change->job_id,
						       done, change));
}

/* A job that exists is ours, whatever a request for it was answered with. */
static void on_refusal_explained(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;

	if (!cloud_step_answered_or_wait(change->operation, result))
		return;
	if (result->outcome == CLOUD_OK)
		accepted(change);
	else
		refused(change, cloud_change_refusal(change));
}

static void on_asked(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;
	struct operation *operation = change->operation;

	cloud_change_answered(change, result);
	operation->untouched = result->outcome == CLOUD_AWAY && !change->in_doubt;
	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (result->outcome == CLOUD_OK) {
		cloud_step_note_job(change->job_id, result);
		if (!result->job_id)
			change->end = CLOUD_JOB_SUCCEEDED;
		accepted(change);
	} else if (change->in_doubt || cloud_err_is_duplicate_job(&result->err)) {
		cloud_change_note_refusal(change, operation, &result->err);
		find_job(change, on_refusal_explained);
	} else {
		refused(change, &result->err);
	}
}

/* True: the request has nearly its whole time. False: the step has ended, and the run that follows
 * a new commit makes the request, however long that commit takes: a slow store would otherwise
 * never let it. */
static bool has_time_or_wait(struct cloud_change *change)
{
	int64_t now_ms = clock_mono_ms();

	if (change->recommitted_ms || now_ms - change->operation->asked_ms <= LOOK_QUICK_MS) {
		change->recommitted_ms = 0;
		return true;
	}
	change->recommitted_ms = now_ms;
	operation_store(change->operation);
	return false;
}

static void submit(struct cloud_change *change)
{
	struct operation *operation = change->operation;
	struct err err;

	err_clear(&err);
	if (operation->from_past) {
		cloud_step_set_past_err(operation, &err);
		not_made(change, &err);
		return;
	}
	if (!cloud_change_may_ask_or_wait(operation) || !has_time_or_wait(change))
		return;
	cloud_change_asks(change, operation);
	change->sent_before = change->sent || operation->resumed;
	change->sent = true;
	operation->untouched = false;
	cloud_step_wait_call(operation,
			     change->kind->submit(operation, *change->job_id, on_asked, change));
}

/* Since the volume was looked at before, another client may have begun a job on it. */
static void on_seen_again(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;

	if (cloud_step_answered_or_wait(change->operation, result) &&
	    is_idle_or_again(change, result))
		submit(change);
}

/* An earlier request can no longer arrive, or there was none. */
static void on_seen_before_asking(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;
	struct operation *operation = change->operation;
	struct err err;

	err_clear(&err);
	change->unasked = true;
	if (!cloud_step_succeeded_or_end(operation, result) || !is_idle_or_again(change, result))
		return;
	if (change->kind->may_ask(operation,
				  cloud_step_volume(operation, result, subject_of(change)),
				  &err) < 0)
		not_made(change, &err);
	else
		submit(change);
}

static bool must_look(const struct cloud_change *change)
{
	return change->kind->may_ask && !change->operation->from_past &&
	       (!change->looked_ms || clock_mono_ms() - change->looked_ms >= LOOK_LASTS_MS);
}

/* An earlier request has become this job, or it still can, or it no longer can. */
static void on_doubt_settled(void *arg, const struct cloud_result *result)
{
	struct cloud_change *change = arg;
	struct operation *operation = change->operation;

	if (!cloud_step_answered_or_wait(operation, result))
		return;
	if (result->outcome == CLOUD_OK)
		accepted(change);
	else if (!cloud_change_is_late_or_wait(
			 change, operation,
			 "waiting until an earlier request can no longer arrive"))
		return;
	else if (operation->from_past)
		go_on(change); /* its job may have ended so long ago that it is forgotten */
	else
		list(change, change->kind->may_ask ? on_seen_before_asking : on_seen_again);
}

static void pause_before(struct cloud_change *change)
{
	struct operation *operation = change->operation;

	/* CloudStack has done nothing at the last request. */
	operation->untouched = change->busy_since_ms != 0;
	operation_again(operation, change->not_before_ms - clock_mono_ms(), "%s",
			change->busy_since_ms
				? "another job of CloudStack's works on the volume or its VM"
				: "a pause, since the last request came to nothing");
}

bool cloud_change_is_ready(const struct cloud_change *change)
{
	return change->recommitted_ms && clock_mono_ms() - change->recommitted_ms < LOOK_LASTS_MS;
}

void cloud_change_ask(struct cloud_change *change, const struct cloud_change_kind *kind,
		      struct operation *operation, char **job_id)
{
	bool is_ready = cloud_change_is_ready(change);

	begin(change, kind, operation, job_id);
	forget_end(change);
	change->settling = false;
	if (!is_ready && change->in_doubt)
		find_job(change, on_doubt_settled);
	else if (!is_ready && clock_mono_ms() < change->not_before_ms)
		pause_before(change);
	else if (!is_ready && must_look(change))
		list(change, on_seen_before_asking);
	else
		submit(change);
}

void cloud_change_settle(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id)
{
	begin(change, kind, operation, job_id);
	change->settling = true;
	await(change);
}

void cloud_change_again(struct cloud_change *change)
{
	change->busy_since_ms = 0;
	ask_anew(change);
}

bool cloud_change_repeat(struct cloud_change *change)
{
	if (change->repeats == REPEATS_MAX || change->operation->from_past)
		return false;
	change->not_before_ms = clock_mono_ms() + (REPEAT_FIRST_MS << change->repeats);
	change->repeats++;
	cloud_change_again(change);
	return true;
}

void cloud_change_verify(struct cloud_change *change, const struct cloud_change_kind *kind,
			 struct operation *operation, char **job_id)
{
	begin(change, kind, operation, job_id);
	forget_end(change);
	look(change);
}

bool cloud_change_may_ask_or_wait(struct operation *operation)
{
	if (!silence_is_kept(operation))
		return true;
	silence_end(operation);
	operation_store(operation);
	return false;
}

void cloud_change_asks(struct cloud_change *change, const struct operation *operation)
{
	change->asked_before_ms = change->asked_ms;
	change->asked_ms = operation->asked_ms;
	change->unasked = false;
}

void cloud_change_answered(struct cloud_change *change, const struct cloud_result *result)
{
	if (result->outcome == CLOUD_UNKNOWN)
		change->in_doubt = true;
	if (result->outcome == CLOUD_AWAY && change->asked_before_ms)
		change->asked_ms = change->asked_before_ms;
}

bool cloud_change_is_late_or_wait(struct cloud_change *change, struct operation *operation,
				  const char *words)
{
	/* An earlier life has asked, if any has. */
	if (!change->asked_ms)
		change->asked_ms = silence_since_ms(operation);
	if (!change->asked_ms) {
		change->asked_ms = clock_mono_ms();
		silence_begin(operation);
		operation_store(operation);
		return false;
	}
	if (clock_mono_ms() >= cloud_late_until_ms(operation->ops->env->cloud, change->asked_ms))
		return true;
	operation_again(operation, LOOK_AGAIN_MS, "%s", words);
	return false;
}

char *cloud_change_note(const char *words)
{
	return str_empty(words)
		       ? xstrdup("")
		       : xasprintf("; CloudStack's job reported a failure all the same: %s", words);
}
