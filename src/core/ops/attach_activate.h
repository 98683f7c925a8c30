/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Brings map and export to the disk of an attached volume. A disk that other programs have taken
 * stays without both, until the reconciler makes them when the disk is free. */

#include "core/host/activation.h"

struct device;
struct operation;

/* True: the disk has these parts, or cannot have them. False: the step has ended, and must find the
 * disk again when it runs again. */
bool op_attach_activate_or_wait(struct operation *operation, const struct device *device,
				unsigned parts);
/* While CloudStack's job is under way: the volume's disk, if it is here and has not been given its
 * name yet; otherwise NULL. */
const struct device *op_attach_disk_to_name(struct operation *operation);
/* Tries to give the disk its name; then the step runs again, whether or not that worked. Ends in a
 * verb. */
void op_attach_name_early(struct operation *operation, const struct device *device);
/* Adds the volume's export to the next commit. */
void op_attach_put_export(struct operation *operation, const struct device *device);
