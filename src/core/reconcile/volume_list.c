/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* CloudStack's whole list of volumes, fetched page by page into the model. */

#include "core/reconcile/volume_list.h"

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "core/core_parts.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/model/notice.h"
#include "core/model/volume.h"
#include "core/reconcile/reconciler.h"

/* While CloudStack does not answer, it is asked this often whether it is back. */
#define AWAY_RETRY_MS 5000

/* And this long after somebody has missed it. */
#define REFRESH_SOON_MS 500

static void fetch_page(struct core *core);

static void on_refresh_due(struct loop_timer *timer)
{
	struct core *core = container_of(timer, struct core, refresh);

	core->refresh_round++;
	core->refresh_page = 1;
	reconcile_begin(core);
	fetch_page(core);
}

/* What the whole list did not show is gone, unless an operation knows better. */
static void forget_unseen(struct core *core)
{
	struct volume *volume, *next;

	HASH_ITER(hh, core->volumes, volume, next) {
		if (volume->round != core->refresh_round && !operation_busy(core, volume->id))
			volume_remove(core, volume->id);
	}
}

static void on_page(void *arg, const struct cloud_result *result)
{
	struct core *core = arg;
	struct cloud_health health;

	core->refresh_call = NULL;
	if (core->draining)
		return;
	cloud_health(core->cloud, &health);
	if (result->outcome != CLOUD_OK) {
		log_debug("list of volumes: %s", result->err.text);
		reconcile_fail(core, &result->err);
		/* While it is in doubt whether CloudStack is away at all, that is found out soon. */
		loop_timer_set(core->loop, &core->refresh, health.usable ? REFRESH_SOON_MS : AWAY_RETRY_MS);
		return;
	}
	if (core->cloud_usable_since_ms != health.usable_since_ms)
		operation_on_cloud_back(core);
	core->cloud_usable_since_ms = health.usable_since_ms;
	for (size_t i = 0; i < result->count; i++)
		volume_update(core, &result->volumes[i]);
	if (result->count > 0 && core->refresh_page * CLOUD_PAGE_SIZE < result->total) {
		core->refresh_page++;
		fetch_page(core);
		return;
	}
	forget_unseen(core);
	core->volumes_known = true;
	reconcile_compare(core);
}

static void fetch_page(struct core *core)
{
	struct cloud_volume_filter filter = { .page = core->refresh_page };

	core->refresh_call = cloud_list_volumes(core->cloud, &filter, on_page, core);
}

static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	if (notice->type == NOTICE_CLOUD_UNSURE)
		volumes_refresh_soon(container_of(listener, struct core, refresh_listener));
}

void volumes_refresh_begin(struct core *core)
{
	core->refresh_listener.on_notice = on_notice;
	notice_listen(core, &core->refresh_listener);
	core->refresh.fire = on_refresh_due;
}

void volumes_refresh_start(struct core *core)
{
	if (core->cloud)
		loop_timer_set(core->loop, &core->refresh, 0);
}

void volumes_refresh_soon(struct core *core)
{
	int64_t soon_ms = clock_mono_ms() + REFRESH_SOON_MS;

	if (loop_timer_is_set(&core->refresh) && core->refresh.due_ms > soon_ms)
		loop_timer_set(core->loop, &core->refresh, REFRESH_SOON_MS);
}

void volumes_refresh_next(struct core *core, bool now)
{
	if (!core->draining)
		loop_timer_set(core->loop, &core->refresh, now ? 0 : core->options.reconcile_ms);
}

void volumes_refresh_end(struct core *core)
{
	notice_unlisten(core, &core->refresh_listener);
	loop_timer_clear(core->loop, &core->refresh);
	if (core->refresh_call)
		cloud_call_cancel(TAKE_PTR(core->refresh_call));
}
