/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names come before exports on the way up and after them on the way down. The chain below has one
 * call under way at a time; on_part_done() alone decides the next one.
 *
 * A name keeps other programs away from a disk, since the kernel lets only one of them have it; an
 * export does not. So the users of a disk are looked for right before the engine opens it. An
 * export that is served from this disk already is no new danger, and only brought up to date.
 */

#include "core/host/activation.h"

#include <assert.h>

#include "base/log.h"
#include "core/env.h"
#include "core/host/disk_users.h"
#include "core/host/host.h"
#include "core/host/suspended.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/notice.h"
#include "core/model/stable_name.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "dm/devmap.h"
#include "nbd/exporter.h"

enum part {
	PART_ACTIVATE,
	PART_USERS,
	PART_ADD,
	PART_CHECK,
	PART_UNEXPORT,
	PART_SUSPEND,
	PART_WIPE,
	PART_UNMAP,
	PART_COUNT
};

struct activation_claim {
	TAILQ_ENTRY(activation_claim) entry;
	struct host *host;
	char *volume_id;
};

struct activation {
	TAILQ_ENTRY(activation) entry;
	struct host *host;
	char *volume_id;
	enum activation_goal goal;
	enum part plan[PART_COUNT];
	size_t planned, at;
	struct device device; /* as it was found */
	char *path;           /* the path that is exported */
	bool is_stale;        /* another disk may have got the device number meanwhile */
	struct devmap_call *map_call;
	struct usage_check *usage_check;
	struct export_call *export_call;
	struct err users; /* PART_USERS: who uses the disk, or why that is not known */
	struct loop_task turn;
	activation_done_fn done;
	void *arg;
};

static void activation_free(struct activation *activation)
{
	TAILQ_REMOVE(&activation->host->activations, activation, entry);
	if (activation->map_call)
		devmap_cancel(activation->map_call);
	if (activation->usage_check)
		usage_check_cancel(activation->usage_check);
	if (activation->export_call)
		export_cancel(activation->export_call);
	loop_task_cancel(activation->host->env->loop, &activation->turn);
	free(activation->volume_id);
	free(activation->path);
	free(activation);
}

static void finish(struct activation *activation, const struct err *err)
{
	activation_done_fn done = activation->done;
	void *arg = activation->arg;

	activation_free(activation);
	done(arg, err);
}

/* ---- the parts ---- */

static void on_part_done(void *arg, const struct err *err);

static void activate(struct activation *activation)
{
	struct host *host = activation->host;

	activation->map_call = devmap_activate(host->env->options.devmap,
					       name_give(host->model, activation->volume_id),
					       activation->volume_id, activation->device.number,
					       activation->device.size, on_part_done, activation);
}

#define EXPORT_WAITS "export" /* err.field of activation_export_waits() */

bool activation_export_waits(const struct err *err)
{
	return (err->code == ERR_CONFLICT && streq(err->field, EXPORT_WAITS)) ||
	       (err->code == ERR_UNAVAILABLE && streq(err->field, EXPORT_ADDRESS_TAKEN));
}

/* If the engine cannot tell, the export is not made. */
static void on_served_known(void *arg, const struct export_seen *items, size_t count,
			    const struct err *err)
{
	struct activation *activation = arg;
	_cleanup_free_ char *name = export_name_of(activation->volume_id);
	struct err answer = { 0 };
	bool is_served = false;

	for (size_t i = 0; i < count && !err->code; i++)
		is_served = is_served || (streq(items[i].name, name) &&
					  streq(items[i].device_path, activation->path));
	if (!is_served)
		err_set_field(&answer, EXPORT_WAITS, ERR_CONFLICT, "%s", activation->users.text);
	on_part_done(activation, &answer);
}

static void on_users_known(void *arg, const struct usage_result *result)
{
	struct activation *activation = arg;
	struct err err = { 0 };

	activation->usage_check = NULL;
	/* A disk that is gone or does not answer is not made to wait. */
	if (usage_allows_sharing(activation->volume_id, result, "exported", &err) == 0 ||
	    err.code == ERR_NOT_FOUND || err.code == ERR_TIMEOUT) {
		on_part_done(activation, &err);
		return;
	}
	activation->users = err;
	activation->export_call =
		export_list(activation->host->env->options.exporter, on_served_known, activation);
}

