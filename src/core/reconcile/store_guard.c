/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A machine can be reverted to a snapshot, its store restored from a backup, its VM cloned from a
 * template. Then the store tells of a world that has gone on since, or that is another machine's,
 * and its unfinished operations would run again. So a store is marked: with the VM and the machine
 * that use it, and with an id of its own that stands in the ids of all its operations and jobs.
 *
 * The signs of such a store are: another VM; another machine, if the store is a file; a job or a
 * volume in CloudStack that carries the id of the store and is younger than everything in the
 * store. Each id that CloudStack sees was committed before, so a store can only be older than such
 * a job if it has lost commits. Jobs and volumes of others carry other ids and are no signs.
 *
 * The first two signs show at once, the others when CloudStack answers: a list of the jobs that
 * this account has under way, and a list of the volumes with the id in their name. A store in which
 * no id was ever made needs no such look.
 */

#include "core/reconcile/store_guard.h"

#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/uuid.h"
#include "cloud/cloud.h"
#include "core/engine/operation_past.h"
#include "core/engine/operation_start.h"
#include "core/env.h"
#include "core/model/notice.h"
#include "core/ops/ops.h"
#include "core/reconcile/device_sync.h"
#include "core/reconcile/host_sync.h"
#include "core/reconcile/reconciler.h"
#include "store/store.h"

/* A CloudStack that answers has so long to answer these lists; afterwards the daemon goes on
 * without them. */
#define CHECK_MS INT64_C(60000)
#define RETRY_MS 1000
#define AWAY_RETRY_MS 5000
#define SOON_MS 500

#define REMEDY                                                                                      \
	"nothing is changed until that is settled: look with 'volumectl store plan', then let the " \
	"daemon go on with 'volumectl store accept', or stop it and give it the right store"

struct store_wait {
	TAILQ_ENTRY(store_wait) entry;
	struct store_guard *guard;
	bool is_told; /* stands in guard->told */
	void (*fn)(void *arg);
	void *arg;
};
TAILQ_HEAD(store_waits, store_wait);

struct store_accept {
	struct store_guard *guard;
	char store_id[UUID_MAKER_SIZE]; /* the new one */
	store_accepted_fn done;         /* NULL: the asker has left */
	void *arg;
};

struct store_guard {
	struct env *env;
	struct model *model;
	struct engine *engine;
	struct reconciler *reconciler;
	struct device_sync *device_sync;
	struct host_sync *host_sync;
	char store_id[UUID_MAKER_SIZE];
	char newest_id[UUID_TEXT_SIZE]; /* in the store, when it was loaded */
	char *wrong_vm;                 /* STORE_MARK_WRONG_VM, NULL none */
	char seen[512];                 /* the sign, half a sentence; "" none */
	char reason[1024];
	struct cloud_walk *walk; /* a list under way, or NULL */
	struct loop_timer retry, deadline;
	struct loop_task tell;
	struct store_waits waits, told; /* told: in this turn */
	struct store_accept *accepting; /* on its way to the store */
	struct notice_listener listener;
};

/* ---- the state ---- */

static void tell_waits(struct loop_task *task)
{
	struct store_guard *guard = container_of(task, struct store_guard, tell);
	struct store_wait *wait;

	/* Waits that begin meanwhile are for the next time. */
	while ((wait = TAILQ_FIRST(&guard->waits))) {
		TAILQ_REMOVE(&guard->waits, wait, entry);
		TAILQ_INSERT_TAIL(&guard->told, wait, entry);
		wait->is_told = true;
	}
	/* Each round begins with the first, since a call that is told may cancel any other. */
	while ((wait = TAILQ_FIRST(&guard->told))) {
		void (*fn)(void *arg) = wait->fn;
		void *arg = wait->arg;

		store_wait_cancel(wait);
		fn(arg);
	}
}

static void stop_check(struct store_guard *guard)
{
	loop_timer_clear(guard->env->loop, &guard->retry);
	loop_timer_clear(guard->env->loop, &guard->deadline);
	if (guard->walk)
		cloud_walk_cancel(TAKE_PTR(guard->walk));
}

static void tell_soon(struct store_guard *guard)
{
	if (!TAILQ_EMPTY(&guard->waits))
		loop_task_queue(guard->env->loop, &guard->tell);
}

static void follow_kernel(struct store_guard *guard)
{
	device_sync_soon(guard->device_sync);
	host_sync_soon(guard->host_sync);
}

static void decided(struct store_guard *guard)
{
	tell_soon(guard);
	if (guard->env->cloud)
		reconcile_anew(guard->reconciler);
}

