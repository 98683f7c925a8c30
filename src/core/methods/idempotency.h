/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The same request twice. */

#include "base/util.h"

struct call;

/* For a call with a key. True if an operation in memory has the key; then the call is answered, or
 * waits for the operation to become durable. */
bool idempotency_find(struct call *call);
/* A call with a key: answered with the operation that was begun under the key, or admitted. */
void idempotency_begin(struct call *call, void (*admit)(struct call *call));