static void look_for_users(struct activation *activation)
{
	activation->usage_check =
		usage_start_for_sharing(activation->host, activation->volume_id,
					&activation->device, on_users_known, activation);
}

static void add(struct activation *activation)
{
	struct host *host = activation->host;
	const struct export *export = export_find(host->model, activation->volume_id);
	_cleanup_free_ char *name = export_name_of(activation->volume_id);
	struct export_item item = {
		.name = name,
		.device_path = activation->path,
		.read_only = export && export->record.read_only,
	};

	activation->export_call =
		export_add(host->env->options.exporter, &item, on_part_done, activation);
}

static void check(struct activation *activation)
{
	_cleanup_free_ char *name = export_name_of(activation->volume_id);

	activation->export_call = export_check(activation->host->env->options.exporter, name,
					       activation->device.size, on_part_done, activation);
}

static void unexport(struct activation *activation)
{
	_cleanup_free_ char *name = export_name_of(activation->volume_id);

	activation->export_call =
		export_remove(activation->host->env->options.exporter, name,
			      activation->goal == ACTIVATION_FORCED_DOWN, on_part_done, activation);
}

static void begin_part(struct activation *activation)
{
	struct devmap *devmap = activation->host->env->options.devmap;

	switch (activation->plan[activation->at]) {
	case PART_ACTIVATE:
		activate(activation);
		break;
	case PART_USERS:
		look_for_users(activation);
		break;
	case PART_ADD:
		add(activation);
		break;
	case PART_CHECK:
		check(activation);
		break;
	case PART_UNEXPORT:
		unexport(activation);
		break;
	case PART_SUSPEND:
		suspended_add(activation->host, activation->volume_id);
		activation->map_call =
			devmap_suspend(devmap, activation->volume_id, on_part_done, activation);
		break;
	case PART_WIPE:
		activation->map_call =
			devmap_wipe(devmap, activation->volume_id, on_part_done, activation);
		break;
	case PART_UNMAP:
		activation->map_call =
			devmap_remove(devmap, activation->volume_id, on_part_done, activation);
		break;
	case PART_COUNT:
		break;
	}
}

/*
 * A name leads to a device number, and the kernel reuses these numbers: the name leads to the right
 * disk only if the disk is still there afterwards. A name that may lead to another disk is cut off
 * at once.
 */
static void cut_if_stale(struct activation *activation)
{
	if (sysblock_verify(activation->host->env->sysblock, &activation->device))
		return;
	activation->is_stale = true;
	activation->plan[0] = PART_WIPE;
	activation->planned = 1;
	activation->at = 0;
}

static void on_turn(struct loop_task *task)
{
	struct activation *activation = container_of(task, struct activation, turn);
	struct err err = { 0 };

	if (activation->at == activation->planned && activation->is_stale)
		err_set(&err, ERR_UNAVAILABLE, "%s changed while it got its name",
			activation->device.path);
	if (activation->at == activation->planned)
		finish(activation, &err);
	else
		begin_part(activation);
}

/* True if the answer counts as "done". */
static bool may_pass(struct activation *activation, const struct err *err)
{
	struct host *host = activation->host;

	switch (activation->plan[activation->at]) {
	case PART_SUSPEND:
		if (err->code != ERR_NONE)
			suspended_remove(host, activation->volume_id);
		return err->code == ERR_NONE || err->code == ERR_NOT_FOUND;
	case PART_ACTIVATE:
		if (err->code == ERR_NONE)
			suspended_remove(host, activation->volume_id);
		return err->code == ERR_NONE;
	case PART_UNMAP:
		if (err->code == ERR_NONE)
			suspended_remove(host, activation->volume_id);
		/* The map is cut off from its disk already; the map is removed when the last
		 * program has closed it. */
		return err->code == ERR_NONE ||
		       (err->code == ERR_CONFLICT && activation->goal == ACTIVATION_FORCED_DOWN);
	case PART_USERS:
	case PART_ADD:
	case PART_CHECK:
	case PART_UNEXPORT:
	case PART_WIPE:
	case PART_COUNT:
		break;
	}
	return err->code == ERR_NONE;
}

/* Only a conflict about the name leads to another name; if the disk is in use, the volume keeps its
 * name. */
static bool is_name_taken(const struct activation *activation, const struct err *err)
{
	return activation->plan[activation->at] == PART_ACTIVATE && err->code == ERR_CONFLICT &&
	       streq(err->field, "name");
}

