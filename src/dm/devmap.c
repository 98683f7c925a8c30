/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Verbs on device-mapper maps, one at a time, on a thread that may hang.
 *
 * A call is what the caller holds; its verb is what the loop and a thread share: arguments in, result out. Calls wait in
 * a queue, and the first one's verb is handed to the worker with a deadline. When it passes while the thread is in the
 * kernel, the worker is abandoned and the verb goes to the list of stuck ones, where it stays until its thread has come
 * back; meanwhile its volume gets no second verb, so one disk that hangs costs one thread, however often it is asked.
 *
 * Who lets go of a verb last frees it. While there is a devmap that is always the loop: the thread only notes that it is
 * through. devmap_free() swaps VERB_DROPPED into what still runs, and the thread, which swaps in VERB_ENDED, frees the
 * verb if that is what it finds.
 *
 * udevd is waited for by libdevmapper, without a deadline, so a timer here asks the backend to let it be.
 */

#include "dm/devmap.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/log.h"
#include "base/uuid.h"
#include "io/worker.h"

enum verb_kind { VERB_LIST, VERB_POINT, VERB_HOLD, VERB_FAIL, VERB_REMOVE, VERB_KIND_COUNT };

static const char *const verb_words[] = {
	[VERB_LIST] = "listing the maps",   [VERB_POINT] = "pointing the map of",  [VERB_HOLD] = "holding the map of",
	[VERB_FAIL] = "failing the map of", [VERB_REMOVE] = "removing the map of",
};
_Static_assert(ARRAY_SIZE(verb_words) == VERB_KIND_COUNT, "each verb has words");

enum verb_stage { VERB_WAITING, VERB_RUNNING, VERB_ENDED, VERB_DROPPED };

struct verb {
	struct worker_job job;
	TAILQ_ENTRY(verb) entry; /* of stuck */
	struct devmap *devmap;   /* the loop's alone */
	_Atomic(enum verb_stage) stage;
	const struct devmap_backend *backend;
	void *context;
	enum verb_kind kind;
	char name[DEVMAP_NAME_SIZE];
	char volume_id[UUID_TEXT_SIZE]; /* "" for VERB_LIST */
	char device[24];
	uint64_t size;
	struct devmap_map *maps;
	size_t count;
	struct err err;
};

struct devmap_call {
	TAILQ_ENTRY(devmap_call) entry;
	struct devmap *devmap;
	struct verb *verb; /* NULL once the worker has it */
	devmap_done_fn done;
	devmap_listed_fn listed; /* instead of done */
	void *arg;
};

struct devmap {
	struct loop *loop;
	int64_t timeout_ms, cookie_ms;
	const struct devmap_backend *backend;
	void *context;
	TAILQ_HEAD(, devmap_call) waiting;
	struct loop_task next;       /* answers or starts the first that waits */
	struct worker *worker;       /* NULL until needed, and after one was abandoned */
	struct verb *verb;           /* what the worker has, NULL when it is idle */
	struct devmap_call *current; /* who waits for it; NULL when idle or cancelled */
	struct loop_timer deadline;
	TAILQ_HEAD(, verb) stuck;
	struct loop_timer cookie;
	bool gave_up;     /* on udevd, during the present verb */
	bool udev_silent; /* that was said */
};

static void verb_free(struct verb *verb)
{
	free(verb->maps);
	free(verb);
}

/* ---- the thread ---- */

static void verb_run(struct verb *verb)
{
	const struct devmap_backend *backend = verb->backend;
	int r = 0;

	switch (verb->kind) {
	case VERB_LIST:
		r = backend->list(verb->context, &verb->maps, &verb->count, &verb->err);
		break;
	case VERB_POINT:
		r = backend->point(verb->context, verb->name, verb->volume_id, verb->device, verb->size, &verb->err);
		break;
	case VERB_HOLD:
		r = backend->hold(verb->context, verb->volume_id, &verb->err);
		break;
	case VERB_FAIL:
		r = backend->fail(verb->context, verb->volume_id, &verb->err);
		break;
	case VERB_REMOVE:
		r = backend->remove(verb->context, verb->volume_id, &verb->err);
		break;
	case VERB_KIND_COUNT:
		abort();
	}
	assert((r == 0) == (verb->err.code == ERR_NONE));
}

