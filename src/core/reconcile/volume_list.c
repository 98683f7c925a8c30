/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The whole list of volumes is fetched page by page. A page may show changes that are younger than
 * the request for the first page, so the list tells only which volumes are worth a closer look. */

#include "core/reconcile/volume_list.h"

#include "base/log.h"
#include "cloud/cloud.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/volume.h"

struct volume_list {
	struct env *env;
	struct model *model;
	struct engine *engine;
	struct cloud_call *call;
	int64_t page;
	int64_t cloud_usable_since_ms; /* as the last page found it in cloud_health */
	volume_list_fn done;
	void *arg;
};

static void fetch_page(struct volume_list *list);

/* A volume that the whole list did not show is gone, unless an operation works on it. */
static void forget_unseen(struct volume_list *list)
{
	struct volume *volume, *next;

	for (volume = volume_first(list->model); volume; volume = next) {
		next = volume_next(volume);
		if (!volume_is_listed(list->model, volume) &&
		    !operation_busy(list->engine, volume->id))
			volume_remove(list->model, volume->id);
	}
}

static void note_health(struct volume_list *list)
{
	struct cloud_health health;

	cloud_health(list->env->cloud, &health);
	if (list->cloud_usable_since_ms != health.usable_since_ms)
		operation_on_cloud_back(list->engine);
	list->cloud_usable_since_ms = health.usable_since_ms;
}

static void on_page(void *arg, const struct cloud_result *result)
{
	struct volume_list *list = arg;

	list->call = NULL;
	if (list->env->draining)
		return;
	if (result->outcome != CLOUD_OK) {
		log_debug("list of volumes: %s", result->err.text);
		list->done(list->arg, &result->err);
		return;
	}
	note_health(list);
	for (size_t i = 0; i < result->count; i++)
		volume_update(list->model, &result->volumes[i]);
	if (result->count > 0 && list->page * CLOUD_PAGE_SIZE < result->total) {
		list->page++;
		fetch_page(list);
		return;
	}
	forget_unseen(list);
	volumes_end_list(list->model);
	list->done(list->arg, NULL);
}

static void fetch_page(struct volume_list *list)
{
	struct cloud_volume_filter filter = { .page = list->page };

	list->call = cloud_list_volumes(list->env->cloud, &filter, on_page, list);
}

void volume_list_fetch(struct volume_list *list, volume_list_fn done, void *arg)
{
	list->done = done;
	list->arg = arg;
	list->page = 1;
	volumes_begin_list(list->model);
	fetch_page(list);
}

struct volume_list *volume_list_new(struct env *env, struct model *model, struct engine *engine)
{
	struct volume_list *list = xnew(struct volume_list);

	list->env = env;
	list->model = model;
	list->engine = engine;
	return list;
}

struct volume_list *volume_list_free(struct volume_list *list)
{
	if (list && list->call)
		cloud_call_cancel(list->call);
	free(list);
	return NULL;
}
