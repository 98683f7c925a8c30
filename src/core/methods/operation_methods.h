/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods about operations. Each answers the call, now or on a later turn. */

struct call;
struct operation_record;

void operation_list(struct call *call);
void operation_get(struct call *call);
void operation_cancel_asked(struct call *call);
/* The answer is an operation as the store has read it. */
void operation_answer_stored(struct call *call, const struct operation_record *stored);

struct calls;

/* Calls that wait for an operation are answered from its events. */
void operation_methods_begin(struct calls *calls);
void operation_methods_end(struct calls *calls);
