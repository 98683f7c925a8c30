/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A call that begins an operation: it is answered with the operation, once that is durable. */

#include "spec/records.h"

struct call;
struct operation;

/* context is taken over. */
void begin_operation(struct call *call, enum operation_type type, const char *volume_id, const char *vm_id,
		     void *context);
/* The same for an operation that another call has begun and that is not durable yet. */
void join_operation(struct call *call, struct operation *operation);