static void thread_run(void *context, struct worker_jobs *jobs, size_t count)
{
	struct verb *verb = container_of(STAILQ_FIRST(jobs), struct verb, job);
	enum verb_stage stage = VERB_WAITING;

	assert(count == 1);
	if (!atomic_compare_exchange_strong(&verb->stage, &stage, VERB_RUNNING))
		return; /* taken back: nothing is touched */
	verb_run(verb);
	if (atomic_exchange(&verb->stage, VERB_ENDED) == VERB_DROPPED)
		verb_free(verb);
}

/* ---- the loop's side ---- */

static void call_free(struct devmap_call *call)
{
	if (call->verb)
		verb_free(call->verb);
	free(call);
}

static void answer(struct devmap_call *call, const struct devmap_map *maps, size_t count, const struct err *err)
{
	devmap_listed_fn listed = call->listed;
	devmap_done_fn done = call->done;
	void *arg = call->arg;

	call_free(call);
	if (listed)
		listed(arg, maps, count, err);
	else
		done(arg, err);
}

static void queue_next(struct devmap *devmap)
{
	if (!devmap->verb && !TAILQ_EMPTY(&devmap->waiting))
		loop_task_queue(devmap->loop, &devmap->next);
}

/* Forgets the stuck verbs that have come back; how many have not. */
static size_t reap_stuck(struct devmap *devmap)
{
	struct verb *verb, *following;
	size_t count = 0;

	for (verb = TAILQ_FIRST(&devmap->stuck); verb; verb = following) {
		following = TAILQ_NEXT(verb, entry);
		if (atomic_load(&verb->stage) == VERB_ENDED) {
			TAILQ_REMOVE(&devmap->stuck, verb, entry);
			verb_free(verb);
		} else {
			count++;
		}
	}
	return count;
}

/* A warning once, until a verb on a map has ended with udevd's help again. */
static void note_udev(struct devmap *devmap, const struct verb *verb)
{
	if (!devmap->gave_up && verb->err.code == ERR_NONE && verb->kind != VERB_LIST && verb->kind != VERB_HOLD)
		devmap->udev_silent = false;
}

static void on_verb_done(struct worker_job *job)
{
	struct verb *verb = container_of(job, struct verb, job);
	struct devmap *devmap = verb->devmap;
	struct devmap_call *call = TAKE_PTR(devmap->current);

	devmap->verb = NULL;
	loop_timer_clear(devmap->loop, &devmap->deadline);
	if (TAILQ_EMPTY(&devmap->stuck))
		loop_timer_clear(devmap->loop, &devmap->cookie);
	note_udev(devmap, verb);
	queue_next(devmap);
	if (call)
		answer(call, verb->maps, verb->count, &verb->err);
	verb_free(verb);
}

/* Gives up on the worker, not on what its thread still does. */
static struct verb *abandon(struct devmap *devmap)
{
	devmap->worker = worker_abandon(devmap->worker);
	loop_timer_clear(devmap->loop, &devmap->deadline);
	return TAKE_PTR(devmap->verb);
}

static const char *verb_object(const struct verb *verb)
{
	return verb->kind == VERB_LIST ? "" : verb->volume_id;
}

static void on_deadline(struct loop_timer *timer)
{
	struct devmap *devmap = container_of(timer, struct devmap, deadline);
	struct devmap_call *call = devmap->current;
	struct verb *verb = devmap->verb;
	struct err err = { 0 };

	switch (atomic_load(&verb->stage)) {
	case VERB_WAITING:
		/* A thread that has not begun is not stuck in the kernel; this machine is slow. */
		loop_timer_set(devmap->loop, timer, devmap->timeout_ms);
		return;
	case VERB_ENDED:
		return; /* the result is on its way */
	case VERB_RUNNING:
		break;
	case VERB_DROPPED:
		abort();
	}
	devmap->current = NULL;
	abandon(devmap);
	TAILQ_INSERT_TAIL(&devmap->stuck, verb, entry);
	queue_next(devmap);
	if (!call)
		return;
	err_set(&err, ERR_TIMEOUT, "%s %s did not end within %lld ms: the disk below does not answer, or udevd",
		verb_words[verb->kind], verb_object(verb), (long long)devmap->timeout_ms);
	answer(call, NULL, 0, &err);
}

