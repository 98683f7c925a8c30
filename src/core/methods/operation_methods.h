/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods about operations. Each answers the call, now or on a later turn. */

struct call;

void operation_list(struct call *call);
void operation_get(struct call *call);
void operation_cancel_asked(struct call *call);

struct core;
struct operation_record;

/* An operation is taken back, or has ended, and that is durable: whoever waits for it is answered. */
void calls_on_changed(struct core *core, const struct operation_record *record);
void calls_on_ended(struct core *core, const struct operation_record *record);