static void become_current(struct store_guard *guard)
{
	guard->reason[0] = '\0';
	guard->env->store_state = STORE_CURRENT;
	operations_go_on(guard->engine);
	follow_kernel(guard);
	decided(guard);
}

static void become_past(struct store_guard *guard)
{
	snprintf(guard->reason, sizeof(guard->reason),
		 "the store is one from the past or of another machine: %s; " REMEDY, guard->seen);
	log_warning("%s", guard->reason);
	guard->env->store_state = STORE_PAST;
	host_sync_stop(guard->host_sync);
	host_sync_soon(guard->host_sync); /* it still closes an export of a wrong disk */
	decided(guard);
}

/* ---- marks ---- */

static void on_marked(void *arg, const struct err *err)
{
	if (err->code)
		log_warning("the store could not be marked: %s", err->text);
}

static void mark(struct store_guard *guard, struct store_batch *batch)
{
	store_submit(guard->env->store, batch, on_marked, NULL);
}

static const char *machine_id(const struct store_guard *guard)
{
	return store_is_local(guard->env->store) ? guard->env->options.machine_id : NULL;
}

/* An id that is proven wrong is no mark, even while it is still configured: the right id must not
 * look like another machine. */
static void put_place(const struct store_guard *guard, struct store_batch *batch)
{
	const char *vm = guard->env->options.appliance_id;

	if (vm && !streq(vm, guard->wrong_vm))
		store_batch_mark(batch, STORE_MARK_VM, vm);
	if (machine_id(guard))
		store_batch_mark(batch, STORE_MARK_MACHINE, machine_id(guard));
}

/* An earlier daemon, or the first start. */
static void mark_first(struct store_guard *guard)
{
	struct store_batch *batch = store_batch_new("marks");

	uuid_make_maker(guard->store_id);
	uuid_set_maker(guard->store_id);
	store_batch_mark(batch, STORE_MARK_ID, guard->store_id);
	put_place(guard, batch);
	mark(guard, batch);
}

static bool is_same_vm(const char *a, const char *b)
{
	char swapped[UUID_TEXT_SIZE];

	if (strcasecmp(a, b) == 0)
		return true;
	/* The same id, read with the bytes of DMI in the other order. */
	if (!uuid_is_valid(a))
		return false;
	uuid_swap(a, swapped);
	return strcasecmp(swapped, b) == 0;
}

/* The signs that this machine shows by itself. */
static bool is_elsewhere(struct store_guard *guard, const struct store_loaded *loaded)
{
	const char *vm = store_loaded_mark(loaded, STORE_MARK_VM);
	const char *machine = store_loaded_mark(loaded, STORE_MARK_MACHINE);
	const char *vm_here = guard->env->options.appliance_id;

	if (vm && vm_here && !is_same_vm(vm, vm_here))
		snprintf(guard->seen, sizeof(guard->seen),
			 "it was used on VM %s before, and this machine is VM %s", vm, vm_here);
	else if (machine && machine_id(guard) && !streq(machine, machine_id(guard)))
		snprintf(guard->seen, sizeof(guard->seen),
			 "it was used on another machine before, by /etc/machine-id");
	return guard->seen[0] != '\0';
}

/* ---- signs in CloudStack ---- */

static bool is_unknown(const struct store_guard *guard, const char *id)
{
	return uuid_is_made_by(id, guard->store_id) && strcmp(id, guard->newest_id) > 0;
}

static void finish(struct store_guard *guard)
{
	stop_check(guard);
	if (guard->seen[0])
		become_past(guard);
	else
		become_current(guard);
}

static void on_deadline(struct loop_timer *timer)
{
	struct store_guard *guard = container_of(timer, struct store_guard, deadline);

	log_warning(
		"CloudStack answers, but has not shown its jobs and volumes within %d s: operations go on, and the store is not compared with CloudStack until the next start",
		(int)(CHECK_MS / 1000));
	finish(guard);
}

/* The deadline counts only while CloudStack answers: without it, nothing can go on anyway. */
static bool note_health(struct store_guard *guard)
{
	struct cloud_health health;

	cloud_health(guard->env->cloud, &health);
	if (!health.usable)
		loop_timer_clear(guard->env->loop, &guard->deadline);
	else if (!loop_timer_is_set(&guard->deadline))
		loop_deadline_set(guard->env->loop, &guard->deadline, CHECK_MS);
	return health.usable;
}

/* True: the list is whole, or CloudStack will never give it. Otherwise the check begins anew later,
 * and the calls that wait hear that CloudStack does not answer. */
