/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The whole list of volumes is fetched page by page. A page may show changes that are younger than
 * the request for the first page, so the list tells only which volumes are worth a closer look.
 *
 * A list costs CloudStack time for each volume, even if few of them concern this machine. So whole
 * lists take at most a hundredth of its time. While they fail and CloudStack answers all other
 * requests, they are repeated less and less often. In between, the volumes that matter here are
 * fetched: the list of the appliance's volumes, and by its id each volume that this list should
 * show and does not, or that has a mapping elsewhere.
 */

#include "core/reconcile/volume_list.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "cloud/cloud.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"

#define COST_SHARE 100 /* of CloudStack's time, one part is for whole lists */
/* A list that failed may have cost CloudStack nothing, so the time that it took puts off the next
 * list by no more than this. */
#define FAILED_COST_MAX_MS (INT64_C(60) * 60 * 1000)
#define RETRY_MIN_MS 500
/* Volumes that are looked at at the same time, so that other requests need not wait long. */
#define LOOKS_MAX 200

struct look {
	TAILQ_ENTRY(look) entry;
	struct volume_list *list;
	struct cloud_call *call; /* NULL: its turn has not come */
	char *volume_id;
};
TAILQ_HEAD(looks, look);

struct volume_list {
	struct env *env;
	struct model *model;
	struct engine *engine;
	struct cloud_walk *walk;     /* under way, or NULL */
	struct looks waiting, asked; /* volumes that are looked at by id */
	size_t asked_count;
	struct err err; /* of the first look that failed */
	int64_t begun_ms, begun_waking_ms;
	int64_t due_ms;   /* of the next whole list; monotonic */
	int64_t retry_ms; /* after the next failure */
	struct volume_list_health health;
	char *refused_id;              /* the volume of health.refused; NULL none */
	char left_out[ERR_TEXT_SIZE];  /* so far, of the whole list under way */
	int64_t cloud_usable_since_ms; /* as the last page found it in cloud_health */
	volume_list_fn done;
	void *arg;
};

/* A list need not show each volume: a volume that was found by its id can be a project's, and a
 * volume with a mapping can have moved there. The reconciler asks for these by their ids. */
static bool is_gone(const struct volume_list *list, const struct volume *volume)
{
	return !volume_is_listed(list->model, volume) && !volume->by_id &&
	       !mapping_find(list->model, volume->id) && !operation_busy(list->engine, volume->id);
}

static void forget_gone(struct volume_list *list)
{
	struct volume *volume, *next;

	for (volume = volume_first(list->model); volume; volume = next) {
		next = volume_next(volume);
		if (is_gone(list, volume))
			volume_remove(list->model, volume->id);
	}
}

/* Whether CloudStack is there. */
static bool note_health(struct volume_list *list)
{
	struct cloud_health health;

	cloud_health(list->env->cloud, &health);
	if (list->cloud_usable_since_ms != health.usable_since_ms)
		operation_on_cloud_back(list->engine);
	list->cloud_usable_since_ms = health.usable_since_ms;
	return health.usable;
}

static void on_page(void *arg, const struct cloud_result *result)
{
	struct volume_list *list = arg;
	_cleanup_free_ char *before = xstrdup(list->left_out);

	if (list->env->draining)
		return;
	note_health(list);
	for (size_t i = 0; i < result->count; i++)
		volume_update_listed(list->model, &result->volumes[i]);
	if (result->left_out)
		err_text_format(list->left_out, sizeof(list->left_out), "%s%s%s", before,
				*before ? ", " : "", result->left_out);
}

static void begin(struct volume_list *list, const char *vm_id, cloud_done_fn on_walked,
		  volume_list_fn done, void *arg)
{
	list->done = done;
	list->arg = arg;
	list->begun_ms = clock_mono_ms();
	list->begun_waking_ms = clock_waking_ms();
	list->left_out[0] = '\0';
	volumes_begin_list(list->model);
	list->walk = cloud_walk_volumes(list->env->cloud, vm_id, on_page, on_walked, list);
}

