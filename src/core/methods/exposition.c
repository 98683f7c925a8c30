/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Each layer writes the figures that it counts. What has no counter of its own, such as the number
 * of volumes, is looked at here. No figure has the id of a volume, a VM or an operation as a label:
 * such series would grow without end.
 */

#include "core/methods/exposition.h"

#include "base/clock.h"
#include "base/metric.h"
#include "build_config.h"
#include "cloud/cloud.h"
#include "core/engine/figures.h"
#include "core/env.h"
#include "core/methods/calls.h"
#include "core/methods/health.h"
#include "core/model/event.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"
#include "disk/sysblock.h"
#include "store/store.h"

static void put_gauge(struct buf *out, const char *name, double value, const char *help)
{
	metric_family(out, name, METRIC_GAUGE, help);
	metric_value(out, name, NULL, value);
}

static void put_counter(struct buf *out, const char *name, double value, const char *help)
{
	metric_family(out, name, METRIC_COUNTER, help);
	metric_value(out, name, NULL, value);
}

static void put_exports(struct calls *calls, struct buf *out)
{
	size_t counts[EXPORT_STATUS_COUNT] = { 0 };

	for (const struct export *export = export_first(calls->model); export;
	     export = export_next(export))
		counts[export->record.status]++;
	metric_family(out, "volumed_exports", METRIC_GAUGE, "Exports over NBD.");
	for (int status = 0; status < EXPORT_STATUS_COUNT; status++)
		metric_value(out, "volumed_exports",
			     METRIC_LABELS({ "status", export_status_names[status] }),
			     (double)counts[status]);
}

static void put_objects(struct calls *calls, struct buf *out)
{
	put_gauge(out, "volumed_volumes", (double)volume_count(calls->model),
		  "Volumes that CloudStack shows.");
	put_gauge(out, "volumed_mappings", (double)mapping_count(calls->model),
		  "Volumes that are attached to a VM, as the store has them.");
	put_gauge(out, "volumed_devices", (double)sysblock_count(calls->env->sysblock),
		  "Disks that the kernel shows.");
	put_exports(calls, out);
}

static void put_loop(const struct loop *loop, struct buf *out)
{
	put_counter(out, "volumed_loop_turns_total", (double)loop_turns(loop),
		    "Turns of the daemon's event loop.");
	put_counter(out, "volumed_loop_late_total", (double)loop_lateness(loop).count,
		    "Turns of the event loop that came late, because the daemon could not run.");
	put_gauge(out, "volumed_loop_timers", (double)loop_timer_count(loop),
		  "Timers of the event loop that are set.");
}

void exposition_put(struct calls *calls, struct buf *out)
{
	metric_family(out, "volumed_build_info", METRIC_GAUGE, "The daemon's version; always 1.");
	metric_value(out, "volumed_build_info", METRIC_LABELS({ "version", VERSION }), 1);
	health_put_metrics(calls, out);
	put_objects(calls, out);
	events_put_metrics(calls->model, out);
	engine_put_metrics(calls->engine, out);
	if (calls->env->cloud)
		cloud_put_metrics(calls->env->cloud, out);
	store_put_metrics(calls->env->store, out);
	put_loop(calls->env->loop, out);
}