static void on_part_done(void *arg, const struct err *err)
{
	struct activation *activation = arg;

	activation->map_call = NULL;
	activation->export_call = NULL;
	if (may_pass(activation, err)) {
		enum part part = activation->plan[activation->at++];

		if (part == PART_ACTIVATE)
			cut_if_stale(activation);
	} else if (!is_name_taken(activation, err) ||
		   name_lengthen(activation->host->model, activation->volume_id) < 0) {
		struct err copy = *err;

		finish(activation, &copy);
		return;
	} else {
		log_notice("volume=%s: another program has its name: %s; its new name is %s",
			   activation->volume_id, err->text,
			   name_find(activation->host->model, activation->volume_id));
		free(activation->path);
		activation->path = name_path(activation->host->model, activation->volume_id, NULL);
		notice_tell(activation->host->model, NOTICE_DEVICES_UNSURE);
	}
	loop_task_queue(activation->host->env->loop, &activation->turn);
}

/* ---- the plan ---- */

static void plan(struct activation *activation, enum part part)
{
	activation->plan[activation->planned++] = part;
}

static void make_plan(struct activation *activation, unsigned parts)
{
	bool names = (parts & ACTIVATION_MAP) && activation->host->env->options.devmap;
	bool exports = (parts & ACTIVATION_EXPORT) && activation->host->env->options.exporter;

	switch (activation->goal) {
	case ACTIVATION_UP:
		if (names)
			plan(activation, PART_ACTIVATE);
		if (exports) {
			plan(activation, PART_USERS);
			plan(activation, PART_ADD);
			plan(activation, PART_CHECK);
		}
		break;
	case ACTIVATION_DOWN:
	case ACTIVATION_FORCED_DOWN:
		if (exports)
			plan(activation, PART_UNEXPORT);
		if (names && activation->goal == ACTIVATION_FORCED_DOWN)
			plan(activation, PART_WIPE);
		if (names)
			plan(activation, PART_UNMAP);
		break;
	case ACTIVATION_SUSPENDED:
		if (names)
			plan(activation, PART_SUSPEND);
		break;
	}
}

struct activation *activation_start(struct host *host, const char *volume_id,
				    enum activation_goal goal, unsigned parts,
				    const struct device *device, activation_done_fn done, void *arg)
{
	struct activation *activation = xnew(struct activation);

	assert(device || goal != ACTIVATION_UP);
	activation->host = host;
	activation->volume_id = xstrdup(volume_id);
	activation->goal = goal;
	activation->done = done;
	activation->arg = arg;
	activation->turn.run = on_turn;
	if (device) {
		activation->device = *device;
		activation->path = name_path(host->model, volume_id, device);
	}
	make_plan(activation, parts);
	TAILQ_INSERT_TAIL(&host->activations, activation, entry);
	loop_task_queue(host->env->loop, &activation->turn);
	return activation;
}

void activation_cancel(struct activation *activation)
{
	struct host *host = activation->host;

	activation_free(activation);
	notice_tell(host->model, NOTICE_HOST_UNSURE);
}

struct activation_claim *activation_claim(struct host *host, const char *volume_id)
{
	struct activation_claim *claim = xnew(struct activation_claim);

	claim->host = host;
	claim->volume_id = xstrdup(volume_id);
	TAILQ_INSERT_TAIL(&host->claims, claim, entry);
	return claim;
}

struct activation_claim *activation_release(struct activation_claim *claim)
{
	if (!claim)
		return NULL;
	TAILQ_REMOVE(&claim->host->claims, claim, entry);
	free(claim->volume_id);
	free(claim);
	return NULL;
}

bool activation_is_busy(struct host *host, const char *volume_id)
{
	const struct activation *activation;
	const struct activation_claim *claim;

	TAILQ_FOREACH(activation, &host->activations, entry) {
		if (streq(activation->volume_id, volume_id))
			return true;
	}
	TAILQ_FOREACH(claim, &host->claims, entry) {
		if (streq(claim->volume_id, volume_id))
			return true;
	}
	return change_has_export(host->model, volume_id);
}

void activations_free(struct host *host)
{
	struct activation *activation;

	assert(TAILQ_EMPTY(&host->claims));
	while ((activation = TAILQ_FIRST(&host->activations)))
		activation_free(activation);
}
