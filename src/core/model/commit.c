/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One pipeline: collect, submit, wait for the store, apply to the model, tell the listeners. The
 * model follows the store, never the other way round, so everything that a caller or a listener has
 * been told survives a crash.
 *
 * The new name of a volume becomes durable with the next change of the volume, of any kind.
 */

#include "core/model/commit.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/env.h"
#include "core/model/event.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/model.h"
#include "core/model/notice.h"
#include "core/model/snapshot.h"
#include "core/model/stable_name.h"
#include "core/model/token.h"
#include "store/store.h"

struct change {
	TAILQ_ENTRY(change) entry; /* from the submission on */
	struct model *model;
	char *entity;
	struct store_batch *batch; /* rows that the model does not keep */
	bool has_operation;
	struct mapping_record *mappings;
	size_t mapping_count;
	struct export_record export; /* volume_id NULL: none */
	struct {
		struct snapshot_record record;
		bool drops;
	} * snapshots;
	size_t snapshot_count;
	struct token_record token; /* id NULL: none */
	bool drops_token;
	bool drops_mapping, drops_export, drops_name;
	bool sets_paused;
	char *paused; /* NULL: changes go on */
	bool submitted;
	unsigned flags;
	const struct change_hooks *hooks;
	change_done_fn done;
	void *arg;
};

struct change *change_new(struct model *model, const char *entity)
{
	struct change *change = xnew(struct change);

	change->model = model;
	change->entity = xstrdup(entity);
	return change;
}

void change_free(struct change *change)
{
	if (!change)
		return;
	if (change->submitted)
		TAILQ_REMOVE(&change->model->changes, change, entry);
	for (size_t i = 0; i < change->mapping_count; i++)
		record_clear(&mapping_record, &change->mappings[i]);
	free(change->mappings);
	for (size_t i = 0; i < change->snapshot_count; i++)
		record_clear(&snapshot_record, &change->snapshots[i].record);
	free(change->snapshots);
	record_clear(&export_record, &change->export);
	record_clear(&token_row, &change->token);
	store_batch_free(change->batch);
	free(change->paused);
	free(change->entity);
	free(change);
}

void changes_free(struct model *model)
{
	struct change *change;

	while ((change = TAILQ_FIRST(&model->changes)))
		change_free(change);
}

/* ---- collecting ---- */

static struct store_batch *batch_of(struct change *change)
{
	if (!change->batch)
		change->batch = store_batch_new(change->entity);
	return change->batch;
}

static bool is_in_place(const struct operation_record *record,
			const struct operation_record *stored)
{
	return record->status == stored->status && streq(record->volume_id, stored->volume_id) &&
	       streq(record->vm_id, stored->vm_id) &&
	       record->needs_attention == stored->needs_attention;
}

void change_put_operation(struct change *change, const struct operation_record *record,
			  const struct operation_record *stored, const char *previous_status,
			  const char *details, const char *caller)
{
	change->has_operation = true;
	if (stored && is_in_place(record, stored))
		store_batch_operation_stays(batch_of(change), record);
	else
		store_batch_operation(batch_of(change), record);
	store_batch_history(batch_of(change), record->id, previous_status,
			    operation_status_names[record->status], details, caller);
}

void change_put_mapping(struct change *change, struct mapping_record *record)
{
	record->updated_at = record->last_sync = clock_record_ms();
	change->mappings =
		xrealloc(change->mappings, (change->mapping_count + 1) * sizeof(*change->mappings));
	change->mappings[change->mapping_count++] = *record;
	*record = (struct mapping_record){ 0 };
}

void change_set_export(struct change *change, struct export_record *record)
{
	assert(!change->export.volume_id);
	change->export = *record;
	*record = (struct export_record){ 0 };
}

static void add_snapshot(struct change *change, struct snapshot_record *record, bool drops)
{
	size_t n = change->snapshot_count++;

	change->snapshots = xrealloc(change->snapshots, (n + 1) * sizeof(change->snapshots[0]));
	change->snapshots[n].record = *record;
	change->snapshots[n].drops = drops;
	*record = (struct snapshot_record){ 0 };
}

void change_put_snapshot(struct change *change, struct snapshot_record *record)
{
	add_snapshot(change, record, false);
}

static bool has_snapshot(const struct change *change, const char *volume_id)
{
	for (size_t i = 0; i < change->snapshot_count; i++) {
		if (streq(change->snapshots[i].record.id, volume_id))
			return true;
	}
	return false;
}

/* The snapshot of the volume after the change, which found this one. */
static const struct snapshot_record *snapshot_after(const struct change *change,
						    const char *volume_id,
						    const struct snapshot_record *found)
{
	for (size_t i = 0; i < change->snapshot_count; i++) {
		if (streq(change->snapshots[i].record.id, volume_id))
			found = change->snapshots[i].drops ? NULL : &change->snapshots[i].record;
	}
	return change->drops_name && streq(change->entity, volume_id) ? NULL : found;
}

