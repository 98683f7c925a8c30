/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon's health. Unhealthy means that answers may be wrong or lost (the store or the kernel's
 * devices cannot be read); without CloudStack, or while changes are paused, the daemon is degraded:
 * all its knowledge is still true, and changes are refused. If CloudStack refuses only some reads,
 * such as the list of all volumes, changes go on. A certificate of REST that expires soon degrades
 * the daemon as well, so that it is renewed in time.
 */

#include "core/methods/health.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/metric.h"
#include "cloud/cloud.h"
#include "cloud/cloud_refusals.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/disk_rescan.h"
#include "core/methods/calls.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"
#include "core/reconcile/reconciler.h"
#include "core/reconcile/store_guard.h"
#include "core/reconcile/volume_list.h"
#include "disk/sysblock.h"
#include "nbd/exporter.h"
#include "store/store.h"

#define LATE_SHOWN_MS 60000 /* the last late turn, after it */
#define CLOCK_OFF_MS 60000

struct parts {
	struct cloud_health cloud;
	struct store_health store;
	struct sysblock_health devices;
	struct export_health exports;
	struct volume_list_health list;
	int64_t list_age_ms; /* -1: no list is known */
	/* What CloudStack refuses while it answers all else; "" nothing, or CloudStack cannot be
	 * asked at all. */
	char refused_word[ERR_TEXT_SIZE];
	char lost[ERR_TEXT_SIZE]; /* ids of volumes that CloudStack has lost, "" none */
	char lost_word[ERR_TEXT_SIZE];
	bool cloud_configured;
};

static void look_at_list(struct calls *calls, struct parts *parts)
{
	struct volume_list_health *list = &parts->list;
	char age[64] = "no volumes are known yet";

	reconciler_list_health(calls->reconciler, list);
	parts->list_age_ms = -1;
	if (list->known_since_ms) {
		parts->list_age_ms = clock_mono_ms() - list->known_since_ms;
		snprintf(age, sizeof(age), "the list that is known is %lld s old",
			 (long long)parts->list_age_ms / 1000);
	}
	if (list->err.code != ERR_NONE && parts->cloud.usable)
		err_text_format(parts->refused_word, sizeof(parts->refused_word),
				"CloudStack answers, but its list of volumes fails, and %s: %s",
				age, list->err.text);
}

/* An operation counts from its second refusal on, since a single refusal passes. */
static const struct operation *refused_operation(const struct calls *calls)
{
	const struct operation *operation;

	for (operation = operation_refused_first(calls->engine); operation;
	     operation = operation_refused_after(operation)) {
		const struct cloud_refusals *refusals = operation->refusals;

		if (refusals->count > 1 && streq(operation->record.waits_for, refusals->words))
			return operation;
	}
	return NULL;
}

static void look_at_refusals(struct calls *calls, struct parts *parts)
{
	const struct operation *operation = refused_operation(calls);

	if (!parts->cloud.usable || parts->refused_word[0])
		return;
	if (operation)
		err_text_format(parts->refused_word, sizeof(parts->refused_word),
				"CloudStack answers, but not to operation %s, step %s: %s",
				operation->record.id, operation->record.step,
				operation->record.waits_for);
	else if (parts->list.refused[0])
		err_text_format(parts->refused_word, sizeof(parts->refused_word),
				"CloudStack answers, but does not show %s", parts->list.refused);
}

static void look_at_lost(struct calls *calls, struct parts *parts)
{
	reconciler_lost_volumes(calls->reconciler, parts->lost, sizeof(parts->lost));
	if (parts->lost[0])
		err_text_format(
			parts->lost_word, sizeof(parts->lost_word),
			"CloudStack lost these volumes when it was restarted; ask its administrator: %s",
			parts->lost);
}

/* The parts that decide whether a change may begin. Each change asks, so this costs the same for
 * any number of operations and volumes, and leaves the large rest of the parts alone. */
static void look_for_change(struct calls *calls, struct parts *parts)
{
	parts->refused_word[0] = parts->lost_word[0] = '\0';
	parts->cloud_configured = calls->env->cloud != NULL;
	if (calls->env->cloud)
		cloud_health(calls->env->cloud, &parts->cloud);
	store_health(calls->env->store, &parts->store);
}

static void look(struct calls *calls, struct parts *parts)
{
	memset(parts, 0, sizeof(*parts));
	look_for_change(calls, parts);
	sysblock_health(calls->env->sysblock, &parts->devices);
	look_at_list(calls, parts);
	look_at_refusals(calls, parts);
	look_at_lost(calls, parts);
	parts->exports.ok = true;
	if (calls->env->options.exporter)
		exporter_health(calls->env->options.exporter, &parts->exports);
}

static const char *store_word(const struct calls *calls, const struct parts *parts)
{
	const char *reason = store_guard_reason(calls->store_guard);

	if (parts->store.away)
		return parts->store.reason;
	return *reason ? reason : "healthy";
}

static const char *export_word(const struct calls *calls, const struct parts *parts)
{
	if (!calls->env->options.exporter)
		return "turned off";
	return parts->exports.ok ? "healthy" : parts->exports.reason;
}

