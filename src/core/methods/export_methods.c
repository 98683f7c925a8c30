/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Exports by request. The desired export is committed before the engine is asked, and the engine's
 * result afterwards; so if the daemon dies in between, the next daemon finds an export that is not
 * served yet, and serves it. While a request changes the export of a volume, operations on that
 * volume wait before they touch the export, and the other way round.
 */

#include "core/methods/export_methods.h"

#include <stdlib.h>

#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/activation.h"
#include "core/host/disk_users.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/health.h"
#include "core/methods/plan.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/local_disk.h"
#include "core/model/mapping.h"
#include "nbd/exporter.h"

/* A call that changes the export of a volume. */
struct export_change {
	struct activation_claim *claim;
	bool was_desired; /* the export was desired already before this request */
};

static void export_change_free(void *state)
{
	struct export_change *change = state;

	activation_release(change->claim);
	free(change);
}

static void keep_change(struct call *call, const char *volume_id)
{
	struct export_change *change = xnew(struct export_change);

	change->claim = activation_claim(call->calls->host, volume_id);
	call_keep(call, change, export_change_free);
}

/* ---- create ---- */

static void answer_export(struct call *call, const char *volume_id)
{
	const struct export *export = export_find(call->calls->model, volume_id);

	if (export)
		call_answer(call, &export->record);
	else
		call_failf(call, ERR_NOT_FOUND, "volume %s is not exported", volume_id);
}

static void on_made(void *arg, const struct err *err)
{
	struct call *call = arg;
	const struct export_create_args *args = call->args;

	call_waited(call);
	if (err->code)
		call_fail(call, err);
	else
		answer_export(call, args->volume_id);
}

static void on_activated(void *arg, const struct err *err)
{
	struct call *call = arg;
	const struct export_change *change = call->state;
	struct calls *calls = call->calls;
	const struct export_create_args *args = call->args;
	const struct mapping *mapping = mapping_find(calls->model, args->volume_id);
	const struct device *device = mapping ? mapping_disk(calls->env, &mapping->record) : NULL;
	struct export_record record = { 0 };

	call_waited(call);
	if (err->code || !device) {
		if (!change->was_desired)
			commit_export(calls->model, args->volume_id, NULL, CHANGE_WHATEVER_COMES,
				      NULL, NULL);
		if (err->code)
			call_fail(call, err);
		else
			call_failf(call, ERR_CONFLICT, "the disk of volume %s has just gone",
				   args->volume_id);
		return;
	}
	export_make(calls->model, args->volume_id, &record);
	export_place(calls->model, &record, device);
	call_wait_change(call, commit_export(calls->model, args->volume_id, &record,
					     CHANGE_OPTIONAL, on_made, call));
}

static void on_desired(void *arg, const struct err *err)
{
	struct call *call = arg;
	struct calls *calls = call->calls;
	const struct export_create_args *args = call->args;
	const struct mapping *mapping = mapping_find(calls->model, args->volume_id);
	const struct device *device = mapping ? mapping_device(calls->model, mapping) : NULL;

	call_waited(call);
	if (err->code)
		call_fail(call, err);
	else if (!device)
		on_activated(call, &(struct err){ 0 });
	else
		call_wait_activation(call,
				     activation_start(calls->host, args->volume_id, ACTIVATION_UP,
						      ACTIVATION_ALL, device, on_activated, call));
}

static int check_free(struct call *call, struct err *err)
{
	struct calls *calls = call->calls;
	const struct export_create_args *args = call->args;

	if (!operation_busy(calls->engine, args->volume_id) &&
	    !activation_is_busy(calls->host, args->volume_id))
		return 0;
	return err_set(err, ERR_CONFLICT,
		       "another request works on volume %s; ask again when that has ended",
		       args->volume_id);
}

/* The present export, if it is served as requested. NULL with *err: the export cannot be made; NULL
 * without an error: the export has to be made. */
