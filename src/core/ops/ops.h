/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The operations, each in a file of its own, and their contexts made from arguments. */

#include "cloud/cloud.h"
#include "core/engine/operation_table.h"
#include "core/env.h"

struct engine;
struct host;
struct model;

/* The objects that steps work with: operation->ops. */
struct ops {
	struct env *env;
	struct model *model;
	struct host *host;
	struct engine *engine;
	bool in_maintenance; /* CloudStack took no changes when an operation last looked */
};

/* The operation is about a disk of this machine. */
static inline bool op_on_appliance(const struct operation *operation)
{
	return env_is_appliance(operation->ops->env, operation->record.vm_id);
}

static inline bool op_elsewhere(const struct operation *operation)
{
	return !op_on_appliance(operation);
}

extern const struct operation_kind *const operation_kinds[OPERATION_TYPE_COUNT];
extern const struct operation_kind op_create, op_attach, op_attach_root, op_detach, op_delete,
	op_resize, op_cleanup, op_snapshot, op_revert, op_delete_snapshot;

/* Heap contexts for operation_start(). */
/* project_id: NULL for a volume of the account. */
void *op_create_context(const struct volume_create_args *args, const char *zone_id,
			const char *project_id);
void *op_attach_context(void);
/* Of an attachment that brings CloudStack to agree with the disk that is here. If the disk has gone
 * when the attachment may begin, somebody has detached the volume, and the operation fails. */
void *op_attach_again_context(void);
/* replace: a root disk that the VM has now is detached first. */
void *op_attach_root_context(bool replace);
void *op_detach_context(const struct volume_detach_args *args);
void *op_delete_context(void);
void *op_resize_context(const struct volume_resize_args *args);
void *op_snapshot_context(const struct snapshot_create_args *args);
void *op_revert_context(const char *snapshot_id);
void *op_delete_snapshot_context(const char *snapshot_id);
void *op_cleanup_context(const struct volume_cleanup_args *args);
/* -1: the two VMs of a cleanup are not those that they have to be. */
int op_cleanup_check(const struct env *env, const char *test_vm_id, const char *oma_vm_id,
		     struct err *err);

/* The id of the operation that gave a volume this name for the time of its creation; points into
 * name, or is NULL. */
const char *op_create_of_name(const char *name);
/* That name. To be freed. */
char *op_create_name(const char *name, const char *operation_id);
/* Why this machine's own VM gets no other root disk. */
void op_attach_root_refuse(const char *vm_id, struct err *err);
/* An ended attachment or cleanup that needs attention, because CloudStack lost the volume together
 * with the job. */
bool op_attach_lost_volume(const struct operation_record *record);
/* Does CloudStack show the goal of an ended operation? */
enum op_goal {
	GOAL_REACHED,
	GOAL_MISSED,
	GOAL_HALF,    /* neither made nor undone */
	GOAL_UNKNOWN, /* CloudStack cannot tell */
};
/* volume: NULL if CloudStack does not list it. */
enum op_goal op_goal_look(const struct operation_record *record, const struct cloud_volume *volume);
/*
 * The snapshot that the goal is about, by its id or, if that was never known, by its volume and
 * name: one of the two is to be freed, the other is NULL. False: the goal is about no snapshot.
 */
bool op_goal_snapshot(const struct operation_record *record, char **id, char **name);
/* The same as op_goal_look(), for such a snapshot; NULL if CloudStack does not list it. */
enum op_goal op_goal_look_at_snapshot(const struct operation_record *record,
				      const struct cloud_snapshot *snapshot);
bool op_snapshot_is_taken(const struct cloud_snapshot *snapshot);
/* The name that an operation gives the snapshot that it takes; asked: NULL if none was asked for.
 * To be freed. */
char *op_snapshot_name(const char *asked, const char *operation_id);
/* An ended operation that needs attention, because a volume has made way for it, and is still
 * attached to nothing. */
bool op_displaced_is_away(struct model *model, const struct operation_record *record);