/* Asks as long as a thread may be waiting, also a stuck one: it might have come as far as udevd. */
static void on_cookie(struct loop_timer *timer)
{
	struct devmap *devmap = container_of(timer, struct devmap, cookie);
	int64_t left_ms = devmap->cookie_ms;

	if (devmap->backend->give_up_udev(devmap->context, devmap->cookie_ms, &left_ms)) {
		devmap->gave_up = true;
		if (!devmap->udev_silent)
			log_warning("device mapper: udevd has not answered for %lld ms; its part is done without it, "
				    "and links it should have made may be missing. Is systemd-udevd running?",
				    (long long)devmap->cookie_ms);
		devmap->udev_silent = true;
	}
	if (reap_stuck(devmap) > 0 || devmap->verb)
		loop_timer_set(devmap->loop, timer, left_ms);
}

/* 0 when the verb may start. */
static int may_start(struct devmap *devmap, const struct verb *verb, struct err *err)
{
	size_t stuck_count = reap_stuck(devmap);
	const struct verb *stuck;

	TAILQ_FOREACH(stuck, &devmap->stuck, entry) {
		if (verb->kind != VERB_LIST && streq(stuck->volume_id, verb->volume_id))
			return err_set(err, ERR_UNAVAILABLE,
				       "%s %s has to wait: %s it, asked before, still hangs, because the disk below "
				       "does not answer",
				       verb_words[verb->kind], verb->volume_id, verb_words[stuck->kind]);
	}
	if (!devmap->worker && stuck_count >= DEVMAP_STUCK_MAX)
		return err_set(err, ERR_UNAVAILABLE, "%s %s has to wait: %d requests to device mapper hang already",
			       verb_words[verb->kind], verb_object(verb), DEVMAP_STUCK_MAX);
	return 0;
}

static void on_next(struct loop_task *task)
{
	struct devmap *devmap = container_of(task, struct devmap, next);
	struct devmap_call *call = TAILQ_FIRST(&devmap->waiting);
	struct err err = { 0 };

	if (devmap->verb || !call)
		return;
	TAILQ_REMOVE(&devmap->waiting, call, entry);
	if (may_start(devmap, call->verb, &err) < 0) {
		queue_next(devmap);
		answer(call, NULL, 0, &err); /* may cancel any of the others */
		return;
	}
	if (!devmap->worker)
		devmap->worker = worker_new(devmap->loop, "devmap", 1, thread_run, NULL);
	devmap->current = call;
	devmap->verb = TAKE_PTR(call->verb);
	devmap->gave_up = false;
	loop_timer_set(devmap->loop, &devmap->deadline, devmap->timeout_ms);
	if (!loop_timer_is_set(&devmap->cookie))
		loop_timer_set(devmap->loop, &devmap->cookie, devmap->cookie_ms);
	worker_submit(devmap->worker, &devmap->verb->job);
}

/* ---- life ---- */

struct devmap *devmap_new_with(struct loop *loop, const struct devmap_options *options,
			       const struct devmap_backend *backend, void *context)
{
	struct devmap *devmap = xnew(struct devmap);

	assert(options->timeout_ms > 0 && options->cookie_ms > 0);
	devmap->loop = loop;
	devmap->timeout_ms = options->timeout_ms;
	devmap->cookie_ms = options->cookie_ms;
	devmap->backend = backend;
	devmap->context = context;
	devmap->deadline.fire = on_deadline;
	devmap->cookie.fire = on_cookie;
	devmap->next.run = on_next;
	TAILQ_INIT(&devmap->waiting);
	TAILQ_INIT(&devmap->stuck);
	return devmap;
}

/* From here on the verb is its thread's, unless that is through. */
static void drop(struct verb *verb)
{
	if (atomic_exchange(&verb->stage, VERB_DROPPED) == VERB_ENDED)
		verb_free(verb);
}

/* Ends the worker without waiting for the kernel: what runs is abandoned, what has not begun is taken back. */
static void end_worker(struct devmap *devmap)
{
	enum verb_stage stage = VERB_WAITING;

	if (devmap->verb && !atomic_compare_exchange_strong(&devmap->verb->stage, &stage, VERB_DROPPED))
		drop(abandon(devmap));
	devmap->worker = worker_free(devmap->worker);
}

