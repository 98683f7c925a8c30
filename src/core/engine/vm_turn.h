/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The turns of a VM: of all operations that change one VM, only one has a job at CloudStack at a
 * time, and the others wait here.
 *
 * An operation takes the turn of the VM in its record, and only while it is at the head of its
 * volume's queue; so an operation never waits for a volume while it has a VM, and no two operations
 * can wait for each other. It has the turn from its first step (nothing has been done by then, so
 * an operation that waits can be cancelled at once) until its job has ended.
 */

#include "core/engine/operation_table.h"

/* True if the operation has the turn of its VM now. If not, it has a place among those that wait,
 * and its task `turn` is queued when the turn may be taken. */
bool vm_turn_take(struct operation *operation);
/* Takes the turn although other operations may have it, and wakes the operation if it waits for the
 * turn: it may have a job from before the daemon was started, or other operations must wait until
 * it has ended. */
void vm_turn_share(struct operation *operation);
/* Gives up the turn, or the place among those that wait. */
void vm_turn_leave(struct operation *operation);
