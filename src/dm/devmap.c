/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Verbs on device-mapper maps, one at a time, on a thread that may hang.
 *
 * The caller holds a call; the loop and a thread share its verb: arguments in, result out.
 * io/blocking runs the verbs in their order, gives up a verb that does not end in time, and lets no
 * second verb begin on a volume as long as the first one hangs, so a disk that does not answer
 * costs one thread, however often its map is asked for.
 *
 * libdevmapper waits for udevd, without a deadline, so a timer here asks the backend to stop
 * waiting.
 */

#include "dm/devmap.h"

#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "base/uuid.h"
#include "io/blocking.h"

enum verb_kind { VERB_LIST, VERB_ACTIVATE, VERB_SUSPEND, VERB_WIPE, VERB_REMOVE, VERB_KIND_COUNT };

static const char *const verb_words[] = {
	[VERB_LIST] = "listing the maps",         [VERB_ACTIVATE] = "activating the map of",
	[VERB_SUSPEND] = "suspending the map of", [VERB_WIPE] = "wiping the map of",
	[VERB_REMOVE] = "removing the map of",
};
_Static_assert(ARRAY_SIZE(verb_words) == VERB_KIND_COUNT, "each verb has words");

struct verb {
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
	struct blocking_call call;
	struct devmap *devmap;
	devmap_done_fn done;
	devmap_listed_fn listed; /* instead of done */
	void *arg;
};

struct devmap {
	struct loop *loop;
	int64_t cookie_ms;
	const struct devmap_backend *backend;
	void *context;
	struct blocking_pool *pool;
	struct loop_timer cookie;
	bool gave_up;     /* gave up udevd during the present verb */
	bool udev_silent; /* a warning about it was logged */
};

/* ---- the thread ---- */

static void verb_run(void *work)
{
	struct verb *verb = work;
	const struct devmap_backend *backend = verb->backend;
	int r = 0;

	switch (verb->kind) {
	case VERB_LIST:
		r = backend->list(verb->context, &verb->maps, &verb->count, &verb->err);
		break;
	case VERB_ACTIVATE:
		r = backend->activate(verb->context, verb->name, verb->volume_id, verb->device,
				      verb->size, &verb->err);
		break;
	case VERB_SUSPEND:
		r = backend->suspend(verb->context, verb->volume_id, &verb->err);
		break;
	case VERB_WIPE:
		r = backend->wipe(verb->context, verb->volume_id, &verb->err);
		break;
	case VERB_REMOVE:
		r = backend->remove(verb->context, verb->volume_id, &verb->err);
		break;
	case VERB_KIND_COUNT:
		abort();
	}
	assert((r == 0) == (verb->err.code == ERR_NONE));
}

static void verb_free(void *work)
{
	struct verb *verb = work;

	free(verb->maps);
	free(verb);
}

/* ---- udevd ---- */

/* Runs again as long as a thread, even one that was given up, may wait for udevd. */
static void on_cookie(struct loop_timer *timer)
{
	struct devmap *devmap = container_of(timer, struct devmap, cookie);
	int64_t left_ms = devmap->cookie_ms;

	if (devmap->backend->give_up_udev(devmap->context, devmap->cookie_ms, &left_ms)) {
		devmap->gave_up = true;
		if (!devmap->udev_silent)
			log_warning(
				"device mapper: udevd has not answered for %lld ms; its part is "
				"done without it, and links that udevd should have made may be "
				"missing. Is systemd-udevd running?",
				(long long)devmap->cookie_ms);
		devmap->udev_silent = true;
	}
	if (blocking_first(devmap->pool) || blocking_pool_is_busy(devmap->pool))
		loop_deadline_set(devmap->loop, timer, left_ms);
}

/*
 * Allows the next warning once a verb on a map has ended with udevd's help. verb: NULL if the verb
 * did not end.
 */
static void note_udev(struct devmap *devmap, const struct verb *verb)
{
	if (!devmap->gave_up && verb && verb->err.code == ERR_NONE && verb->kind != VERB_LIST &&
	    verb->kind != VERB_SUSPEND)
		devmap->udev_silent = false;
	devmap->gave_up = false;
	if (!blocking_first(devmap->pool) && !blocking_pool_is_busy(devmap->pool))
		loop_timer_clear(devmap->loop, &devmap->cookie);
}

/* ---- answers ---- */

static void answer(struct devmap_call *call, const struct verb *verb, const struct err *err)
{
	devmap_listed_fn listed = call->listed;
	devmap_done_fn done = call->done;
	void *arg = call->arg;

	free(call);
	if (listed)
		listed(arg, verb ? verb->maps : NULL, verb ? verb->count : 0, err);
	else
		done(arg, err);
}

static void on_verb_done(struct blocking_call *blocking_call, void *work, const struct err *result)
{
	struct devmap_call *call = container_of(blocking_call, struct devmap_call, call);
	const struct verb *verb = work;
	struct err err = *result;

	note_udev(call->devmap, verb);
	if (verb)
		err = verb->err;
	else if (err.code == ERR_TIMEOUT)
		err_set(&err, ERR_TIMEOUT, "%s: the disk below or udevd does not answer",
			result->text);
	answer(call, verb, &err);
}

