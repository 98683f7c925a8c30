/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon's health. Unhealthy means that answers may be wrong or lost (the store or the kernel's
 * devices cannot be read); without CloudStack the daemon is degraded: all its knowledge is still
 * true, and changes are refused.
 */

#include "core/methods/health.h"

#include <stdio.h>

#include "base/clock.h"
#include "cloud/cloud.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/methods/calls.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"
#include "core/reconcile/reconciler.h"
#include "disk/sysblock.h"
#include "nbd/exporter.h"
#include "store/store.h"

struct parts {
	struct cloud_health cloud;
	struct store_health store;
	struct sysblock_health devices;
	struct export_health exports;
	bool cloud_configured;
};

static void look(struct calls *calls, struct parts *parts)
{
	memset(parts, 0, sizeof(*parts));
	parts->cloud_configured = calls->env->cloud != NULL;
	if (calls->env->cloud)
		cloud_health(calls->env->cloud, &parts->cloud);
	store_health(calls->env->store, &parts->store);
	sysblock_health(calls->env->sysblock, &parts->devices);
	parts->exports.ok = true;
	if (calls->env->options.exporter) {
		exporter_look(calls->env->options.exporter);
		exporter_health(calls->env->options.exporter, &parts->exports);
	}
}

static const char *export_word(const struct calls *calls, const struct parts *parts)
{
	if (!calls->env->options.exporter)
		return "turned off";
	return parts->exports.ok ? "healthy" : parts->exports.reason;
}

static const char *cloud_word(const struct parts *parts)
{
	if (!parts->cloud_configured)
		return "not configured";
	if (parts->cloud.reason[0])
		return parts->cloud.reason;
	return parts->cloud.usable ? "healthy" : "it has not answered yet";
}

static int store_may_change(const struct calls *calls, const struct parts *parts, struct err *err)
{
	if (calls->env->draining)
		return err_set(err, ERR_UNAVAILABLE,
			       "the daemon is stopping; try again when it is back");
	if (parts->store.away)
		return err_set(err, ERR_UNAVAILABLE, "the store cannot commit: %s",
			       parts->store.reason);
	return 0;
}

static int may_change(const struct calls *calls, const struct parts *parts, struct err *err)
{
	if (store_may_change(calls, parts, err) < 0)
		return -1;
	if (!parts->cloud_configured)
		return err_set(
			err, ERR_UNAVAILABLE,
			"no CloudStack is configured; set cloud.url, cloud.api_key_file and cloud.secret_key_file");
	if (!parts->cloud.usable)
		return err_set(err, ERR_UNAVAILABLE, "CloudStack cannot be asked: %s",
			       cloud_word(parts));
	if (operation_count(calls->engine) >= calls->env->options.max_operations)
		return err_set(err, ERR_TOO_MANY,
			       "%zu operations are unfinished, which is the limit; try again later",
			       operation_count(calls->engine));
	return 0;
}

int health_check_store(struct calls *calls, struct err *err)
{
	struct parts parts;

	look(calls, &parts);
	return store_may_change(calls, &parts, err);
}

int health_check_changes(struct calls *calls, struct err *err)
{
	struct parts parts;

	look(calls, &parts);
	/* A change makes the daemon ask CloudStack again soon; a question about the health must not
	 * cost a request. */
	if (parts.cloud_configured && !parts.cloud.usable)
		reconcile_soon(calls->reconciler);
	return may_change(calls, &parts, err);
}

static void put_figure(struct json_writer *writer, const char *name, uint64_t value)
{
	json_put_name(writer, name);
	json_put_uint(writer, value);
}

static char *details_json(struct calls *calls, const struct parts *parts, bool accepting)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };
	_cleanup_free_ char *interval = xasprintf("%lldms", (long long)calls->env->options.scan_ms);

	json_begin_object(&writer);
	json_put_name(&writer, "implementation_status");
	json_put_text(&writer, "complete");
	json_put_name(&writer, "polling_interval");
	json_put_text(&writer, interval);
	json_put_name(&writer, "accepting_changes");
	json_put_bool(&writer, accepting);
	put_figure(&writer, "active_operations", operation_count(calls->engine));
	put_figure(&writer, "device_count", sysblock_count(calls->env->sysblock));
	put_figure(&writer, "active_mappings", mapping_count(calls->model));
	put_figure(&writer, "known_volumes", volume_count(calls->model));
	put_figure(&writer, "cloudstack_api_calls", parts->cloud.calls);
	json_put_name(&writer, "cloudstack_throttled");
	json_put_bool(&writer, parts->cloud.throttled_until_ms > 0);
	put_figure(&writer, "cloudstack_throttled_count", parts->cloud.throttled);
	json_put_name(&writer, "cloudstack_clock_ahead_ms");
	json_put_int(&writer, parts->cloud.skew_ms);
	put_figure(&writer, "device_events_processed", parts->devices.changes);
	put_figure(&writer, "database_transactions", parts->store.transactions);
	put_figure(&writer, "store_waiting", parts->store.waiting);
	put_figure(&writer, "loop_turns", loop_turns(calls->env->loop));
	put_figure(&writer, "uptime_seconds",
		   (uint64_t)(clock_mono_ms() - calls->env->started_ms) / 1000);
	json_put_name(&writer, "uevents");
	json_put_bool(&writer, parts->devices.uevents);
	json_put_name(&writer, "stable_names");
	json_put_bool(&writer, calls->env->options.devmap != NULL);
	json_put_name(&writer, "nbd_engine");
	json_put_text(&writer, parts->exports.engine);
	put_figure(&writer, "nbd_pid", (uint64_t)parts->exports.pid);
	put_figure(&writer, "nbd_restarts", parts->exports.restarts);
	put_figure(&writer, "exports", export_count(calls->model));
	json_put_name(&writer, "appliance_id");
	json_put_text(&writer, env_appliance_id(calls->env));
	json_end_object(&writer);
	return buf_take(&out);
}

bool health_to_record(struct calls *calls, struct health_record *out)
{
	struct parts parts;
	bool sound, well;

	look(calls, &parts);
	sound = !parts.store.away && parts.devices.ok;
	well = parts.cloud_configured && parts.cloud.usable && !parts.cloud.reason[0] &&
	       calls->env->options.appliance_id && parts.exports.ok;
	str_set(&out->status, !sound ? "unhealthy" : well ? "healthy" : "degraded");
	out->timestamp = clock_wall_ms();
	str_set(&out->cloudstack_health, cloud_word(&parts));
	str_set(&out->database_health, parts.store.away ? parts.store.reason : "healthy");
	str_set(&out->device_monitor, !parts.devices.ok ? parts.devices.reason
				      : !calls->env->options.appliance_id
					      ? "this VM's CloudStack id is unknown; set "
						"appliance.vm_id"
					      : "healthy");
	str_set(&out->nbd_health, export_word(calls, &parts));
	out->details = details_json(calls, &parts, may_change(calls, &parts, NULL) == 0);
	return sound;
}
