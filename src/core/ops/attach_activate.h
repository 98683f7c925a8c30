/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Map and export are brought to the disk of an attached volume. A disk that others have taken
 * already does without both: they are made when it is free.
 */

#include "core/host/activation.h"

struct device;
struct operation;

/* True: the disk has these parts, or cannot have them. False: the step has ended, and the disk is
 * to be found anew. */
bool op_attach_activate_or_wait(struct operation *operation, const struct device *device,
				unsigned parts);
/* While CloudStack's job is under way: the disk that is here and was not given its name yet; NULL:
 * none is. */
const struct device *op_attach_disk_to_name(struct operation *operation);
/* Gives it its name, whether or not that works; then the step runs again. Ends in a verb. */
void op_attach_name_early(struct operation *operation, const struct device *device);
/* With the next commit: how the volume is exported. */
void op_attach_put_export(struct operation *operation, const struct device *device);