/* ---- life ---- */

struct devmap *devmap_new_with(struct loop *loop, const struct devmap_options *options,
			       const struct devmap_backend *backend, void *context)
{
	const struct blocking_options pool = {
		.name = "devmap",
		.at_once = 1,
		.hung_max = DEVMAP_HUNG_MAX,
		.timeout_ms = options->timeout_ms,
		.one_hangs_per_object = true,
		.run = verb_run,
		.free_work = verb_free,
	};
	struct devmap *devmap = xnew(struct devmap);

	assert(options->cookie_ms > 0);
	devmap->loop = loop;
	devmap->cookie_ms = options->cookie_ms;
	devmap->backend = backend;
	devmap->context = context;
	devmap->pool = blocking_pool_new(loop, &pool);
	devmap->cookie.fire = on_cookie;
	return devmap;
}

struct devmap *devmap_free(struct devmap *devmap)
{
	struct blocking_call *call;
	int64_t left_ms;

	if (!devmap)
		return NULL;
	while ((call = blocking_first(devmap->pool)))
		devmap_cancel(container_of(call, struct devmap_call, call));
	/* A semaphore that no thread waits for would outlive the process. */
	if (blocking_pool_is_busy(devmap->pool))
		devmap->backend->give_up_udev(devmap->context, 0, &left_ms);
	blocking_pool_free(devmap->pool);
	loop_timer_clear(devmap->loop, &devmap->cookie);
	free(devmap);
	return NULL;
}

/* ---- asking ---- */

static struct verb *verb_new(const struct devmap *devmap, enum verb_kind kind,
			     const char *volume_id)
{
	struct verb *verb = xnew(struct verb);

	assert(kind == VERB_LIST || uuid_is_valid(volume_id));
	verb->backend = devmap->backend;
	verb->context = devmap->context;
	verb->kind = kind;
	snprintf(verb->volume_id, sizeof(verb->volume_id), "%s", str_or(volume_id, ""));
	return verb;
}

static struct devmap_call *start(struct devmap *devmap, struct verb *verb, void *arg)
{
	struct devmap_call *call = xnew(struct devmap_call);

	call->call.done = on_verb_done;
	call->devmap = devmap;
	call->arg = arg;
	blocking_start(devmap->pool, &call->call, verb_words[verb->kind],
		       verb->kind == VERB_LIST ? NULL : verb->volume_id, verb);
	if (!loop_timer_is_set(&devmap->cookie))
		loop_deadline_set(devmap->loop, &devmap->cookie, devmap->cookie_ms);
	return call;
}

static struct devmap_call *change(struct devmap *devmap, struct verb *verb, devmap_done_fn done,
				  void *arg)
{
	struct devmap_call *call = start(devmap, verb, arg);

	assert(done);
	call->done = done;
	return call;
}

static bool is_name(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(name);

	return length > 0 && length < DEVMAP_NAME_SIZE && strspn(name, allowed) == length &&
	       !streq(name, ".") && !streq(name, "..") && !streq(name, "control");
}

struct devmap_call *devmap_activate(struct devmap *devmap, const char *name, const char *volume_id,
				    const char *device, uint64_t size, devmap_done_fn done,
				    void *arg)
{
	struct verb *verb = verb_new(devmap, VERB_ACTIVATE, volume_id);

	assert(is_name(name) && strlen(device) < sizeof(verb->device) && size > 0 &&
	       size % 512 == 0);
	snprintf(verb->name, sizeof(verb->name), "%s", name);
	snprintf(verb->device, sizeof(verb->device), "%s", device);
	verb->size = size;
	return change(devmap, verb, done, arg);
}

struct devmap_call *devmap_suspend(struct devmap *devmap, const char *volume_id,
				   devmap_done_fn done, void *arg)
{
	return change(devmap, verb_new(devmap, VERB_SUSPEND, volume_id), done, arg);
}

struct devmap_call *devmap_wipe(struct devmap *devmap, const char *volume_id, devmap_done_fn done,
				void *arg)
{
	return change(devmap, verb_new(devmap, VERB_WIPE, volume_id), done, arg);
}

struct devmap_call *devmap_remove(struct devmap *devmap, const char *volume_id, devmap_done_fn done,
				  void *arg)
{
	return change(devmap, verb_new(devmap, VERB_REMOVE, volume_id), done, arg);
}

struct devmap_call *devmap_list(struct devmap *devmap, devmap_listed_fn done, void *arg)
{
	struct devmap_call *call = start(devmap, verb_new(devmap, VERB_LIST, NULL), arg);

	assert(done);
	call->listed = done;
	return call;
}

void devmap_cancel(struct devmap_call *call)
{
	blocking_cancel(&call->call);
	free(call);
}
