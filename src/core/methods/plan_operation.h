/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The plan of a change that begins an operation. */

struct call;
struct operation_order;

/* Answers the call, on a later turn, with the plan of the operation that the order describes; takes
 * its request and its context. */
void plan_operation(struct call *call, const struct operation_order *order);
