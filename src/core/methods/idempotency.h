/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The same request twice. */

struct call;

/* A call with a key: answered with the operation that was begun under the key, or admitted. */
void idempotency_begin(struct call *call, void (*admit)(struct call *call));