static const struct export *check_create(struct call *call, struct err *err)
{
	struct calls *calls = call->calls;
	const struct export_create_args *args = call->args;
	const struct export *export = export_find(calls->model, args->volume_id);
	const struct mapping *mapping = mapping_find(calls->model, args->volume_id);

	if (!calls->env->options.exporter) {
		err_set(err, ERR_CONFLICT,
			"exports are turned off; set export.engine to turn them on");
		return NULL;
	}
	if (export && export->record.read_only != args->read_only) {
		err_set_field(err, "read_only", ERR_CONFLICT,
			      "volume %s is exported %s already; delete that export first",
			      args->volume_id,
			      export->record.read_only ? "read-only" : "for writing");
		return NULL;
	}
	if (export && export->record.status == EXPORT_ACTIVE)
		return export;
	if (health_check_store(calls, err) < 0 || check_free(call, err) < 0)
		return NULL;
	if (!mapping || !env_is_appliance(calls->env, mapping->record.vm_id))
		err_set(err, ERR_CONFLICT,
			"volume %s is not attached to this machine; attach it first",
			args->volume_id);
	else if (!mapping_device(calls->model, mapping))
		err_set(err, ERR_CONFLICT, "the disk of volume %s is gone", args->volume_id);
	return NULL;
}

/* Takes over what the caller gives for its own use; the rest stays as an earlier caller gave it.
 * True if that changes the record. */
static bool label(struct export_record *record, const struct export_create_args *args)
{
	const struct {
		char **kept;
		const char *given;
	} texts[] = { { &record->vm_name, args->vm_name },
		      { &record->vm_id, args->vm_id },
		      { &record->metadata, args->metadata } };
	bool changed = args->disk_number && args->disk_number != record->disk_number;

	if (changed)
		record->disk_number = args->disk_number;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (!texts[i].given || streq(*texts[i].kept, texts[i].given))
			continue;
		str_set(texts[i].kept, texts[i].given);
		changed = true;
	}
	return changed;
}

/* The export is served as requested. */
static void answer_served(struct call *call, const struct export *export)
{
	const struct export_create_args *args = call->args;
	struct calls *calls = call->calls;
	struct export_record record = { 0 };
	struct err err = { 0 };

	export_make(calls->model, args->volume_id, &record);
	if (!label(&record, args)) {
		call_answer(call, &export->record);
	} else if (check_free(call, &err) < 0 || health_check_store(calls, &err) < 0) {
		call_fail(call, &err);
	} else if (!plan_ends(call, "Change what is kept with the export of volume %s.",
			      args->volume_id)) {
		keep_change(call, args->volume_id);
		call_wait_change(call, commit_export(calls->model, args->volume_id, &record,
						     CHANGE_OPTIONAL, on_made, call));
	}
	record_clear(&export_record, &record);
}

static void desire(struct call *call)
{
	struct export_change *change = call->state;
	const struct export_create_args *args = call->args;
	struct export_record record = { 0 };

	change->was_desired = export_find(call->calls->model, args->volume_id) != NULL;
	export_make(call->calls->model, args->volume_id, &record);
	record.status = EXPORT_PENDING;
	record.read_only = args->read_only;
	label(&record, args);
	call_wait_change(call, commit_export(call->calls->model, args->volume_id, &record,
					     CHANGE_OPTIONAL, on_desired, call));
}

static void on_usage(void *arg, const struct usage_result *result)
{
	struct call *call = arg;
	const struct export_create_args *args = call->args;
	struct err err = { 0 };

	call_waited(call);
	if (usage_allows_sharing(args->volume_id, result, "exported", &err) < 0)
		call_fail(call, &err);
	else if (!plan_ends(call, "Serve the disk of volume %s over NBD%s, and note that.",
			    args->volume_id, args->read_only ? ", for reading only" : ""))
		desire(call);
}

void export_create(struct call *call)
{
	struct calls *calls = call->calls;
	const struct export_create_args *args = call->args;
	const struct export *export;
	struct err err = { 0 };

	export = check_create(call, &err);
	if (export) {
		answer_served(call, export);
	} else if (err.code) {
		call_fail(call, &err);
	} else {
		/* The disk is looked at before the export is noted, so that a refusal leaves no
		 * trace. */
		if (!call->plan)
			keep_change(call, args->volume_id);
		call_wait_usage(
			call,
			usage_start_for_sharing(
				calls->host, args->volume_id,
				mapping_disk(calls->env,
					     &mapping_find(calls->model, args->volume_id)->record),
				on_usage, call));
	}
}

/* ---- delete ---- */

#define CHECK_CLIENTS "nbd-clients" /* for plans */

