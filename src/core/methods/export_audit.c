/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Exports compared and cleaned up by request. Three sides are compared - our notes, the exports
 * that the engine serves, the disks that are here - and each difference is named. An export counts
 * as an orphan only if that is proven: its name is one of ours, CloudStack's list is known, the
 * volume is not attached here, and no operation works on it. The proof is checked again at the
 * moment of removal, and an orphan with connected clients stays.
 */

#include "core/methods/export_audit.h"

#include "base/clock.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/host/suspended.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/health.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/reconcile/host_sync.h"
#include "disk/device.h"
#include "nbd/exporter.h"

#define HOUR_MS INT64_C(3600000)

/* ---- writing reports ---- */

struct report {
	struct buf text;
	struct json_writer writer;
	size_t count;
};

static void report_begin(struct report *report, size_t checked)
{
	*report = (struct report){ .text = BUF_NULL };
	report->writer.out = &report->text;
	json_begin_object(&report->writer);
	json_put_name(&report->writer, "checked");
	json_put_uint(&report->writer, checked);
}

static void report_answer(struct call *call, struct report *report, char *message)
{
	struct export_report_record record = { .message = message, .timestamp = clock_wall_ms() };

	json_end_object(&report->writer);
	json_writer_check(&report->writer);
	record.report = buf_take(&report->text);
	call_answer(call, &record);
	record_clear(&export_report_record, &record);
}

/* ---- validate ---- */

static void differ(struct report *report, const char *name, const char *kind, const char *found)
{
	const char *volume_id = export_volume_of(name);

	report->count++;
	json_begin_object(&report->writer);
	json_put_member(&report->writer, "export_name", name);
	json_put_member(&report->writer, "volume_id", str_or(volume_id, ""));
	json_put_member(&report->writer, "kind", kind);
	json_put_member(&report->writer, "found", found);
	json_end_object(&report->writer);
}

static const struct export_seen *seen_of(const struct export_seen *items, size_t count,
					 const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(items[i].name, name))
			return &items[i];
	}
	return NULL;
}

static void compare_served(struct report *report, const struct export_record *record,
			   const struct export_seen *seen, const struct err *err)
{
	_cleanup_free_ char *found = NULL;

	if (!seen) {
		found = xasprintf("the export is noted as %s, and the NBD server %s%s",
				  export_status_names[record->status],
				  err->code ? "cannot be asked: " : "does not serve it",
				  err->code ? err->text : "");
		differ(report, record->export_name, "not-served", found);
		return;
	}
	if (!streq(seen->device_path, record->device_path)) {
		found = xasprintf("the export is noted for %s, and the NBD server serves %s",
				  record->device_path, seen->device_path);
		differ(report, record->export_name, "device-differs", found);
	}
	if (seen->read_only != record->read_only)
		differ(report, record->export_name, "mode-differs",
		       seen->read_only ? "the export is noted for writing and served read-only"
				       : "the export is noted read-only and served for writing");
}

static void compare_device(struct calls *calls, struct report *report,
			   const struct export_record *record)
{
	const struct mapping *mapping = mapping_find(calls->model, record->volume_id);
	const struct device *device = mapping ? mapping_device(calls->model, mapping) : NULL;
	_cleanup_free_ char *found = NULL;

	if (!mapping || !env_is_appliance(calls->env, mapping->record.vm_id)) {
		differ(report, record->export_name, "not-attached",
		       suspended_has(calls->host, record->volume_id)
			       ? "its volume is away and shall come back"
			       : "its volume is not attached to this machine");
	} else if (!device) {
		differ(report, record->export_name, "device-gone",
		       "the disk of its volume is gone");
	} else if (device->size != record->size) {
		found = xasprintf("the export is served with %llu bytes, and the disk has %llu",
				  (unsigned long long)record->size,
				  (unsigned long long)device->size);
		differ(report, record->export_name, "size-differs", found);
	}
}

static void on_seen_for_validate(void *arg, const struct export_seen *items, size_t count,
				 const struct err *err)
{
	struct call *call = arg;
	struct calls *calls = call->calls;
	size_t checked = export_count(calls->model);
	struct export *export;
	struct report report;

	call_waited(call);
	report_begin(&report, checked);
	json_put_name(&report.writer, "differences");
	json_begin_array(&report.writer);
	for (export = export_first(calls->model); export; export = export_next(export)) {
		compare_served(&report, &export->record,
			       seen_of(items, count, export->record.export_name), err);
		compare_device(calls, &report, &export->record);
	}
	for (size_t i = 0; i < count; i++) {
		const char *volume_id = export_volume_of(items[i].name);

		if (!volume_id)
			differ(&report, items[i].name, "foreign",
			       "the NBD server serves it for another program");
		else if (!export_find(calls->model, volume_id))
			differ(&report, items[i].name, "not-noted",
			       "the NBD server serves it, but it is not noted");
	}
	json_end_array(&report.writer);
	report_answer(call, &report,
		      report.count ? xasprintf("%zu exports compared, %zu differences", checked,
					       report.count)
				   : xasprintf("%zu exports compared, nothing differs", checked));
}

