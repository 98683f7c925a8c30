/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The life of an operation in the log, after each fact is durable or, for a step, before the step
 * is committed. Private to engine/. */

struct operation;

void operation_log_accepted(const struct operation *operation);
void operation_log_step(const struct operation *operation);
void operation_log_ended(const struct operation *operation);