static void answer_deleted(struct call *call)
{
	const struct export_delete_args *args = call->args;
	struct message_record record = { 0 };

	record.message = xasprintf("volume %s is not exported any more", args->volume_id);
	call_answer(call, &record);
	record_clear(&message_record, &record);
}

static void on_dropped(void *arg, const struct err *err)
{
	struct call *call = arg;

	call_waited(call);
	if (err->code)
		call_fail(call, err);
	else
		answer_deleted(call);
}

static void on_closed(void *arg, const struct err *err)
{
	struct call *call = arg;
	const struct export_delete_args *args = call->args;
	bool is_noted = export_find(call->calls->model, args->volume_id) != NULL;

	call_waited(call);
	/* If an engine that is away serves an export without a note, the reconciler closes the
	 * export when the engine is back. */
	if (err->code && (is_noted || err->code != ERR_UNAVAILABLE))
		call_fail(call, err);
	else if (is_noted)
		call_wait_change(call, commit_export(call->calls->model, args->volume_id, NULL,
						     CHANGE_OPTIONAL, on_dropped, call));
	else
		answer_deleted(call);
}

static void end_plan(struct call *call)
{
	const struct export_delete_args *args = call->args;

	plan_ends(call, "Stop serving volume %s over NBD%s.", args->volume_id,
		  args->force ? ", and disconnect its clients" : "");
}

static void on_clients_seen(void *arg, const struct export_seen *items, size_t count,
			    const struct err *err)
{
	struct call *call = arg;
	const struct export_delete_args *args = call->args;
	struct err in_use;

	call_waited(call);
	if (err->code)
		plan_doubt(call, CHECK_CLIENTS, err->text);
	for (size_t i = 0; !err->code && i < count; i++) {
		if (!streq(export_volume_of(items[i].name), args->volume_id) ||
		    items[i].client_count == 0)
			continue;
		export_clients_refuse(args->volume_id, &items[i], &in_use);
		if (items[i].clients_certain)
			plan_refuse(call, CHECK_CLIENTS, &in_use);
		else
			plan_doubt(
				call, CHECK_CLIENTS,
				"the NBD server tells only when an export is closed which one its "
				"clients use");
	}
	end_plan(call);
}

/* Only the engine knows, when it closes an export, whether clients are in the way; it can be asked
 * for them before. */
static void plan_delete(struct call *call)
{
	const struct calls *calls = call->calls;
	const struct export_delete_args *args = call->args;

	if (calls->env->options.exporter && !args->force)
		call_wait_exports(call,
				  export_list(calls->env->options.exporter, on_clients_seen, call));
	else
		end_plan(call);
}

