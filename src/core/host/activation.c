/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names come before exports on the way up and after them on the way down. The chain below has one call under way at a
 * time; on_part_done() alone decides what follows.
 */

#include "core/host/activation.h"

#include <assert.h>

#include "base/log.h"
#include "core/host/suspended.h"
#include "core/internal.h"

#define LOOK_AGAIN_MS 500
/* udev looks at a map whenever it changes, so "in use" must last for a while to be believed. */
#define BUSY_RUNS_MAX 10

enum part { PART_POINT, PART_ADD, PART_CHECK, PART_UNEXPORT, PART_HOLD, PART_FAIL, PART_UNMAP, PART_COUNT };

struct serving {
	TAILQ_ENTRY(serving) entry;
	struct core *core;
	char *volume_id;
	enum serving_goal goal;
	enum part plan[PART_COUNT];
	size_t planned, at;
	struct device device; /* as it was found */
	char *path;           /* what is exported */
	bool is_stale;        /* another disk may have got the number meanwhile */
	struct devmap_call *map_call;
	struct export_call *export_call;
	struct loop_task turn;
	serving_done_fn done;
	void *arg;
};

char *served_path(struct core *core, const char *volume_id, const struct device *device)
{
	if (core->options.devmap)
		return xasprintf("%s/mapper/%s", core->options.dev_root, name_give(core, volume_id));
	return xstrdup(device->path);
}

static void serving_free(struct serving *serving)
{
	TAILQ_REMOVE(&serving->core->servings, serving, entry);
	if (serving->map_call)
		devmap_cancel(serving->map_call);
	if (serving->export_call)
		export_cancel(serving->export_call);
	loop_task_cancel(serving->core->loop, &serving->turn);
	free(serving->volume_id);
	free(serving->path);
	free(serving);
}

static void finish(struct serving *serving, const struct err *err)
{
	serving_done_fn done = serving->done;
	void *arg = serving->arg;

	serving_free(serving);
	done(arg, err);
}

/* ---- the parts ---- */

static void on_part_done(void *arg, const struct err *err);

static void point(struct serving *serving)
{
	struct core *core = serving->core;

	serving->map_call = devmap_activate(core->options.devmap, name_give(core, serving->volume_id), serving->volume_id,
					 serving->device.number, serving->device.size, on_part_done, serving);
}

static void add(struct serving *serving)
{
	struct core *core = serving->core;
	const struct export *export = export_find(core, serving->volume_id);
	_cleanup_free_ char *name = export_name_of(serving->volume_id);
	struct export_item item = {
		.name = name,
		.device_path = serving->path,
		.read_only = export && export->record.read_only,
	};

	serving->export_call = export_add(core->options.exporter, &item, on_part_done, serving);
}

static void check(struct serving *serving)
{
	_cleanup_free_ char *name = export_name_of(serving->volume_id);

	serving->export_call =
		export_check(serving->core->options.exporter, name, serving->device.size, on_part_done, serving);
}

static void unexport(struct serving *serving)
{
	_cleanup_free_ char *name = export_name_of(serving->volume_id);

	serving->export_call = export_remove(serving->core->options.exporter, name, serving->goal == SERVING_CUT,
					     on_part_done, serving);
}

static void begin_part(struct serving *serving)
{
	struct devmap *devmap = serving->core->options.devmap;

	switch (serving->plan[serving->at]) {
	case PART_POINT:
		point(serving);
		break;
	case PART_ADD:
		add(serving);
		break;
	case PART_CHECK:
		check(serving);
		break;
	case PART_UNEXPORT:
		unexport(serving);
		break;
	case PART_HOLD:
		hold_begin(serving->core, serving->volume_id);
		serving->map_call = devmap_suspend(devmap, serving->volume_id, on_part_done, serving);
		break;
	case PART_FAIL:
		serving->map_call = devmap_wipe(devmap, serving->volume_id, on_part_done, serving);
		break;
	case PART_UNMAP:
		serving->map_call = devmap_remove(devmap, serving->volume_id, on_part_done, serving);
		break;
	case PART_COUNT:
		break;
	}
}

/*
 * A name is pointed at a number, and the kernel gives numbers out again: only if the disk is still there afterwards, it
 * is the disk the name leads to. A name that may lead to another one is cut off at once.
 */
static void cut_if_stale(struct serving *serving)
{
	if (sysblock_verify(serving->core->sysblock, &serving->device))
		return;
	serving->is_stale = true;
	serving->plan[0] = PART_FAIL;
	serving->planned = 1;
	serving->at = 0;
}

static void on_turn(struct loop_task *task)
{
	struct serving *serving = container_of(task, struct serving, turn);
	struct err err = { 0 };

	if (serving->at == serving->planned && serving->is_stale)
		err_set(&err, ERR_UNAVAILABLE, "%s changed while it got its name", serving->device.path);
	if (serving->at == serving->planned)
		finish(serving, &err);
	else
		begin_part(serving);
}

/* True when the answer is as good as "done". */
static bool may_pass(struct serving *serving, const struct err *err)
{
	struct core *core = serving->core;

	switch (serving->plan[serving->at]) {
	case PART_HOLD:
		if (err->code != ERR_NONE)
			hold_end(core, serving->volume_id);
		return err->code == ERR_NONE || err->code == ERR_NOT_FOUND;
	case PART_POINT:
		if (err->code == ERR_NONE)
			hold_end(core, serving->volume_id);
		return err->code == ERR_NONE;
	case PART_UNMAP:
		if (err->code == ERR_NONE)
			hold_end(core, serving->volume_id);
		/* Cut off from its disk already; it goes when the last one has closed it. */
		return err->code == ERR_NONE || (err->code == ERR_CONFLICT && serving->goal == SERVING_CUT);
	case PART_ADD:
	case PART_CHECK:
	case PART_UNEXPORT:
	case PART_FAIL:
	case PART_COUNT:
		break;
	}
	return err->code == ERR_NONE;
}

