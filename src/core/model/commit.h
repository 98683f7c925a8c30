/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The only way to change the model: a change collects the new facts about a volume and goes to the
 * store as one batch, and the model follows when the batch is durable. After that, events tell of
 * it.
 */

#include "spec/records.h"

struct change;
struct model;
struct err;

enum change_flags {
	CHANGE_WHATEVER_COMES = 0,
	/* the change fails if the store is away, instead of waiting for the store */
	CHANGE_OPTIONAL = 1 << 0,
	/* a mapping that an operation has removed meanwhile stays removed */
	CHANGE_IF_MAPPED = 1 << 1,
};

/* Runs once, after the model has followed; err says why the store refused the change. */
typedef void (*change_done_fn)(void *arg, const struct err *err);

/* Called for the owner of a change after the change is durable and before the model follows; each
 * may be NULL. */
struct change_hooks {
	/* False: the facts that became durable are not true any more; they were corrected and
	 * submitted once more. */
	bool (*landed)(void *arg);
	void (*replacing)(void *arg, const struct mapping_record *old,
			  const struct mapping_record *new);
};

/* entity: the volume, or another subject of the batch; batches about one entity land in order. */
struct change *change_new(struct model *model, const char *entity);
/* For a change that has not been submitted; takes NULL. */
void change_free(struct change *change);

/* Puts the operation and its row of history. stored: the record as the store has it, NULL if that
 * is not known. details is a JSON object; so is caller, who asked for this very transition, NULL if
 * it follows from an earlier one. */
void change_put_operation(struct change *change, const struct operation_record *record,
			  const struct operation_record *stored, const char *previous_status,
			  const char *details, const char *caller);
/* Each takes the texts of the record. Several mappings may exchange their devices. */
void change_put_mapping(struct change *change, struct mapping_record *record);
void change_set_export(struct change *change, struct export_record *record); /* at most one */
/* Any number of volumes; the change is about SNAPSHOTS_ENTITY, so that all such changes land in
 * their order. */
#define SNAPSHOTS_ENTITY "snapshots"
void change_put_snapshot(struct change *change, struct snapshot_record *record);
/* Of all volumes that have this context after the last request; returns how many these are. */
size_t change_drop_snapshots(struct change *change, const char *vm_context_id);
/* Of the volume that the change is about. change_drop_name() drops its snapshot, too: the volume is
 * deleted. */
void change_drop_mapping(struct change *change);
void change_drop_export(struct change *change);
void change_drop_name(struct change *change);

/* No change of a client begins any more; reason NULL: changes go on. */
void change_set_paused(struct change *change, const char *reason);
/* A token, by its name; a change of one is about TOKENS_ENTITY. */
#define TOKENS_ENTITY "tokens"

/* The record that was put, until done runs; NULL if no record was put. */
struct mapping_record *change_mapping(struct change *change);
const struct export_record *change_export(const struct change *change);

/* Takes the change. done (may be NULL: a refusal is logged) runs on a later turn. hooks (may be
 * NULL) outlive the change and get the same arg. */
void change_submit(struct change *change, unsigned flags, const struct change_hooks *hooks,
		   change_done_fn done, void *arg);
void change_forget(struct change *change); /* done will not run */

/* Submits a change of one record; record NULL: drops the present record. Takes the texts of the
 * record. */
struct change *commit_mapping(struct model *model, const char *volume_id,
			      struct mapping_record *record, unsigned flags, change_done_fn done,
			      void *arg);
struct change *commit_export(struct model *model, const char *volume_id,
			     struct export_record *record, unsigned flags, change_done_fn done,
			     void *arg);

struct change *commit_snapshot(struct model *model, struct snapshot_record *record,
			       change_done_fn done, void *arg);
/* The snapshot of a volume as the last request has left it, committed or on its way to the store;
 * NULL: none. Borrowed until the next turn. */
const struct snapshot_record *snapshot_latest(struct model *model, const char *volume_id);

/* record NULL: drops the token. */
struct change *commit_token(struct model *model, const char *name, struct token_record *record,
			    change_done_fn done, void *arg);
/* A change of this token is on its way to the store. */
bool change_has_token(const struct model *model, const char *name);
/* The tokens that are made by changes on their way to the store. */
size_t change_count_tokens(const struct model *model);

/* Changes on their way to the store that belong to no operation: of any mapping, or of the export
 * of a volume. */
bool change_has_mappings(const struct model *model);
bool change_has_export(const struct model *model, const char *volume_id);

/* All changes on their way to the store. */
size_t change_count(const struct model *model);

void changes_free(struct model *model);