/* An export without a note may be served, too: by an engine that is older than our notes. */
void export_delete(struct call *call)
{
	struct calls *calls = call->calls;
	const struct export_delete_args *args = call->args;
	struct err err = { 0 };

	if (export_find(calls->model, args->volume_id) && health_check_store(calls, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	if (operation_busy(calls->engine, args->volume_id) ||
	    activation_is_busy(calls->host, args->volume_id)) {
		call_failf(call, ERR_CONFLICT,
			   "another request works on volume %s; ask again when that has ended",
			   args->volume_id);
		return;
	}
	if (call->plan) {
		plan_delete(call);
		return;
	}
	keep_change(call, args->volume_id);
	call_wait_activation(call, activation_start(calls->host, args->volume_id,
						    args->force ? ACTIVATION_FORCED_DOWN
								: ACTIVATION_DOWN,
						    ACTIVATION_EXPORT, NULL, on_closed, call));
}

/* ---- list, get ---- */

/* {"addresses":[...],"certain":true} */
static char *clients_json(const struct export_seen *seen)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	json_put_name(&writer, "addresses");
	json_begin_array(&writer);
	for (size_t i = 0; seen && i < seen->client_count; i++)
		json_put_text(&writer, seen->clients[i].address);
	json_end_array(&writer);
	json_put_name(&writer, "certain");
	json_put_bool(&writer, seen && seen->clients_certain);
	json_end_object(&writer);
	return buf_take(&out);
}

static bool fits(const struct export *export, const struct export_list_args *args)
{
	const struct export_record *record = &export->record;

	return (!args->volume_id || streq(args->volume_id, record->volume_id)) &&
	       (!args->status || streq(args->status, export_status_names[record->status])) &&
	       (!args->vm_name || streq(args->vm_name, record->vm_name)) &&
	       (!args->cursor || strcmp(record->volume_id, args->cursor) > 0);
}

static int by_volume(const void *a, const void *b)
{
	const struct export *const *left = a, *const *right = b;

	return strcmp((*left)->record.volume_id, (*right)->record.volume_id);
}

/* An export that is noted as served, but is not served now, will be served soon: the engine is
 * beginning anew. */
static void show(const struct call *call, const struct export *export,
		 const struct export_seen *items, size_t count, const struct err *err,
		 struct export_record *out)
{
	const struct export_seen *seen = NULL;

	for (size_t i = 0; i < count && !seen; i++) {
		if (streq(items[i].name, export->record.export_name))
			seen = &items[i];
	}
	record_copy(&export_record, out, &export->record);
	free(out->clients);
	out->clients = clients_json(seen);
	if (seen)
		out->port = export_port(call->calls->env->options.exporter);
	export_show_place(call->calls->model, out);
	if (seen || out->status != EXPORT_ACTIVE)
		return;
	out->status = EXPORT_PENDING;
	str_set(&out->error, err->code ? err->text : "the NBD server does not serve it yet");
}

static void answer_list(struct call *call, const struct export_list_args *args,
			const struct export_seen *items, size_t item_count, const struct err *err)
{
	struct calls *calls = call->calls;
	size_t count = 0, limit = (size_t)args->limit;
	_cleanup_free_ const struct export **found =
		xcalloc(export_count(calls->model) + 1, sizeof(*found));
	_cleanup_free_ char *cursor = NULL;
	struct export_record *records;
	struct export *export;

	for (export = export_first(calls->model); export; export = export_next(export)) {
		if (fits(export, args))
			found[count++] = export;
	}
	qsort(found, count, sizeof(*found), by_volume);
	if (count > limit) {
		count = limit;
		cursor = xstrdup(found[count - 1]->record.volume_id);
	}
	records = xcalloc(count + 1, sizeof(*records));
	for (size_t i = 0; i < count; i++)
		show(call, found[i], items, item_count, err, &records[i]);
	call_answer_many(call, records, count, cursor);
	for (size_t i = 0; i < count; i++)
		record_clear(&export_record, &records[i]);
	free(records);
}

static void on_clients_known(void *arg, const struct export_seen *items, size_t count,
			     const struct err *err)
{
	struct call *call = arg;
	const struct volume_args *args = call->args;
	const struct export *export;
	struct export_record record = { 0 };

	call_waited(call);
	if (err->code)
		count = 0; /* then the connected clients are not certain, and the answer says so */
	if (call->method == &methods[METHOD_EXPORT_LIST]) {
		answer_list(call, call->args, items, count, err);
		return;
	}
	export = export_find(call->calls->model, args->volume_id);
	if (!export) {
		call_failf(call, ERR_NOT_FOUND, "volume %s is not exported", args->volume_id);
		return;
	}
	show(call, export, items, count, err, &record);
	call_answer(call, &record);
	record_clear(&export_record, &record);
}

void export_get(struct call *call)
{
	const struct volume_args *args = call->args;

	if (export_find(call->calls->model, args->volume_id) && call->calls->env->options.exporter)
		call_wait_exports(call, export_list(call->calls->env->options.exporter,
						    on_clients_known, call));
	else
		on_clients_known(call, NULL, 0, &(struct err){ 0 });
}

static bool is_status(const char *word)
{
	for (int i = 0; i < EXPORT_STATUS_COUNT; i++) {
		if (streq(word, export_status_names[i]))
			return true;
	}
	return false;
}

void export_list_asked(struct call *call)
{
	const struct export_list_args *args = call->args;
	struct err err = { 0 };

	if (args->status && !is_status(args->status)) {
		err_set_field(&err, "status", ERR_INVALID, "status \"%s\" is not known",
			      args->status);
		call_fail(call, &err);
	} else if (export_first(call->calls->model) && call->calls->env->options.exporter) {
		call_wait_exports(call, export_list(call->calls->env->options.exporter,
						    on_clients_known, call));
	} else {
		on_clients_known(call, NULL, 0, &(struct err){ 0 });
	}
}
