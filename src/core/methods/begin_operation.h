/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A call that begins an operation. */

#include "spec/records.h"

struct call;

/* The call is answered with the operation, once it is durable. context is taken over. */
void begin_operation(struct call *call, enum operation_type type, const char *volume_id, const char *vm_id,
		     void *context);