/* ---- all volumes ---- */

static void note_left_out(struct volume_list *list)
{
	char *known = list->health.left_out;

	if (list->left_out[0] && !streq(known, list->left_out))
		log_warning("CloudStack lists volumes whose ids are no UUIDs; they are left out: "
			    "%s",
			    list->left_out);
	memcpy(known, list->left_out, sizeof(list->left_out));
}

static int64_t cost_ms(const struct volume_list *list)
{
	return (clock_waking_ms() - list->begun_waking_ms) * COST_SHARE;
}

static void put_off(struct volume_list *list, int64_t cost, int64_t at_least_ms)
{
	list->due_ms = clock_mono_ms() + (cost > at_least_ms ? cost : at_least_ms);
}

static void note_failure(struct volume_list *list, const struct err *err)
{
	int64_t cost = cost_ms(list);

	if (!streq(list->health.err.text, err->text))
		log_warning("the list of volumes cannot be read: %s", err->text);
	list->health.err = *err;
	put_off(list, cost < FAILED_COST_MAX_MS ? cost : FAILED_COST_MAX_MS, list->retry_ms);
	list->retry_ms = list->retry_ms < list->env->options.reconcile_ms / 2
				 ? list->retry_ms * 2
				 : list->env->options.reconcile_ms;
}

static void note_success(struct volume_list *list)
{
	err_clear(&list->health.err);
	list->health.known_since_ms = list->begun_ms;
	list->retry_ms = RETRY_MIN_MS;
	put_off(list, cost_ms(list), list->env->options.reconcile_ms);
}

static void on_walked(void *arg, const struct cloud_result *result)
{
	struct volume_list *list = arg;
	bool is_there;

	list->walk = NULL;
	if (list->env->draining)
		return;
	is_there = note_health(list);
	if (result->outcome != CLOUD_OK) {
		log_debug("list of volumes: %s", result->err.text);
		/* If CloudStack is away, the list says nothing that its health does not. */
		if (is_there)
			note_failure(list, &result->err);
		list->done(list->arg, &result->err);
		return;
	}
	note_left_out(list);
	note_success(list);
	forget_gone(list);
	volumes_end_list(list->model);
	list->done(list->arg, NULL);
}

void volume_list_fetch(struct volume_list *list, volume_list_fn done, void *arg)
{
	begin(list, NULL, on_walked, done, arg);
}

/* ---- the volumes that matter here ---- */

void volume_list_note_look(struct volume_list *list, const char *volume_id,
			   const struct cloud_result *result)
{
	char *refused = list->health.refused;

	if (result->outcome == CLOUD_OK && streq(list->refused_id, volume_id)) {
		refused[0] = '\0';
		str_set(&list->refused_id, NULL);
	} else if (result->outcome != CLOUD_OK && cloud_err_is_refusal(&result->err)) {
		err_text_format(refused, sizeof(list->health.refused), "volume %s: %s", volume_id,
				result->err.text);
		str_set(&list->refused_id, volume_id);
	}
}

static void look_free(struct look *look)
{
	free(look->volume_id);
	free(look);
}

static void ask_next(struct volume_list *list);

static void on_look(void *arg, const struct cloud_result *result)
{
	struct look *look = arg;
	struct volume_list *list = look->list;

	TAILQ_REMOVE(&list->asked, look, entry);
	list->asked_count--;
	volume_list_note_look(list, look->volume_id, result);
	if (result->outcome != CLOUD_OK) {
		if (list->err.code == ERR_NONE)
			list->err = result->err;
	} else if (result->count > 0) {
		volume_update(list->model, &result->volumes[0]);
	} else if (!operation_busy(list->engine, look->volume_id)) {
		volume_remove(list->model, look->volume_id);
	}
	look_free(look);
	if (!list->env->draining)
		ask_next(list);
}