static bool is_answered(struct store_guard *guard, const struct cloud_result *result)
{
	bool usable = note_health(guard);

	if (result->outcome == CLOUD_OK)
		return true;
	if (result->outcome == CLOUD_REFUSED || result->endless) {
		log_notice("the store is compared with CloudStack without a list: %s",
			   result->err.text);
		return true;
	}
	loop_timer_set(guard->env->loop, &guard->retry, usable ? RETRY_MS : AWAY_RETRY_MS);
	tell_soon(guard);
	return false;
}

static void on_volumes(void *arg, const struct cloud_result *result)
{
	struct store_guard *guard = arg;

	for (size_t i = 0; i < result->count; i++) {
		const struct cloud_volume *volume = &result->volumes[i];
		const char *operation_id = op_create_of_name(volume->name);

		if (operation_id && is_unknown(guard, operation_id + strlen("op-")))
			snprintf(
				guard->seen, sizeof(guard->seen),
				"CloudStack has volume %s, which operation %s of this store has made, and the store does not know that operation",
				volume->id, operation_id);
	}
}

static void on_volumes_walked(void *arg, const struct cloud_result *result)
{
	struct store_guard *guard = arg;

	guard->walk = NULL;
	if (is_answered(guard, result))
		finish(guard);
}

static void on_jobs(void *arg, const struct cloud_result *result)
{
	struct store_guard *guard = arg;

	note_health(guard);
	for (size_t i = 0; i < result->count; i++) {
		if (is_unknown(guard, result->jobs[i]))
			snprintf(
				guard->seen, sizeof(guard->seen),
				"CloudStack works on job %s, which was requested for this store, and the store does not know that job",
				result->jobs[i]);
	}
}

static void on_jobs_walked(void *arg, const struct cloud_result *result)
{
	struct store_guard *guard = arg;

	guard->walk = NULL;
	if (!is_answered(guard, result))
		return;
	if (guard->seen[0])
		finish(guard);
	else
		guard->walk = cloud_walk_named(guard->env->cloud, guard->store_id, on_volumes,
					       on_volumes_walked, guard);
}

static void check(struct store_guard *guard)
{
	guard->walk = cloud_walk_own_jobs(guard->env->cloud, on_jobs, on_jobs_walked, guard);
}

static void on_retry(struct loop_timer *timer)
{
	check(container_of(timer, struct store_guard, retry));
}

static void begin_check(struct store_guard *guard)
{
	snprintf(
		guard->reason, sizeof(guard->reason),
		"it commits; before operations go on, CloudStack shows whether the store is one from the past, at the latest %d s after it answers",
		(int)(CHECK_MS / 1000));
	/* Maps and exports that are missing need no operation, and no CloudStack. */
	follow_kernel(guard);
	store_guard_soon(guard);
}

/* ---- the start ---- */

void store_guard_start(struct store_guard *guard, const struct store_loaded *loaded)
{
	const char *store_id = store_loaded_mark(loaded, STORE_MARK_ID);
	struct store_batch *batch;

	snprintf(guard->newest_id, sizeof(guard->newest_id), "%s", loaded->newest_id);
	if (!uuid_is_maker(store_id)) {
		mark_first(guard);
		become_current(guard);
		return;
	}
	memcpy(guard->store_id, store_id, sizeof(guard->store_id));
	uuid_set_maker(store_id);
	str_set(&guard->wrong_vm, store_loaded_mark(loaded, STORE_MARK_WRONG_VM));
	if (is_elsewhere(guard, loaded)) {
		become_past(guard);
		return;
	}
	batch = store_batch_new("marks");
	put_place(guard, batch);
	mark(guard, batch);
	if (str_empty(guard->newest_id))
		become_current(guard);
	else
		begin_check(guard);
}

void store_guard_soon(struct store_guard *guard)
{
	bool waits = loop_timer_is_set(&guard->retry);

	if (guard->env->store_state != STORE_CHECKING || guard->walk || !guard->env->cloud)
		return;
	if (!waits)
		loop_timer_set(guard->env->loop, &guard->retry, 0);
	else if (guard->retry.due_ms > clock_mono_ms() + SOON_MS)
		loop_timer_set(guard->env->loop, &guard->retry, SOON_MS);
}

void store_guard_note_appliance(struct store_guard *guard)
{
	struct store_batch *batch;

	if (guard->env->store_state == STORE_PAST)
		return;
	batch = store_batch_new("marks");
	put_place(guard, batch);
	mark(guard, batch);
}