/* Only that asks for another name: a disk that is held today shall be called tomorrow what it was called before. */
static bool is_name_taken(const struct serving *serving, const struct err *err)
{
	return serving->plan[serving->at] == PART_POINT && err->code == ERR_CONFLICT && streq(err->field, "name");
}

static void on_part_done(void *arg, const struct err *err)
{
	struct serving *serving = arg;

	serving->map_call = NULL;
	serving->export_call = NULL;
	if (may_pass(serving, err)) {
		enum part part = serving->plan[serving->at++];

		if (part == PART_POINT)
			cut_if_stale(serving);
	} else if (!is_name_taken(serving, err) || name_lengthen(serving->core, serving->volume_id) < 0) {
		struct err copy = *err;

		finish(serving, &copy);
		return;
	} else {
		log_notice("volume=%s: its name is another program's: %s; it is called %s instead", serving->volume_id,
			   err->text, name_find(serving->core, serving->volume_id));
		free(serving->path);
		serving->path = served_path(serving->core, serving->volume_id, NULL);
		mappings_follow_kernel(serving->core);
	}
	loop_task_queue(serving->core->loop, &serving->turn);
}

/* ---- the plan ---- */

static void plan(struct serving *serving, enum part part)
{
	serving->plan[serving->planned++] = part;
}

static void make_plan(struct serving *serving, unsigned parts)
{
	bool names = (parts & SERVING_NAME) && serving->core->options.devmap;
	bool exports = (parts & SERVING_EXPORT) && serving->core->options.exporter;

	switch (serving->goal) {
	case SERVING_THERE:
		if (names)
			plan(serving, PART_POINT);
		if (exports) {
			plan(serving, PART_ADD);
			plan(serving, PART_CHECK);
		}
		break;
	case SERVING_GONE:
	case SERVING_CUT:
		if (exports)
			plan(serving, PART_UNEXPORT);
		if (names && serving->goal == SERVING_CUT)
			plan(serving, PART_FAIL);
		if (names)
			plan(serving, PART_UNMAP);
		break;
	case SERVING_ON_HOLD:
		if (names)
			plan(serving, PART_HOLD);
		break;
	}
}

struct serving *serving_start(struct core *core, const char *volume_id, enum serving_goal goal, unsigned parts,
			      const struct device *device, serving_done_fn done, void *arg)
{
	struct serving *serving = xnew(struct serving);

	assert(device || goal != SERVING_THERE);
	serving->core = core;
	serving->volume_id = xstrdup(volume_id);
	serving->goal = goal;
	serving->done = done;
	serving->arg = arg;
	serving->turn.run = on_turn;
	if (device) {
		serving->device = *device;
		serving->path = served_path(core, volume_id, device);
	}
	make_plan(serving, parts);
	TAILQ_INSERT_TAIL(&core->servings, serving, entry);
	loop_task_queue(core->loop, &serving->turn);
	return serving;
}

void serving_cancel(struct serving *serving)
{
	struct core *core = serving->core;

	serving_free(serving);
	tidy_soon(core);
}

bool serving_is_busy(struct core *core, const char *volume_id)
{
	const struct serving *serving;
	const struct call *call;

	TAILQ_FOREACH(serving, &core->servings, entry) {
		if (streq(serving->volume_id, volume_id))
			return true;
	}
	TAILQ_FOREACH(call, &core->calls, entry) {
		if (call->serves && streq(call->serves, volume_id))
			return true;
	}
	return export_is_committing(core, volume_id);
}

void servings_free(struct core *core)
{
	struct serving *serving;

	while ((serving = TAILQ_FIRST(&core->servings)))
		serving_free(serving);
}

/* ---- for steps ---- */

static void cancel(void *awaited)
{
	serving_cancel(awaited);
}

void serving_step_failed(struct operation *operation, const struct err *err)
{
	bool in_use = err->code == ERR_CONFLICT && operation->runs < BUSY_RUNS_MAX;

	if (!in_use && err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT) {
		operation_fail(operation, err);
		return;
	}
	operation_again(operation, LOOK_AGAIN_MS, "%s", err->text);
	operation->reason_code = err->code;
}

bool serving_disk_is_taken(const struct operation *operation, const struct err *err)
{
	return err->code == ERR_CONFLICT && streq(err->field, "disk") && operation->runs >= BUSY_RUNS_MAX;
}

static void on_step_done(void *arg, const struct err *err)
{
	if (err->code)
		serving_step_failed(arg, err);
	else
		operation_next(arg);
}

void serving_step_then(struct operation *operation, enum serving_goal goal, unsigned parts, const struct device *device,
		       serving_done_fn done)
{
	static const struct wait_kind kind = { .cancel = cancel };

	if (serving_is_busy(operation->core, operation->record.volume_id)) {
		operation_again(operation, LOOK_AGAIN_MS / 10, "its name or export is being changed already");
		return;
	}
	operation_wait(
		operation,
		serving_start(operation->core, operation->record.volume_id, goal, parts, device, done, operation),
		&kind);
}

void serving_step(struct operation *operation, enum serving_goal goal, unsigned parts, const struct device *device)
{
	serving_step_then(operation, goal, parts, device, on_step_done);
}