/* After the last answer, all is done. */
static void ask_next(struct volume_list *list)
{
	struct look *look;

	while (list->asked_count < LOOKS_MAX && (look = TAILQ_FIRST(&list->waiting))) {
		struct cloud_volume_filter filter = { .id = look->volume_id };

		TAILQ_REMOVE(&list->waiting, look, entry);
		TAILQ_INSERT_TAIL(&list->asked, look, entry);
		list->asked_count++;
		look->call = cloud_list_volumes(list->env->cloud, &filter, on_look, look);
	}
	/* A volume that could not be looked at is a suspect, and looked at once more. */
	if (list->asked_count == 0)
		list->done(list->arg,
			   list->err.code == ERR_NONE || note_health(list) ? NULL : &list->err);
}

/* An operation asks for its volume itself. */
static void look_at(struct volume_list *list, const char *volume_id)
{
	struct look *look;

	if (operation_busy(list->engine, volume_id))
		return;
	look = xnew(struct look);
	look->list = list;
	look->volume_id = xstrdup(volume_id);
	TAILQ_INSERT_TAIL(&list->waiting, look, entry);
}

static bool should_be_shown(struct volume_list *list, const struct volume *volume)
{
	return !volume_is_listed(list->model, volume) &&
	       env_is_appliance(list->env, volume->cloud.vm_id);
}

static void look_at_missing(struct volume_list *list)
{
	const struct mapping *mapping;
	const struct volume *volume;

	for (volume = volume_first(list->model); volume; volume = volume_next(volume)) {
		if (should_be_shown(list, volume))
			look_at(list, volume->id);
	}
	for (mapping = mapping_first(list->model); mapping; mapping = mapping_next(mapping)) {
		volume = volume_find(list->model, mapping->record.volume_id);
		if (!volume ||
		    (!volume_is_listed(list->model, volume) && !should_be_shown(list, volume)))
			look_at(list, mapping->record.volume_id);
	}
}

static void on_appliance_walked(void *arg, const struct cloud_result *result)
{
	struct volume_list *list = arg;

	list->walk = NULL;
	if (list->env->draining)
		return;
	note_health(list);
	if (result->outcome != CLOUD_OK) {
		list->done(list->arg, &result->err);
		return;
	}
	volumes_end_list_here(list->model);
	err_clear(&list->err);
	look_at_missing(list);
	ask_next(list);
}

void volume_list_fetch_ours(struct volume_list *list, volume_list_fn done, void *arg)
{
	begin(list, env_appliance_id(list->env), on_appliance_walked, done, arg);
}

/* ---- the list ---- */

int64_t volume_list_wait_ms(const struct volume_list *list)
{
	int64_t wait_ms = list->due_ms - clock_mono_ms();

	return wait_ms > 0 ? wait_ms : 0;
}

void volume_list_expire(struct volume_list *list)
{
	list->due_ms = 0;
}

void volume_list_health(const struct volume_list *list, struct volume_list_health *out)
{
	*out = list->health;
}

struct volume_list *volume_list_new(struct env *env, struct model *model, struct engine *engine)
{
	struct volume_list *list = xnew(struct volume_list);

	list->env = env;
	list->model = model;
	list->engine = engine;
	list->retry_ms = RETRY_MIN_MS;
	TAILQ_INIT(&list->waiting);
	TAILQ_INIT(&list->asked);
	return list;
}

static void drop_looks(struct looks *looks)
{
	struct look *look;

	while ((look = TAILQ_FIRST(looks))) {
		TAILQ_REMOVE(looks, look, entry);
		if (look->call)
			cloud_call_cancel(look->call);
		look_free(look);
	}
}

struct volume_list *volume_list_free(struct volume_list *list)
{
	if (!list)
		return NULL;
	if (list->walk)
		cloud_walk_cancel(list->walk);
	drop_looks(&list->waiting);
	drop_looks(&list->asked);
	free(list->refused_id);
	free(list);
	return NULL;
}