const struct snapshot_record *snapshot_latest(struct model *model, const char *volume_id)
{
	const struct snapshot_kept *kept = snapshot_find(model, volume_id);
	const struct snapshot_record *latest = kept ? &kept->record : NULL;
	const struct change *change;

	TAILQ_FOREACH(change, &model->changes, entry)
		latest = snapshot_after(change, volume_id, latest);
	return latest;
}

static void drop_if_of(struct change *change, const char *volume_id, const char *vm_context_id)
{
	const struct snapshot_record *latest = snapshot_latest(change->model, volume_id);
	struct snapshot_record record = { 0 };

	if (!latest || !streq(latest->vm_context_id, vm_context_id))
		return;
	record.id = xstrdup(volume_id);
	add_snapshot(change, &record, true);
}

size_t change_drop_snapshots(struct change *change, const char *vm_context_id)
{
	const struct snapshot_kept *kept;
	const struct change *other;

	for (kept = snapshot_first(change->model); kept; kept = snapshot_next(kept))
		drop_if_of(change, kept->record.id, vm_context_id);
	TAILQ_FOREACH(other, &change->model->changes, entry) {
		for (size_t i = 0; i < other->snapshot_count; i++) {
			const char *volume_id = other->snapshots[i].record.id;

			if (!has_snapshot(change, volume_id))
				drop_if_of(change, volume_id, vm_context_id);
		}
	}
	return change->snapshot_count;
}

void change_drop_mapping(struct change *change)
{
	change->drops_mapping = true;
}

void change_drop_export(struct change *change)
{
	change->drops_export = true;
}

void change_drop_name(struct change *change)
{
	change->drops_name = true;
}

void change_set_paused(struct change *change, const char *reason)
{
	change->sets_paused = true;
	str_set(&change->paused, reason);
}

struct mapping_record *change_mapping(struct change *change)
{
	return change && change->mapping_count ? &change->mappings[0] : NULL;
}

const struct export_record *change_export(const struct change *change)
{
	return change && change->export.volume_id ? &change->export : NULL;
}

static bool is_of_mappings(const struct change *change)
{
	return !change->has_operation && (change->mapping_count || change->drops_mapping);
}

static bool is_of_export(const struct change *change)
{
	return !change->has_operation && (change->export.volume_id || change->drops_export);
}

bool change_has_mappings(const struct model *model)
{
	const struct change *change;

	TAILQ_FOREACH(change, &model->changes, entry) {
		if (is_of_mappings(change))
			return true;
	}
	return false;
}

bool change_has_export(const struct model *model, const char *volume_id)
{
	const struct change *change;

	TAILQ_FOREACH(change, &model->changes, entry) {
		if (is_of_export(change) && streq(change->entity, volume_id))
			return true;
	}
	return false;
}

size_t change_count(const struct model *model)
{
	return model->commits_waiting;
}

/* ---- after the store has answered ---- */

static void apply_mapping(struct change *change, const struct mapping_record *record)
{
	const struct mapping *mapping = mapping_find(change->model, record->volume_id);

	if (!mapping && (change->flags & CHANGE_IF_MAPPED))
		return;
	if (mapping && change->hooks && change->hooks->replacing)
		change->hooks->replacing(change->arg, &mapping->record, record);
	mapping_put(change->model, record);
}

static void apply_snapshots(struct change *change)
{
	for (size_t i = 0; i < change->snapshot_count; i++) {
		if (change->snapshots[i].drops)
			snapshot_drop(change->model, change->snapshots[i].record.id);
		else
			snapshot_put(change->model, &change->snapshots[i].record);
	}
	if (change->drops_name)
		snapshot_drop(change->model, change->entity);
}

static void apply_token(struct change *change)
{
	if (change->drops_token) {
		token_drop(change->model, change->token.id);
		events_token_revoked(change->model, change->token.id);
	} else if (change->token.id) {
		token_put(change->model, &change->token);
	}
}

static void apply(struct change *change)
{
	struct model *model = change->model;

	for (size_t i = 0; i < change->mapping_count; i++)
		name_on_committed(model, change->mappings[i].volume_id);
	name_on_committed(model, change->entity);
	for (size_t i = 0; i < change->mapping_count; i++)
		apply_mapping(change, &change->mappings[i]);
	if (change->drops_mapping)
		mapping_remove(model, change->entity);
	if (change->export.volume_id)
		export_put(model, &change->export);
	if (change->drops_export)
		export_drop(model, change->entity);
	apply_snapshots(change);
	if (change->sets_paused)
		env_set_paused(model->env, change->paused);
	apply_token(change);
	if (change->drops_name) {
		name_drop(model, change->entity);
		notice_tell_volume(model, NOTICE_NAME_DROPPED, change->entity);
	}
}

/* An operation itself decides how to go on after a refusal. */
static void log_refusal(const struct change *change, const struct err *err)
{
	if (is_of_export(change))
		log_error("volume=%s: its export could not be noted: %s", change->entity,
			  err->text);
	else if (is_of_mappings(change) && !change->done)
		log_error("a mapping could not be kept up to date: %s", err->text);
}

