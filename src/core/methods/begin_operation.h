/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A call that begins an operation is answered with the operation once the operation is durable. */

struct call;
struct operation;

/* The operation of the call's method. context is taken over. */
void begin_operation(struct call *call, const char *volume_id, const char *vm_id, void *context);
/* The same for an operation that another call has begun and that is not durable yet. */
void join_operation(struct call *call, struct operation *operation);