/* The configured id is wrong: the store is not that VM's. */
static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	struct store_guard *guard = container_of(listener, struct store_guard, listener);
	struct store_batch *batch;

	if (notice->type != NOTICE_APPLIANCE_WRONG)
		return;
	str_set(&guard->wrong_vm, guard->env->options.appliance_id);
	batch = store_batch_new("marks");
	store_batch_mark(batch, STORE_MARK_VM, NULL);
	store_batch_mark(batch, STORE_MARK_WRONG_VM, guard->wrong_vm);
	mark(guard, batch);
}

/* ---- questions ---- */

const char *store_guard_reason(const struct store_guard *guard)
{
	return guard->reason;
}

int store_guard_check(const struct store_guard *guard, struct err *err)
{
	if (guard->env->store_state != STORE_PAST)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "%s", guard->reason);
}

struct store_wait *store_guard_wait(struct store_guard *guard, void (*fn)(void *arg), void *arg)
{
	struct store_wait *wait = xnew(struct store_wait);

	wait->guard = guard;
	wait->fn = fn;
	wait->arg = arg;
	TAILQ_INSERT_TAIL(&guard->waits, wait, entry);
	return wait;
}

void store_wait_cancel(struct store_wait *wait)
{
	TAILQ_REMOVE(wait->is_told ? &wait->guard->told : &wait->guard->waits, wait, entry);
	free(wait);
}

/* ---- accepting ---- */

/* A crash before this leaves a store from the past, and a crash after it one that was accepted: the
 * marks are one batch. */
static void on_accepted(void *arg, const struct err *err)
{
	struct store_accept *accept = arg;
	struct store_guard *guard = accept->guard;

	guard->accepting = NULL;
	if (err->code == ERR_NONE && !guard->env->draining) {
		log_notice("the store was accepted, operations go on");
		memcpy(guard->store_id, accept->store_id, sizeof(guard->store_id));
		uuid_set_maker(guard->store_id);
		guard->seen[0] = '\0';
		operations_set_past(guard->engine, guard->newest_id);
		become_current(guard);
	}
	if (accept->done)
		accept->done(accept->arg, err);
	free(accept);
}

struct store_accept *store_guard_accept(struct store_guard *guard, store_accepted_fn done,
					void *arg, struct err *err)
{
	struct store_accept *accept;
	struct store_batch *batch;

	if (guard->env->store_state != STORE_PAST || guard->accepting) {
		err_set(err, ERR_CONFLICT, "there is nothing to accept: the store is %s",
			guard->accepting ? "being accepted"
					 : store_state_names[guard->env->store_state]);
		return NULL;
	}
	accept = guard->accepting = xnew(struct store_accept);
	*accept = (struct store_accept){ .guard = guard, .done = done, .arg = arg };
	uuid_make_maker(accept->store_id);
	batch = store_batch_new("marks");
	store_batch_optional(batch);
	store_batch_mark(batch, STORE_MARK_ID, accept->store_id);
	store_batch_mark(batch, STORE_MARK_PAST, guard->newest_id);
	/* The administrator says that the configured id is right, whatever a disk has proven
	 * before. */
	str_set(&guard->wrong_vm, NULL);
	store_batch_mark(batch, STORE_MARK_WRONG_VM, NULL);
	put_place(guard, batch);
	store_submit(guard->env->store, batch, on_accepted, accept);
	return accept;
}

void store_accept_forget(struct store_accept *accept)
{
	accept->done = NULL;
}

/* ---- life ---- */

struct store_guard *store_guard_new(struct env *env, struct model *model, struct engine *engine,
				    struct reconciler *reconciler, struct device_sync *device_sync,
				    struct host_sync *host_sync)
{
	struct store_guard *guard = xnew(struct store_guard);

	guard->env = env;
	guard->model = model;
	guard->engine = engine;
	guard->reconciler = reconciler;
	guard->device_sync = device_sync;
	guard->host_sync = host_sync;
	guard->retry.fire = on_retry;
	guard->deadline.fire = on_deadline;
	guard->tell.run = tell_waits;
	TAILQ_INIT(&guard->waits);
	TAILQ_INIT(&guard->told);
	guard->listener.on_notice = on_notice;
	notice_listen(model, &guard->listener);
	return guard;
}

struct store_guard *store_guard_free(struct store_guard *guard)
{
	if (!guard)
		return NULL;
	notice_unlisten(guard->model, &guard->listener);
	stop_check(guard);
	loop_task_cancel(guard->env->loop, &guard->tell);
	free(guard->accepting);
	free(guard->wrong_vm);
	free(guard);
	return NULL;
}
