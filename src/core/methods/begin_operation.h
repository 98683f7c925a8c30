/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A call that begins an operation is answered with the operation once the operation is durable. */

struct call;

/* The operation of the call's method, unless another call has begun it under the same key
 * meanwhile, or the call is not admitted any more (admission.h). context is taken over. */
void begin_operation(struct call *call, const char *volume_id, const char *vm_id, void *context);