static char *device_word(const struct calls *calls, const struct parts *parts)
{
	char *outgrown;

	if (!parts->devices.ok)
		return xstrdup(parts->devices.reason);
	if (calls->env->true_appliance_id)
		return env_appliance_error(calls->env);
	if (!calls->env->options.appliance_id)
		return xstrdup("this VM's CloudStack id is unknown; set appliance.vm_id");
	outgrown = disk_rescan_trouble(calls->host, NULL);
	return outgrown ? outgrown : xstrdup("healthy");
}

static const char *cloud_word(const struct parts *parts)
{
	if (!parts->cloud_configured)
		return "not configured";
	if (parts->cloud.reason[0])
		return parts->cloud.reason;
	if (parts->refused_word[0])
		return parts->refused_word;
	if (parts->lost_word[0])
		return parts->lost_word;
	return parts->cloud.usable ? "healthy" : "CloudStack has not answered yet";
}

/* The clock here against those that it must agree with; to be freed. */
static char *clock_word(const struct parts *parts)
{
	int64_t behind_ms = clock_record_ms() - clock_wall_ms();
	int64_t skew_ms = parts->cloud.skew_ms;

	if (behind_ms > CLOCK_OFF_MS)
		return xasprintf("the clock is %lld s behind the newest record: set it",
				 (long long)behind_ms / 1000);
	if (skew_ms > CLOCK_OFF_MS || skew_ms < -CLOCK_OFF_MS)
		return xasprintf("CloudStack's clock is %lld s %s the clock here: set both by NTP",
				 (long long)(skew_ms < 0 ? -skew_ms : skew_ms) / 1000,
				 skew_ms < 0 ? "behind" : "ahead of");
	return xstrdup("healthy");
}

static const char *certificate_word(const struct calls *calls)
{
	return str_or(calls->env->rest_certificate, "healthy");
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

	look_for_change(calls, &parts);
	return store_may_change(calls, &parts, err);
}

int health_check_changes(struct calls *calls, struct err *err)
{
	struct parts parts;

	look_for_change(calls, &parts);
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

/* Since the start. */
static void put_figures(struct json_writer *writer, struct calls *calls, const struct parts *parts)
{
	put_figure(writer, "cloudstack_api_calls", parts->cloud.calls);
	put_figure(writer, "device_events_processed", parts->devices.changes);
	put_figure(writer, "database_transactions", parts->store.transactions);
	put_figure(writer, "loop_turns", loop_turns(calls->env->loop));
	put_figure(writer, "uptime_seconds",
		   (uint64_t)(clock_mono_ms() - calls->env->started_ms) / 1000);
}

void health_put_figures(struct calls *calls, struct json_writer *writer)
{
	struct parts parts;

	look(calls, &parts);
	put_figures(writer, calls, &parts);
}

/* A late loop is late for each of its clients; neither the store nor CloudStack is the cause. */
static void put_lateness(const struct calls *calls, struct json_writer *writer)
{
	struct loop_lateness late = loop_lateness(calls->env->loop);
	int64_t age_ms = clock_mono_ms() - late.at_ms;
	char text[128] = "";

	if (late.count > 0 && age_ms < LATE_SHOWN_MS)
		snprintf(text, sizeof(text), "the daemon could not run for %lld ms, %lld s ago",
			 (long long)late.last_ms, (long long)age_ms / 1000);
	put_figure(writer, "loop_late_count", late.count);
	json_put_name(writer, "loop_late");
	json_put_text(writer, text);
}

static void put_read(void *arg, const char *command, bool was_asked, const char *failure)
{
	json_put_member(arg, command, failure ? failure : was_asked ? "healthy" : "not asked yet");
}

/* CloudStack may answer one command and refuse another. */
static void put_reads(const struct calls *calls, struct json_writer *writer)
{
	json_put_name(writer, "cloudstack_reads");
	json_begin_object(writer);
	if (calls->env->cloud)
		cloud_each_read(calls->env->cloud, put_read, writer);
	json_end_object(writer);
}

static char *details_json(struct calls *calls, const struct parts *parts, bool accepting)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };
	_cleanup_free_ char *interval = xasprintf("%lldms", (long long)calls->env->options.scan_ms);
	_cleanup_free_ char *clock = clock_word(parts);

	json_begin_object(&writer);
	json_put_name(&writer, "implementation_status");
	json_put_text(&writer, "complete");
	json_put_name(&writer, "polling_interval");
	json_put_text(&writer, interval);
	json_put_name(&writer, "accepting_changes");
	json_put_bool(&writer, accepting);
	json_put_name(&writer, "paused");
	json_put_text(&writer, str_or(calls->env->paused, ""));
	json_put_name(&writer, "store_state");
	json_put_text(&writer, store_state_names[calls->env->store_state]);
	put_figure(&writer, "active_operations", operation_count(calls->engine));
	put_figure(&writer, "device_count", sysblock_count(calls->env->sysblock));
	put_figure(&writer, "active_mappings", mapping_count(calls->model));
	put_figure(&writer, "known_volumes", volume_count(calls->model));
	json_put_name(&writer, "volume_list_age_seconds");
	json_put_int(&writer, parts->list_age_ms < 0 ? -1 : parts->list_age_ms / 1000);
	json_put_name(&writer, "volumes_left_out");
	json_put_text(&writer, parts->list.left_out);
	json_put_name(&writer, "volumes_lost");
	json_put_text(&writer, parts->lost);
	json_put_name(&writer, "cloudstack_throttled");
	json_put_bool(&writer, parts->cloud.throttled_until_ms > 0);
	put_figure(&writer, "cloudstack_throttled_count", parts->cloud.throttled);
	json_put_name(&writer, "cloudstack_clock_ahead_ms");
	json_put_int(&writer, parts->cloud.skew_ms);
	json_put_name(&writer, "clock");
	json_put_text(&writer, clock);
	put_reads(calls, &writer);
	put_figure(&writer, "store_waiting", parts->store.waiting);
	put_figures(&writer, calls, parts);
	put_lateness(calls, &writer);
	json_put_name(&writer, "uevents");
	json_put_bool(&writer, parts->devices.uevents);
	json_put_name(&writer, "stable_names");
	json_put_bool(&writer, calls->env->options.devmap != NULL);
	json_put_name(&writer, "stable_names_health");
	json_put_text(&writer, str_or(calls->env->options.no_stable_names, "healthy"));
	json_put_name(&writer, "nbd_engine");
	json_put_text(&writer, parts->exports.engine);
	put_figure(&writer, "nbd_pid", (uint64_t)parts->exports.pid);
	put_figure(&writer, "nbd_restarts", parts->exports.restarts);
	put_figure(&writer, "exports", export_count(calls->model));
	json_put_name(&writer, "rest_access");
	json_put_text(&writer, str_or(calls->env->options.rest_access, ""));
	json_put_name(&writer, "rest_certificate");
	json_put_text(&writer, str_or(calls->env->rest_certificate, ""));
	json_put_name(&writer, "nbd_access");
	json_put_text(&writer, str_or(calls->env->options.nbd_access, ""));
	json_put_name(&writer, "appliance_id");
	json_put_text(&writer, env_appliance_id(calls->env));
	json_end_object(&writer);
	return buf_take(&out);
}