/* Asks for the exports that the engine serves, then calls fn; without an engine there are none. */
static void with_served(struct call *call, export_listed_fn fn)
{
	if (call->calls->env->options.exporter)
		call_wait_exports(call, export_list(call->calls->env->options.exporter, fn, call));
	else
		fn(call, NULL, 0, &(struct err){ 0 });
}

void export_validate(struct call *call)
{
	with_served(call, on_seen_for_validate);
}

/* ---- orphans ---- */

struct orphan {
	TAILQ_ENTRY(orphan) entry;
	struct cleanup *cleanup;
	char *name;
	struct activation *activation;
	struct change *commit;
	struct err err;
	bool removed;
};

struct cleanup {
	struct call *call;
	bool dry_run;
	int64_t max_age_ms; /* 0: of any age */
	size_t checked, waiting;
	TAILQ_HEAD(, orphan) orphans;
};

static void orphan_add(struct cleanup *cleanup, const char *name)
{
	struct calls *calls = cleanup->call->calls;
	const char *volume_id = export_volume_of(name);
	const struct export *export = volume_id ? export_find(calls->model, volume_id) : NULL;
	struct orphan *orphan;

	if (!host_sync_is_orphan(calls->host_sync, name))
		return;
	/* Only our note tells the age of an export. */
	if (cleanup->max_age_ms &&
	    (!export || clock_wall_ms() - export->record.updated_at < cleanup->max_age_ms))
		return;
	orphan = xnew(struct orphan);
	orphan->cleanup = cleanup;
	orphan->name = xstrdup(name);
	TAILQ_INSERT_TAIL(&cleanup->orphans, orphan, entry);
}

static void find_orphans(struct cleanup *cleanup, const struct export_seen *items, size_t count)
{
	struct calls *calls = cleanup->call->calls;
	struct export *export;

	for (export = export_first(calls->model); export; export = export_next(export)) {
		cleanup->checked++;
		orphan_add(cleanup, export->record.export_name);
	}
	for (size_t i = 0; i < count; i++) {
		const char *volume_id = export_volume_of(items[i].name);

		if (!volume_id || export_find(calls->model, volume_id))
			continue;
		cleanup->checked++;
		orphan_add(cleanup, items[i].name);
	}
}

static struct cleanup *cleanup_new(struct call *call)
{
	struct cleanup *cleanup = xnew(struct cleanup);

	cleanup->call = call;
	cleanup->dry_run = true;
	TAILQ_INIT(&cleanup->orphans);
	return cleanup;
}

static void cleanup_free(void *state)
{
	struct cleanup *cleanup = state;
	struct orphan *orphan;

	while ((orphan = TAILQ_FIRST(&cleanup->orphans))) {
		TAILQ_REMOVE(&cleanup->orphans, orphan, entry);
		if (orphan->activation)
			activation_cancel(orphan->activation);
		if (orphan->commit)
			change_forget(orphan->commit);
		free(orphan->name);
		free(orphan);
	}
	free(cleanup);
}

/* ---- the count ---- */

static void on_seen_for_count(void *arg, const struct export_seen *items, size_t count,
			      const struct err *err)
{
	struct call *call = arg;
	struct orphan_count_record record = { .timestamp = clock_wall_ms() };
	struct cleanup *cleanup;
	const struct orphan *orphan;

	call_waited(call);
	cleanup = cleanup_new(call);
	find_orphans(cleanup, items, count);
	TAILQ_FOREACH(orphan, &cleanup->orphans, entry)
		record.orphaned_exports_count++;
	cleanup_free(cleanup);
	call_answer(call, &record);
}

void export_orphans(struct call *call)
{
	with_served(call, on_seen_for_count);
}

/* ---- cleanup ---- */

enum list { LIST_ALL, LIST_REMOVED, LIST_FAILED };

static void put_list(struct json_writer *writer, const char *name, const struct cleanup *cleanup,
		     enum list list)
{
	const struct orphan *orphan;

