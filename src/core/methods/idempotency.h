/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The same request twice. */

struct call;
struct err;
struct operation;

/* A call with a key: answered with the operation that was begun under it, or admitted. */
void request_begin(struct call *call, void (*admit)(struct call *call));
/* An operation was accepted, or refused by the store (err says why): whoever asked for the same is told. */
void calls_on_accepted(struct operation *operation, const struct err *err);