static void put_part(struct buf *out, const char *part, bool is_well)
{
	metric_value(out, "volumed_health", METRIC_LABELS({ "part", part }), is_well);
}

static bool accepts_changes(const struct calls *calls, const struct parts *parts)
{
	return calls->env->store_state == STORE_CURRENT && !calls->env->paused &&
	       may_change(calls, parts, NULL) == 0;
}

void health_put_metrics(struct calls *calls, struct buf *out)
{
	_cleanup_free_ char *devices = NULL, *clock = NULL;
	struct parts parts;

	look(calls, &parts);
	devices = device_word(calls, &parts);
	clock = clock_word(&parts);
	metric_family(out, "volumed_health", METRIC_GAUGE, "1 if this part is well.");
	put_part(out, "cloudstack", streq(cloud_word(&parts), "healthy"));
	put_part(out, "store", streq(store_word(calls, &parts), "healthy"));
	put_part(out, "monitor", streq(devices, "healthy"));
	put_part(out, "nbd", parts.exports.ok);
	put_part(out, "clock", streq(clock, "healthy"));
	put_part(out, "rest_certificate", streq(certificate_word(calls), "healthy"));
	metric_family(out, "volumed_accepting_changes", METRIC_GAUGE, "1 if changes are accepted.");
	metric_value(out, "volumed_accepting_changes", NULL, accepts_changes(calls, &parts));
	metric_family(
		out, "volumed_volume_list_age_seconds", METRIC_GAUGE,
		"Age of the last list of volumes from CloudStack; no sample if there is none.");
	if (parts.list_age_ms >= 0)
		metric_value(out, "volumed_volume_list_age_seconds", NULL,
			     (double)parts.list_age_ms / 1000);
}

bool health_to_record(struct calls *calls, struct health_record *out)
{
	_cleanup_free_ char *devices = NULL;
	struct parts parts;
	bool sound, well;

	if (calls->env->options.exporter)
		exporter_look(calls->env->options.exporter);
	look(calls, &parts);
	devices = device_word(calls, &parts);
	sound = !parts.store.away && parts.devices.ok;
	well = !calls->env->paused && parts.cloud_configured && parts.cloud.usable &&
	       !parts.cloud.reason[0] && !parts.refused_word[0] && !parts.lost_word[0] &&
	       streq(devices, "healthy") && parts.exports.ok &&
	       streq(certificate_word(calls), "healthy") &&
	       calls->env->store_state == STORE_CURRENT;
	str_set(&out->status, !sound ? "unhealthy" : well ? "healthy" : "degraded");
	out->timestamp = clock_wall_ms();
	str_set(&out->cloudstack_health, cloud_word(&parts));
	str_set(&out->database_health, store_word(calls, &parts));
	str_set(&out->device_monitor, devices);
	str_set(&out->nbd_health, export_word(calls, &parts));
	out->details = details_json(calls, &parts, accepts_changes(calls, &parts));
	return sound;
}