static void on_answered(void *arg, const struct err *err)
{
	struct change *change = arg;
	struct model *model = change->model;
	bool of_mappings = is_of_mappings(change);
	change_done_fn done;

	model->commits_waiting--;
	if (!err->code && change->hooks && change->hooks->landed &&
	    !change->hooks->landed(change->arg))
		return;
	if (err->code)
		log_refusal(change, err);
	else
		apply(change);
	done = change->done;
	arg = change->arg;
	change_free(change);
	if (done)
		done(arg, err);
	if (of_mappings)
		notice_tell(model, NOTICE_MAPPINGS_COMMITTED);
}

/* ---- submitting ---- */

/*
 * Two disks may have swapped names. So all rows give up their names before any row takes one, and
 * the store's unique key never sees one name twice. The rows themselves stay: other programs keep
 * columns of their own in them.
 */
static void vacate(const struct change *change, struct store_batch *batch)
{
	for (size_t i = 0; i < change->mapping_count; i++) {
		struct mapping_record nameless = change->mappings[i]; /* borrows the texts */

		nameless.device_path = NULL;
		store_batch_mapping(batch, &nameless);
	}
}

static void put_mappings(struct change *change, struct store_batch *batch)
{
	if (change->mapping_count > 1)
		vacate(change, batch);
	for (size_t i = 0; i < change->mapping_count; i++) {
		store_batch_mapping(batch, &change->mappings[i]);
		if (!streq(change->mappings[i].volume_id, change->entity))
			name_stage(change->model, change->mappings[i].volume_id, batch);
	}
}

static void put_snapshots(struct change *change, struct store_batch *batch)
{
	for (size_t i = 0; i < change->snapshot_count; i++) {
		if (change->snapshots[i].drops)
			store_batch_unsnapshot(batch, change->snapshots[i].record.id);
		else
			store_batch_snapshot(batch, &change->snapshots[i].record);
	}
	if (change->drops_name && snapshot_find(change->model, change->entity))
		store_batch_unsnapshot(batch, change->entity);
}

static void put_all(struct change *change, struct store_batch *batch)
{
	put_mappings(change, batch);
	if (change->drops_mapping)
		store_batch_unmap(batch, change->entity);
	if (change->export.volume_id)
		store_batch_export(batch, &change->export);
	if (change->drops_export)
		store_batch_unexport(batch, change->entity);
	put_snapshots(change, batch);
	if (change->sets_paused)
		store_batch_mark(batch, STORE_MARK_PAUSED, change->paused);
	if (change->drops_token)
		store_batch_untoken(batch, change->token.id);
	else if (change->token.id)
		store_batch_token(batch, &change->token);
	if (change->drops_name)
		store_batch_unname(batch, change->entity);
	else
		name_stage(change->model, change->entity, batch);
	if (change->flags & CHANGE_OPTIONAL)
		store_batch_optional(batch);
}

void change_submit(struct change *change, unsigned flags, const struct change_hooks *hooks,
		   change_done_fn done, void *arg)
{
	struct model *model = change->model;

	change->flags = flags;
	change->hooks = hooks;
	change->done = done;
	change->arg = arg;
	if (!change->submitted)
		TAILQ_INSERT_TAIL(&model->changes, change, entry);
	change->submitted = true;
	put_all(change, batch_of(change));
	model->commits_waiting++;
	store_submit(model->env->store, TAKE_PTR(change->batch), on_answered, change);
}

void change_forget(struct change *change)
{
	change->done = NULL;
}

struct change *commit_mapping(struct model *model, const char *volume_id,
			      struct mapping_record *record, unsigned flags, change_done_fn done,
			      void *arg)
{
	struct change *change = change_new(model, volume_id);

	if (record)
		change_put_mapping(change, record);
	else
		change_drop_mapping(change);
	change_submit(change, flags, NULL, done, arg);
	return change;
}

struct change *commit_export(struct model *model, const char *volume_id,
			     struct export_record *record, unsigned flags, change_done_fn done,
			     void *arg)
{
	struct change *change = change_new(model, volume_id);

	if (record)
		change_set_export(change, record);
	else
		change_drop_export(change);
	change_submit(change, flags, NULL, done, arg);
	return change;
}

struct change *commit_snapshot(struct model *model, struct snapshot_record *record,
			       change_done_fn done, void *arg)
{
	struct change *change = change_new(model, SNAPSHOTS_ENTITY);

	change_put_snapshot(change, record);
	change_submit(change, CHANGE_OPTIONAL, NULL, done, arg);
	return change;
}

struct change *commit_token(struct model *model, const char *name, struct token_record *record,
			    change_done_fn done, void *arg)
{
	struct change *change = change_new(model, TOKENS_ENTITY);

	if (record)
		change->token = *record;
	else
		change->token.id = xstrdup(name);
	change->drops_token = !record;
	change_submit(change, CHANGE_OPTIONAL, NULL, done, arg);
	return change;
}

size_t change_count_tokens(const struct model *model)
{
	const struct change *change;
	size_t count = 0;

	TAILQ_FOREACH(change, &model->changes, entry)
		count += change->token.id && !change->drops_token;
	return count;
}

bool change_has_token(const struct model *model, const char *name)
{
	const struct change *change;

	TAILQ_FOREACH(change, &model->changes, entry) {
		if (streq(change->token.id, name))
			return true;
	}
	return false;
}
