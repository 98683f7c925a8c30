/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How an attachment is undone: steps, in the order they run. */

struct operation;

void op_attach_undo_export(struct operation *operation);
void op_attach_undo_name(struct operation *operation);
void op_attach_undo_early_name(struct operation *operation);
void op_attach_undo(struct operation *operation);