struct devmap *devmap_free(struct devmap *devmap)
{
	struct devmap_call *call;
	struct verb *verb;
	int64_t left_ms;

	if (!devmap)
		return NULL;
	while ((call = TAILQ_FIRST(&devmap->waiting)))
		devmap_cancel(call);
	if (devmap->current)
		devmap_cancel(devmap->current);
	/* A semaphore that nobody waits for would outlive the process. */
	if (devmap->verb || !TAILQ_EMPTY(&devmap->stuck))
		devmap->backend->give_up_udev(devmap->context, 0, &left_ms);
	end_worker(devmap);
	while ((verb = TAILQ_FIRST(&devmap->stuck))) {
		TAILQ_REMOVE(&devmap->stuck, verb, entry);
		drop(verb);
	}
	loop_timer_clear(devmap->loop, &devmap->deadline);
	loop_timer_clear(devmap->loop, &devmap->cookie);
	loop_task_cancel(devmap->loop, &devmap->next);
	assert(!devmap->verb && !devmap->current && TAILQ_EMPTY(&devmap->waiting));
	free(devmap);
	return NULL;
}

/* ---- asking ---- */

static struct devmap_call *call_new(struct devmap *devmap, enum verb_kind kind, const char *volume_id, void *arg)
{
	struct devmap_call *call = xnew(struct devmap_call);
	struct verb *verb = xnew(struct verb);

	assert(kind == VERB_LIST || uuid_is_valid(volume_id));
	verb->job.done = on_verb_done;
	verb->devmap = devmap;
	verb->backend = devmap->backend;
	verb->context = devmap->context;
	verb->kind = kind;
	snprintf(verb->volume_id, sizeof(verb->volume_id), "%s", str_or(volume_id, ""));
	call->devmap = devmap;
	call->verb = verb;
	call->arg = arg;
	TAILQ_INSERT_TAIL(&devmap->waiting, call, entry);
	queue_next(devmap);
	return call;
}

static struct devmap_call *ask(struct devmap *devmap, enum verb_kind kind, const char *volume_id, devmap_done_fn done,
			       void *arg)
{
	struct devmap_call *call = call_new(devmap, kind, volume_id, arg);

	assert(done);
	call->done = done;
	return call;
}

static bool is_name(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(name);

	return length > 0 && length < DEVMAP_NAME_SIZE && strspn(name, allowed) == length && !streq(name, ".") &&
	       !streq(name, "..") && !streq(name, "control");
}

struct devmap_call *devmap_point(struct devmap *devmap, const char *name, const char *volume_id, const char *device,
				 uint64_t size, devmap_done_fn done, void *arg)
{
	struct devmap_call *call = ask(devmap, VERB_POINT, volume_id, done, arg);
	struct verb *verb = call->verb;

	assert(is_name(name) && strlen(device) < sizeof(verb->device) && size > 0 && size % 512 == 0);
	snprintf(verb->name, sizeof(verb->name), "%s", name);
	snprintf(verb->device, sizeof(verb->device), "%s", device);
	verb->size = size;
	return call;
}

struct devmap_call *devmap_hold(struct devmap *devmap, const char *volume_id, devmap_done_fn done, void *arg)
{
	return ask(devmap, VERB_HOLD, volume_id, done, arg);
}

struct devmap_call *devmap_fail(struct devmap *devmap, const char *volume_id, devmap_done_fn done, void *arg)
{
	return ask(devmap, VERB_FAIL, volume_id, done, arg);
}

struct devmap_call *devmap_remove(struct devmap *devmap, const char *volume_id, devmap_done_fn done, void *arg)
{
	return ask(devmap, VERB_REMOVE, volume_id, done, arg);
}

struct devmap_call *devmap_list(struct devmap *devmap, devmap_listed_fn done, void *arg)
{
	struct devmap_call *call = call_new(devmap, VERB_LIST, NULL, arg);

	assert(done);
	call->listed = done;
	return call;
}

void devmap_cancel(struct devmap_call *call)
{
	struct devmap *devmap = call->devmap;

	/* What the worker does goes on, and its deadline with it; nobody is told. */
	if (call == devmap->current)
		devmap->current = NULL;
	else
		TAILQ_REMOVE(&devmap->waiting, call, entry);
	call_free(call);
}