	json_put_name(writer, name);
	json_begin_array(writer);
	TAILQ_FOREACH(orphan, &cleanup->orphans, entry) {
		if ((list == LIST_REMOVED && !orphan->removed) ||
		    (list == LIST_FAILED && !orphan->err.code))
			continue;
		json_begin_object(writer);
		json_put_member(writer, "export_name", orphan->name);
		json_put_member(writer, "volume_id", export_volume_of(orphan->name));
		if (orphan->err.code)
			json_put_member(writer, "error", orphan->err.text);
		json_end_object(writer);
	}
	json_end_array(writer);
}

static void cleanup_finish(struct cleanup *cleanup)
{
	struct call *call = cleanup->call;
	const struct orphan *orphan;
	size_t found = 0, removed = 0;
	struct report report;
	char *message;

	report_begin(&report, cleanup->checked);
	json_put_name(&report.writer, "dry_run");
	json_put_bool(&report.writer, cleanup->dry_run);
	put_list(&report.writer, "orphaned", cleanup, LIST_ALL);
	put_list(&report.writer, "removed", cleanup, LIST_REMOVED);
	put_list(&report.writer, "failed", cleanup, LIST_FAILED);
	TAILQ_FOREACH(orphan, &cleanup->orphans, entry) {
		found++;
		removed += orphan->removed;
	}
	message =
		xasprintf("%zu exports looked at, %zu orphaned, %zu removed%s", cleanup->checked,
			  found, removed,
			  cleanup->dry_run ? " (only reported; set dry_run to false to remove them)"
					   : "");
	report_answer(call, &report, message);
}

static void orphan_done(struct orphan *orphan)
{
	if (--orphan->cleanup->waiting == 0)
		cleanup_finish(orphan->cleanup);
}

static void on_orphan_dropped(void *arg, const struct err *err)
{
	struct orphan *orphan = arg;

	orphan->commit = NULL;
	orphan->err = *err;
	orphan->removed = err->code == ERR_NONE;
	orphan_done(orphan);
}

static void on_orphan_closed(void *arg, const struct err *err)
{
	struct orphan *orphan = arg;
	const char *volume_id = export_volume_of(orphan->name);

	orphan->activation = NULL;
	orphan->err = *err;
	orphan->removed = err->code == ERR_NONE;
	if (orphan->removed && export_find(orphan->cleanup->call->calls->model, volume_id))
		orphan->commit = commit_export(orphan->cleanup->call->calls->model, volume_id, NULL,
					       CHANGE_OPTIONAL, on_orphan_dropped, orphan);
	else
		orphan_done(orphan);
}

static void cleanup_begin(struct cleanup *cleanup)
{
	struct calls *calls = cleanup->call->calls;
	struct orphan *orphan;

	cleanup->waiting = 1; /* the cleanup must not end while orphans are still being started */
	TAILQ_FOREACH(orphan, &cleanup->orphans, entry) {
		const char *volume_id = export_volume_of(orphan->name);

		if (cleanup->dry_run)
			continue;
		if (activation_is_busy(calls->host, volume_id)) {
			err_set(&orphan->err, ERR_CONFLICT,
				"an operation or another request works on volume %s; ask again later",
				volume_id);
			continue;
		}
		cleanup->waiting++;
		orphan->activation =
			activation_start(calls->host, volume_id, ACTIVATION_DOWN, ACTIVATION_EXPORT,
					 NULL, on_orphan_closed, orphan);
	}
	if (--cleanup->waiting == 0)
		cleanup_finish(cleanup);
}

static void on_seen_for_cleanup(void *arg, const struct export_seen *items, size_t count,
				const struct err *err)
{
	struct call *call = arg;
	struct cleanup *cleanup = call->state;

	call_waited(call);
	if (err->code && !cleanup->dry_run) {
		call_fail(call, err);
		return;
	}
	find_orphans(cleanup, items, count);
	cleanup_begin(cleanup);
}

static void clean_up(struct call *call, bool dry_run, int64_t max_age_ms)
{
	struct cleanup *cleanup;
	struct err err = { 0 };

	if (!dry_run && health_check_store(call->calls, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	cleanup = cleanup_new(call);
	cleanup->dry_run = dry_run;
	cleanup->max_age_ms = max_age_ms;
	call_keep(call, cleanup, cleanup_free);
	with_served(call, on_seen_for_cleanup);
}

void export_cleanup(struct call *call)
{
	const struct export_cleanup_args *args = call->args;

	clean_up(call, args->dry_run, 0);
}

void export_cleanup_age(struct call *call)
{
	const struct export_cleanup_age_args *args = call->args;

	clean_up(call, args->dry_run, args->max_age_hours * HOUR_MS);
}
