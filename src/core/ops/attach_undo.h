/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How an attachment is undone: steps, in the order they run. */

struct operation;

void op_attach_take_back_export(struct operation *operation);
void op_attach_take_back_name(struct operation *operation);
void op_attach_take_back_early_name(struct operation *operation);
void op_attach_take_back(struct operation *operation);
