/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Steps that bring name and export to the disk. A disk that others have taken already does without both: they are made
 * when it is free.
 */

#include "core/ops/attach_device.h"

void op_attach_name(struct operation *operation);
void op_attach_export(struct operation *operation);
/* While CloudStack's job is under way: the disk is here, and it has not been tried yet to name it. */
bool op_attach_may_be_named(struct operation *operation);
/* Then it is named, and the step runs again. False: there is nothing to name. */
bool op_attach_name_early(struct operation *operation);
/* True: it has what it can have. Otherwise the operation waits, and the device is to be found anew. */
bool op_attach_is_served(struct operation *operation);
void op_attach_stage_export(struct operation *operation);
