/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The operations, each in a file of its own, and their contexts made from arguments. */

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
};

/* The operation is about a disk of this machine. */
static inline bool op_on_appliance(const struct operation *operation)
{
	return env_is_appliance(operation->ops->env, operation->record.vm_id);
}

extern const struct operation_kind *const operation_kinds[OPERATION_TYPE_COUNT];
extern const struct operation_kind op_create, op_attach, op_detach, op_delete, op_resize;

/* Heap contexts for operation_start(). */
void *op_create_context(const struct volume_create_args *args, const char *zone_id);
void *op_attach_context(void);
void *op_detach_context(const struct volume_detach_args *args);
void *op_delete_context(void);
void *op_resize_context(const struct volume_resize_args *args);

/* The id of the operation that gave a volume this name for the time of its creation; points into
 * name, or is NULL. */
const char *op_create_of_name(const char *name);
